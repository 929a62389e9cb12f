//! records-refused.json: bytes that are no record, each with its error class.

mod values;

use dkm_core::record::{RECORD_LEN_MAX, Record};

use super::Topic;
use super::fixed::{self, GROUP, WHEN_MS};
use super::json::Json;
use super::raw::cbor;
use super::records;

fn case(name: &str, bytes: &[u8], error: &str) -> Json {
    Json::object([("name", Json::text(name)), ("record", Json::bytes(bytes)), ("error", Json::text(error))])
}

/// The fields of the sound record that most cases damage.
fn fields() -> Vec<(u64, Vec<u8>)> {
    vec![
        (0, cbor::number(WHEN_MS)),
        (1, cbor::number(WHEN_MS + 1)),
        (2, cbor::text("alice")),
        (3, cbor::text("g-17")),
    ]
}

/// An exposed record with this body.
fn with_body(body: &[u8]) -> Vec<u8> {
    envelope(&cbor::number(1), &cbor::number(6), &cbor::bytes(GROUP.as_bytes()), body)
}

fn envelope(version: &[u8], kind: &[u8], group: &[u8], body: &[u8]) -> Vec<u8> {
    cbor::array(&[version.to_vec(), kind.to_vec(), group.to_vec(), body.to_vec()])
}

/// A record whose field `at` has other bytes; `None` leaves it out.
fn with_field(base: &[(u64, Vec<u8>)], kind: u64, at: u64, value: Option<Vec<u8>>) -> Vec<u8> {
    let fields: Vec<_> = base
        .iter()
        .filter_map(|(key, old)| match (*key == at, &value) {
            (false, _) => Some((*key, old.clone())),
            (true, Some(new)) => Some((*key, new.clone())),
            (true, None) => None,
        })
        .collect();
    envelope(&cbor::number(1), &cbor::number(kind), &cbor::bytes(GROUP.as_bytes()), &cbor::map(&fields))
}

pub(crate) fn topic() -> Topic {
    let mut cases = versions_and_kinds();
    cases.extend(encodings());
    cases.extend(truncations());
    cases.extend(shapes());
    cases.extend(key_shapes());
    cases.extend(values::cases());
    Topic { name: "records-refused", about: "Bytes that are no record, and why (docs/format.md 6.2)", cases }
}

fn versions_and_kinds() -> Vec<Json> {
    let (body, group) = (cbor::map(&fields()), cbor::bytes(GROUP.as_bytes()));
    let kind = cbor::number(6);
    let mut cases: Vec<Json> = [0u64, 2, 255, u64::MAX]
        .into_iter()
        .map(|version| {
            let bytes = envelope(&cbor::number(version), &kind, &group, &body);
            case(&format!("version-{version}"), &bytes, "unknown-version")
        })
        .collect();
    let other_shape = cbor::array(&[cbor::number(2), cbor::text("whatever version 2 holds")]);
    cases.push(case("version-2-of-another-shape", &other_shape, "unknown-version"));
    cases.extend([0u64, 7, 255].into_iter().map(|kind| {
        let bytes = envelope(&cbor::number(1), &cbor::number(kind), &group, &body);
        case(&format!("kind-{kind}"), &bytes, "unknown-kind")
    }));
    let bytes = envelope(&cbor::number(1), &cbor::number(7), &group, &cbor::map(&[(99, cbor::text("new"))]));
    cases.push(case("kind-7-with-a-body-of-its-own", &bytes, "unknown-kind"));
    cases.push(case("too-large", &vec![0; RECORD_LEN_MAX + 1], "too-large"));
    cases
}

