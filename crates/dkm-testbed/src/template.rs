//! Provisioned domains, kept: a copy takes a tenth of a second, a provision several.
//!
//! All copies are the same domain, with the same keys and identifiers. They never meet.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

use crate::domain::Options;
use crate::files;
use crate::process::{self, command};

/// Counted up when templates change, so that no old one is taken for a new one.
const LAYOUT: u32 = 2;

/// A folder of Cargo's for what is worth keeping between runs.
fn kept() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace.join(target).join("dkm-testbed")
}

/// The template for these options: a folder with one for each controller, by its name. Made first if none is kept.
pub(crate) fn find(options: &Options, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let version = process::run(command("samba").arg("--version"))?;
    let dns = if options.dns { " dns" } else { "" };
    let hosts = options.hosts().join(" ");
    let name: String = format!("{LAYOUT} {} {} {hosts}{dns}", version.trim(), options.realm)
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
            fs::create_dir(&unfinished)?;
            make(&unfinished)?;
            fs::rename(&unfinished, &template)?;
        }
    }
    Ok(template)
}

/// Copies what a controller must not lose.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    for part in ["private", "state"] {
        process::run(command("cp").args(["-a", "--sparse=always"]).arg(from.join(part)).arg(to))?;
    }
    Ok(())
}

/// Makes a domain. The administrator gets a random password, which nobody learns; each copy sets its own.
pub(crate) fn provision(folder: &Path, options: &Options) -> Result<()> {
    let folder = folder.join(&options.host);
    fs::create_dir_all(&folder)?;
    let conf = folder.join("base.conf");
    fs::write(&conf, files::base_conf(&folder))?;
    process::run(
        command("samba-tool")
            .args([
                "domain",
                "provision",
                "--server-role=dc",
                options.dns_backend(),
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
