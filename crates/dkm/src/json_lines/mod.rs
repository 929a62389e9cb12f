//! JSON lines: one JSON object a line, looked into without being rewritten.

mod pointer;
mod reader;

pub use pointer::{JsonPointer, ParsePointerError};
pub(crate) use reader::{Line, Lines};

/// Longest line that is looked into, in bytes.
pub const LINE_LEN_MAX: usize = 10 << 20;
