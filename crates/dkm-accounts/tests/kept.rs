//! Accounts in a real store, with keys in a real directory repository.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::repository::GroupAccess;
use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::{ErrorKind, Location, Policy};
use dkm_accounts::{
    Account, Accounts, Error, Field, Filter, Login, NewAccount, Protocol, Provider, StateKind,
};

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// A repository with a group whose keys take over within seconds.
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        DirectoryRepository::create(&world.path("repository"), &CreateOptions::default()).unwrap();
        world.make_group("mail");
        world
    }

    fn make_group(&self, name: &str) -> Group {
        let mut policy = Policy {
            refresh_interval_ms: 200,
            io_deadline_ms: 1000,
            replication_bound_ms: 0,
            clock_skew_ms: 500,
            ..Policy::for_directory()
        };
        policy.activation_delay_ms = policy.activation_delay_min_ms();
        let access = GroupAccess::default();
        let group = self
            .client()
            .create_group(NewGroup { name: name.into(), description: None, policy, access })
            .unwrap();
        until(|| group.view().unwrap().protecting.is_ok());
        group
    }

    fn client(&self) -> Client {
        let options = Options { background: false, ..Options::default() };
        Client::open(&Location::directory(self.path("repository")), options).unwrap()
    }

    fn group(&self) -> Group {
        self.client().group("mail").unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn create(&self) -> Accounts {
        Accounts::create(&self.path("accounts.db"), self.group()).unwrap()
    }

    fn open(&self) -> Accounts {
        Accounts::open(&self.path("accounts.db"), self.group()).unwrap()
    }

    fn sql(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path("accounts.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn new(owner: &str, address: &str) -> NewAccount {
    NewAccount {
        owner: owner.parse().unwrap(),
        address: address.parse().unwrap(),
        provider: Provider::Gmail,
        protocol: Protocol::Imap,
        server: None,
        user: None,
        login: Login::Password,
        ca: None,
    }
}

fn all(accounts: &Accounts, filter: &Filter) -> Vec<Account> {
    let mut found = Vec::new();
    accounts
        .list(filter, |account| {
            found.push(account.unwrap());
            true
        })
        .unwrap();
    found
}

fn kind(error: Error) -> ErrorKind {
    error.kind()
}

#[test]
fn what_was_added_is_found_and_opens() {
    let world = World::new();
    let mut accounts = world.create();
    let alice = accounts.add(new("user-1", "alice@gmail.com"), b"abcd efgh ijkl mnop").unwrap();
    let bob = accounts.add(new("user-2", "bob@gmail.com"), b"other").unwrap();
    assert_eq!((alice.host.as_str(), alice.port, &*alice.user), ("imap.gmail.com", 993, "alice@gmail.com"));
    drop(accounts);
    let accounts = world.open();
    assert_eq!(all(&accounts, &Filter::default()), [alice.clone(), bob.clone()]);
    let of_bob = Filter { owner: Some("user-2".into()), ..Filter::default() };
    assert_eq!(all(&accounts, &of_bob), [bob]);
    let in_state = Filter { state: Some(StateKind::AuthFailed), ..Filter::default() };
    assert_eq!(all(&accounts, &in_state), []);
    assert_eq!(&*accounts.secret(alice.id, Field::Password).unwrap(), b"abcd efgh ijkl mnop");
    let missing = accounts.secret(alice.id, Field::RefreshToken).unwrap_err();
    assert!(matches!(missing, Error::NoSecret { .. }), "{missing}");
}

#[test]
fn no_secret_is_in_the_file_in_an_error_or_in_debug() {
    let world = World::new();
    let mut accounts = world.create();
    let secret = b"correct-horse-battery-staple";
    let alice = accounts.add(new("user-1", "alice@gmail.com"), secret).unwrap();
    accounts.replace_secret(alice.id, b"correct-horse-battery-staple-2").unwrap();
    for entry in fs::read_dir(world.folder.path()).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            assert!(!bytes.windows(13).any(|window| window == b"correct-horse"), "{:?}", entry.path());
        }
    }
    for bad in
        [&b""[..], b"correct-horse\r\nA2 LOGOUT", b"correct-horse\0", b"correct-horse\xff", &[b'c'; 17 << 10]]
    {
        let error = accounts.replace_secret(alice.id, bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("correct-horse"), "{error:?}");
        assert_eq!(kind(error), ErrorKind::Usage);
    }
    assert_eq!(&*accounts.secret(alice.id, Field::Password).unwrap(), b"correct-horse-battery-staple-2");
}

