//! SDDL, the text form (MS-DTYP §2.5.1).
//!
//! Printing takes abbreviations where there are some, rights lowest bit first, flags in the order of their bits.
//! Parsing takes any order, each part once.

use super::sid::rid;
use super::text::Cursor;
use super::{
    AccessMask, Ace, AceFlags, AceKind, Acl, AclSlot, Control, Domain, Entry, Guid, SddlError,
    SecurityDescriptor, Sid, acl, descriptor, rights,
};

/// The abbreviations that mean the same everywhere (MS-DTYP §2.5.1.1). Of two for one SID the first is printed.
const EVERYWHERE: [(&str, Sid); 31] = [
    ("WD", Sid::EVERYONE),
    ("CO", Sid::CREATOR_OWNER),
    ("CG", Sid::CREATOR_GROUP),
    ("OW", Sid::OWNER_RIGHTS),
    ("NU", Sid::NETWORK),
    ("IU", Sid::INTERACTIVE),
    ("SU", Sid::SERVICE),
    ("AN", Sid::ANONYMOUS),
    ("ED", Sid::ENTERPRISE_DOMAIN_CONTROLLERS),
    ("PS", Sid::SELF),
    ("AU", Sid::AUTHENTICATED_USERS),
    ("RC", Sid::RESTRICTED),
    ("SY", Sid::SYSTEM),
    ("LS", Sid::LOCAL_SERVICE),
    ("NS", Sid::NETWORK_SERVICE),
    ("BA", Sid::BUILTIN_ADMINISTRATORS),
    ("BU", Sid::builtin(545)),
    ("BG", Sid::builtin(546)),
    ("PU", Sid::builtin(547)),
    ("AO", Sid::builtin(548)),
    ("SO", Sid::builtin(549)),
    ("PO", Sid::builtin(550)),
    ("BO", Sid::builtin(551)),
    ("RE", Sid::builtin(552)),
    ("RU", Sid::builtin(554)),
    ("RD", Sid::builtin(555)),
    ("NO", Sid::builtin(556)),
    ("MU", Sid::builtin(558)),
    ("LU", Sid::builtin(559)),
    ("IS", Sid::builtin(568)),
    ("CY", Sid::builtin(569)),
];

/// Those of the domain (MS-DTYP §2.5.1.1); `true`: of the forest root domain.
const OF_THE_DOMAIN: [(&str, u32, bool); 17] = [
    ("RO", rid::ENTERPRISE_READ_ONLY_DOMAIN_CONTROLLERS, true),
    ("LA", rid::ADMINISTRATOR, false),
    ("LG", rid::GUEST, false),
    ("DA", rid::DOMAIN_ADMINS, false),
    ("DU", rid::DOMAIN_USERS, false),
    ("DG", rid::DOMAIN_GUESTS, false),
    ("DC", rid::DOMAIN_COMPUTERS, false),
    ("DD", rid::DOMAIN_CONTROLLERS, false),
    ("CA", rid::CERT_PUBLISHERS, false),
    ("SA", rid::SCHEMA_ADMINS, true),
    ("EA", rid::ENTERPRISE_ADMINS, true),
    ("PA", rid::GROUP_POLICY_CREATOR_OWNERS, false),
    ("RS", rid::RAS_SERVERS, false),
    ("CN", rid::CLONEABLE_DOMAIN_CONTROLLERS, false),
    ("AP", rid::PROTECTED_USERS, false),
    ("KA", rid::KEY_ADMINS, false),
    ("EK", rid::ENTERPRISE_KEY_ADMINS, true),
];

/// The word for a list that is null (MS-DTYP §2.5.1.1).
const NULL_LIST: &str = "NO_ACCESS_CONTROL";

/// The flags of a list, with the bits in either list.
const LIST_FLAGS: [(&str, Control, Control); 3] = [
    ("P", Control::DACL_PROTECTED, Control::SACL_PROTECTED),
    ("AR", Control::DACL_AUTO_INHERIT_REQ, Control::SACL_AUTO_INHERIT_REQ),
    ("AI", Control::DACL_AUTO_INHERITED, Control::SACL_AUTO_INHERITED),
];

impl Sid {
    /// SDDL's word for this SID: an abbreviation, those of `domain` included, or `S-1-…`.
    #[must_use]
    pub fn to_sddl(&self, domain: Option<&Domain>) -> String {
        if let Some((word, _)) = EVERYWHERE.iter().find(|(_, sid)| sid == self) {
            return (*word).to_owned();
        }
        let relative = domain.and_then(|domain| {
            OF_THE_DOMAIN.iter().find(|(_, rid, root)| of(domain, *rid, *root).as_ref() == Some(self))
        });
        relative.map_or_else(|| self.to_string(), |(word, _, _)| (*word).to_owned())
    }
}

