//! What is tried with tickets, by those who have some and by those who have none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Place;

/// The least that a ticket may last, in seconds, and the difference of clocks that the server puts up with.
const SHORTEST: u32 = 200;
const SKEW: u64 = 30;

/// NTLM's first message, and the same as SPNEGO wraps it.
fn ntlm() -> [Vec<u8>; 2] {
    let message = [b"NTLMSSP\0\x01\0\0\0\x97\x82\x08\xe2".as_slice(), &[0; 16]].concat();
    let der = |tag: u8, parts: &[&[u8]]| {
        let value = parts.concat();
        [&[tag, u8::try_from(value.len()).unwrap()], value.as_slice()].concat()
    };
    let mechanism = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
    let mechanisms = der(0xa0, &[&der(0x30, &[mechanism])]);
    let token = der(0xa2, &[&der(0x04, &[&message])]);
    let negotiation = der(0xa0, &[&der(0x30, &[&mechanisms, &token])]);
    let spnego = der(0x60, &[b"\x06\x06\x2b\x06\x01\x05\x05\x02", &negotiation]);
    [message, spnego]
}

fn in_der(pem: &Path, der: &Path) -> PathBuf {
    let mut convert = Command::new("openssl");
    convert.args(["x509", "-outform", "der", "-in"]).arg(pem).arg("-out").arg(der);
    assert!(convert.status().unwrap().success());
    der.to_owned()
}

impl Place {
    #[track_caller]
    fn refuses(&self, token: &str, words: &str) {
        let (status, answer) = self.ask_with(token);
        assert_eq!(status, 401, "{answer}");
        assert!(answer.contains(words), "{answer}\nlacks {words:?}");
        assert!(answer.to_ascii_lowercase().contains("www-authenticate: negotiate"), "{answer}");
    }
}

