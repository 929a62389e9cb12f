//! Client of `dkmd`, the key service.

#![forbid(unsafe_code)]

pub mod wire;