fn of(domain: &Domain, rid: u32, of_the_root: bool) -> Option<Sid> {
    if of_the_root { domain.forest_root.child(rid) } else { domain.sid.child(rid) }
}

impl Entry {
    /// The entry in SDDL, brackets included.
    ///
    /// # Errors
    /// A flag without letters, bytes after the trustee, or an object form without a GUID in a list that can't keep it.
    pub fn to_sddl(&self, domain: Option<&Domain>) -> Result<String, SddlError> {
        let kind = match (self.kind, self.is_object()) {
            (AceKind::Allow, false) => "A",
            (AceKind::Deny, false) => "D",
            (AceKind::Audit, false) => "AU",
            (AceKind::Allow, true) => "OA",
            (AceKind::Deny, true) => "OD",
            (AceKind::Audit, true) => "OU",
        };
        if !self.data.is_empty() {
            return Err(SddlError::NotExpressible { what: "bytes after an entry's trustee" });
        }
        if AceFlags::LETTERS.iter().fold(self.flags.0, |left, (_, flag)| left & !flag.0) != 0 {
            return Err(SddlError::NotExpressible { what: "an entry's flags" });
        }
        let flags: String = AceFlags::LETTERS
            .iter()
            .filter(|(_, flag)| self.flags.contains(*flag))
            .map(|(word, _)| *word)
            .collect();
        let guid = |guid: Option<Guid>| guid.map(|guid| guid.to_string()).unwrap_or_default();
        Ok(format!(
            "({kind};{flags};{};{};{};{})",
            self.mask,
            guid(self.object),
            guid(self.inherited_object),
            self.trustee.to_sddl(domain)
        ))
    }
}

impl SecurityDescriptor {
    /// The descriptor in SDDL, with the abbreviations of `domain` if one is given.
    ///
    /// Control flags that say nothing of access (defaulted parts, the resource manager) have no words and are left
    /// out, as is a list's revision.
    ///
    /// # Errors
    /// An entry that SDDL can't express: [`SddlError::NotExpressible`].
    pub fn to_sddl(&self, domain: Option<&Domain>) -> Result<String, SddlError> {
        let mut text = String::new();
        for (name, sid) in [("O:", self.owner), ("G:", self.group)] {
            if let Some(sid) = sid {
                text.push_str(name);
                text.push_str(&sid.to_sddl(domain));
            }
        }
        for (name, slot) in [("D:", &self.dacl), ("S:", &self.sacl)] {
            if *slot == AclSlot::Absent {
                continue;
            }
            text.push_str(name);
            for (word, in_dacl, in_sacl) in LIST_FLAGS {
                let flag = if name == "D:" { in_dacl } else { in_sacl };
                if self.control.contains(flag) {
                    text.push_str(word);
                }
            }
            match slot.acl() {
                None => text.push_str(NULL_LIST),
                Some(acl) => {
                    for ace in &acl.entries {
                        let entry = ace.entry().ok_or(SddlError::NotExpressible {
                            what: "an entry of an unknown or conditional kind",
                        })?;
                        text.push_str(&entry.to_sddl(domain)?);
                    }
                }
            }
        }
        Ok(text)
    }

    /// Reads SDDL; `domain` resolves abbreviations such as `DA`. Lists get the directory's revision,
    /// [`REVISION_DS`](acl::REVISION_DS).
    ///
    /// # Errors
    /// See [`SddlError`]. Rights of files, registry keys and integrity labels are not known here, nor are conditional
    /// entries.
    pub fn from_sddl(text: &str, domain: Option<&Domain>) -> Result<Self, SddlError> {
        if text.len() > descriptor::MAX_SDDL {
            return Err(SddlError::TooLong);
        }
        let mut cursor = Cursor::new(text);
        let mut descriptor = Self::default();
        while !cursor.rest().is_empty() {
            let part = cursor.rest().chars().next().unwrap_or_default();
            let twice = Err(SddlError::Twice { part });
            match part {
                _ if cursor.take("O:") => {
                    if descriptor.owner.replace(sid(&mut cursor, domain)?).is_some() {
                        return twice;
                    }
                }
                _ if cursor.take("G:") => {
                    if descriptor.group.replace(sid(&mut cursor, domain)?).is_some() {
                        return twice;
                    }
                }
                _ if cursor.take("D:") => {
                    if descriptor.dacl != AclSlot::Absent {
                        return twice;
                    }
                    descriptor.dacl = list(&mut cursor, domain, &mut descriptor.control, true)?;
                }
                _ if cursor.take("S:") => {
                    if descriptor.sacl != AclSlot::Absent {
                        return twice;
                    }
                    descriptor.sacl = list(&mut cursor, domain, &mut descriptor.control, false)?;
                }
                _ => return Err(cursor.expected("O:, G:, D: or S:")),
            }
        }
        Ok(descriptor)
    }
}