/// The same content in another encoding.
fn encodings() -> Vec<Json> {
    let (one, six, group) = (cbor::number(1), cbor::number(6), cbor::bytes(GROUP.as_bytes()));
    let body = cbor::map(&fields());
    let sound = with_body(&body);
    let body_of = |fields: &[(u64, Vec<u8>)]| with_body(&cbor::map(fields));
    let replaced = |at: u64, value: Vec<u8>| with_field(&fields(), 6, at, Some(value));
    let mut swapped = fields();
    swapped.swap(0, 1);
    let mut twice = fields();
    twice.push((3, cbor::text("g-17")));
    let mut unknown = fields();
    unknown.push((4, cbor::number(0)));
    let items: Vec<u8> =
        fields().iter().flat_map(|(key, value)| [cbor::number(*key), value.clone()].concat()).collect();
    let long_key = [&[0xa4, 0x18, 0x00], &items[1..]].concat();
    let mut null = records::group();
    null.description = None;
    let null = Record::Group(null).encode(GROUP);
    let null = [&null[..20], &[0xa4], &null[21..], &[0x04, 0xf6]].concat();
    let answers = Record::Status(records::status(
        dkm_core::record::Change::Suspended,
        dkm_core::record::Purpose::Ordinary,
    ));
    let answers = answers.encode(GROUP);
    let list = answers.iter().rposition(|b| *b == 0x80).unwrap_or(0);
    let indefinite_list = [&answers[..list], &[0x9f, 0xff], &answers[list + 1..]].concat();
    [
        ("longer-version", envelope(&[0x18, 1], &six, &group, &body)),
        ("longer-version-in-8-bytes", envelope(&[0x1b, 0, 0, 0, 0, 0, 0, 0, 1], &six, &group, &body)),
        ("longer-kind", envelope(&one, &[0x18, 6], &group, &body)),
        (
            "longer-head-of-group-id",
            envelope(&one, &six, &[&[0x58, 16], GROUP.as_bytes().as_slice()].concat(), &body),
        ),
        ("longer-head-of-array", [&[0x98, 4], &sound[1..]].concat()),
        ("longer-head-of-map", with_body(&[&[0xb8, 4], items.as_slice()].concat())),
        ("longer-number-of-field", with_body(&long_key)),
        ("longer-number-in-field", replaced(0, [&[0x1b, 0, 0, 0, 0], &[0, 0, 0, 1][..]].concat())),
        ("longer-head-of-text", replaced(2, b"\x78\x05alice".to_vec())),
        ("indefinite-array", [&[0x9f], &sound[1..], &[0xff]].concat()),
        ("indefinite-map", with_body(&[&[0xbf], items.as_slice(), &[0xff]].concat())),
        ("indefinite-list-in-field", indefinite_list),
        ("fields-out-of-order", body_of(&swapped)),
        ("field-twice", body_of(&twice)),
        ("unknown-field", body_of(&unknown)),
        ("null-for-an-absent-field", null),
        ("byte-behind-the-record", [sound.as_slice(), &[0]].concat()),
        ("record-twice", sound.repeat(2)),
    ]
    .into_iter()
    .map(|(name, bytes)| case(name, &bytes, "not-canonical"))
    .collect()
}

fn truncations() -> Vec<Json> {
    let sound = with_body(&cbor::map(&fields()));
    [
        (0, "nothing"),
        (1, "head-of-array"),
        (2, "version"),
        (3, "kind"),
        (4, "head-of-group-id"),
        (12, "half-of-group-id"),
        (20, "group-id"),
        (21, "head-of-body"),
        (22, "number-of-a-field"),
        (26, "half-of-a-field"),
        (sound.len() - 1, "all-but-one-byte"),
    ]
    .into_iter()
    .map(|(len, left)| case(&format!("cut-to-{len}-{left}"), &sound[..len], "malformed"))
    .collect()
}

