//! The object that travels: a container in the repository's container, which its maker deletes again.

use std::time::Duration;

use dkm_core::Timestamp;

use super::dc::Dc;
use super::report::{Area, Draft, ms};
use crate::ldap::{Connection, LdapError, Scope, Search, all_of, equal};
use crate::security::{AccessMask, Acl, AclSlot, Control, Domain, Entry, SecurityDescriptor, Sid, sid};

/// What a probe carries in `displayName`.
const MARK: &str = "dkm probe";
/// What its `description` begins with; then comes the time after which nobody waits for it.
const UNTIL: &str = "until ";
/// How long after a measurement's end its probe counts as left over: longer than a request that hangs.
const MARGIN: Duration = Duration::from_secs(300);

/// How many leftovers are named; the others are counted.
const NAMED_MAX: usize = 5;

/// A probe that was made.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) dn: String,
}

/// Its maker may delete it, which nobody but a domain administrator may otherwise: whoever may make containers here can
/// clean up, without a right to delete in the container.
fn descriptor(domain: &Domain, maker: Sid) -> SecurityDescriptor {
    let see = AccessMask::READ_PROPERTY | AccessMask::LIST_OBJECT | AccessMask::READ_CONTROL;
    let see_and_delete = see | AccessMask::DELETE;
    let administrators = domain.account(sid::rid::DOMAIN_ADMINS);
    let mut entries = vec![
        Entry::allow(AccessMask::GENERIC_ALL, Sid::SYSTEM),
        Entry::allow(see_and_delete, maker),
        Entry::allow(AccessMask::READ_CONTROL, Sid::OWNER_RIGHTS),
    ];
    entries.extend(administrators.map(|administrators| Entry::allow(see_and_delete, administrators)));
    SecurityDescriptor {
        control: Control::DACL_PROTECTED | Control::DACL_AUTO_INHERITED,
        owner: Some(maker),
        group: administrators,
        dacl: AclSlot::Present(Acl::new(entries)),
        ..SecurityDescriptor::default()
    }
}

