//! Context: the caller's key-value pairs, authenticated with a blob and not stored in it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use crate::id::Digest;

/// Most pairs of a context.
pub const CONTEXT_PAIRS_MAX: usize = 64;
/// Longest encoding of a context, in bytes.
pub const CONTEXT_LEN_MAX: usize = 8 * 1024;

/// Why pairs are not a context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A key with no bytes.
    #[error("context has an empty key")]
    EmptyKey,
    /// The same key twice.
    #[error("context has the key {key:?} twice")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// More than [`CONTEXT_PAIRS_MAX`] pairs.
    #[error("context has more than {CONTEXT_PAIRS_MAX} pairs")]
    TooManyPairs,
    /// More than [`CONTEXT_LEN_MAX`] bytes.
    #[error("context is longer than {CONTEXT_LEN_MAX} bytes when encoded")]
    TooLong,
    /// An encoding that is not canonical: unsorted, truncated or with bytes left over.
    #[error("context encoding is not canonical")]
    NotCanonical,
}

/// What a blob is for: pairs that must be given again, exactly, to open it.
///
/// Values are not secret, but they are not stored in the blob either. Keys and values are bytes; text is UTF-8, not
/// normalised.
#[derive(Clone)]
pub struct Context {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Length of the encoding.
    len: usize,
    /// The hash, from when it was first asked for: a context that is used again is not hashed again.
    hash: OnceLock<Digest>,
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        // All else follows from the pairs.
        self.pairs == other.pairs
    }
}

impl Eq for Context {}

impl Context {
    /// The context without pairs.
    #[must_use]
    pub const fn new() -> Self {
        Self { pairs: BTreeMap::new(), len: 2, hash: OnceLock::new() }
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// An empty key, a key that is there already, or a context beyond its limits.
    pub fn with(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Self, ContextError> {
        let (key, value) = (key.as_ref(), value.as_ref());
        if key.is_empty() {
            return Err(ContextError::EmptyKey);
        }
        let len = self.len.saturating_add(key.len()).saturating_add(value.len()).saturating_add(4);
        if len > CONTEXT_LEN_MAX {
            return Err(ContextError::TooLong);
        }
        if self.pairs.len() == CONTEXT_PAIRS_MAX {
            return Err(ContextError::TooManyPairs);
        }
        if self.pairs.insert(key.to_vec(), value.to_vec()).is_some() {
            return Err(ContextError::Duplicate { key: String::from_utf8_lossy(key).into_owned() });
        }
        self.len = len;
        self.hash = OnceLock::new();
        Ok(self)
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.pairs.get(key).map(Vec::as_slice)
    }

    /// The pairs, sorted by key bytes.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(k, v)| (k.as_slice(), v.as_slice()))
    }

    /// The canonical encoding: pair count, then key and value with their lengths, all numbers u16 big-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // The limits of 64 pairs and 8 KiB keep every number below 2^16.
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
        let mut out = Vec::with_capacity(self.len.max(2));
        out.extend_from_slice(&number(self.pairs.len()));
        for (key, value) in &self.pairs {
            out.extend_from_slice(&number(key.len()));
            out.extend_from_slice(key);
            out.extend_from_slice(&number(value.len()));
            out.extend_from_slice(value);
        }
        out
    }

