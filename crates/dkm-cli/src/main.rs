//! dkm
fn main() {}
