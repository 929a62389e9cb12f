//! Real servers for tests: a Samba Active Directory domain on loopback addresses, in a folder of its own.

#![forbid(unsafe_code)]
