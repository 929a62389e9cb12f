//! What the schema makes of the attributes and of the class that DKM uses.

use dkm_core::record::RECORD_LEN_MAX;

use super::dc::Dc;
use super::report::{Area, Draft};
use crate::ldap::{Found, Scope, Search, any_of, equal};
use crate::replica::records::{BYTES, PUBLIC};

/// The class of records.
const CONTACT: &str = "contact";

/// Bits of `searchFlags`, MS-ADTS §2.2.10.
mod flag {
    pub(super) const INDEXED: u32 = 0x1;
    pub(super) const PRESERVED: u32 = 0x8;
    pub(super) const CONFIDENTIAL: u32 = 0x80;
    pub(super) const NOT_ON_READ_ONLY: u32 = 0x200;
}

/// The attributes, what DKM keeps in each, and how long that may be.
const ATTRIBUTES: [(&str, &str, u64); 5] = [
    (BYTES, "records, keys among them", RECORD_LEN_MAX as u64),
    ("l", "ids of keys", 32),
    (PUBLIC, "what owners see of keys", 512),
    ("displayName", "names of slots and rooms", 128),
    ("description", "who has access", 256),
];

/// What other checks need to know.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    /// Whether read-only domain controllers hold no copy of key bytes.
    pub(super) kept_from_read_only: bool,
}

/// Reads the schema.
pub(super) fn look(dc: &mut Dc, draft: &mut Draft) -> Facts {
    let names = ATTRIBUTES.iter().map(|(name, ..)| equal("lDAPDisplayName", name));
    let classes = [CONTACT, "organizationalPerson", "person"];
    let search = Search {
        base: dc.schema.clone(),
        scope: Scope::Children,
        filter: any_of(names.chain(classes.map(|name| equal("lDAPDisplayName", name))).collect()),
        attributes: vec![
            "lDAPDisplayName",
            "isMemberOfPartialAttributeSet",
            "searchFlags",
            "rangeUpper",
            "isDefunct",
            "possSuperiors",
            "systemPossSuperiors",
            "defaultSecurityDescriptor",
        ],
        paged: true,
    };
    let found = match dc.search(&search) {
        Ok(found) => found,
        Err(why) => {
            draft.not_checked(Area::Schema, "the schema", why, "run it again");
            return Facts::default();
        }
    };
    let one = |name: &str| found.iter().find(|object| object.text("lDAPDisplayName") == Some(name));
    let mut facts = Facts::default();
    for (name, holds, len) in ATTRIBUTES {
        let Some(object) = one(name) else {
            let why = "it is not in the schema, or this account may not read it";
            draft.not_checked(Area::Schema, &format!("attribute {name}"), why, "run it as another account");
            continue;
        };
        let attribute = Attribute::of(object);
        if name == BYTES {
            facts.kept_from_read_only = attribute.has(flag::NOT_ON_READ_ONLY);
            bytes(&attribute, draft);
        } else {
            other(name, holds, &attribute, draft);
        }
        if attribute.range.is_some_and(|range| range < len) || attribute.defunct {
            let what =
                format!("{name} takes {} characters, and DKM needs {len}", attribute.range.unwrap_or(0));
            draft.wrong(Area::Schema, what, "somebody has changed the schema: put the attribute back");
        }
    }
    class(&classes.map(one), draft);
    heuristics(dc, draft);
    facts
}

/// An attribute of the schema.
#[derive(Debug)]
struct Attribute {
    in_global_catalogue: bool,
    flags: u32,
    range: Option<u64>,
    defunct: bool,
}

