//! A cursor over SDDL text.

use super::sid::MAX_SUB_AUTHORITIES;
use super::{SddlError, Sid};

/// The text and how far it is read.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Steps over `word` if it comes next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    pub(super) fn expect(&mut self, word: &'static str) -> Result<(), SddlError> {
        if self.take(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    pub(super) const fn expected(&self, expected: &'static str) -> SddlError {
        SddlError::Expected { expected, at: self.at }
    }

    /// All characters up to the first of which `inside` is false.
    pub(super) fn take_while(&mut self, inside: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|character| !inside(character)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Everything up to `stop`, which stays; an error if it doesn't come.
    pub(super) fn until(&mut self, stop: char, name: &'static str) -> Result<&'a str, SddlError> {
        let rest = self.rest();
        let end = rest.find(stop).ok_or(SddlError::Expected { expected: name, at: self.text.len() })?;
        self.at += end;
        Ok(&rest[..end])
    }

    pub(super) fn end(&self) -> Result<(), SddlError> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// A decimal number without leading zeros, at most `largest`.
    fn decimal(&mut self, largest: u64) -> Result<u64, SddlError> {
        let at = self.at;
        let digits = self.take_while(|character| character.is_ascii_digit());
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            return Err(SddlError::Expected { expected: "a decimal number", at });
        }
        digits.parse().ok().filter(|value| *value <= largest).ok_or(SddlError::Number { at })
    }

    /// `S-1-…` (the grammar of MS-DTYP §2.4.2.1, which also allows no sub-authority here, as the bytes do).
    pub(super) fn sid_number(&mut self) -> Result<Sid, SddlError> {
        self.expect("S-1-")?;
        let authority = if self.take("0x") {
            let at = self.at;
            // Windows writes twelve digits, Samba as many as it takes. Never more: the next part's name may begin
            // with one.
            let digits = self.rest().bytes().take(12).take_while(u8::is_ascii_hexdigit).count();
            let text = self.rest().get(..digits).unwrap_or_default();
            self.at += digits;
            u64::from_str_radix(text, 16).map_err(|_| SddlError::Expected { expected: "hex digits", at })?
        } else {
            self.decimal(u64::from(u32::MAX))?
        };
        let mut sub = [0_u32; MAX_SUB_AUTHORITIES];
        let mut count = 0;
        while self.take("-") {
            let at = self.at;
            let value = self.decimal(u64::from(u32::MAX))?;
            *sub.get_mut(count).ok_or(SddlError::Number { at })? =
                u32::try_from(value).map_err(|_| SddlError::Number { at })?;
            count += 1;
        }
        Sid::new(authority, &sub[..count]).map_err(|_| SddlError::Number { at: self.at })
    }
}
