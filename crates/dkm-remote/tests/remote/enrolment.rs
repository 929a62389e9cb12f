//! Credentials: how they are got, kept to oneself, and renewed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dkm::ErrorKind;
use dkm::repository::{Repository, RepositoryError};
use dkm_core::Digest;
use dkm_remote::credentials::Credentials;
use dkm_remote::wire::{self, Code};
use dkm_remote::{Endpoint, RemoteRepository, RemoteUrl, Trust, enrol};
use zeroize::Zeroizing;

use crate::support::api::{Api, problem};
use crate::support::{Answer, Authority, LIMITS, Request, Server, World, names};

const ACCOUNT: &str = "service:mail";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn endpoint(server: &Server) -> Endpoint {
    server.url.parse::<RemoteUrl>().unwrap().endpoints.remove(0)
}

/// A server that takes the token `once` for [`ACCOUNT`].
fn with_token(world: &World) -> Server {
    let api = Api::new(world.repository.clone(), 0, world.authority.clone()).with_token("once", ACCOUNT);
    Server::tls(&world.authority, move |request| api.answer(request))
}

fn token(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn ca_file(world: &World, authority: &Authority) -> Trust {
    let file = world.folder.path().join("ca.pem");
    fs::write(&file, authority.certificate.pem()).unwrap();
    Trust::Ca(file)
}

#[test]
fn an_account_enrols_and_is_known_from_then_on() {
    let world = World::new(1);
    for (name, trust) in [
        ("ca", ca_file(&world, &world.authority)),
        ("digest", Trust::AuthorityDigest(world.authority.digest())),
    ] {
        let server = with_token(&world);
        let folder = world.folder.path().join("deep").join(name);
        let credentials = Credentials::in_folder(&folder);
        let got = enrol(&endpoint(&server), token("once"), &credentials, &trust, false, LIMITS).unwrap();
        assert_eq!(got.account, ACCOUNT);
        assert_eq!(names(&folder), [".lock", "authority.pem", "identity.pem"]);
        assert_eq!((mode(&folder), mode(&folder.join("identity.pem"))), (0o700, 0o600));
        assert_eq!(
            fs::read_to_string(folder.join("authority.pem")).unwrap().replace('\r', ""),
            world.authority.certificate.pem().replace('\r', "")
        );
        let url = format!("{}?credentials={}", server.url, folder.display());
        let repository = RemoteRepository::open(url.parse().unwrap(), LIMITS);
        let mut connection = repository.connect(0).unwrap();
        let group = dkm_core::GroupId([7; 16]);
        let author = connection.author(group, dkm_core::Room::Keys).unwrap().unwrap();
        assert_eq!(author.0, ACCOUNT);
        // The token is spent.
        let again = Credentials::in_folder(world.folder.path().join("again"));
        let error = enrol(&endpoint(&server), token("once"), &again, &trust, false, LIMITS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("token") && !error.to_string().contains("once "), "{error}");
    }
}

#[test]
fn another_server_gets_no_token() {
    let world = World::new(1);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let foreign = Authority::new();
    let server = Server::tls(&foreign, move |_: &Request| {
        counted.fetch_add(1, Ordering::SeqCst);
        problem(401, Code::Unauthenticated, "thanks")
    });
    let credentials = Credentials::in_folder(world.folder.path().join("c"));
    for trust in [
        ca_file(&world, &world.authority),
        Trust::AuthorityDigest(world.authority.digest()),
        Trust::AuthorityDigest(Digest::default()),
    ] {
        let error =
            enrol(&endpoint(&server), token("once"), &credentials, &trust, false, LIMITS).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Unavailable && error.to_string().contains("not believed"),
            "{error}"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(names(credentials.folder()), [".lock"]);
}

#[test]
fn what_cannot_be_written_costs_no_token() {
    let world = World::new(1);
    let server = with_token(&world);
    let trust = ca_file(&world, &world.authority);
    // In the way of the folder is a file, and then of the identity a folder that others write to.
    let file = world.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let open = world.folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    for (folder, word) in [(file.join("c"), "made"), (open.clone(), "chmod go-w")] {
        let credentials = Credentials::in_folder(folder);
        let error =
            enrol(&endpoint(&server), token("once"), &credentials, &trust, false, LIMITS).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
    // Credentials that have not ended are kept.
    let kept = Credentials::in_folder(world.credentials("service:other"));
    let error = enrol(&endpoint(&server), token("once"), &kept, &trust, false, LIMITS).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.to_string().contains("not ended"), "{error}");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
    enrol(&endpoint(&server), token("once"), &kept, &trust, true, LIMITS).unwrap();
}

#[test]
fn a_certificate_for_another_key_is_not_taken() {
    let world = World::new(1);
    let authority = world.authority.clone();
    let server = Server::tls(&world.authority, move |_| {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let view = wire::Certificate {
            account: ACCOUNT.to_owned(),
            certificate: authority.certify(ACCOUNT, &other, Duration::ZERO, 1_000),
            authority: String::new(),
            not_before_ms: 0,
            not_after_ms: 0,
        };
        Answer::Json(200, serde_json::to_string(&view).unwrap())
    });
    let credentials = Credentials::in_folder(world.folder.path().join("c"));
    let trust = ca_file(&world, &world.authority);
    let error = enrol(&endpoint(&server), token("once"), &credentials, &trust, false, LIMITS).unwrap_err();
    assert!(error.to_string().contains("not for the key"), "{error}");
    assert_eq!(names(credentials.folder()), [".lock"]);
}

fn refused(world: &World) -> String {
    let error = world.open(ACCOUNT).connect(0).unwrap_err();
    assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn credentials_that_others_may_read_or_change_are_not_used() {
    let world = World::new(1);
    let folder = world.credentials(ACCOUNT);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (name, good, bad, repair) in [
        ("identity.pem", 0o600, 0o640, "chmod 600"),
        ("identity.pem", 0o600, 0o604, "chmod 600"),
        ("authority.pem", 0o644, 0o664, "chmod go-w"),
        ("authority.pem", 0o644, 0o666, "chmod go-w"),
        ("", 0o700, 0o770, "chmod go-w"),
    ] {
        let path = folder.join(name);
        let path = if name.is_empty() { folder.clone() } else { path };
        set(&path, bad);
        let said = refused(&world);
        assert!(said.contains(repair) && said.contains(&path.display().to_string()), "{said}");
        set(&path, good);
        world.open(ACCOUNT).connect(0).unwrap();
    }
    // Read-only for its owner will do.
    set(&folder.join("identity.pem"), 0o400);
    world.open(ACCOUNT).connect(0).unwrap();
}

#[test]
fn credentials_that_are_missing_or_damaged_say_what_to_do() {
    let world = World::new(1);
    let folder = world.credentials(ACCOUNT);
    let identity = folder.join("identity.pem");
    let good = fs::read(&identity).unwrap();
    for bad in [&b""[..], b"garbage", &good[..good.len() / 2], &good[..100]] {
        fs::write(&identity, bad).unwrap();
        let said = refused(&world);
        assert!(said.contains("enrol again") && said.contains("identity.pem"), "{said}");
    }
    // The key of one certificate and another certificate.
    let other = fs::read_to_string(world.credentials("service:other").join("identity.pem")).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let (key, _) = text.split_once("-----BEGIN CERTIFICATE").unwrap();
    let (_, certificate) = other.split_once("-----BEGIN CERTIFICATE").unwrap();
    fs::write(&identity, format!("{key}-----BEGIN CERTIFICATE{certificate}")).unwrap();
    assert!(refused(&world).contains("belong together"));
    fs::write(&identity, &good).unwrap();
    fs::write(folder.join("authority.pem"), "garbage").unwrap();
    assert!(refused(&world).contains("authority.pem"));
    fs::remove_file(folder.join("authority.pem")).unwrap();
    assert!(refused(&world).contains("authority.pem is not there"));
    fs::remove_file(&identity).unwrap();
    assert!(refused(&world).contains("enrol first"));
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    assert!(refused(&world).contains("enrol first"));
}

#[test]
fn a_certificate_is_renewed_when_half_of_its_life_is_over() {
    let world = World::new(1);
    let folder = world.folder.path().join("c");
    let identity = folder.join("identity.pem");
    let url = format!("{}?credentials={}", world.servers[0].url, folder.display());
    let open = || RemoteRepository::open(url.parse().unwrap(), LIMITS);
    let day = Duration::from_secs(86_400);
    // More than half of it is left.
    world.authority.write_credentials_until(&folder, ACCOUNT, day, 2 * 86_400);
    let before = fs::read(&identity).unwrap();
    open().connect(0).unwrap();
    assert_eq!(fs::read(&identity).unwrap(), before);
    // Less than half.
    world.authority.write_credentials_until(&folder, ACCOUNT, day, 3_600);
    let before = fs::read(&identity).unwrap();
    // Dropped at the end of the statement, it waits for the renewal.
    open().connect(0).unwrap();
    let after = fs::read(&identity).unwrap();
    assert_ne!(after, before);
    assert_eq!(mode(&identity), 0o600);
    assert_eq!(names(&folder), [".lock", "authority.pem", "identity.pem"]);
    open().connect(0).unwrap();
    assert_eq!(fs::read(&identity).unwrap(), after);
}

#[test]
fn a_renewal_that_fails_changes_nothing() {
    let world = World::new(1);
    let folder = world.folder.path().join("c");
    let identity = folder.join("identity.pem");
    world.authority.write_credentials_until(&folder, ACCOUNT, Duration::from_secs(86_400), 3_600);
    let before = fs::read(&identity).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, authority) = (asked.clone(), world.authority.clone());
    let api = Api::new(world.repository.clone(), 0, world.authority.clone());
    let server = Server::tls(&world.authority, move |request| {
        if request.path != "/v1/renewal" {
            return api.answer(request);
        }
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let view = |certificate: String| {
            let view = wire::Certificate {
                account: ACCOUNT.to_owned(),
                certificate,
                authority: String::new(),
                not_before_ms: 0,
                not_after_ms: u64::MAX,
            };
            Answer::Json(200, serde_json::to_string(&view).unwrap())
        };
        let asked: wire::Renewal = serde_json::from_slice(&request.body).unwrap();
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => problem(503, Code::Unavailable, "not now"),
            1 => Answer::Raw(Vec::new()),
            2 => view("garbage".to_owned()),
            3 => view(authority.certify(ACCOUNT, &other, Duration::ZERO, 1_000_000)),
            // It would end sooner than the present one.
            _ => view(authority.certify_request(ACCOUNT, &asked.request, 60)),
        }
    });
    let url = format!("{}?credentials={}", server.url, folder.display());
    for _ in 0..5 {
        RemoteRepository::open(url.parse().unwrap(), LIMITS).connect(0).unwrap();
        assert_eq!(fs::read(&identity).unwrap(), before);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5);
}

#[test]
fn many_that_share_a_folder_renew_once_and_never_see_half() {
    let world = World::new(1);
    let folder = world.folder.path().join("c");
    world.authority.write_credentials_until(&folder, ACCOUNT, Duration::from_secs(86_400), 3_600);
    let renewals = Arc::new(AtomicUsize::new(0));
    let (counted, api) = (renewals.clone(), Api::new(world.repository.clone(), 0, world.authority.clone()));
    let server = Server::tls(&world.authority, move |request| {
        counted.fetch_add(usize::from(request.path == "/v1/renewal"), Ordering::SeqCst);
        api.answer(request)
    });
    let url = format!("{}?credentials={}", server.url, folder.display());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    RemoteRepository::open(url.parse().unwrap(), LIMITS).connect(0).unwrap();
                }
            });
        }
    });
    assert_eq!(renewals.load(Ordering::SeqCst), 1);
    assert_eq!(names(&folder), [".lock", "authority.pem", "identity.pem"]);
}
