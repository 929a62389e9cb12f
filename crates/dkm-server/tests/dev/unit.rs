//! What is shipped for systemd: the unit, the example configuration, and what the server tells its manager.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dkm_server::Config;
use dkm_server::config::{Certificates, Limits};

use crate::text;

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

/// Every key of the configuration, by the fields of its types.
fn keys() -> BTreeSet<&'static str> {
    let source = include_str!("../../src/config.rs");
    let fields = source.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(':'));
    fields.map(|(name, _)| name).filter(|name| !name.contains('(')).collect()
}

#[test]
fn the_example_is_read_has_every_key_and_shows_the_defaults() {
    let path = packaged("dkmd.toml");
    let config = Config::read(&path).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.certificates, Certificates::default());
    assert!(config.tls.is_some() && config.unix.is_some() && config.metrics.is_some());
    let example = std::fs::read_to_string(path).unwrap();
    let document = include_str!("../../../../docs/dkmd.md");
    let keys = keys();
    assert!(keys.len() >= 16, "{keys:?}");
    for key in keys {
        // What is off unless it is wanted stands there as a comment.
        let line = |line: &str| {
            let line = line.trim_start_matches('#');
            let tables = [format!("[{key}]"), format!("[directory.{key}]"), format!("[[directory.{key}]]")];
            let is_table = tables.contains(&line.to_owned());
            is_table || line.starts_with(&format!("{key} ="))
        };
        assert!(example.lines().any(line), "{key} is not in packaging/dkmd.toml");
        assert!(
            document.contains(&format!("`{key}")) || document.contains(&format!(".{key}`")),
            "{key} is not in docs/dkmd.md"
        );
    }
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = std::fs::read_to_string(packaged("dkmd.service")).unwrap();
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s'));
    assert!(stop.unwrap().parse::<u64>().unwrap() > Limits::default().shutdown_s);
    for needed in [
        "Type=notify",
        "NoNewPrivileges=yes",
        "LimitCORE=0",
        "ProtectSystem=strict",
        "RestartPreventExitStatus=2 7",
    ] {
        assert!(unit.lines().any(|line| line == needed), "{needed}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dkmd.service");
    std::fs::write(&path, unit.replace("/usr/bin/dkmd", env!("CARGO_BIN_EXE_dkmd"))).unwrap();
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() {
        Err(error) => println!("skipped: systemd-analyze: {error}"),
        Ok(done) => {
            let said = text(&done.stderr);
            assert!(done.status.success() && !said.contains("dkmd.service:"), "{said}");
        }
    }
}

#[test]
fn its_manager_is_told_when_it_serves_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(at("outside")).unwrap();
    // The example, elsewhere.
    let example = std::fs::read_to_string(packaged("dkmd.toml")).unwrap();
    let config = example
        .replace("/var/lib/dkmd-checkpoint", &at("outside"))
        .replace("/var/lib/dkmd", &at("data"))
        .replace("/run/dkmd/socket", &at("socket"))
        .replace("[::]:7443", "127.0.0.1:0")
        .replace("127.0.0.1:9464", "127.0.0.1:0");
    std::fs::write(at("dkmd.toml"), config).unwrap();
    let dkmd = |command: &str| {
        let mut dkmd = Command::new(env!("CARGO_BIN_EXE_dkmd"));
        dkmd.args([command, "--config", &at("dkmd.toml")]).stdout(Stdio::null()).stderr(Stdio::null());
        dkmd
    };
    assert!(dkmd("init").status().unwrap().success());
    let manager = UnixDatagram::bind(at("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut server = dkmd("serve").env("NOTIFY_SOCKET", at("notify")).spawn().unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let count = manager.recv(&mut bytes).unwrap();
        text(&bytes[..count])
    };
    assert_eq!(told(), "READY=1\n");
    assert!(Path::new(&at("socket")).exists(), "it was not ready");
    rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(told(), "STOPPING=1\n");
    assert!(server.wait().unwrap().success());
}
