//! Typed identifiers: sixteen opaque bytes each, and the 32-byte digest.

use std::fmt;
use std::str::FromStr;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected {digits} hexadecimal digits, hyphens allowed")]
pub struct ParseIdError {
    kind: &'static str,
    digits: usize,
}

fn parse_hex<const N: usize>(text: &str, kind: &'static str) -> Result<[u8; N], ParseIdError> {
    let error = ParseIdError { kind, digits: N * 2 };
    let mut out = [0u8; N];
    let mut count = 0usize;
    for c in text.chars().filter(|c| *c != '-') {
        let digit = c.to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or_else(|| error.clone())?;
        let slot = out.get_mut(count / 2).ok_or_else(|| error.clone())?;
        *slot = (*slot << 4) | digit;
        count += 1;
    }
    if count == N * 2 { Ok(out) } else { Err(error) }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

macro_rules! id16 {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $uuid:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The identifier's bytes, as they stand in records and blobs.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                let bytes = d.bytes()?;
                bytes.try_into().map(Self).map_err(|_| minicbor::decode::Error::message(concat!($kind, " is not 16 bytes")))
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if $uuid {
                    let (head, tail) = self.0.split_at(4);
                    write_hex(f, head)?;
                    for (i, pair) in tail.chunks(2).enumerate() {
                        if i < 4 {
                            f.write_str("-")?;
                        }
                        write_hex(f, pair)?;
                    }
                    Ok(())
                } else {
                    write_hex(f, &self.0)
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_hex(text, $kind).map(Self)
            }
        }
    };
}

id16!(
    /// Identity of a group: a random UUID that clients pin; names are for people.
    GroupId, "group id", true
);
id16!(
    /// Identity of a key: derived from its material, group and family, so that equal ids mean equal keys.
    KeyId, "key id", false
);
id16!(
    /// Identity of one copy of a repository: the store's own instance id, never a host name.
    ReplicaId, "replica id", true
);
id16!(
    /// Identity of a repository, the same on all its replicas.
    RepositoryId, "repository id", true
);
id16!(
    /// Identity of a root key that wraps key material at rest.
    RootKeyId, "root key id", false
);
id16!(
    /// What Windows calls one of its keys; the bytes in the order of the text, not in that of a Windows blob.
    KeyGuid, "key GUID", true
);

id16!(
    /// Identity of a server that takes requests for elevated access: what is approved at one says nothing at another.
    InstanceId, "instance id", true
);
id16!(
    /// Identity of a request for elevated access, and of the grant that may come of it.
    RequestId, "request id", true
);

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 (FIPS 180-4) of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut out = [0u8; 32];
        out.copy_from_slice(digest.as_ref());
        Self(out)
    }

    /// The digest's bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl<C> minicbor::Encode<C> for Digest {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Digest {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        bytes.try_into().map(Self).map_err(|_| minicbor::decode::Error::message("digest is not 32 bytes"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text, "digest").map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_print_with_hyphens_and_read_back() {
        let id = GroupId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef");
        assert_eq!(id.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(id.to_string().parse::<GroupId>().unwrap(), id);
        assert_eq!(KeyId(id.0).to_string(), "0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn short_long_and_foreign_texts_are_refused() {
        for text in ["", "00", "0123456789abcdef0123456789abcdef00", "zz23456789abcdef0123456789abcdef"] {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }
}
