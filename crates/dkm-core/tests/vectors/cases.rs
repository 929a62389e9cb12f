//! The files of vectors: finding them, their notations, and running each case under its name.

use std::path::Path;

use dkm_core::Context;
use dkm_core::context::ContextError;
use serde_json::Value;

/// What a case came to: nothing to say, or what was found instead.
pub(crate) type Outcome = Result<(), String>;

/// Runs every case of a topic and names those that fail.
pub(crate) fn each(topic: &str, least: usize, run: impl Fn(&Value) -> Outcome) {
    let cases = load(topic);
    assert!(cases.len() >= least, "{topic} has {} cases, at least {least} are expected", cases.len());
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| run(case).err().map(|why| format!("{topic}/{}: {why}", text(&case["name"]))))
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} vectors failed:\n  {}",
        failed.len(),
        cases.len(),
        failed.join("\n  ")
    );
}

pub(crate) fn load(topic: &str) -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/vectors").join(format!("{topic}.json"));
    let file = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let json: Value = serde_json::from_str(&file).unwrap();
    json["cases"].as_array().unwrap().clone()
}

/// Compares what was found with what the case says.
pub(crate) fn same(what: &str, found: impl AsRef<[u8]>, expected: &Value) -> Outcome {
    let (found, expected) = (found.as_ref(), bytes(expected));
    if found == expected { Ok(()) } else { Err(format!("{what} is {}", hex(found))) }
}

/// Compares an error class, or the lack of one, with the one that a case names.
pub(crate) fn refused(how: &str, found: Option<&str>, expected: &str) -> Outcome {
    match found {
        Some(class) if class == expected => Ok(()),
        Some(class) => Err(format!("{how} says {class}, not {expected}")),
        None => Err(format!("{how} accepts it instead of {expected}")),
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a number"))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Bytes in any of the notations: plain hexadecimal, or an object with one field that names the notation.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    if let Value::String(digits) = value {
        return from_hex(digits);
    }
    let object = value.as_object().unwrap_or_else(|| panic!("{value} is not bytes"));
    let (notation, content) = object.iter().next().unwrap();
    let len = || usize::try_from(number(content)).unwrap();
    match notation.as_str() {
        "text" => text(content).as_bytes().to_vec(),
        "hex" => from_hex(text(content)),
        "base64" => from_base64(text(content)),
        "counting" => (0..=250u8).cycle().take(len()).collect(),
        "zeros" => vec![0; len()],
        other => panic!("{other} is not a notation of bytes"),
    }
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap_or_else(|b: Vec<u8>| panic!("{} bytes are not {N}", b.len()))
}

fn from_hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "{digits}");
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

fn from_base64(digits: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in digits.trim_end_matches('=').as_bytes().chunks(4) {
        let word = group.iter().fold(0u32, |word, digit| {
            let value = ALPHABET.iter().position(|d| d == digit).unwrap();
            (word << 6) | u32::try_from(value).unwrap()
        }) << (6 * (4 - group.len()));
        out.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    out
}

/// A context from the pairs of a case.
pub(crate) fn context(pairs: &Value) -> Result<Context, ContextError> {
    let pairs = pairs.as_array().unwrap();
    pairs.iter().try_fold(Context::new(), |context, pair| context.with(bytes(&pair[0]), bytes(&pair[1])))
}