fn shapes() -> Vec<Json> {
    let (one, six, group) = (cbor::number(1), cbor::number(6), cbor::bytes(GROUP.as_bytes()));
    let body = cbor::map(&fields());
    let field = |at: u64, value: &[u8]| with_field(&fields(), 6, at, Some(value.to_vec()));
    let status = |at: u64, value: Vec<u8>| with_field(&values::status_fields(), 5, at, Some(value));
    [
        ("text", b"hello".to_vec()),
        ("map", body.clone()),
        ("number", vec![0x01]),
        ("array-of-3", cbor::array(&[one.clone(), six.clone(), group.clone()])),
        ("array-of-5", cbor::array(&[one.clone(), six.clone(), group.clone(), body.clone(), one.clone()])),
        ("version-is-text", envelope(&cbor::text("1"), &six, &group, &body)),
        ("kind-is-negative", envelope(&one, &[0x25], &group, &body)),
        ("group-id-of-15-bytes", envelope(&one, &six, &cbor::bytes(&[7; 15]), &body)),
        ("group-id-of-17-bytes", envelope(&one, &six, &cbor::bytes(&[7; 17]), &body)),
        ("group-id-is-text", envelope(&one, &six, &cbor::text("0123456789abcdef"), &body)),
        ("body-is-an-array", with_body(&cbor::array(std::slice::from_ref(&one)))),
        ("body-is-null", with_body(&[0xf6])),
        ("body-is-empty", with_body(&[0xa0])),
        ("field-missing", with_field(&fields(), 6, 1, None)),
        ("field-is-text-not-number", field(0, &cbor::text("0"))),
        ("field-is-negative", field(0, &[0x20])),
        ("field-is-floating-point", field(0, &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("field-is-number-not-text", field(2, &one)),
        ("field-is-bytes-not-text", field(2, &cbor::bytes(b"alice"))),
        ("field-is-tagged", field(0, &[0xc1, 0x01])),
        ("text-is-not-utf-8", field(2, b"\x62\xc3\x28")),
        ("text-holds-a-surrogate", field(2, b"\x63\xed\xa0\x80")),
        ("text-is-longer-than-the-record", field(3, b"\x7a\xff\xff\xff\xff")),
        ("reserved-additional-information", field(0, &[0x1c])),
        ("number-of-a-field-is-text", with_body(&[&[0xa1], cbor::text("from").as_slice(), &one].concat())),
        ("change-unknown", status(1, cbor::number(5))),
        ("purpose-unknown", status(2, cbor::number(3))),
        ("epoch-beyond-32-bits", status(4, cbor::number(1 << 32))),
        ("digest-of-31-bytes", status(5, cbor::array(&[cbor::bytes(&[7; 31])]))),
        ("list-is-not-an-array", status(5, cbor::bytes(&[7; 32]))),
        ("key-id-of-15-bytes", status(0, cbor::bytes(&[7; 15]))),
    ]
    .into_iter()
    .map(|(name, bytes)| case(name, &bytes, "malformed"))
    .collect()
}

fn key_shapes() -> Vec<Json> {
    let record = records::key();
    let base = vec![
        (0, cbor::bytes(record.id.as_bytes())),
        (1, cbor::number(1)),
        (2, cbor::number(0)),
        (3, cbor::number(WHEN_MS)),
        (4, cbor::number(WHEN_MS)),
        (6, cbor::number(0)),
        (7, cbor::bytes(&fixed::material())),
    ];
    let field = |at: u64, value: Vec<u8>| with_field(&base, 4, at, Some(value));
    let guid = |value: Vec<u8>| {
        let named = [&base[..], &[(8, value)]].concat();
        with_field(&named, 4, 1, Some(cbor::number(2)))
    };
    let wrapped = |nonce: usize, ciphertext: usize| {
        cbor::array(&[cbor::bytes(&[7; 16]), cbor::bytes(&vec![7; nonce]), cbor::bytes(&vec![7; ciphertext])])
    };
    let short = cbor::array(&[cbor::bytes(&[7; 16]), cbor::bytes(&[7; 12])]);
    let root = cbor::array(&[cbor::bytes(&[7; 15]), cbor::bytes(&[7; 12]), cbor::bytes(&[7; 48])]);
    [
        ("family-0", field(1, cbor::number(0))),
        ("family-unknown", field(1, cbor::number(3))),
        ("origin-unknown", field(2, cbor::number(3))),
        ("material-missing", with_field(&base, 4, 7, None)),
        ("material-null-as-in-what-a-root-key-authenticates", field(7, vec![0xf6])),
        ("material-of-31-bytes", field(7, cbor::bytes(&[7; 31]))),
        ("material-of-33-bytes", field(7, cbor::bytes(&[7; 33]))),
        ("material-is-text", field(7, cbor::text(&"m".repeat(32)))),
        ("guid-of-15-bytes", guid(cbor::bytes(&[7; 15]))),
        ("guid-is-text", guid(cbor::text(&fixed::KEY_GUID.to_string()))),
        ("wrapped-without-ciphertext", field(7, short)),
        ("wrapped-root-key-id-of-15-bytes", field(7, root)),
        ("wrapped-nonce-of-65-bytes", field(7, wrapped(65, 48))),
        ("wrapped-ciphertext-of-4097-bytes", field(7, wrapped(12, 4097))),
    ]
    .into_iter()
    .map(|(name, bytes)| case(name, &bytes, "malformed"))
    .collect()
}
