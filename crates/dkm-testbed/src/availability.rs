//! Whether a domain can be run on this machine.

use std::path::Path;

use crate::process;

/// Programs that a domain calls, and the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("samba", "samba-ad-dc"),
    ("samba-tool", "samba"),
    ("kinit", "krb5-user"),
    ("ldapsearch", "ldap-utils"),
    ("openssl", "openssl"),
    ("ip", "iproute2"),
    ("winbindd", "winbind"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];

/// Files that a domain needs, and the Debian package of each.
const FILES: &[(&str, &str)] = &[
    ("/usr/share/samba/setup/provision.ldif", "samba-ad-provision"),
    ("/usr/lib/python3/dist-packages/samba/samdb.py", "python3-samba"),
];

/// Says everything that is missing at once.
pub(crate) fn check() -> Result<(), String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root's rights (Samba's ports and file owners need them)".to_owned());
    }
    for (program, package) in PROGRAMS {
        if !process::has(program) {
            missing.push(format!("the program {program} (Debian: {package})"));
        }
    }
    for (file, package) in FILES {
        if !Path::new(file).exists() {
            missing.push(format!("{file} (Debian: {package})"));
        }
    }
    let namespaces = ["--pid", "--net", "--mount", "--fork", "true"];
    if missing.is_empty() && process::run(process::command("unshare").args(namespaces)).is_err() {
        missing.push("the right to make namespaces (in a container: CAP_SYS_ADMIN)".to_owned());
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("missing: {}", missing.join("; "))) }
}