impl Attribute {
    fn of(object: &Found) -> Self {
        let is = |name: &str| object.text(name).is_some_and(|text| text.eq_ignore_ascii_case("TRUE"));
        Self {
            in_global_catalogue: is("isMemberOfPartialAttributeSet"),
            // A signed number with all 32 bits.
            flags: object
                .text("searchFlags")
                .and_then(|text| text.parse::<i64>().ok())
                .and_then(|flags| u32::try_from(flags & i64::from(u32::MAX)).ok())
                .unwrap_or_default(),
            range: object.text("rangeUpper").and_then(|text| text.parse().ok()),
            defunct: is("isDefunct"),
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The attribute that holds keys.
fn bytes(attribute: &Attribute, draft: &mut Draft) {
    if attribute.in_global_catalogue {
        draft.wrong(
            Area::Schema,
            format!("{BYTES}, which holds keys, is copied into every global catalogue of the forest"),
            "a schema administrator sets isMemberOfPartialAttributeSet of CN=Picture to FALSE; until then use \
             wrap=root-key; then roll the keys",
        );
    } else {
        draft.good(Area::Schema, format!("{BYTES}, which holds keys, is in no global catalogue"));
    }
    if attribute.has(flag::CONFIDENTIAL) {
        let what = format!(
            "{BYTES} is confidential: members of the readers group do not read keys by their entries"
        );
        draft.wrong(Area::Schema, what, "a schema administrator takes bit 0x80 out of its searchFlags");
    }
    if attribute.has(flag::PRESERVED) {
        let what = format!("{BYTES} is kept on deletion: a destroyed key's bytes stay in its tombstone");
        draft.wrong(Area::Schema, what, "a schema administrator takes bit 0x8 out of its searchFlags");
    }
    if attribute.has(flag::INDEXED) {
        let what =
            format!("{BYTES} is indexed: values lie a second time in the domain controllers' databases");
        draft.warning(Area::Schema, what, "a schema administrator takes bit 0x1 out of its searchFlags");
    }
    if attribute.has(flag::NOT_ON_READ_ONLY) {
        draft.good(Area::Schema, format!("{BYTES} is kept from read-only domain controllers"));
    } else {
        draft.note(
            Area::Schema,
            format!("{BYTES} goes to read-only domain controllers with all else"),
            "bit 0x200 of its searchFlags would keep it from them",
        );
    }
}

/// The attributes that hold no key.
fn other(name: &str, holds: &str, attribute: &Attribute, draft: &mut Draft) {
    if attribute.has(flag::CONFIDENTIAL) {
        let what = format!("{name} ({holds}) is confidential: clients may not read it");
        draft.wrong(Area::Schema, what, "a schema administrator takes bit 0x80 out of its searchFlags");
        return;
    }
    if attribute.in_global_catalogue {
        let what = format!("{name} ({holds}) is in the global catalogue, for those who may read the object");
        draft.note(Area::Schema, what, "nothing: it is so by default, and holds no key");
    } else {
        draft.good(Area::Schema, format!("{name} ({holds}) is in no global catalogue"));
    }
}

/// The class of records, and those that it inherits from.
fn class(classes: &[Option<&Found>], draft: &mut Draft) {
    let Some(contact) = classes.first().copied().flatten() else {
        let why = "it is not in the schema, or this account may not read it";
        draft.not_checked(Area::Schema, "class contact", why, "run it as another account");
        return;
    };
    let mut superiors = classes
        .iter()
        .flatten()
        .flat_map(|class| class.values("possSuperiors").chain(class.values("systemPossSuperiors")));
    if superiors.any(|superior| superior.eq_ignore_ascii_case(b"container")) {
        draft.good(Area::Schema, "class contact may be made in containers");
    } else {
        let what = "class contact may not be made in containers: no record can be added";
        draft.wrong(Area::Schema, what, "somebody has changed the schema: put its possible superiors back");
    }
    match contact.text("defaultSecurityDescriptor") {
        Some(sddl) if sddl.contains(";;;AU)") || sddl.contains(";;;WD)") => draft.note(
            Area::Schema,
            "an object of class contact without a descriptor of its own would be readable by all who signed in",
            "nothing: DKM gives each object its own; whoever makes records by hand must, too",
        ),
        Some(_) => draft.good(Area::Schema, "the default descriptor of class contact lets not everybody read"),
        None => draft.not_checked(
            Area::Schema,
            "the default descriptor of class contact",
            "this account may not read it",
            "run it as another account",
        ),
    }
}

/// `dSHeuristics`, a string in which each place is a switch: MS-ADTS §6.1.1.2.4.1.2.
fn heuristics(dc: &mut Dc, draft: &mut Draft) {
    let found = dc.object(services(dc), vec!["dSHeuristics"]);
    let found = match found {
        Ok(Some(found)) => found,
        Ok(None) => {
            let why = "this account does not see CN=Directory Service";
            draft.not_checked(Area::Schema, "dSHeuristics", why, "run it as another account");
            return;
        }
        Err(why) => {
            draft.not_checked(Area::Schema, "dSHeuristics", why, "run it again");
            return;
        }
    };
    let set = found.text("dSHeuristics").unwrap_or_default();
    let at = |place: usize| set.as_bytes().get(place - 1).copied().unwrap_or(b'0');
    if at(7) == b'2' {
        let what = "dSHeuristics lets those search who have not signed in (7th place: 2)";
        draft.warning(Area::Schema, what, "set the 7th place to 0; DKM's own objects show them nothing");
    } else {
        draft.good(Area::Schema, "who has not signed in may not search");
    }
    if at(3) == b'1' {
        draft.note(
            Area::Schema,
            "list-object mode is on (dSHeuristics, 3rd place)",
            "nothing: descriptors of rooms give LIST_OBJECT with LIST_CONTENTS",
        );
    }
}

/// The object with the directory's own settings.
pub(super) fn services(dc: &Dc) -> String {
    format!("CN=Directory Service,CN=Windows NT,CN=Services,{}", dc.configuration)
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    fn verdicts(in_global_catalogue: bool, flags: u32) -> Vec<Verdict> {
        let mut draft = Draft::default();
        bytes(&Attribute { in_global_catalogue, flags, range: None, defunct: false }, &mut draft);
        draft.checks.iter().map(|check| check.verdict).collect()
    }

    #[test]
    fn key_bytes_belong_into_no_catalogue_and_no_tombstone() {
        assert_eq!(verdicts(false, 0), [Verdict::Good, Verdict::Note]);
        assert_eq!(verdicts(true, 0)[0], Verdict::Wrong);
        assert_eq!(verdicts(false, flag::CONFIDENTIAL)[1], Verdict::Wrong);
        assert_eq!(verdicts(false, flag::PRESERVED)[1], Verdict::Wrong);
        assert_eq!(verdicts(false, flag::INDEXED)[1], Verdict::Warning);
        assert_eq!(verdicts(false, flag::NOT_ON_READ_ONLY), [Verdict::Good, Verdict::Good]);
    }
}
