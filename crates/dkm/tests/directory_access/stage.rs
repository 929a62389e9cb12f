//! The parent's part: groups, and the accounts that it lets act.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::repository::{GroupAccess, Put, Replica, Repository};
use dkm_core::{GroupId, Room};

use super::actor::key;
use super::{Account, TEST};

/// The stage: a repository that everybody can reach, and a copy of this program that everybody can run.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Self { folder };
        fs::copy(std::env::current_exe().unwrap(), stage.program()).unwrap();
        fs::set_permissions(stage.program(), fs::Permissions::from_mode(0o755)).unwrap();
        DirectoryRepository::create(&stage.path(), &CreateOptions::default()).unwrap();
        // Others make groups here too.
        fs::set_permissions(stage.path().join("groups"), fs::Permissions::from_mode(0o1777)).unwrap();
        stage
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("actor")
    }

    pub(crate) fn connect(&self) -> Box<dyn Replica> {
        DirectoryRepository::open(&self.path()).unwrap().connect(0).unwrap()
    }

    /// Root makes a group with a first record in each room.
    pub(crate) fn make(
        &self,
        group: GroupId,
        readers: Option<u32>,
        creators: &str,
        owner: Account,
        announce: bool,
    ) {
        let access = GroupAccess {
            readers: readers.iter().map(u32::to_string).collect(),
            creators: vec![creators.into()],
            owners: vec![owner.0.to_string()],
            ..GroupAccess::default()
        };
        let mut connection = self.connect();
        connection.create_group(group, &access).unwrap();
        connection.put(group, Room::Control, &"first".parse().unwrap(), b"by root").unwrap();
        let record = key(0, group);
        let put = connection.put(group, Room::Keys, &record.slot(group, 0), &record.encode(group)).unwrap();
        assert_eq!(put, Put::Created);
        if announce {
            connection.announce_group(group).unwrap();
        }
    }

    /// Lets an account act in a group, and compares what became of each act with what must.
    pub(crate) fn play(&self, who: &str, account: Account, group: GroupId, script: &[(&str, &str)]) {
        let acts: Vec<&str> = script.iter().map(|(act, _)| *act).collect();
        let Account(uid, gids) = account;
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={}", 60_000 + uid % 1_000));
        let listed: Vec<String> = gids.iter().map(u32::to_string).collect();
        if listed.is_empty() {
            command.arg("--clear-groups");
        } else {
            command.arg(format!("--groups={}", listed.join(",")));
        }
        command.arg(self.program()).args(["--exact", TEST, "--nocapture", "--test-threads=1"]);
        command.env("DKM_ACCESS_ACTS", acts.join(";")).env("DKM_ACCESS_GROUP", group.to_string());
        command.env("DKM_ACCESS_REPOSITORY", self.path()).current_dir("/");
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{who}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let outcomes: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("ACT ")).collect();
        let found: Vec<(&str, &str)> = acts.into_iter().zip(outcomes.iter().copied()).collect();
        assert_eq!(found, script, "{who} in group {group}");
    }
}
