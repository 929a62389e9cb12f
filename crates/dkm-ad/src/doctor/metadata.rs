//! What the directory keeps of replication in attributes: two arrays of a frozen form, little-endian.

use dkm_core::Timestamp;

/// From 1601-01-01 to 1970-01-01, in seconds.
const EPOCH_S: u64 = 11_644_473_600;
/// Version, three counters and padding before the entries of both arrays.
const HEAD: usize = 16;

/// `nTSecurityDescriptor`, as metadata numbers it: 1.2.840.113556.1.2.281 in the table of prefixes that every
/// directory has (MS-DRSR §5.16.4).
pub(super) const DESCRIPTOR: u32 = 0x0002_0119;
/// `name`.
pub(super) const NAME: u32 = 0x0009_0001;
/// `cn`.
pub(super) const COMMON_NAME: u32 = 0x0000_0003;

/// How an attribute of an object came to be as it is: an entry of `replPropertyMetaData` (MS-ADTS §3.1.1.1.9,
/// MS-DRSR §5.162).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The attribute's number.
    pub(super) attribute: u32,
    /// How often it was written; 1: when the object was made.
    pub(super) version: u32,
    /// When it was last written.
    pub(super) when: Timestamp,
    /// The database in which that was.
    pub(super) invocation: [u8; 16],
}

/// How far a domain controller has come with what another one wrote: an entry of `replUpToDateVector`
/// (MS-DRSR §5.166).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The other's database.
    pub(super) invocation: [u8; 16],
    /// It has everything that the other one wrote up to this number.
    pub(super) usn: u64,
    /// When it last asked with success; none in the older form.
    pub(super) when: Option<Timestamp>,
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn since_1601(seconds: u64) -> Timestamp {
    Timestamp(seconds.saturating_sub(EPOCH_S).saturating_mul(1000))
}

/// As many entries of one length as the head says; none if there are not exactly so many.
fn entries(bytes: &[u8], len: usize) -> Option<impl Iterator<Item = &[u8]>> {
    let count = usize::try_from(number(bytes, 8)?).ok()?;
    let body = bytes.get(HEAD..)?;
    (body.len() == count.checked_mul(len)?).then(|| body.chunks_exact(len))
}

/// Reads `replPropertyMetaData`; none if it is not in the form that is known.
pub(super) fn stamps(bytes: &[u8]) -> Option<Vec<Stamp>> {
    if number(bytes, 0)? != 1 {
        return None;
    }
    entries(bytes, 48)?
        .map(|entry| {
            Some(Stamp {
                attribute: number(entry, 0)?,
                version: number(entry, 4)?,
                when: since_1601(long(entry, 8)?),
                invocation: *entry.get(16..)?.first_chunk()?,
            })
        })
        .collect()
}

/// Reads `replUpToDateVector`; none if it is not in a form that is known.
pub(super) fn cursors(bytes: &[u8]) -> Option<Vec<Cursor>> {
    let timed = match number(bytes, 0)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    entries(bytes, if timed { 32 } else { 24 })?
        .map(|entry| {
            let when = if timed { Some(since_1601(long(entry, 24)? / 10_000_000)) } else { None };
            Some(Cursor { invocation: *entry.first_chunk()?, usn: long(entry, 16)?, when })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(version: u32, count: u32) -> Vec<u8> {
        [version, 0, count, 0].iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn metadata_reads_as_it_was_written() {
        let mut bytes = head(1, 1);
        bytes.extend(DESCRIPTOR.to_le_bytes());
        bytes.extend(2u32.to_le_bytes());
        bytes.extend((EPOCH_S + 5).to_le_bytes());
        bytes.extend([7; 16]);
        bytes.extend([1; 16]);
        let stamp = Stamp { attribute: DESCRIPTOR, version: 2, when: Timestamp(5_000), invocation: [7; 16] };
        assert_eq!(stamps(&bytes), Some(vec![stamp]));
        bytes.pop();
        assert_eq!(stamps(&bytes), None, "cut");
        assert_eq!(stamps(&head(2, 0)), None, "of another form");
        assert_eq!(stamps(&head(1, u32::MAX)), None, "more than there is");
    }

    #[test]
    fn cursors_read_with_and_without_times() {
        let mut bytes = head(2, 1);
        bytes.extend([9; 16]);
        bytes.extend(77u64.to_le_bytes());
        bytes.extend(((EPOCH_S + 3) * 10_000_000).to_le_bytes());
        let cursor = Cursor { invocation: [9; 16], usn: 77, when: Some(Timestamp(3_000)) };
        assert_eq!(cursors(&bytes), Some(vec![cursor]));
        let mut bytes = head(1, 1);
        bytes.extend([9; 16]);
        bytes.extend(77u64.to_le_bytes());
        assert_eq!(cursors(&bytes), Some(vec![Cursor { when: None, ..cursor }]));
        assert_eq!(cursors(&head(3, 0)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (stamps(&bytes), cursors(&bytes));
        }

        #[test]
        fn as_many_are_read_as_were_written(count in 0u32..40, rest in any::<u8>()) {
            let mut bytes = head(1, count);
            bytes.extend(std::iter::repeat_n(rest, 48 * count as usize));
            prop_assert_eq!(stamps(&bytes).map(|stamps| stamps.len()), Some(count as usize));
        }
    }
}
