//! Lines of bounded length from a reader.

use std::io::{self, BufRead, Read as _, Write};

use super::LINE_LEN_MAX;

/// A line that was read into the caller's buffer, its newline included where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The whole line.
    Whole,
    /// Its first [`LINE_LEN_MAX`] bytes: it is longer. The rest is still to be read, with [`Lines::copy_rest`].
    Beginning,
}

/// Lines from a reader, one at a time in memory.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    len_max: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self::with_len_max(reader, LINE_LEN_MAX as u64)
    }

    /// As [`Lines::new`], where longer lines than this are too long.
    pub(crate) const fn with_len_max(reader: R, len_max: u64) -> Self {
        Self { reader, len_max }
    }

    /// Reads the next line into `line`, which is overwritten; none at the end.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Line>> {
        line.clear();
        let read = (&mut self.reader).take(self.len_max).read_until(b'\n', line)?;
        if read == 0 {
            return Ok(None);
        }
        if line.ends_with(b"\n") || (read as u64) < self.len_max || self.reader.fill_buf()?.is_empty() {
            return Ok(Some(Line::Whole));
        }
        Ok(Some(Line::Beginning))
    }

    /// Writes the rest of a line that is too long; how many bytes that were.
    pub(crate) fn copy_rest(&mut self, out: &mut impl Write) -> io::Result<u64> {
        let mut copied = 0;
        loop {
            let available = self.reader.fill_buf()?;
            if available.is_empty() {
                return Ok(copied);
            }
            let end = available.iter().position(|b| *b == b'\n').map(|at| at + 1);
            let len = end.unwrap_or(available.len());
            out.write_all(&available[..len])?;
            self.reader.consume(len);
            copied += len as u64;
            if end.is_some() {
                return Ok(copied);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(text: &str, capacity: usize) -> Vec<(Line, String)> {
        let mut lines = Lines::with_len_max(BufReader::with_capacity(capacity, text.as_bytes()), 8);
        let (mut line, mut out) = (Vec::new(), Vec::new());
        while let Some(kind) = lines.next(&mut line).unwrap() {
            if kind == Line::Beginning {
                lines.copy_rest(&mut line).unwrap();
            }
            out.push((kind, String::from_utf8(line.clone()).unwrap()));
        }
        out
    }

    #[test]
    fn lines_are_whole_and_long_ones_are_known_as_such() {
        use Line::{Beginning, Whole};
        for capacity in [1, 3, 100] {
            let got = |text| read(text, capacity);
            let line = |kind, text: &str| (kind, text.to_owned());
            assert_eq!(got(""), []);
            assert_eq!(got("\n"), [line(Whole, "\n")]);
            assert_eq!(got("ab\n\ncd"), [line(Whole, "ab\n"), line(Whole, "\n"), line(Whole, "cd")]);
            assert_eq!(got("1234567\nx"), [line(Whole, "1234567\n"), line(Whole, "x")]);
            assert_eq!(got("12345678"), [line(Whole, "12345678")]);
            assert_eq!(got("12345678\nx\n"), [line(Beginning, "12345678\n"), line(Whole, "x\n")]);
            assert_eq!(
                got("1234567890123456789\nx"),
                [line(Beginning, "1234567890123456789\n"), line(Whole, "x")]
            );
            assert_eq!(got("123456789"), [line(Beginning, "123456789")]);
        }
    }
}
