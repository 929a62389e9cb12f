//! Principals whose meaning does not depend on who is in them: those above the access control, and those that are
//! nearly everybody.

use crate::security::{Domain, Sid, sid::rid};

/// RIDs of the domain (or its forest's root) whose holders always have control: they take ownership, replicate, or
/// administer domain controllers.
const ALWAYS_IN_CONTROL: [u32; 8] = [
    rid::ENTERPRISE_READ_ONLY_DOMAIN_CONTROLLERS,
    rid::ADMINISTRATOR,
    rid::KRBTGT,
    rid::DOMAIN_ADMINS,
    rid::DOMAIN_CONTROLLERS,
    rid::SCHEMA_ADMINS,
    rid::ENTERPRISE_ADMINS,
    rid::READ_ONLY_DOMAIN_CONTROLLERS,
];

/// Whether access control can't keep this principal from a key for good, whatever it says.
pub(super) fn is_below_acl(domain: &Domain, sid: &Sid) -> bool {
    let of_the_domain = ALWAYS_IN_CONTROL
        .iter()
        .any(|rid| domain.sid.child(*rid) == Some(*sid) || domain.forest_root.child(*rid) == Some(*sid));
    of_the_domain
        || [Sid::SYSTEM, Sid::BUILTIN_ADMINISTRATORS, Sid::ENTERPRISE_DOMAIN_CONTROLLERS].contains(sid)
}

/// What a principal is called that stands for whoever signs in, or for most of the domain; such a group is never looked
/// into. None for all others.
pub(super) fn crowd(domain: &Domain, sid: &Sid) -> Option<&'static str> {
    let of_the_domain = [
        (rid::DOMAIN_USERS, "Domain Users"),
        (rid::DOMAIN_GUESTS, "Domain Guests"),
        (rid::DOMAIN_COMPUTERS, "Domain Computers"),
    ];
    let everywhere = [
        (Sid::EVERYONE, "Everyone"),
        (Sid::AUTHENTICATED_USERS, "Authenticated Users"),
        (Sid::ANONYMOUS, "Anonymous Logon"),
        (Sid::NETWORK, "Network"),
        (Sid::INTERACTIVE, "Interactive"),
        (Sid::SERVICE, "Service"),
        (Sid::builtin(545), "Users"),
        (Sid::builtin(546), "Guests"),
        (Sid::builtin(554), "Pre-Windows 2000 Compatible Access"),
    ];
    let found = everywhere.into_iter().find(|(known, _)| known == sid).map(|(_, name)| name);
    found.or_else(|| {
        of_the_domain.into_iter().find(|(rid, _)| domain.sid.child(*rid) == Some(*sid)).map(|(_, name)| name)
    })
}

/// The name of a principal that is no object of the domain.
pub(super) fn name(sid: &Sid) -> Option<&'static str> {
    let all = [
        (Sid::SYSTEM, "SYSTEM"),
        (Sid::BUILTIN_ADMINISTRATORS, "Administrators"),
        (Sid::ENTERPRISE_DOMAIN_CONTROLLERS, "Enterprise Domain Controllers"),
        (Sid::SELF, "Self"),
        (Sid::CREATOR_OWNER, "Creator Owner"),
        (Sid::OWNER_RIGHTS, "Owner Rights"),
    ];
    all.into_iter().find(|(known, _)| known == sid).map(|(_, name)| name)
}

/// Principals that are placeholders: an entry for one gives nobody else anything.
pub(super) fn is_placeholder(sid: &Sid) -> bool {
    [Sid::CREATOR_OWNER, Sid::CREATOR_GROUP, Sid::OWNER_RIGHTS].contains(sid)
}
