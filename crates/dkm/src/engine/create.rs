//! Making a group.

use dkm_core::Room;
use dkm_core::policy::Wrap;
use dkm_core::record::{GroupRecord, PolicyRecord, Record};

use super::lifecycle::refused;
use super::policy::leaves_out;
use super::{Engine, Made, Need};
use crate::Result;
use crate::blocking::NewGroup;
use crate::journal::EventKind;

impl Engine {
    /// Makes the group's rooms and first records; announces it when its first key is usable.
    pub(crate) fn create(&self, new: NewGroup, fill: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.check_first_policy(&new.policy)?;
        self.record(EventKind::GroupCreated, None, None, |event| event.detail = Some(new.name.clone()))?;
        if new.policy.wrap == Wrap::RootKey {
            self.parts.roots.create(self.group, &new.access)?;
        }
        let (repository, author) = self.on_any_replica(|replica| {
            replica.create_group(self.group, &new.access)?;
            Ok((replica.repository(), replica.author(self.group, Room::Keys)?))
        })?;
        if let Some(author) = author.filter(|author| leaves_out(new.policy.creators.as_ref(), author)) {
            return Err(refused(
                "making the group",
                format!(
                    "creators would not name {author}, as whom you make its first key: it would count for nothing"
                ),
                "name it, and leave it out once another creator has made a key",
            ));
        }
        let created_at_ms = self.parts.clock.now().0;
        let group = Record::Group(GroupRecord {
            name: new.name,
            created_at_ms,
            repository,
            roster_genesis: None,
            description: new.description,
        });
        let policy = Record::Policy(PolicyRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms,
            policy: new.policy,
        });
        for record in [group, policy] {
            self.put(&record, &record.slot(self.group, 0))?;
        }
        self.refresh(Need::Fresh)?;
        // Whoever makes a group that he does not read leaves its first key to those who do: he is not to know it.
        if self.state().member.rights().read {
            let made = self.make_key(None, self.parts.clock.now(), "first")?;
            if let Made::Created(key) = made {
                self.await_usable(key.key, "making the group")?;
            }
        }
        fill(self)?;
        self.on_any_replica(|replica| Ok(replica.announce_group(self.group)?))
    }
}
