use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::reprotect::lines::renew;

fn fields(names: &[&str]) -> Vec<JsonPointer> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn options(names: &[&str]) -> JsonOptions {
    JsonOptions { fields: fields(names), context: ContextTemplate::new(context()), ..JsonOptions::default() }
}

fn run(ring: &Ring, path: &Path, options: &JsonOptions) -> Result<Summary> {
    renew(ring, path, options, &mut |_| {})
}

/// The string in a field of a line.
fn text(line: &str, field: &str) -> String {
    field.parse::<JsonPointer>().unwrap().find(line).unwrap().unwrap().string().unwrap()
}

#[test]
fn only_the_blobs_change() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.jsonl");
    let old = |plaintext: &str| STANDARD.encode(ring.old_blob(plaintext.as_bytes()));
    let (a, b, c) = (old("a"), old("b"), old("c").replace('/', "\\/"));
    let current = STANDARD.encode(ring.blob(&ring.new, &context(), b"current"));
    let template = format!(
        "{{ \"z\":1e3,  \"secret\" : \"{{}}\", \"deep\":{{\"x/y\":[0,\"{{}}\"]}},\"\u{e9}\":\"\\u00e9\\/\" }}\r\n\
         \n\
         {{\"secret\":\"{current}\"}}\n\
         {{\"other\":true}}\n\
         {{\"secret\":null}}\n\
         {{\"secret\":\"{{}}\"}}"
    );
    let fill =
        |values: [&str; 3]| values.iter().fold(template.clone(), |text, value| text.replacen("{}", value, 1));
    fs::write(&path, fill([&a, &b, &c])).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();

    let mut last = Progress::default();
    let options = options(&["secret", "/deep/x~1y/1"]);
    let summary = renew(&ring, &path, &options, &mut |now| last = *now).unwrap();
    assert_eq!((summary.renewed, summary.current, summary.skipped_total, summary.failed_total), (3, 1, 0, 0));
    assert_eq!((last.items, Some(last.bytes)), (6, last.bytes_total));
    let new = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = new.lines().collect();
    let values = [text(lines[0], "secret"), text(lines[0], "/deep/x~1y/1"), text(lines[5], "secret")];
    assert_eq!(new, fill(values.each_ref().map(String::as_str)));
    for (value, plaintext) in values.iter().zip(["a", "b", "c"]) {
        assert_eq!(ring.opened(&ring.new, &STANDARD.decode(value).unwrap()), plaintext.as_bytes());
    }
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(names(dir.path()), ["store.jsonl"]);

    let again = run(&ring, &path, &options).unwrap();
    assert_eq!((again.renewed, again.current), (0, 4));
    assert_eq!(fs::read_to_string(&path).unwrap(), new);
}

