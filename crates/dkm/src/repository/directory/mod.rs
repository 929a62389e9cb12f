//! The directory repository: one file per record, the kernel decides who reads.