#[test]
fn a_blob_in_another_row_or_under_another_name_does_not_open() {
    let world = World::new();
    let mut accounts = world.create();
    let alice = accounts.add(new("user-1", "alice@gmail.com"), b"of alice").unwrap();
    let bob = accounts.add(new("user-2", "bob@gmail.com"), b"of bob").unwrap();
    let swap = |account: &Account, sql: &str| {
        let id = account.id;
        world.sql(
            &sql.replace("ALICE", &format!("x'{}'", alice.id)).replace("BOB", &format!("x'{}'", bob.id)),
        );
        let error = world.open().secret(id, Field::Password).map(drop).unwrap_err();
        assert_eq!(kind(error), ErrorKind::Corrupt, "{sql}");
    };
    swap(
        &bob,
        "UPDATE secrets SET blob = (SELECT blob FROM secrets WHERE account = ALICE) WHERE account = BOB",
    );
    swap(&alice, "UPDATE accounts SET owner = 'user-3' WHERE id = ALICE");
    swap(&alice, "UPDATE accounts SET owner = 'user-1', provider = 'yahoo' WHERE id = ALICE");
    world.sql(&format!("UPDATE accounts SET provider = 'gmail' WHERE id = x'{}'", alice.id));
    // What is not part of the context may be corrected.
    world.sql(&format!("UPDATE accounts SET user = 'al', port = 1993 WHERE id = x'{}'", alice.id));
    assert_eq!(&*world.open().secret(alice.id, Field::Password).unwrap(), b"of alice");
    world.sql(&format!("UPDATE secrets SET field = 'refresh-token' WHERE account = x'{}'", alice.id));
    let error = world.open().secret(alice.id, Field::RefreshToken).map(drop).unwrap_err();
    assert_eq!(kind(error), ErrorKind::Corrupt);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let world = World::new();
    let mut accounts = world.create();
    let alice = accounts.add(new("user-1", "alice@gmail.com"), b"one").unwrap();
    let twice = accounts.add(new("user-1", "alice@GMAIL.com"), b"two").unwrap_err();
    assert!(matches!(&twice, Error::Exists { account, .. } if *account == alice.id), "{twice}");
    // Another's, or by another protocol, is another account.
    accounts.add(new("user-2", "alice@gmail.com"), b"two").unwrap();
    accounts
        .add(NewAccount { protocol: Protocol::Pop3, ..new("user-1", "alice@gmail.com") }, b"three")
        .unwrap();
    let outlook = NewAccount { provider: Provider::Outlook, ..new("user-1", "alice@outlook.com") };
    let error = accounts.add(outlook.clone(), b"x").unwrap_err();
    assert!(error.to_string().contains("OAuth2 only"), "{error}");
    accounts.add(NewAccount { login: Login::OAuth2, ..outlook }, b"token").unwrap();
    let custom = NewAccount { provider: Provider::Custom, ..new("user-1", "alice@example.org") };
    assert!(matches!(accounts.add(custom, b"x").unwrap_err(), Error::NoServer));
    assert_eq!(&*accounts.secret(alice.id, Field::Password).unwrap(), b"one");
    assert_eq!(all(&accounts, &Filter::default()).len(), 4);
    accounts.remove(alice.id).unwrap();
    for error in [
        accounts.remove(alice.id).unwrap_err(),
        accounts.replace_secret(alice.id, b"x").unwrap_err(),
        accounts.secret(alice.id, Field::Password).map(drop).unwrap_err(),
        accounts.set_state(alice.id, StateKind::Ok, "").unwrap_err(),
        accounts.export(alice.id).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoAccount(_)), "{error}");
    }
}

#[test]
fn lists_need_no_key_and_a_secret_that_does_not_open_says_why() {
    let world = World::new();
    let mut accounts = world.create();
    let alice = accounts.add(new("user-1", "alice@gmail.com"), b"one").unwrap();
    accounts.set_state(alice.id, StateKind::AuthFailed, "invalid credentials").unwrap();
    let group = world.group();
    fs::remove_dir_all(world.path("repository")).unwrap();
    let accounts = Accounts::open(&world.path("accounts.db"), group).unwrap();
    let [found] = &all(&accounts, &Filter::default())[..] else { panic!("one account") };
    assert_eq!((found.state.kind, &*found.state.detail), (StateKind::AuthFailed, "invalid credentials"));
    assert_eq!(accounts.keys_of(alice.id).unwrap().len(), 1);
    let exported = accounts.export(alice.id).unwrap();
    assert_eq!(exported.secrets.len(), 1);
}