#[test]
fn bad_lines_stay_and_do_not_stop_the_work() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let good = STANDARD.encode(ring.old_blob(b"good"));
    let compromised = STANDARD.encode(ring.blob(&ring.compromised, &context(), b"forged?"));
    let other = STANDARD.encode(ring.blob(&ring.old, &Context::new(), b"x"));
    let cut = STANDARD.encode(&ring.old_blob(b"x")[..110]);
    let too_long = format!(r#"{{"s":"{good}","x":"{}"}}"#, "y".repeat(crate::LINE_LEN_MAX));
    let bad = [
        "not json".as_bytes().to_vec(),
        b"{\"s\":\"\xff\"}".to_vec(),
        format!(r#"{{"s":"{compromised}"}}"#).into_bytes(),
        format!(r#"{{"s":"{other}"}}"#).into_bytes(),
        format!(r#"{{"s":"{cut}"}}"#).into_bytes(),
        format!(r#"{{"s":"{good}","s":"{good}"}}"#).into_bytes(),
        too_long.into_bytes(),
        br#"{"s":"no base64"}"#.to_vec(),
        br#"{"s":"AAAA"}"#.to_vec(),
        br#"{"s":5}"#.to_vec(),
    ];
    let mut content = bad.join(&b'\n');
    content.extend_from_slice(format!("\n{{\"s\":\"{good}\"}}\n").as_bytes());
    fs::write(&path, &content).unwrap();
    let summary = run(&ring, &path, &options(&["s"])).unwrap();
    assert_eq!(
        (summary.renewed, summary.failed_total, summary.skipped_total, summary.stopped),
        (1, 7, 3, false)
    );
    let items: Vec<_> =
        summary.failed.iter().map(|f| f.item.rsplit('/').next().unwrap().to_owned()).collect();
    // The pointer's own slash cuts the file's name off where a field is named.
    assert_eq!(items, ["s", "store:2", "s", "s", "s", "s", "store:7"]);
    assert!(summary.failed[2].item.ends_with("store:3#/s"));
    let new = fs::read(&path).unwrap();
    assert!(new.starts_with(&bad.join(&b'\n')), "bad lines are as they were");
    let last = String::from_utf8(new[bad.join(&b'\n').len() + 1..].to_vec()).unwrap();
    assert_eq!(ring.opened(&ring.new, &STANDARD.decode(text(&last, "s")).unwrap()), b"good");
}

#[test]
fn the_context_comes_from_the_line() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let of = |user: &str| context().with("user", user).unwrap();
    let line = |user: &str, as_user: &str| {
        let blob = STANDARD.encode(ring.blob(&ring.old, &of(as_user), b"x"));
        format!("{{\"user\":\"{user}\",\"s\":\"{blob}\"}}\n")
    };
    let content = [
        line("alice", "alice"),
        line("bob", "bob"),
        line("eve", "alice"),
        line("", "").replace("user", "no"),
    ];
    fs::write(&path, content.concat()).unwrap();
    let template = ContextTemplate::new(context()).with_field("user", "user".parse().unwrap());
    let options = JsonOptions { fields: fields(&["s"]), context: template, ..JsonOptions::default() };
    let summary = run(&ring, &path, &options).unwrap();
    assert_eq!((summary.renewed, summary.failed_total), (2, 2));
    assert!(matches!(summary.failed[0].error, Error::Blob(dkm_core::blob::BlobError::WrongContext)));
    assert!(summary.failed[1].error.to_string().contains("is missing"));
    let new = fs::read_to_string(&path).unwrap();
    let blob = STANDARD.decode(text(new.lines().next().unwrap(), "s")).unwrap();
    assert_eq!(&*dkm_core::blob::open(&ring.new, &of("alice"), &blob).unwrap(), b"x");
}

#[test]
fn many_lines_keep_their_order() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    // Several batches.
    let padding = "p".repeat(400);
    let content: String = (0..5000)
        .map(|i| {
            let blob = STANDARD.encode(ring.old_blob(format!("{i}").as_bytes()));
            format!("{{\"i\":{i},\"s\":\"{blob}\",\"padding\":\"{padding}\"}}\n")
        })
        .collect();
    fs::write(&path, content).unwrap();
    let summary = run(&ring, &path, &JsonOptions { threads: Some(4), ..options(&["s"]) }).unwrap();
    assert_eq!((summary.renewed, summary.failed_total), (5000, 0));
    for (i, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
        let blob = STANDARD.decode(text(line, "s")).unwrap();
        assert_eq!(ring.opened(&ring.new, &blob), i.to_string().as_bytes());
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_left_alone() {
    let mut ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let line = format!("{{\"s\":\"{}\"}}\n", STANDARD.encode(ring.old_blob(b"x")));
    fs::write(&path, &line).unwrap();
    let at = path.clone();
    ring.hook = Some(Box::new(move |_| {
        fs::OpenOptions::new().append(true).open(&at).unwrap().write_all(b"{}\n").unwrap();
    }));
    let error = run(&ring, &path, &options(&["s"])).unwrap_err();
    assert!(error.to_string().contains("changed while it was read"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), line + "{}\n");
    assert_eq!(names(dir.path()), ["store"]);
}

#[test]
fn a_failure_that_would_meet_all_leaves_the_rest() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let line = format!("{{\"s\":\"{}\"}}\n", STANDARD.encode(ring.old_blob(b"x")));
    fs::write(&path, line.repeat(10_000)).unwrap();
    *ring.fault.lock().unwrap() = Some(|| UnprotectRefusal::Denied.into());
    let summary = run(&ring, &path, &options(&["s"])).unwrap();
    assert!(summary.stopped && summary.failed_total < 10_000, "{}", summary.failed_total);
    assert_eq!(fs::read_to_string(&path).unwrap(), line.repeat(10_000));
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let line = format!("{{\"s\":\"{}\"}}\n", STANDARD.encode(ring.old_blob(b"x")));
    fs::write(&path, &line).unwrap();
    let summary = run(&ring, &path, &JsonOptions { dry_run: true, ..options(&["s"]) }).unwrap();
    assert_eq!(summary.renewed, 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), line);
    assert_eq!(names(dir.path()), ["store"]);
}

#[test]
fn fields_must_be_named_once_and_the_file_must_be_there() {
    let ring = Ring::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    assert!(matches!(run(&ring, &path, &options(&["s"])), Err(Error::Io { .. })));
    fs::write(&path, "{}").unwrap();
    assert!(matches!(run(&ring, &path, &options(&[])), Err(Error::Invalid(_))));
    assert!(matches!(run(&ring, &path, &options(&["s", "/s"])), Err(Error::Invalid(_))));
    std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
    assert!(matches!(run(&ring, &dir.path().join("link"), &options(&["s"])), Err(Error::Io { .. })));
}
