//! A pipe between two threads, for plaintext: bounded, erased, and never ending early without an error.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use dkm_core::Plaintext;

/// Pieces that may wait in the pipe.
const PIECES_MAX: usize = 4;
/// Longest piece, in bytes.
const PIECE_LEN_MAX: usize = 256 << 10;

enum Piece {
    Bytes(Plaintext),
    End,
}

/// The end that plaintext is written into.
pub(super) struct Inlet(SyncSender<Piece>);

/// The end that it is read from.
pub(super) struct Outlet {
    pieces: Receiver<Piece>,
    piece: Plaintext,
    used: usize,
    ended: bool,
}

pub(super) fn pipe() -> (Inlet, Outlet) {
    let (sender, pieces) = sync_channel(PIECES_MAX);
    (Inlet(sender), Outlet { pieces, piece: Plaintext::default(), used: 0, ended: false })
}

impl Inlet {
    /// Says that everything was written. Without that the reader gets an error: what it has read may be cut off.
    pub(super) fn finish(self) {
        // A reader that is gone needs no end.
        let _ = self.0.send(Piece::End);
    }
}

impl Write for Inlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(PIECE_LEN_MAX);
        let piece = Plaintext::from(bytes[..len].to_vec());
        self.0.send(Piece::Bytes(piece)).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Outlet {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.used == self.piece.len() && !self.ended {
            match self.pieces.recv() {
                Ok(Piece::Bytes(piece)) => (self.piece, self.used) = (piece, 0),
                Ok(Piece::End) => self.ended = true,
                Err(_) => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        let len = out.len().min(self.piece.len() - self.used);
        out[..len].copy_from_slice(&self.piece[self.used..self.used + len]);
        self.used += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_through_and_only_finish_ends_it() {
        for finish in [true, false] {
            let (mut inlet, mut outlet) = pipe();
            let sent: Vec<u8> = (0..3_000_000u32).map(|i| i.to_le_bytes()[0]).collect();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    inlet.write_all(&sent).unwrap();
                    inlet.write_all(b"").unwrap();
                    if finish {
                        inlet.finish();
                    } else {
                        drop(inlet);
                    }
                });
                let mut got = Vec::new();
                let read = outlet.read_to_end(&mut got);
                assert_eq!(read.is_ok(), finish);
                assert_eq!(got, sent);
            });
        }
    }

    #[test]
    fn a_writer_without_a_reader_is_told() {
        let (mut inlet, outlet) = pipe();
        drop(outlet);
        assert_eq!(inlet.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
