//! The little of DER (X.690) that a Windows blob is made of: one-byte tags and definite lengths in their shortest form.

use super::error::{Fault, WindowsBlobError};

pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;

/// Reads from the front of some bytes. A field's name goes into the error about it.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], WindowsBlobError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(WindowsBlobError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], WindowsBlobError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WindowsBlobError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length by itself.
    pub(super) fn length(&mut self, field: &'static str) -> Result<usize, WindowsBlobError> {
        let not_der = WindowsBlobError::Malformed { field, fault: Fault::Length };
        let [first] = *self.array::<1>()?;
        let count = usize::from(first & 0x7f);
        if first < 0x80 {
            return Ok(count);
        }
        // None at all would be an indefinite length, more than four a blob beyond all limits.
        if !(1..=4).contains(&count) {
            return Err(not_der);
        }
        let bytes = self.take(count)?;
        let len = bytes.iter().fold(0u32, |len, byte| (len << 8) | u32::from(*byte));
        if len < 0x80 || bytes.first() == Some(&0) {
            return Err(not_der);
        }
        usize::try_from(len).map_err(|_| not_der)
    }

    /// The content of a value with this tag.
    pub(super) fn value(&mut self, tag: u8, field: &'static str) -> Result<&'a [u8], WindowsBlobError> {
        let [found] = *self.array::<1>()?;
        if found != tag {
            return Err(WindowsBlobError::Malformed { field, fault: Fault::Tag { found, expected: tag } });
        }
        let len = self.length(field)?;
        self.take(len)
    }

    /// An octet string of exactly `N` bytes.
    pub(super) fn octets<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a [u8; N], WindowsBlobError> {
        let value = self.value(OCTET_STRING, field)?;
        value.try_into().map_err(|_| WindowsBlobError::Malformed {
            field,
            fault: Fault::Size { found: value.len(), expected: N },
        })
    }
}

/// Appends a length in its shortest form. No length beyond the limit of a blob is ever written.
pub(super) fn write_length(out: &mut Vec<u8>, len: usize) {
    match u8::try_from(len) {
        Ok(short @ ..0x80) => out.push(short),
        _ => {
            let bytes = len.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = bytes.get(zeros..).unwrap_or_default();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(4));
            out.extend_from_slice(digits);
        }
    }
}

pub(super) fn write_octets(out: &mut Vec<u8>, content: &[u8]) {
    out.push(OCTET_STRING);
    write_length(out, content.len());
    out.extend_from_slice(content);
}

/// An object identifier's content as people write it, or its bytes where it is none.
pub(super) fn dotted(content: &[u8]) -> String {
    numbers(content).map_or_else(
        || content.iter().take(32).map(|byte| format!("{byte:02x}")).collect(),
        |numbers| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join("."),
    )
}

fn numbers(content: &[u8]) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut number = 0u64;
    if content.len() > 64 || content.last().is_none_or(|last| last & 0x80 != 0) {
        return None;
    }
    for byte in content {
        number = number.checked_mul(0x80)? + u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if numbers.is_empty() {
            // The first two numbers share one.
            let first = (number / 40).min(2);
            numbers.push(first);
            number -= first * 40;
        }
        numbers.push(number);
        number = 0;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        for len in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000] {
            let mut bytes = Vec::new();
            write_length(&mut bytes, len);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.length("x"), Ok(len));
            assert!(reader.rest().is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).length("x"), Err(WindowsBlobError::Truncated));
            }
        }
        for bytes in [
            &[0x80, 0, 0][..],
            &[0x81, 0x7f],
            &[0x82, 0x00, 0x80],
            &[0x83, 0x00, 0x80, 0x00],
            &[0x85, 1, 0, 0, 0, 0],
            &[0xff; 130],
        ] {
            let fault = WindowsBlobError::Malformed { field: "x", fault: Fault::Length };
            assert_eq!(Reader::new(bytes).length("x"), Err(fault), "{bytes:x?}");
        }
    }

    #[test]
    fn identifiers_are_shown_as_people_write_them() {
        assert_eq!(dotted(&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01]), "2.16.840.1.101.3.4.2.1");
        assert_eq!(dotted(&[0x2b, 0x0e, 0x03, 0x02, 0x1a]), "1.3.14.3.2.26");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
        assert_eq!(dotted(&[0x60, 0x86]), "6086");
        assert_eq!(dotted(&[]), "");
        assert_eq!(dotted(&[0xff; 40]), "ff".repeat(32));
    }
}
