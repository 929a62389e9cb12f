//! JSON as the vectors hold it: fields in the order in which people read them, bytes in their readable notations.

use std::fmt::Write as _;

/// A JSON value whose objects keep their order.
#[derive(Debug, Clone)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn object<const N: usize>(fields: [(&'static str, Self); N]) -> Self {
        Self::Object(fields.into())
    }

    pub(crate) fn texts(list: &[String]) -> Self {
        Self::List(list.iter().map(Self::text).collect())
    }

    pub(crate) fn or_null<T>(value: Option<T>, json: impl Fn(T) -> Self) -> Self {
        value.map_or(Self::Null, json)
    }

    /// Bytes as plain hexadecimal: ids, keys, digests.
    pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> Self {
        Self::Text(hex(bytes.as_ref()))
    }

    /// Bytes in the shortest notation for people: text where it is text, base64 where it is long.
    pub(crate) fn bytes(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let readable = |b: &u8| b.is_ascii_graphic() || *b == b' ';
        match std::str::from_utf8(bytes) {
            Ok(text) if !bytes.is_empty() && bytes.len() <= 200 && bytes.iter().all(readable) => {
                Self::object([("text", Self::text(text))])
            }
            _ if bytes.len() > 64 && bytes.iter().all(|b| *b == 0) => zeros(bytes.len()),
            _ if bytes.len() > 600 => Self::object([("base64", Self::Text(base64(bytes)))]),
            _ => Self::object([("hex", Self::hex(bytes))]),
        }
    }

    /// The plaintext of [`super::fixed::counting`].
    pub(crate) fn counting(len: usize) -> Self {
        Self::object([("counting", Self::from(len))])
    }

    /// A case's name.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Object(fields) => fields.iter().find_map(|(key, value)| match value {
                Self::Text(text) if *key == "name" => Some(text.as_str()),
                _ => None,
            }),
            _ => None,
        }
    }

    /// Text of a file.
    pub(crate) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn is_flat(&self) -> bool {
        match self {
            Self::List(items) => items.iter().all(|i| !matches!(i, Self::Object(_)) && i.is_flat()),
            Self::Object(fields) => fields.len() <= 1 && fields.iter().all(|(_, value)| value.is_flat()),
            _ => true,
        }
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "{value}");
            }
            Self::Text(text) => out.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::List(items) => {
                sequence(out, depth, ['[', ']'], self.is_flat(), items, |out, depth, item| {
                    item.write(out, depth);
                })
            }
            Self::Object(fields) => {
                sequence(out, depth, ['{', '}'], self.is_flat(), fields, |out, depth, (key, value)| {
                    out.push('"');
                    out.push_str(key);
                    out.push_str("\": ");
                    value.write(out, depth);
                });
            }
        }
    }
}

fn sequence<T>(
    out: &mut String,
    depth: usize,
    [open, close]: [char; 2],
    flat: bool,
    items: &[T],
    write: impl Fn(&mut String, usize, &T),
) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match (flat, i) {
            (true, 0) => {}
            (true, _) => out.push(' '),
            (false, _) => indent(out, depth + 1),
        }
        write(out, depth + 1, item);
    }
    if !flat && !items.is_empty() {
        indent(out, depth);
    }
    out.push(close);
}

fn indent(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

impl From<usize> for Json {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<u64> for Json {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Json {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// So many zero bytes.
pub(crate) fn zeros(len: usize) -> Json {
    Json::object([("zeros", Json::from(len))])
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// RFC 4648 §4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0usize, |word, b| (word << 8) | usize::from(*b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * i)) & 63];
            out.push(if i <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn what_is_written_is_json_in_the_order_given() {
        let json = Json::object([
            ("name", Json::text("a \"quoted\"\n")),
            ("b", Json::List(vec![Json::from(1u32), Json::Null])),
            ("a", Json::object([("x", Json::Bool(true)), ("y", Json::bytes(b"text"))])),
        ]);
        let text = json.pretty();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["name"], "a \"quoted\"\n");
        assert_eq!(read["a"]["y"]["text"], "text");
        assert!(text.find("\"b\"") < text.find("\"a\""));
    }
}
