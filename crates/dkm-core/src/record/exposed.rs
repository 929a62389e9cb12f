//! The exposed record: an interval in which a person could read the group's keys.

use minicbor::{Decode, Encode};

use super::check_text;

/// Written before a person's credentials are issued; every key readable in the interval is rolled away from after it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExposedRecord {
    /// Start, in milliseconds since the epoch.
    #[n(0)]
    pub from_ms: u64,
    /// End: when the access has ended at the latest.
    #[n(1)]
    pub until_ms: u64,
    /// The person.
    #[n(2)]
    pub who: String,
    /// The grant under which it happened.
    #[n(3)]
    pub grant: String,
}

impl ExposedRecord {
    pub(super) fn check(&self) -> Result<(), String> {
        check_text("person", &self.who, 256)?;
        check_text("grant", &self.grant, 256)?;
        if self.from_ms < self.until_ms {
            Ok(())
        } else {
            Err("the interval ends before it begins".to_owned())
        }
    }
}