    /// Reads a canonical encoding.
    ///
    /// # Errors
    /// [`ContextError`] for anything that [`Context::encode`] would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, ContextError> {
        fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], ContextError> {
            let (head, tail) = rest.split_at_checked(len).ok_or(ContextError::NotCanonical)?;
            *rest = tail;
            Ok(head)
        }
        fn number(rest: &mut &[u8]) -> Result<usize, ContextError> {
            take(rest, 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])))
        }
        if bytes.len() > CONTEXT_LEN_MAX {
            return Err(ContextError::TooLong);
        }
        let mut rest = bytes;
        let count = number(&mut rest)?;
        let mut context = Self::new();
        for _ in 0..count {
            let len = number(&mut rest)?;
            let key = take(&mut rest, len)?;
            let len = number(&mut rest)?;
            let value = take(&mut rest, len)?;
            if context.pairs.last_key_value().is_some_and(|(last, _)| last.as_slice() > key) {
                return Err(ContextError::NotCanonical);
            }
            context = context.with(key, value)?;
        }
        if rest.is_empty() { Ok(context) } else { Err(ContextError::NotCanonical) }
    }

    /// SHA-256 of the encoding: what goes into a blob's key derivation.
    #[must_use]
    pub fn hash(&self) -> Digest {
        if self.is_empty() {
            // SHA-256 of 00 00, the most frequent context.
            const EMPTY: [u8; 32] = [
                0x96, 0xa2, 0x96, 0xd2, 0x24, 0xf2, 0x85, 0xc6, 0x7b, 0xee, 0x93, 0xc3, 0x0f, 0x8a, 0x30,
                0x91, 0x57, 0xf0, 0xda, 0xa3, 0x5d, 0xc5, 0xb8, 0x7e, 0x41, 0x0b, 0x78, 0x63, 0x0a, 0x09,
                0xcf, 0xc7,
            ];
            return Digest(EMPTY);
        }
        *self.hash.get_or_init(|| Digest::of(&self.encode()))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may name people: logs get the keys only.
        f.debug_set().entries(self.pairs.keys().map(|k| String::from_utf8_lossy(k).into_owned())).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_of_adding_does_not_matter() {
        let a = Context::new().with("b", "2").unwrap().with("a", "1").unwrap();
        let b = Context::new().with("a", "1").unwrap().with("b", "2").unwrap();
        assert_eq!((a.encode(), a.hash()), (b.encode(), b.hash()));
        assert_eq!(a.encode(), b"\0\x02\0\x01a\0\x011\0\x01b\0\x012");
        assert_eq!(Context::new().hash(), Digest::of(&[0, 0]));
    }

    #[test]
    fn a_hash_asked_for_early_does_not_stay() {
        let short = Context::default().with("a", "1").unwrap();
        let hash = short.hash();
        let longer = short.clone().with("b", "2").unwrap();
        assert_ne!(longer.hash(), hash);
        assert_eq!(longer, Context::new().with("b", "2").unwrap().with("a", "1").unwrap());
        assert_eq!(longer.hash(), Digest::of(&longer.encode()));
        assert_eq!(Context::default(), Context::new());
    }

    #[test]
    fn duplicates_empty_keys_and_excess_are_refused() {
        let a = || Context::new().with("a", "1").unwrap();
        assert_eq!(a().with("a", "2"), Err(ContextError::Duplicate { key: "a".into() }));
        assert_eq!(a().with("", "2"), Err(ContextError::EmptyKey));
        assert!(Context::new().with("k", vec![0; CONTEXT_LEN_MAX - 7]).is_ok());
        assert_eq!(Context::new().with("k", vec![0; CONTEXT_LEN_MAX - 6]), Err(ContextError::TooLong));
        let full = (0..64).fold(Context::new(), |c, i| c.with(format!("{i}"), "").unwrap());
        assert_eq!(full.with("more", ""), Err(ContextError::TooManyPairs));
    }

    #[test]
    fn non_canonical_encodings_are_refused() {
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\x01",
            b"\0\0\0",
            b"\0\x02\0\x01b\0\0\0\x01a\0\0",
            b"\0\x02\0\x01a\0\0\0\x01a\0\0",
            b"\0\x01\0\0\0\0",
            b"\0\x01\0\x05a\0\0",
        ] {
            assert!(Context::decode(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn contexts_read_back(pairs in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{0,20}", 0..20)) {
            let context = pairs.iter().fold(Context::new(), |c, (k, v)| c.with(k, v).unwrap());
            prop_assert_eq!(Context::decode(&context.encode()), Ok(context));
        }

        #[test]
        fn any_bytes_that_read_are_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(context) = Context::decode(&bytes) {
                prop_assert_eq!(context.encode(), bytes);
            }
        }
    }
}
