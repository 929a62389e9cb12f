//! People who are granted access: a group with a roster, one approver, and everybody else asks.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use dkm::blocking::{Group, NewGroup};
use dkm::core::policy::{Policy, Wrap};
use dkm::core::record::{ApprovalLevel, ElevationRules, Person, RosterRecord};
use dkm::core::{Context, GroupId, RequestId};
use dkm::repository::GroupAccess;
use dkm_lockbox::{Decision, Event, Record, statement};
use dkm_remote::Elevations;
use dkm_remote::wire::elevation::{NewAnswer, NewRequest, OpenBlob, RequestView, ScopeView};
use tempfile::TempDir;

use super::connection::post;
use super::daemon::Daemon;

const DAY_MS: u64 = 86_400_000;
pub(crate) const SERVICE: &str = "service:mail";

/// A group that people may be let into.
pub(crate) struct Guarded {
    pub(crate) group: Group,
    /// A blob of 1 KiB.
    blob: Vec<u8>,
}

/// Those who ask, and who approves.
pub(crate) struct People {
    asking: Vec<String>,
    keys: TempDir,
    approver: String,
}

fn context() -> Result<Context> {
    Ok(Context::new().with("account", "alice@example.org")?)
}

impl People {
    /// So many who ask.
    pub(crate) fn enrol(daemon: &Daemon, many: usize) -> Result<Self> {
        let keys = tempfile::tempdir()?;
        let key = keys.path().join("key");
        let mut make = Command::new("ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", "", "-C", "approver", "-f"]).arg(&key);
        ensure!(make.status()?.success(), "ssh-keygen makes no key");
        let line = fs::read_to_string(key.with_extension("pub"))?;
        let approver = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let asking: Vec<String> = (0..many).map(|number| format!("person:asks-{number}")).collect();
        daemon.enrol("person:approver")?;
        asking.iter().try_for_each(|account| daemon.enrol(account))?;
        Ok(Self { asking, keys, approver })
    }

    pub(crate) fn asking(&self) -> &[String] {
        &self.asking
    }

    /// A new group whose blobs the server opens for those who are let in.
    pub(crate) fn group(&self, daemon: &Daemon, name: &str) -> Result<Guarded> {
        let new = NewGroup {
            name: name.to_owned(),
            description: None,
            policy: Policy { wrap: Wrap::None, ..Policy::for_directory() },
            access: GroupAccess {
                readers: vec![SERVICE.to_owned(), "service:dkmd".to_owned()],
                creators: vec![SERVICE.to_owned()],
                owners: vec![SERVICE.to_owned()],
                ..GroupAccess::default()
            },
        };
        let group = daemon.client(SERVICE)?.create_group_with_roster(new, self.roster())?;
        let blob = group.protect(&context()?, &[b'x'; 1024])?;
        Ok(Guarded { group, blob })
    }

    fn roster(&self) -> RosterRecord {
        let person = |account: &String, keys: Vec<String>| Person {
            id: account.trim_start_matches("person:").to_owned(),
            keys,
            accounts: vec![account.clone()],
        };
        let approver = person(&"person:approver".to_owned(), vec![self.approver.clone()]);
        let others = self.asking.iter().map(|account| person(account, Vec::new()));
        let mut persons: Vec<Person> = [approver].into_iter().chain(others).collect();
        persons.sort_by(|one, other| one.id.cmp(&other.id));
        RosterRecord {
            version: 1,
            previous: vec![],
            created_at_ms: 1,
            persons,
            levels: vec![ApprovalLevel {
                name: "manager".to_owned(),
                approvers: vec!["approver".to_owned()],
                quorum: 1,
            }],
            change_delay_ms: DAY_MS,
            signatures: vec![],
            elevation: Some(ElevationRules {
                duration_max_ms: DAY_MS,
                untouched_ms: DAY_MS,
                activation_window_ms: DAY_MS,
                revokers: vec![],
                direct: None,
                break_glass: None,
            }),
        }
    }

    /// Lets everybody in `each` times, and says by which requests: those of one person after the other.
    pub(crate) fn let_in(&self, daemon: &Daemon, group: GroupId, each: usize) -> Result<Vec<RequestId>> {
        let new = NewRequest {
            reason: "to be measured".to_owned(),
            ticket: String::new(),
            scope: Some(ScopeView {
                blobs: Vec::new(),
                context: [("account".into(), "alice@example.org".into())].into(),
                count_max: 1 << 40,
                bytes_max: 1 << 50,
            }),
            break_glass: false,
            duration_s: DAY_MS / 1000,
        };
        let asked = self.everybody(daemon, |_, elevations| {
            (0..each).map(|_| Ok(elevations.ask(group, &new)?)).collect::<Result<Vec<_>>>()
        })?;
        let signed = self.sign(asked.iter().flatten())?;
        let approver = Elevations::of(daemon.repository("person:approver"));
        let mut requests = Vec::new();
        for (request, signature) in signed {
            let answer = NewAnswer {
                approver: "approver".to_owned(),
                level: "manager".to_owned(),
                approve: true,
                signature,
            };
            approver.answer(request, &answer)?;
            requests.push(request);
        }
        self.everybody(daemon, |number, elevations| {
            let own = requests.iter().skip(number * each).take(each);
            own.map(|request| Ok(elevations.activate(*request)?)).collect::<Result<Vec<_>>>()
        })?;
        Ok(requests)
    }

    /// Lets all who ask do something at once.
    fn everybody<T: Send>(
        &self,
        daemon: &Daemon,
        work: impl Fn(usize, &Elevations) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = self
                .asking
                .iter()
                .enumerate()
                .map(|(number, account)| {
                    let elevations = Elevations::of(daemon.repository(account));
                    scope.spawn(move || work(number, &elevations))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("nobody panics")).collect()
        })
    }

    /// The approver's signature on each request, by one `ssh-keygen` for all.
    fn sign<'a>(&self, asked: impl Iterator<Item = &'a RequestView>) -> Result<Vec<(RequestId, String)>> {
        let folder = tempfile::tempdir()?;
        let mut files: Vec<(RequestId, PathBuf)> = Vec::new();
        for view in asked {
            let first = BASE64_STANDARD.decode(view.records.first().context("no record")?)?;
            let Event::Requested { request, .. } = Record::decode(&first)?.event else {
                anyhow::bail!("the first record is no request")
            };
            let file = folder.path().join(files.len().to_string());
            fs::write(&file, statement(&request, Decision::Approve, "manager", "approver"))?;
            files.push((request.id, file));
        }
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-Y", "sign", "-n", dkm_lockbox::NAMESPACE, "-f"]).arg(self.keys.path().join("key"));
        let signed = sign.args(files.iter().map(|(_, file)| file)).output()?;
        ensure!(signed.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&signed.stderr));
        let read = |(request, file): (RequestId, PathBuf)| {
            Ok((request, fs::read_to_string(file.with_extension("sig"))?))
        };
        files.into_iter().map(read).collect()
    }
}

impl Guarded {
    /// The bytes of a request that has the server open the blob.
    pub(crate) fn unprotect(&self, request: RequestId) -> Result<Vec<u8>> {
        let open = OpenBlob {
            context: [("account".into(), "alice@example.org".into())].into(),
            blob: BASE64_STANDARD.encode(&self.blob),
            known_size: None,
        };
        Ok(post(&format!("/v1/requests/{request}/unprotect"), &serde_json::to_vec(&open)?))
    }

    /// The path of its first key's record.
    pub(crate) fn key_path(&self, daemon: &Daemon) -> Result<String> {
        use dkm::core::Room;
        use dkm::repository::Repository as _;
        let group = self.group.id();
        let keys = daemon.repository(SERVICE).connect(0)?.list(group, Room::Keys)?;
        let key = keys.first().context("the group has no key")?;
        let stamp = std::str::from_utf8(&key.stamp)?;
        Ok(format!("/v1/groups/{group}/rooms/keys/{}?stamp={stamp}", key.name))
    }
}
