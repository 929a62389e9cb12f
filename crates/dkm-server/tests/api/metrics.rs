//! Figures of the server, as a monitoring system reads them.

use std::collections::BTreeMap;

use axum::http::Method;
use dkm_server::Running;
use serde_json::json;

use crate::people::{ALICE, Guarded};
use crate::support::{GROUP, Place, READER, STRANGER};

/// What was read: each sample's name with its labels, and its value. Anything that is none stops the test.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut types = BTreeMap::new();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"# EOF"), "{text}");
    for line in &lines[..lines.len() - 1] {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(types.insert(name, kind).is_none(), "{name} stands twice");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        let known = |(of, kind): (&&str, &&str)| match *kind {
            "counter" => name.strip_suffix("_total") == Some(of),
            "histogram" => ["_sum", "_count", "_bucket"].iter().any(|end| name.strip_suffix(end) == Some(of)),
            _ => name == *of,
        };
        assert!(types.iter().any(known), "{line} has no type");
        assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{sample} stands twice");
    }
    samples
}

async fn get(address: std::net::SocketAddr, path: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let asked = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = asked.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn what_was_done_is_counted_and_no_name_is_in_it() {
    let guarded = Guarded::new().await;
    let place = &guarded.place;
    let mut config = place.config.clone();
    config.metrics = Some(dkm_server::config::Metrics { listen: "127.0.0.1:0".parse().unwrap() });
    let running = Running::start(place.server.clone(), &config).await.unwrap();
    let address = running.metrics_address().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let run = tokio::spawn(running.run(stopped));

    let rights = format!("/v1/groups/{GROUP}/rights");
    for _ in 0..3 {
        assert!(place.get(READER, &rights).await.status.is_success());
        place.get(STRANGER, &rights).await;
    }
    place.get(READER, "/nowhere/SECRET-IN-A-PATH").await;
    place.ask(READER, Method::from_bytes(b"BREW").unwrap(), &rights, vec![]).await;
    let asked = json!({
        "reason": "r", "duration_s": 60, "scope": {"context": {"a": "b"}, "count_max": 1, "bytes_max": 1},
    });
    guarded.request(ALICE, asked).await;
    guarded.granted(1).await;

    let (head, body) = get(address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("application/openmetrics-text"), "{head}");
    let samples = samples(&body);
    let of = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("no {name} in {body}"));
    let route = "route=\"/v1/groups/{group}/rights\"";
    assert!(of(&format!("dkm_requests_total{{method=\"GET\",{route},status=\"2xx\"}}")) >= 3.0);
    assert!(of(&format!("dkm_requests_total{{method=\"GET\",{route},status=\"4xx\"}}")) >= 3.0);
    assert_eq!(of(&format!("dkm_requests_total{{method=\"other\",{route},status=\"4xx\"}}")), 1.0);
    assert_eq!(of("dkm_requests_total{method=\"GET\",route=\"other\",status=\"4xx\"}"), 1.0);
    let durations = of(&format!("dkm_request_duration_seconds_count{{method=\"GET\",{route}}}"));
    assert!(durations >= 6.0);
    assert!(of("dkm_denied_total{action=\"read-metadata\"}") >= 3.0);
    assert_eq!((of("dkm_elevation_requests_open"), of("dkm_elevation_grants_active")), (2.0, 1.0));
    assert_eq!((of("dkm_up_audit"), of("dkm_up_database")), (1.0, 1.0));
    assert!(of("dkm_audit_log_size") >= of("dkm_audit_entries_total"));
    assert!(of("dkm_audit_entries_total") >= of("dkm_audit_commits_total"));
    assert!(of("dkm_audit_syncs_total") > of("dkm_audit_commits_total"));
    // Ten years, as the authority was made just now.
    let left = of("dkm_authority_end_timestamp_seconds") - dkm_server::server::now().0 as f64 / 1000.0;
    assert!((9.9..10.1).contains(&(left / (365.0 * 86_400.0))), "{left}");
    assert_eq!(of("dkm_connections"), 1.0);
    for name in [GROUP, "alice", "service:", "person:", "SECRET", "BREW", "mail"] {
        assert!(!body.contains(name), "{name} is in {body}");
    }
    let (head, _) = get(address, "/v1/principals").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    stop.send(true).unwrap();
    run.await.unwrap();
}

#[tokio::test]
async fn a_log_that_takes_nothing_is_told_and_the_figures_are_still_there() {
    let place = Place::with_everybody().await;
    let mut config = place.config.clone();
    config.metrics = Some(dkm_server::config::Metrics { listen: "127.0.0.1:0".parse().unwrap() });
    let running = Running::start(place.server.clone(), &config).await.unwrap();
    let address = running.metrics_address().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let run = tokio::spawn(running.run(stopped));
    std::fs::rename(place.folder.path().join("outside"), place.folder.path().join("away")).unwrap();
    place.get(STRANGER, &format!("/v1/groups/{GROUP}/rights")).await;
    let size = place.server.audit().size().unwrap();
    for _ in 0..3 {
        let samples = samples(&get(address, "/metrics").await.1);
        assert_eq!((samples["dkm_up_audit"], samples["dkm_up_database"]), (0.0, 1.0));
        assert!(samples["dkm_audit_refused_batches_total"] >= 1.0);
    }
    assert_eq!(place.server.audit().size().unwrap(), size, "looking is no entry");
    std::fs::rename(place.folder.path().join("away"), place.folder.path().join("outside")).unwrap();
    stop.send(true).unwrap();
    run.await.unwrap();
}