impl Probe {
    /// A probe with a name that nothing else has.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn new(container: &str) -> Result<Self, String> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|error| format!("the system gives no randomness: {error}"))?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { dn: format!("CN=probe-{name},{container}") })
    }

    /// Makes it.
    ///
    /// # Errors
    /// The domain controller refuses or fails.
    pub(super) fn make(&self, dc: &mut Dc, timeout: Duration) -> Result<(), LdapError> {
        let odd = |error: String| LdapError::Protocol(error);
        let descriptor = descriptor(&dc.domain, dc.account)
            .to_bytes()
            .map_err(|error| odd(format!("a probe's descriptor can't be written: {error}")))?;
        // By the domain controller's clock: by it, too, a later run decides that nobody waits any more.
        let now = dc.clock.ok_or_else(|| odd("it does not tell the time".to_owned()))?;
        let until = super::text::at(now.plus(ms(timeout.saturating_add(MARGIN))));
        dc.connection.add(
            &self.dn,
            vec![
                ("objectClass", vec![b"container".to_vec()]),
                ("displayName", vec![MARK.as_bytes().to_vec()]),
                ("description", vec![format!("{UNTIL}{until}").into_bytes()]),
                ("showInAdvancedViewOnly", vec![b"TRUE".to_vec()]),
                ("nTSecurityDescriptor", vec![descriptor]),
            ],
        )
    }

    /// What asks whether it is there.
    pub(super) fn search(&self) -> Search {
        Search::base(self.dn.as_str(), vec!["displayName"])
    }

    /// Takes it away; whether it was still there.
    ///
    /// # Errors
    /// The domain controller refuses or fails.
    pub(super) fn delete(&self, connection: &mut Connection) -> Result<bool, LdapError> {
        match connection.delete(&self.dn) {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(crate::ldap::NO_SUCH_OBJECT) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// When a probe's time was over, by what it says.
fn until(description: &str) -> Option<Timestamp> {
    let until: jiff::Timestamp = description.strip_prefix(UNTIL)?.parse().ok()?;
    u64::try_from(until.as_millisecond()).ok().map(Timestamp)
}

/// Deletes what earlier runs of this account left behind. An object counts as that only if this account owns it, it is
/// called a probe in both its names, its time is over by the domain controller's clock, and nothing is in it: deletion
/// is never of a tree.
pub(super) fn clear_away(dc: &mut Dc, container: &str, draft: &mut Draft) {
    let search = Search {
        base: container.to_owned(),
        scope: Scope::Children,
        filter: all_of(vec![equal("objectClass", "container"), equal("displayName", MARK)]),
        attributes: vec!["description", "nTSecurityDescriptor"],
        paged: true,
    };
    let found = match dc.search(&search) {
        Ok(found) => found,
        Err(why) => {
            draft.not_checked(Area::Convergence, "probes that an earlier run left", why, "run it again");
            return;
        }
    };
    let (mut cleared, mut left) = (0usize, Vec::new());
    for object in &found {
        let over =
            object.text("description").and_then(until).zip(dc.clock).is_some_and(|(end, now)| end < now);
        if !over || !object.dn.to_ascii_lowercase().starts_with("cn=probe-") {
            continue;
        }
        let owner = object
            .bytes("nTSecurityDescriptor")
            .and_then(|bytes| SecurityDescriptor::parse(bytes).ok())
            .and_then(|descriptor| descriptor.owner);
        if owner != Some(dc.account) {
            let owner = owner.map_or_else(|| "somebody".to_owned(), |sid| sid.to_string());
            left.push(format!("{} of {owner}", super::text::plain(&object.dn)));
            continue;
        }
        match (Probe { dn: object.dn.clone() }).delete(&mut dc.connection) {
            Ok(_) => cleared += 1,
            Err(error) => left.push(format!("{}: {error}", super::text::plain(&object.dn))),
        }
    }
    if cleared > 0 {
        let what =
            format!("probes of earlier runs of this account that were deleted on {}: {cleared}", dc.host);
        draft.note(Area::Convergence, what, "nothing: a run that was killed leaves its probes");
    }
    let more = left.len().saturating_sub(NAMED_MAX);
    left.truncate(NAMED_MAX);
    if more > 0 {
        left.push(format!("and {more} more"));
    }
    if !left.is_empty() {
        let what = format!("probes of earlier runs are still there: {}", left.join("; "));
        draft.note(
            Area::Convergence,
            what,
            "they are empty and harm nothing; the account that made them, or a domain administrator, deletes them",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_deleted_by_its_maker_and_seen_by_nobody_else() {
        let domain = Domain::single("S-1-5-21-1-2-3".parse().unwrap());
        let maker = "S-1-5-21-1-2-3-1100".parse().unwrap();
        let text = descriptor(&domain, maker).to_sddl(Some(&domain)).unwrap();
        assert_eq!(
            text,
            "O:S-1-5-21-1-2-3-1100G:DAD:PAI(A;;GA;;;SY)(A;;RPLOSDRC;;;S-1-5-21-1-2-3-1100)(A;;RC;;;OW)(A;;RPLOSDRC;;;DA)"
        );
    }

    #[test]
    fn names_are_unlike() {
        let (one, other) = (Probe::new("DC=x").unwrap(), Probe::new("DC=x").unwrap());
        assert_ne!(one.dn, other.dn);
        assert!(one.dn.starts_with("CN=probe-") && one.dn.ends_with(",DC=x"));
    }

    #[test]
    fn only_a_time_is_an_end() {
        assert_eq!(until("until 1970-01-01T00:00:05Z"), Some(Timestamp(5_000)));
        for odd in ["", "until", "until tomorrow", "1970-01-01T00:00:05Z", "until 1960-01-01T00:00:05Z"] {
            assert_eq!(until(odd), None, "{odd}");
        }
    }
}
