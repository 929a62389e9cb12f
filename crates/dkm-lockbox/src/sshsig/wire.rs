//! The SSH wire format: strings with their length in front (RFC 4251 §5).

use super::SignatureError;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], SignatureError> {
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(SignatureError::Malformed("it ends too soon"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, SignatureError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(super) fn number(&mut self) -> Result<u32, SignatureError> {
        Ok(self.take(4)?.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte)))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], SignatureError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, SignatureError> {
        std::str::from_utf8(self.string()?).map_err(|_| SignatureError::Malformed("a name is not text"))
    }

    /// # Errors
    /// There is more.
    pub(super) const fn end(self) -> Result<(), SignatureError> {
        if self.0.is_empty() { Ok(()) } else { Err(SignatureError::Malformed("something follows its end")) }
    }

    /// A positive integer as a field element of so many bytes: no sign, no more zeros in front than its sign needs.
    pub(super) fn scalar<const N: usize>(&mut self) -> Result<[u8; N], SignatureError> {
        let odd = SignatureError::Malformed("an integer is not as RFC 4251 writes it");
        let digits = match self.string()? {
            [] => return Err(odd),
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => rest,
            [first, ..] if first & 0x80 != 0 || *first == 0 => return Err(odd),
            digits => digits,
        };
        let mut scalar = [0; N];
        let start = N.checked_sub(digits.len()).ok_or(odd)?;
        scalar.iter_mut().skip(start).zip(digits).for_each(|(to, from)| *to = *from);
        Ok(scalar)
    }
}

/// Appends a string with its length.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}
