//! What every test here does.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "only tests, and each program uses a part"
)]

use std::path::Path;
use std::process::{Command, Output};

use dkm_testbed::{Controller, Domain};

/// What `ldapsearch` reads of one object, from this controller, with this credential cache.
pub fn ldapsearch(domain: &Domain, controller: &Controller, cache: &Path, dn: &str) -> Output {
    Command::new("ldapsearch")
        .envs(domain.env_with(cache))
        .args(["-LLL", "-Q", "-N", "-Y", "GSSAPI", "-s", "base", "-H", &controller.ldap_url(), "-b", dn])
        .output()
        .unwrap()
}

/// Standard output as text.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
