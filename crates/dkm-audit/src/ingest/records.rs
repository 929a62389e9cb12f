//! Records in a stream: lines, and events in XML, which may have several lines.

use std::io::{self, BufRead};

use aws_lc_rs::digest;
use dkm_core::Digest;

use super::RecordError;

/// Longest record, in bytes.
pub const RECORD_LEN_MAX: usize = 1024 * 1024;

const END: &[u8] = b"</Event>";
/// What begins another record, though the one before has no end: nothing that follows may be lost with it.
const STARTS: [&[u8]; 3] = [b"\n<Event ", b"\n<Event>", b"\n{\""];
/// Longest of them.
const START_LEN_MAX: usize = 8;

/// One record as it stands in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Number of the line on which it begins, from 1.
    pub line: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub len: u64,
    /// Its text.
    pub text: Result<String, RecordError>,
}

/// Records of a stream, one after the other. Nothing is passed over but empty lines, and what encloses a list in XML.
pub struct Records<R> {
    input: R,
    line: u64,
    /// Bytes of the next record that were read with the last one.
    carried: Vec<u8>,
}

impl<R: BufRead> Records<R> {
    /// The records in this stream.
    pub const fn new(input: R) -> Self {
        Self { input, line: 1, carried: Vec::new() }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// The stream cannot be read.
    pub fn next_record(&mut self) -> io::Result<Option<Raw>> {
        loop {
            let line = self.line;
            let mut piece = Piece::default();
            let mut xml = None;
            for byte in std::mem::take(&mut self.carried) {
                piece.push(byte);
                xml = xml.or(Some(byte == b'<'));
            }
            while let Some(byte) = self.byte()? {
                if byte == b'\n' {
                    self.line += 1;
                }
                piece.push(byte);
                if xml.is_none() && !byte.is_ascii_whitespace() && !matches!(byte, 0xef | 0xbb | 0xbf) {
                    xml = Some(byte == b'<');
                }
                let ended = match xml {
                    Some(true) => piece.ends_with(END) || piece.is_enclosure(),
                    Some(false) | None => byte == b'\n',
                };
                if ended {
                    break;
                }
                if xml == Some(true)
                    && let Some(start) = piece.starts_another()
                {
                    self.carried = start;
                    break;
                }
            }
            if piece.len == 0 {
                return Ok(None);
            }
            if !piece.is_enclosure() {
                return Ok(Some(piece.record(line)));
            }
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = loop {
            match self.input.fill_buf() {
                Ok(buffer) => break buffer.first().copied(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if byte.is_some() {
            self.input.consume(1);
        }
        Ok(byte)
    }
}

/// Bytes of a record, as many as are kept, and the hash of all.
struct Piece {
    kept: Vec<u8>,
    /// The last bytes, even of a record that is not kept.
    tail: [u8; 8],
    len: u64,
    pending: Vec<u8>,
    hash: digest::Context,
}

impl Default for Piece {
    fn default() -> Self {
        Self {
            kept: Vec::new(),
            tail: [0; 8],
            len: 0,
            pending: Vec::new(),
            hash: digest::Context::new(&digest::SHA256),
        }
    }
}

impl Piece {
    fn push(&mut self, byte: u8) {
        self.len = self.len.saturating_add(1);
        self.tail.rotate_left(1);
        self.tail[7] = byte;
        if self.kept.len() <= RECORD_LEN_MAX {
            self.kept.push(byte);
        }
        self.pending.push(byte);
        if self.pending.len() == 4096 + START_LEN_MAX {
            self.hash.update(&self.pending[..4096]);
            self.pending.drain(..4096);
        }
    }

    /// Takes away the beginning of another record, if it ends with one.
    fn starts_another(&mut self) -> Option<Vec<u8>> {
        let start = STARTS.into_iter().find(|start| self.tail.ends_with(start))?;
        let start = start.get(1..)?;
        let rest = self.pending.len().checked_sub(start.len())?;
        self.pending.truncate(rest);
        if self.kept.len() <= RECORD_LEN_MAX {
            self.kept.truncate(self.kept.len().saturating_sub(start.len()));
        }
        self.len = self.len.saturating_sub(u64::try_from(start.len()).unwrap_or(0));
        Some(start.to_vec())
    }

    fn ends_with(&self, end: &[u8]) -> bool {
        self.tail == end
    }

    /// Whether it is nothing, or what encloses a list of events.
    fn is_enclosure(&self) -> bool {
        if self.kept.len() > 200 {
            return false;
        }
        let Ok(text) = std::str::from_utf8(&self.kept) else { return false };
        let text = text.trim_start_matches('\u{feff}').trim();
        let declaration = text.starts_with("<?xml ") && text.ends_with("?>");
        matches!(text, "" | "<Events>" | "</Events>") || declaration
    }

    fn record(mut self, line: u64) -> Raw {
        self.hash.update(&self.pending);
        let mut digest = [0u8; 32];
        digest.copy_from_slice(self.hash.finish().as_ref());
        let text = if self.kept.len() > RECORD_LEN_MAX {
            Err(RecordError::TooLong)
        } else {
            String::from_utf8(self.kept)
                .map(|text| text.trim_start_matches('\u{feff}').to_owned())
                .map_err(|_| RecordError::NotText)
        };
        Raw { line, digest: Digest(digest), len: self.len, text }
    }
}
