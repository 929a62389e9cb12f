//! Refusals of single accounts on a group's room of keys: what ends reading at once, on open connections too.

use super::ElevationError;
use super::session::{Group, Session};
use crate::ldap::{Search, sd_flags_dacl};
use crate::security::{Ace, AclSlot, Entry, SecurityDescriptor, Sid, template};

/// How often the DACL is read and written before whoever else writes it has won.
const TRIES_MAX: usize = 5;

/// What is refused: seeing the room, and so everything in it.
fn refusal(sid: Sid) -> Entry {
    Entry::deny(template::READ_ROOM, sid)
}

fn is_of(ace: &Ace, sids: &[Sid]) -> bool {
    ace.entry().is_some_and(|entry| sids.iter().any(|sid| *entry == refusal(*sid)))
}

impl Session {
    fn room_of_keys(&mut self, group: &Group) -> Result<SecurityDescriptor, ElevationError> {
        let search = Search::base(group.keys.as_str(), vec!["nTSecurityDescriptor"]);
        let found = self.replica.connection.find(&search).map_err(self.error(&group.keys))?;
        found
            .as_ref()
            .and_then(|found| found.bytes("nTSecurityDescriptor"))
            .and_then(|bytes| SecurityDescriptor::parse(bytes).ok())
            .ok_or_else(|| ElevationError::denied(format!("reading the descriptor of {}", group.keys)))
    }

    /// Which accounts are refused on the room.
    pub(super) fn refused(&mut self, group: &Group) -> Result<Vec<Sid>, ElevationError> {
        let descriptor = self.room_of_keys(group)?;
        let entries = descriptor.dacl.acl().map_or(&[][..], |acl| &acl.entries).iter();
        Ok(entries
            .filter_map(Ace::entry)
            .filter(|entry| **entry == refusal(entry.trustee))
            .map(|entry| entry.trustee)
            .collect())
    }

    /// Refuses accounts on the room, whatever stands there.
    pub(super) fn refuse(&mut self, group: &Group, sids: &[Sid]) -> Result<(), ElevationError> {
        self.rewrite(group, |entries| {
            let missing: Vec<Ace> = sids
                .iter()
                .map(|sid| Ace::Entry(refusal(*sid)))
                // Behind a grant it might decide nothing, so only one that stands among the first refusals counts.
                .filter(|wanted| !entries.iter().take_while(|ace| is_refusal(ace)).any(|ace| ace == wanted))
                .collect();
            let changes = !missing.is_empty();
            drop(entries.splice(0..0, missing));
            changes
        })
    }

    /// Takes refusals of accounts away.
    pub(super) fn admit(&mut self, group: &Group, sids: &[Sid]) -> Result<(), ElevationError> {
        self.rewrite(group, |entries| {
            let before = entries.len();
            entries.retain(|ace| !is_of(ace, sids));
            entries.len() != before
        })
    }

    /// Changes the room's DACL until it reads back as changed: another elevator may write it at the same time.
    fn rewrite(
        &mut self,
        group: &Group,
        change: impl Fn(&mut Vec<Ace>) -> bool,
    ) -> Result<(), ElevationError> {
        for _ in 0..TRIES_MAX {
            let mut descriptor = self.room_of_keys(group)?;
            let AclSlot::Present(dacl) = &mut descriptor.dacl else {
                return Err(ElevationError::Other(format!(
                    "{} has no DACL, so everybody may do everything there: dkm group repair-access",
                    group.keys
                )));
            };
            if !change(&mut dacl.entries) {
                return Ok(());
            }
            let bytes = descriptor.to_bytes().map_err(|error| {
                ElevationError::Other(format!("the descriptor of {}: {error}", group.keys))
            })?;
            let value = ("nTSecurityDescriptor", vec![bytes]);
            let written = self.replica.connection.replace(&group.keys, value, vec![sd_flags_dacl()]);
            written.map_err(self.error(&format!("the DACL of {}", group.keys)))?;
        }
        Err(ElevationError::Other(format!(
            "the DACL of {} does not read back as it was written: somebody else writes it; try again",
            group.keys
        )))
    }
}

fn is_refusal(ace: &Ace) -> bool {
    ace.entry().is_some_and(|entry| entry.kind == crate::security::AceKind::Deny)
}
