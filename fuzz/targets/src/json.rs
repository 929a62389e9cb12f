//! Lines of JSON: fields are found in them, and blobs renewed, without a change of anything else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm::fuzzing::{find, renew_lines};
use dkm::reprotect::{ContextTemplate, JsonOptions};
use dkm::{Context, JsonPointer};
use dkm_core::blob::Header;
use dkm_core::{GroupId, KeyId};
use serde_json::Value;

const GROUP: GroupId = GroupId([0x47; 16]);
/// The key that protects now: its blobs are left alone.
const CURRENT: KeyId = KeyId([0x99; 16]);
/// Longest line, in bytes: short, so that lines that are too long are common.
const LEN_MAX: u64 = 2048;

/// A pointer reads back from how it is shown, and points to what `serde_json` finds there.
///
/// Input: a pointer, a newline, and JSON.
pub(crate) fn pointer(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (pointer, line) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(pointer) = pointer.parse::<JsonPointer>() else { return };
    assert_eq!(pointer.to_string().parse().as_ref(), Ok(&pointer));
    let value = serde_json::from_str::<Value>(line);
    let there = value.as_ref().ok().map(|value| value.pointer(&pointer.to_string()));
    match find(&pointer, line) {
        Ok(Some(found)) => {
            let text = &line[found.range.clone()];
            let Some(there) = there else { return };
            let there = there.expect("a value is found where there is none");
            assert_eq!(serde_json::from_str::<Value>(text).ok().as_ref(), Some(there));
            assert_eq!(found.string.as_deref(), there.as_str());
            match there {
                Value::String(string) => assert_eq!(found.scalar.as_ref(), Some(string)),
                Value::Bool(_) | Value::Number(_) => assert_eq!(found.scalar.as_deref(), Some(text)),
                _ => assert_eq!(found.scalar, None),
            }
        }
        Ok(None) => assert!(matches!(there, None | Some(None | Some(Value::Null))), "a value is overlooked"),
        Err(why) => assert!(value.is_err() || why.contains("stands twice"), "JSON is refused: {why}"),
    }
}

/// Only strings that are outdated blobs change, each to its renewed blob; all other bytes stay. What was renewed is left
/// alone the next time.
pub(crate) fn lines(input: &[u8]) {
    let constant = Context::new().with("app", "mail").expect("a small context");
    let field = |text: &str| text.parse::<JsonPointer>().expect("a pointer");
    let fields = vec![field("blob"), field("/deep/blob"), field("/list/1")];
    let options = JsonOptions {
        fields: fields.clone(),
        context: ContextTemplate::new(constant).with_field("id", field("id")),
        windows: false,
        dry_run: false,
        threads: Some(1),
    };
    let run = |input: &[u8]| {
        renew_lines(input, LEN_MAX, &options, GROUP, &is_outdated, &|_, blob| renewed(blob))
            .expect("single lines are no errors")
    };
    let (output, summary) = run(input);
    assert_eq!(summary.warnings_total, 0);
    let (before, after) = (split(input), split(&output));
    assert_eq!(before.len(), after.len(), "lines came or went");
    let mut changed = 0;
    for (before, after) in before.iter().zip(&after) {
        if before != after {
            changed += line_changed(before, after, &fields);
        }
    }
    assert_eq!(summary.renewed, changed, "the summary counts what was renewed");

    // A renewed blob is longer, and may have made its line too long.
    let (again, next) = run(&output);
    assert_eq!(next.renewed, 0, "a renewed blob is renewed again");
    assert_eq!(again, output);
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|b| *b == b'\n').collect()
}

/// How many strings differ, each of which must be a field's, and a blob that was to be renewed.
fn line_changed(before: &[u8], after: &[u8], fields: &[JsonPointer]) -> u64 {
    assert!(before.len() as u64 <= LEN_MAX, "a line that is too long has changed");
    let text = |line| std::str::from_utf8(line).expect("a line that is not UTF-8 has changed");
    let (before, after) = (text(before), text(after));
    let (old, new) = (pieces(before), pieces(after));
    assert_eq!(old.len(), new.len(), "the line has another shape");
    let mut differing = 0;
    for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
        let old: String = serde_json::from_str(old).expect("something else than a string has changed");
        let new: String = serde_json::from_str(new).expect("a string became something else");
        let blob = STANDARD.decode(old).expect("something else than a blob has changed");
        assert_eq!(
            STANDARD.decode(new).ok(),
            renewed(&blob),
            "a blob became something else than its renewed one"
        );
        differing += 1;
    }
    // Those that differ are the fields, and not others that look the same.
    let (Ok(mut was), Ok(is)) = (serde_json::from_str::<Value>(before), serde_json::from_str::<Value>(after))
    else {
        // Numbers that serde_json's values can't hold.
        return differing;
    };
    for field in fields {
        let field = field.to_string();
        if let (Some(was), Some(is)) = (was.pointer_mut(&field), is.pointer(&field)) {
            *was = is.clone();
        }
    }
    assert_eq!(was, is, "another field has changed");
    differing
}

/// The strings of a line, with their quotation marks, and what stands between them.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut inside, mut escaped) = (0, false, false);
    for (at, c) in line.bytes().enumerate() {
        match c {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => {
                let end = if inside { at + 1 } else { at };
                pieces.push(&line[start..end]);
                (start, inside) = (end, !inside);
            }
            _ => {}
        }
    }
    pieces.push(&line[start..]);
    pieces
}

fn is_outdated(header: &Header) -> bool {
    header.key() != CURRENT
}

/// In place of opening and sealing: the current key's id stands in the header, and a byte more at the end.
fn renewed(blob: &[u8]) -> Option<Vec<u8>> {
    let header = Header::parse(blob).ok().filter(|header| header.group() == GROUP && is_outdated(header))?;
    let chunk_size = u32::try_from(header.chunk_len()).ok()?;
    let new = Header::new(header.suite(), GROUP, CURRENT, *header.salt(), chunk_size).ok()?.encode();
    Some([&new, &blob[new.len()..], &[0x2b]].concat())
}
