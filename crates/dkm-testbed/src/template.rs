//! Provisioned domains, kept: a copy takes a tenth of a second, a provision several.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

use crate::domain::Options;
use crate::files;
use crate::process::{self, command};

/// A folder of Cargo's for what is worth keeping between runs.
pub(crate) fn kept() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    target.join("dkm-testbed")
}

/// Copies the database of a domain with these options to `folder`; provisions it first if none is kept.
///
/// All copies are the same domain, with the same keys and identifiers. They never meet.
pub(crate) fn copy_to(folder: &Path, options: &Options) -> Result<()> {
    let version = process::run(command("samba").arg("--version"))?;
    let name: String = format!("{} {} {}", version.trim(), options.realm, options.host)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    let kept = kept();
    fs::create_dir_all(&kept).with_context(|| format!("can't create {}", kept.display()))?;
    let template = kept.join(&name);
    if !template.is_dir() {
        let lock = File::create(kept.join(format!("{name}.lock")))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        // Another process may have made it while we waited.
        if !template.is_dir() {
            let unfinished = kept.join(format!("{name}.unfinished"));
            let _ = fs::remove_dir_all(&unfinished);
            provision(&unfinished, options)?;
            fs::rename(&unfinished, &template)?;
        }
    }
    for part in ["private", "state"] {
        process::run(command("cp").args(["-a", "--sparse=always"]).arg(template.join(part)).arg(folder))?;
    }
    Ok(())
}

/// Makes the domain. The administrator gets a random password, which nobody learns; each copy sets its own.
fn provision(folder: &Path, options: &Options) -> Result<()> {
    fs::create_dir_all(folder)?;
    let conf = folder.join("base.conf");
    fs::write(&conf, files::base_conf(folder))?;
    process::run(
        command("samba-tool")
            .args([
                "domain",
                "provision",
                "--server-role=dc",
                "--dns-backend=NONE",
                "--function-level=2008_R2",
            ])
            .args(["--host-ip=127.0.0.1", "-s"])
            .arg(&conf)
            .arg(format!("--realm={}", options.realm))
            .arg(format!("--domain={}", options.workgroup()))
            .arg(format!("--host-name={}", options.host))
            .arg(format!("--targetdir={}", folder.display())),
    )
    .context("can't provision a domain")?;
    Ok(())
}
