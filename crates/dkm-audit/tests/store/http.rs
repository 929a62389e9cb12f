//! A log that is served over HTTP, by a server that is honest or not.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dkm_audit::http::{HttpError, HttpOptions, HttpSource};
use dkm_audit::source::Source;
use dkm_audit::tree::Tree;
use dkm_audit::verify::verify;

use super::common::{Place, batch, by, entry, key, trust};
use super::server::{Handler, Response, certificate, folder, serve, silent};

/// 601 entries and a change of key.
fn log() -> Place {
    let place = Place::new();
    let log = place.create();
    batch(&log, (1..300).map(entry));
    log.rotate(key(2), by()).unwrap();
    batch(&log, (1..300).map(entry));
    place
}

fn plain(handler: Handler) -> HttpSource {
    HttpSource::new(&format!("http://{}/log/", serve(None, handler)), &HttpOptions::default()).unwrap()
}

#[test]
fn a_log_is_verified_over_plain_http_and_over_tls() {
    let place = log();
    let there = place.verify().unwrap();
    let source = plain(folder(&place.log()));
    let report = verify(&source, &trust(1), None).unwrap();
    assert_eq!((&report.checkpoint, report.key_changes), (&there.checkpoint, 1));
    let (leaf, _) = Tree::new(&source, &report.checkpoint).prove(7).unwrap();
    assert_eq!(leaf, entry(7).encode().unwrap());

    let (pem, config) = certificate(place.folder());
    let url = format!("https://{}/log", serve(Some(config), folder(&place.log())));
    let options = HttpOptions::default().trusting_pem(&pem).unwrap();
    let report = verify(&HttpSource::new(&url, &options).unwrap(), &trust(1), None).unwrap();
    assert_eq!(report.checkpoint, there.checkpoint);

    // Another authority's certificate, and another host's.
    let other = place.folder().join("other");
    fs::create_dir(&other).unwrap();
    let (other, _) = certificate(&other);
    let refused = |url: &str, pem: &[u8]| {
        let options = HttpOptions::default().trusting_pem(pem).unwrap();
        HttpSource::new(url, &options).unwrap().read("checkpoint", 1000).unwrap_err().to_string()
    };
    assert!(refused(&url, &other).contains("certificate"), "{}", refused(&url, &other));
    let elsewhere = url.replace("127.0.0.1", "localhost");
    assert!(refused(&elsewhere, &pem).contains("certificate"), "{}", refused(&elsewhere, &pem));
}

#[test]
fn a_server_that_lies_is_found_out() {
    let place = log();
    let honest = folder(&place.log());
    let lying = plain(Arc::new(move |request| {
        let bundle = request.path.ends_with("tile/entries/000");
        let mut response = honest(request)?;
        if bundle {
            let at = response.body.windows(6).position(|text| text == b"uid:77")?;
            response.body[at + 4] = b'8';
        }
        Some(response)
    }));
    let faults = verify(&lying, &trust(1), None).unwrap_err();
    assert!(faults.to_string().starts_with("entry "), "{faults}");
}

#[test]
fn what_a_server_answers_has_limits() {
    let place = log();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let elsewhere = serve(
        None,
        Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Some(Response::new(200, "stolen"))
        }),
    );
    let honest = folder(&place.log());
    let odd = plain(Arc::new(move |request| match request.path.as_str() {
        "/log/moved" => Some(Response {
            status: 302,
            headers: vec![("Location", format!("http://{elsewhere}/log/moved"))],
            body: Vec::new(),
        }),
        "/log/denied" => Some(Response::new(403, "no")),
        "/log/broken" => Some(Response::new(500, "oh")),
        "/log/headers" => {
            Some(Response { status: 200, headers: vec![("X-Long", "x".repeat(100_000))], body: Vec::new() })
        }
        "/log/long" => Some(Response::new(200, vec![b'x'; 1001])),
        "/log/closed" => None,
        _ => honest(request),
    }));
    let error = |path| odd.read(path, 1000).unwrap_err();
    assert!(error("moved").to_string().contains("redirects"));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody is asked but the host that was named");
    assert_eq!(error("denied").kind(), std::io::ErrorKind::PermissionDenied);
    assert!(error("broken").to_string().contains("500"));
    assert_eq!(error("long").kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(odd.read("long", 1001).unwrap().unwrap().len(), 1001);
    error("headers");
    error("closed");
    assert_eq!(odd.read("none", 1000).unwrap(), None);

    let options = HttpOptions::default().with_timeout(Duration::from_millis(300));
    let mute = HttpSource::new(&format!("http://{}", silent()), &options).unwrap();
    assert_eq!(mute.read("checkpoint", 1000).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn what_is_no_url_of_a_log_is_refused() {
    for url in [
        "ftp://a/b",
        "http://",
        "https://user@host/log",
        "http://host/log?x=1",
        "http://host/log#x",
        "/var/log",
        "http:// /",
    ] {
        let refused = HttpSource::new(url, &HttpOptions::default()).map(|_| ());
        assert!(matches!(refused, Err(HttpError::BadUrl { .. })), "{url}");
    }
    assert!(matches!(
        HttpOptions::default().trusting_pem(b"garbage").map(|_| ()),
        Err(HttpError::NoCertificate)
    ));
}
