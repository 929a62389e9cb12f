//! Accounts and groups of the domain, by the names that people use.

use crate::ldap::{Connection, LdapError, Scope, Search, Values, any_of, equal};
use crate::security::Sid;

/// A security group whose members may come from anywhere in the forest: `GROUP_TYPE_RESOURCE_GROUP |
/// GROUP_TYPE_SECURITY_ENABLED`, MS-ADTS §2.2.12.
const DOMAIN_LOCAL_SECURITY_GROUP: &[u8] = b"-2147483644";

/// An account or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) dn: String,
    pub(crate) sid: Sid,
    /// Its short name, where this account may read it.
    pub(crate) name: Option<String>,
    /// Whether it is a group.
    pub(crate) is_group: bool,
}

/// Finds an account or a group by SID, distinguished name, `DOMAIN\name`, `name@domain` or name. The inner result says
/// why nobody, or not one alone, is meant.
///
/// # Errors
/// The domain controller fails.
pub(crate) fn find(
    connection: &mut Connection,
    domain_dn: &str,
    name: &str,
) -> Result<Result<Account, String>, LdapError> {
    let attributes = vec!["objectSid", "sAMAccountName", "objectClass"];
    let mut search = Search {
        base: domain_dn.to_owned(),
        scope: Scope::Subtree,
        filter: any_of(vec![equal("sAMAccountName", name), equal("userPrincipalName", name)]),
        attributes,
        paged: false,
    };
    if let Ok(sid) = name.parse::<Sid>() {
        search.filter = equal("objectSid", sid.to_bytes());
    } else if name.contains('=') {
        search.base = name.to_owned();
        search.scope = Scope::Base;
        search.filter = crate::ldap::present("objectSid");
    } else if let Some((_, short)) = name.split_once('\\') {
        search.filter = equal("sAMAccountName", short);
    }
    let found = match connection.search(&search) {
        Err(error) if error.code() == Some(crate::ldap::NO_SUCH_OBJECT) => Vec::new(),
        other => other?,
    };
    Ok(match found.as_slice() {
        [one] => one
            .bytes("objectSid")
            .and_then(|bytes| Sid::parse(bytes).ok())
            .map(|sid| Account {
                dn: one.dn.clone(),
                sid,
                name: one.text("sAMAccountName").map(str::to_owned),
                is_group: one.values("objectClass").any(|class| class.eq_ignore_ascii_case(b"group")),
            })
            .ok_or_else(|| format!("{name:?} has no SID that this account may read")),
        [] => Err(format!(
            "{name:?} is no account or group of the domain: give a name, DOMAIN\\name, a distinguished name or a SID"
        )),
        _ => Err(format!("{name:?} is ambiguous: give a distinguished name or a SID")),
    })
}

/// The values of a new security group, without its descriptor.
pub(crate) fn new_group(name: &str, display_name: &str) -> Vec<Values<'static>> {
    vec![
        ("objectClass", vec![b"group".to_vec()]),
        ("sAMAccountName", vec![name.as_bytes().to_vec()]),
        ("displayName", vec![display_name.as_bytes().to_vec()]),
        ("groupType", vec![DOMAIN_LOCAL_SECURITY_GROUP.to_vec()]),
    ]
}
