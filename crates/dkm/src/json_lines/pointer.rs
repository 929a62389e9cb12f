//! Which field of a line is meant, and where it stands in it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A field of a JSON object: a JSON pointer (RFC 6901) such as `/credentials/secret`, or the plain name of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JsonPointer {
    tokens: Vec<String>,
}

/// Why a text names no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a field: expected a name, or a JSON pointer such as /credentials/secret")]
pub struct ParsePointerError;

impl FromStr for JsonPointer {
    type Err = ParsePointerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rest) = text.strip_prefix('/') else {
            let token = if text.is_empty() { Err(ParsePointerError) } else { Ok(text.to_owned()) };
            return Ok(Self { tokens: vec![token?] });
        };
        rest.split('/')
            .map(unescape)
            .collect::<Option<_>>()
            .map(|tokens| Self { tokens })
            .ok_or(ParsePointerError)
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (c, rest) = part.split_at_checked(1)?;
        out.push(match c {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|t| write!(f, "/{}", t.replace('~', "~0").replace('/', "~1")))
    }
}

/// A value as it stands in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The value's text.
    pub(crate) text: &'a str,
    /// Where in the line.
    pub(crate) range: Range<usize>,
}

impl Place<'_> {
    /// The string that the value is; none if it is something else.
    pub(crate) fn string(&self) -> Option<String> {
        if self.text.starts_with('"') { serde_json::from_str(self.text).ok() } else { None }
    }

    /// What the value is called in a context: a string's content, a number or truth value as it is written; none for
    /// anything else.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self.text.as_bytes().first()? {
            b'"' => self.string(),
            b'{' | b'[' | b'n' => None,
            _ => Some(self.text.to_owned()),
        }
    }
}

impl JsonPointer {
    /// The value in a line; none where it is missing or null.
    ///
    /// # Errors
    /// The line is no JSON, or a name on the way stands twice, so that it is not clear what is meant.
    pub(crate) fn find<'a>(&self, line: &'a str) -> Result<Option<Place<'a>>, String> {
        let not_json = |e: serde_json::Error| format!("not JSON: {e}");
        let mut at: &'a RawValue = serde_json::from_str(line).map_err(not_json)?;
        for token in &self.tokens {
            let next = match at.get().as_bytes().first() {
                Some(b'{') => {
                    let Children(fields) = serde_json::from_str(at.get()).map_err(not_json)?;
                    let mut named =
                        fields.into_iter().filter(|(name, _)| name.as_ref() == token).map(|(_, v)| v);
                    let found = named.next();
                    if named.next().is_some() {
                        return Err(format!("the field {token:?} stands twice"));
                    }
                    found
                }
                Some(b'[') => {
                    let Children(items) = serde_json::from_str(at.get()).map_err(not_json)?;
                    // As the RFC has it: no sign, no leading zero.
                    token
                        .parse::<usize>()
                        .ok()
                        .filter(|index| index.to_string() == *token)
                        .and_then(|index| items.into_iter().nth(index))
                        .map(|(_, value)| value)
                }
                _ => None,
            };
            let Some(next) = next else { return Ok(None) };
            at = next;
        }
        let text = at.get();
        if text == "null" {
            return Ok(None);
        }
        // `text` is a part of `line`, which it was borrowed from.
        let start = text.as_ptr().addr() - line.as_ptr().addr();
        Ok(Some(Place { text, range: start..start + text.len() }))
    }
}

/// The members of an object, or the items of an array under empty names, as they are written.
struct Children<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Children<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Children<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object or an array")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push((name, value));
                }
                Ok(Children(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(value) = seq.next_element::<&'de RawValue>()? {
                    items.push((Cow::Borrowed(""), value));
                }
                Ok(Children(items))
            }
        }

        deserializer.deserialize_any(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pointer: &str, line: &str) -> Option<String> {
        let place = pointer.parse::<JsonPointer>().unwrap().find(line).unwrap()?;
        assert_eq!(&line[place.range.clone()], place.text);
        Some(place.text.to_owned())
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let line = r#"  {"a" : "x", "b":{"c/d":[1, {"~e":"\u0041\/"}]},"n":null,"":{"" :true}, "f": -1.50} "#;
        assert_eq!(find("a", line).unwrap(), r#""x""#);
        assert_eq!(find("/a", line).unwrap(), r#""x""#);
        assert_eq!(find("/b/c~1d/0", line).unwrap(), "1");
        assert_eq!(find("/b/c~1d/1/~0e", line).unwrap(), r#""\u0041\/""#);
        assert_eq!(find("//", line).unwrap(), "true");
        assert_eq!(find("/f", line).unwrap(), "-1.50");
        for missing in ["z", "n", "/a/x", "/b/c~1d/2", "/b/c~1d/00", "/b/c~1d/+1", "/b/x"] {
            assert_eq!(find(missing, line), None, "{missing}");
        }
    }

    #[test]
    fn strings_and_scalars_are_read() {
        let line = r#"{"s":"\u0041\/","i":42,"t":true,"o":{},"l":[]}"#;
        let at = |name: &str| name.parse::<JsonPointer>().unwrap().find(line).unwrap().unwrap();
        assert_eq!(at("s").string().unwrap(), "A/");
        assert_eq!(at("i").string(), None);
        assert_eq!(at("s").scalar().unwrap(), "A/");
        assert_eq!(at("i").scalar().unwrap(), "42");
        assert_eq!(at("t").scalar().unwrap(), "true");
        assert_eq!((at("o").scalar(), at("l").scalar()), (None, None));
    }

    #[test]
    fn ambiguous_and_malformed_lines_are_refused() {
        let a: JsonPointer = "a".parse().unwrap();
        for line in
            ["", "{", r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":1} x"#, r#"{"a":1"#, r#"{"a" 1}"#]
        {
            assert!(a.find(line).is_err(), "{line}");
        }
        assert_eq!(a.find("[1]").unwrap(), None);
        assert_eq!(a.find("7").unwrap(), None);
    }

    #[test]
    fn pointers_are_parsed_and_printed() {
        for (text, printed) in
            [("a", "/a"), ("/a/b", "/a/b"), ("/a~1b/~0", "/a~1b/~0"), ("a~b", "/a~0b"), ("/", "/")]
        {
            let pointer: JsonPointer = text.parse().unwrap();
            assert_eq!(pointer.to_string(), printed);
            assert_eq!(printed.parse::<JsonPointer>().unwrap(), pointer);
        }
        for text in ["", "/~", "/~2", "/a/~é"] {
            assert_eq!(text.parse::<JsonPointer>(), Err(ParsePointerError), "{text}");
        }
    }
}
