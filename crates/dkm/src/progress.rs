//! How far long work has come.

/// How far long work has come; told after each item.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Items done: files, or lines.
    pub items: u64,
    /// Items in all; none where that is not known beforehand.
    pub items_total: Option<u64>,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes in all; none where that is not known beforehand.
    pub bytes_total: Option<u64>,
}