#[test]
fn secrets_leave_the_old_key_and_what_does_not_open_is_named() {
    let world = World::new();
    let mut accounts = world.create();
    let mut ids = Vec::new();
    for number in 0..30 {
        let secret = format!("secret {number}");
        ids.push(accounts.add(new("user-1", &format!("a{number}@gmail.com")), secret.as_bytes()).unwrap().id);
    }
    let old = world.group().view().unwrap().protecting.unwrap();
    assert_eq!(
        accounts.usage().unwrap().iter().map(|(key, n, _)| (*key, *n)).collect::<Vec<_>>(),
        [(old, 30)]
    );
    let group = world.group();
    group.roll("a drill").unwrap();
    until(|| {
        group.refresh().unwrap();
        group.view().unwrap().protecting.is_ok_and(|key| key != old)
    });
    let present = group.view().unwrap().protecting.unwrap();
    // One is damaged, and one is in another's place.
    world.sql(&format!("UPDATE secrets SET blob = zeroblob(200) WHERE account = x'{}'", ids[3]));
    world.sql(&format!("UPDATE accounts SET owner = 'user-9' WHERE id = x'{}'", ids[4]));
    let mut told = Vec::new();
    let done = accounts.rewrap(&mut |looked_at, total| told.push((looked_at, total))).unwrap();
    assert_eq!((done.renewed, done.stuck_total, done.stuck.len()), (28, 2, 2));
    assert_eq!(told, [(30, 30)]);
    assert!(done.stuck.iter().all(|stuck| [ids[3], ids[4]].contains(&stuck.account)), "{:?}", done.stuck);
    let used: Vec<_> = done.usage.iter().map(|(key, count, _)| (*key, *count)).collect();
    assert!(used.contains(&(present, 28)) && used.contains(&(old, 2)), "{used:?}");
    for (number, id) in ids.iter().enumerate().filter(|(number, _)| ![3, 4].contains(number)) {
        assert_eq!(&*accounts.secret(*id, Field::Password).unwrap(), format!("secret {number}").as_bytes());
    }
    // Nothing is left to do but for those.
    assert_eq!(accounts.rewrap(&mut |_, _| ()).unwrap().renewed, 0);
}

#[test]
fn a_store_of_others_is_not_opened() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let path = world.path("accounts.db");
    let open = |group: Group| Accounts::open(&path, group).map(drop).unwrap_err();
    assert!(matches!(open(world.group()), Error::NoStore(_)));
    drop(world.create());
    let other = open(world.make_group("other"));
    assert!(matches!(other, Error::OtherGroup { .. }), "{other}");
    let mode =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&path, 0o640);
    assert!(matches!(open(world.group()), Error::Open { how: "read", .. }));
    mode(&path, 0o620);
    assert!(matches!(open(world.group()), Error::Open { how: "changed", .. }));
    mode(&path, 0o600);
    mode(world.folder.path(), 0o777);
    assert!(matches!(open(world.group()), Error::Open { how: "changed", .. }));
    mode(world.folder.path(), 0o700);
    world.sql("UPDATE meta SET version = 9");
    assert!(matches!(open(world.group()), Error::Version { version: 9, .. }));
    fs::write(&path, b"no database, but long enough to be looked at as if it were one").unwrap();
    assert!(matches!(open(world.group()), Error::NotAStore(_)));
    rusqlite::Connection::open(world.path("else.db")).unwrap().execute_batch("CREATE TABLE t (n)").unwrap();
    mode(&world.path("else.db"), 0o600);
    let error = Accounts::open(&world.path("else.db"), world.group()).map(drop).unwrap_err();
    assert!(matches!(error, Error::NotAStore(_)), "{error}");
    let exists = Accounts::create(&world.path("else.db"), world.group()).map(drop).unwrap_err();
    assert_eq!(exists.kind(), ErrorKind::Unavailable);
}
