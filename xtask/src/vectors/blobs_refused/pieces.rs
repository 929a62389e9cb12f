//! A damaged blob as pieces of sound ones, so that people see what was done and files stay small.

use super::super::blobs::Sample;
use super::super::json::Json;

/// A part of a damaged blob.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// Bytes written out.
    Bytes(Vec<u8>),
    /// Bytes `from` to `to` of a sample.
    Of { sample: String, from: usize, to: usize },
}

impl Piece {
    pub(crate) fn of(sample: &str, from: usize, to: usize) -> Self {
        Self::Of { sample: sample.to_owned(), from, to }
    }
}

/// A damaged blob.
pub(crate) struct Pieces(pub(crate) Vec<Piece>);

impl Pieces {
    pub(crate) fn join(&self, samples: &[Sample]) -> Vec<u8> {
        let piece = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => bytes.clone(),
            Piece::Of { sample, from, to } => find(samples, sample).blob[*from..*to].to_vec(),
        };
        self.0.iter().flat_map(piece).collect()
    }

    pub(crate) fn json(&self) -> Json {
        let piece = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => Json::bytes(bytes),
            Piece::Of { sample, from, to } => Json::Object(vec![
                ("of", Json::text(sample)),
                ("from", Json::from(*from)),
                ("to", Json::from(*to)),
            ]),
        };
        match self.0.as_slice() {
            [Piece::Bytes(bytes)] => Json::bytes(bytes),
            pieces => Json::object([("pieces", Json::List(pieces.iter().map(piece).collect()))]),
        }
    }
}

/// A sample by its name, which stands in this program.
pub(crate) fn find<'a>(samples: &'a [Sample], name: &str) -> &'a Sample {
    let found = samples.iter().find(|sample| sample.name == name);
    // A programmer's error: names are written in this program.
    #[allow(clippy::panic)]
    found.unwrap_or_else(|| panic!("there is no sample {name}"))
}