#[test]
fn tickets_are_taken_once_over_their_own_connection_for_this_service_and_no_longer() {
    let Some(mut place) = Place::new() else { return };
    let own = in_der(&place.authority(), &place.world.at("other.der"));
    let certificate = place.certificate();
    let certificate = Some(certificate.as_path());
    let (http, ada) = ("HTTP@localhost", place.account("ada").clone());
    // Kept for the end.
    let short = place.domain.ccache(&ada, Some(SHORTEST)).unwrap();
    let began = Instant::now();
    let late = place.token(&short, http, certificate);

    let cache = place.domain.ccache(&ada, None).unwrap();
    let token = place.token(&cache, http, certificate);
    let (status, answer) = place.ask_with(&token);
    assert!(status == 200 && answer.contains("person:ada@dkm.test"), "{status} {answer}");
    place.refuses(&token, "replay");
    // Bound to another connection, or to none.
    place.refuses(&place.token(&cache, http, Some(&own)), "channel bindings");
    let unbound = place.token(&cache, http, None);
    place.refuses(&unbound, "not bound to this TLS connection");
    // For another service: of the same account and key, and of another.
    place.refuses(&place.token(&cache, "cifs@localhost", certificate), "another service");
    place.refuses(&place.token(&cache, &format!("ldap@{}", place.domain.fqdn()), certificate), "");

    for message in ntlm() {
        place.refuses(&STANDARD.encode(message), "no Kerberos token");
    }
    let bytes = STANDARD.decode(&token).unwrap();
    for cut in [1, 2, 20, bytes.len() / 2, bytes.len() - 1] {
        place.refuses(&STANDARD.encode(&bytes[..cut]), "");
    }
    for at in (0..bytes.len()).step_by(97) {
        let mut odd = bytes.clone();
        odd[at] ^= 0x20;
        place.refuses(&STANDARD.encode(odd), "");
    }
    place.refuses("%%%", "no token");
    let fresh = || format!("Authorization: Negotiate {}", place.token(&cache, http, certificate));
    assert_eq!(place.ask("/v1/whoami", &["Authorization: Basic YWRhOng=".to_owned()], &[]).0, 401);
    assert_eq!(place.ask("/v1/whoami", &[fresh(), fresh()], &[]).0, 400);
    let long = format!("Authorization: Negotiate {}", "A".repeat(100_000));
    assert_eq!(place.ask("/v1/whoami", &[long], &[]).0, 400);
    let longer = format!("Authorization: Negotiate {}", "A".repeat(1_000_000));
    // Longer than any head: the connection may end before all of it is sent.
    assert!([0, 431].contains(&place.ask("/v1/whoami", &[longer], &[]).0));
    assert_eq!(place.ask("/v1/whoami", &[fresh(), "Origin: https://evil.example".to_owned()], &[]).0, 401);
    // With somebody's certificate, and as somebody whom the kernel names.
    let bob = place.world.credentials("person:bob").join("identity.pem").display().to_string();
    let (status, answer) = place.ask("/v1/whoami", &[fresh()], &["--cert", &bob]);
    assert!(status == 401 && answer.contains("show one of the two"), "{status} {answer}");
    let socket = place.world.server.socket();
    let socket = socket.strip_prefix("unix:").unwrap();
    let mut local = Command::new("curl");
    local.args(["-s", "-H", &fresh(), "--unix-socket", socket, "http://localhost/v1/whoami"]);
    let answer = String::from_utf8(local.output().unwrap().stdout).unwrap();
    assert!(answer.contains("over TLS only"), "{answer}");

    // Whoever is in no group that signs in, and a computer.
    place.whoami("mallory").exits(4).says("is in no group of the domain");
    // By his own userPrincipalName somebody may get tickets in another name. Samba gives nobody that of another account.
    let mallory = place.account("mallory").dn.clone();
    let upn = |name: &str| {
        let change = format!("replace: userPrincipalName\nuserPrincipalName: {name}@dkm.test");
        place.domain.modify_ldif(&format!("dn: {mallory}\nchangetype: modify\n{change}\n"))
    };
    assert!(upn("ada").unwrap_err().to_string().contains("already in use"));
    let as_ada = |place: &Place| place.with("ada", &cache, &["whoami"]);
    as_ada(&place).succeeded();

    // Where tickets without a binding are taken, those with another are not, and none is taken twice: not after a start.
    place.world.server.configure("channel_binding = \"if-sent\"\n");
    let certificate = place.certificate();
    let unbound = place.token(&cache, http, None);
    assert_eq!(place.ask_with(&unbound).0, 200);
    place.refuses(&unbound, "replay");
    place.refuses(&place.token(&cache, http, Some(&own)), "channel bindings");
    place.world.server.restart();
    place.refuses(&unbound, "replay");
    place.refuses(&place.token(&cache, http, Some(&certificate)), "channel bindings");
    let (status, answer) = place.ask_with(&place.token(&cache, http, Some(&place.certificate())));
    assert!(status == 200, "{answer}");

    // Without a domain controller nobody is let in once what was read is too old.
    as_ada(&place).succeeded();
    place.domain.stop().unwrap();
    place
        .refused_in_time("an account that nobody vouches for", || as_ada(&place))
        .exits(6)
        .says("can't be said");
    let (status, _) = place.ask_with(&place.token(&cache, http, Some(&place.certificate())));
    assert_eq!(status, 503);
    place.domain.restart().unwrap();
    place.succeeds_in_time("an account whom the domain knows again", || as_ada(&place));

    let end = Duration::from_secs(u64::from(SHORTEST) + SKEW + 2);
    std::thread::sleep(end.saturating_sub(began.elapsed()));
    place.refuses(&late, "expired");
    let log = place.world.server.log();
    let search = ["audit", "search", log.to_str().unwrap(), "--key", &place.world.server.log_key];
    let found = place.world.admin(&search).succeeded().text();
    for entry in ["kerberos:mallory@dkm.test", "ticket-refused"] {
        assert!(found.contains(entry), "{entry} is not in {found}");
    }
}
