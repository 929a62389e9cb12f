//! Whose a key's object is: its maker's, unless an administrator took it to let himself in.

use std::collections::{BTreeMap, BTreeSet};

use dkm::repository::RepositoryError;
use dkm_core::Room;

use super::AdReplica;
use super::records::owners;
use super::rooms::Rooms;
use crate::ldap::{Found, NO_SUCH_OBJECT, Search};
use crate::security::{Sid, Trustees};

/// What accounts are members of, by SID, as this connection learned it; none for an account that is gone or whose
/// memberships this one may not read.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<Sid, Option<BTreeSet<Sid>>>);

impl AdReplica {
    /// Those owners of keys who are no creators but administrators. They can have become owners only by taking the object,
    /// after which they can open its DACL, read the key, and close it again.
    pub(crate) fn taken(
        &mut self,
        room: Room,
        found: &[Found],
        rooms: &Rooms,
    ) -> Result<BTreeSet<Sid>, RepositoryError> {
        let (Room::Keys, Some(trustees)) = (room, &rooms.trustees) else { return Ok(BTreeSet::new()) };
        let mut taken = BTreeSet::new();
        for owner in owners(found) {
            // The usual case costs nothing.
            if trustees.creators.contains(&owner) {
                continue;
            }
            if is_administrator(trustees, &owner) {
                taken.insert(owner);
            } else if let Some(token) = self.token_of(owner)?
                && !trustees.creators.iter().any(|creator| token.contains(creator))
                && token.iter().any(|sid| is_administrator(trustees, sid))
            {
                taken.insert(owner);
            }
        }
        Ok(taken)
    }

    /// What an account is a member of, by any nesting.
    pub(crate) fn token_of(&mut self, account: Sid) -> Result<Option<&BTreeSet<Sid>>, RepositoryError> {
        if !self.owners.0.contains_key(&account) {
            let search = Search::base(format!("<SID={account}>"), vec!["tokenGroups"]);
            let token = match self.connection.search(&search) {
                Ok(found) => {
                    let sids = |found: &Found| {
                        found.values("tokenGroups").filter_map(|sid| Sid::parse(sid).ok()).collect()
                    };
                    found.first().map(sids).filter(|sids: &BTreeSet<Sid>| !sids.is_empty())
                }
                Err(error) if error.code() == Some(NO_SUCH_OBJECT) => None,
                Err(error) => return Err(self.error("who owns a key")(error)),
            };
            self.owners.0.insert(account, token);
        }
        Ok(self.owners.0.get(&account).and_then(Option::as_ref))
    }
}

fn is_administrator(trustees: &Trustees, sid: &Sid) -> bool {
    [Sid::SYSTEM, Sid::BUILTIN_ADMINISTRATORS].contains(sid) || trustees.administrators.contains(sid)
}