fn sid(cursor: &mut Cursor<'_>, domain: Option<&Domain>) -> Result<Sid, SddlError> {
    if cursor.rest().starts_with("S-") {
        return cursor.sid_number();
    }
    let word = cursor.rest().get(..2).ok_or_else(|| cursor.expected("a SID"))?;
    if let Some((_, sid)) = EVERYWHERE.iter().find(|(known, _)| *known == word) {
        cursor.take(word);
        return Ok(*sid);
    }
    let Some((_, rid, root)) = OF_THE_DOMAIN.iter().find(|(known, _, _)| *known == word) else {
        return Err(SddlError::Unknown { what: "SID", word: word.to_owned() });
    };
    let domain = domain.ok_or_else(|| SddlError::NeedsDomain { abbreviation: word.to_owned() })?;
    cursor.take(word);
    of(domain, *rid, *root).ok_or(SddlError::Number { at: cursor.at() })
}

fn list(
    cursor: &mut Cursor<'_>,
    domain: Option<&Domain>,
    control: &mut Control,
    is_dacl: bool,
) -> Result<AclSlot, SddlError> {
    loop {
        if cursor.take(NULL_LIST) {
            return Ok(AclSlot::Null);
        }
        let found = LIST_FLAGS.iter().find(|(word, _, _)| cursor.take(word));
        match found {
            Some((_, in_dacl, in_sacl)) => *control |= if is_dacl { *in_dacl } else { *in_sacl },
            None => break,
        }
    }
    let mut entries = Vec::new();
    while cursor.take("(") {
        entries.push(Ace::Entry(entry(cursor, domain)?));
    }
    Ok(AclSlot::Present(Acl { revision: acl::REVISION_DS, entries }))
}

/// What stands behind `(`, up to and with `)`.
fn entry(cursor: &mut Cursor<'_>, domain: Option<&Domain>) -> Result<Entry, SddlError> {
    let word = cursor.until(';', ";")?;
    let (kind, object_form) = match word {
        "A" => (AceKind::Allow, false),
        "D" => (AceKind::Deny, false),
        "AU" => (AceKind::Audit, false),
        "OA" => (AceKind::Allow, true),
        "OD" => (AceKind::Deny, true),
        "OU" => (AceKind::Audit, true),
        _ => return Err(SddlError::Unknown { what: "kind of entry", word: shortened(word) }),
    };
    cursor.expect(";")?;
    let flags = flags(cursor.until(';', ";")?)?;
    cursor.expect(";")?;
    let mask = mask(cursor.until(';', ";")?)?;
    cursor.expect(";")?;
    let object = guid(cursor, object_form)?;
    cursor.expect(";")?;
    let inherited_object = guid(cursor, object_form)?;
    cursor.expect(";")?;
    let trustee = sid(cursor, domain)?;
    cursor.expect(")")?;
    Ok(Entry { kind, object_form, flags, mask, object, inherited_object, trustee, data: Vec::new() })
}

fn flags(text: &str) -> Result<AceFlags, SddlError> {
    let mut cursor = Cursor::new(text);
    let mut flags = AceFlags::NONE;
    while !cursor.rest().is_empty() {
        let Some((_, flag)) = AceFlags::LETTERS.iter().find(|(word, _)| cursor.take(word)) else {
            return Err(SddlError::Unknown { what: "entry flag", word: shortened(cursor.rest()) });
        };
        flags = flags | *flag;
    }
    Ok(flags)
}

fn mask(text: &str) -> Result<AccessMask, SddlError> {
    let unknown = |word: &str| SddlError::Unknown { what: "right", word: shortened(word) };
    if let Some(digits) = text.strip_prefix("0x") {
        if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(unknown(text));
        }
        return u32::from_str_radix(digits, 16).map(AccessMask).map_err(|_| unknown(text));
    }
    let mut cursor = Cursor::new(text);
    let mut mask = AccessMask::NONE;
    while !cursor.rest().is_empty() {
        let Some((_, right)) = rights::LETTERS.iter().find(|(word, _)| cursor.take(word)) else {
            return Err(unknown(cursor.rest()));
        };
        mask |= *right;
    }
    Ok(mask)
}

fn guid(cursor: &mut Cursor<'_>, allowed: bool) -> Result<Option<Guid>, SddlError> {
    let at = cursor.at();
    let text = cursor.until(';', ";")?;
    match text {
        "" => Ok(None),
        _ if !allowed => {
            Err(SddlError::Expected { expected: "no GUID in an entry for the whole object", at })
        }
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| SddlError::Expected { expected: "a GUID of 36 characters", at }),
    }
}

/// The beginning of a word that a message repeats.
fn shortened(word: &str) -> String {
    word.chars().take(16).collect()
}

#[cfg(test)]
mod tests;
