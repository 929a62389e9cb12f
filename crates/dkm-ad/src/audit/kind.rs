//! The kinds of paths that an audit searches, and those that it doesn't.

use std::fmt;

use serde::{Serialize, Serializer};

/// A kind of path from an account to a group's keys.
///
/// | kind | the path |
/// |---|---|
/// | A | is an effective member of the readers group: by nesting, `primaryGroupID`, `sIDHistory`, or from another domain |
/// | B | reads key objects by their DACL without being a member of the readers group |
/// | C | owns an object of the group, or may take it over, and so writes its DACL |
/// | D | writes the DACL of an object of the group; any member of the recovery group |
/// | E | writes the members of the readers group or of a group in it, or controls, deletes or moves such a group |
/// | F | resets a member's password, writes its `userAccountControl`, or controls the account's object |
/// | G | writes a member's key credentials, service principal names, certificate mapping or delegation |
/// | H | reads the managed password of a member that is a group managed service account, or may let itself |
/// | I | replicates the domain (DirSync, DCSync), or may give itself that right on the domain's head |
/// | J | keeps or administers a copy of the directory on a read-only domain controller |
/// | K | creates or owns keys without being named for it, has other rights than the template gives, or may act as any user by delegation |
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table above, and `PathKind::what`, say what each is")]
pub enum PathKind {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
}

impl PathKind {
    /// All kinds.
    pub const ALL: [Self; 11] =
        [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F, Self::G, Self::H, Self::I, Self::J, Self::K];

    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
            Self::E => "E",
            Self::F => "F",
            Self::G => "G",
            Self::H => "H",
            Self::I => "I",
            Self::J => "J",
            Self::K => "K",
        }
    }

    /// The path in a few words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::A => {
                "effective member of the readers group: nesting, primary group, SID history, foreign principals"
            }
            Self::B => "reads key objects by their DACL, not through the readers group",
            Self::C => "owns an object of the group, or may take it over",
            Self::D => "writes the DACL of an object of the group; any member of the recovery group",
            Self::E => {
                "writes the members of the readers group or of a group in it, or controls such a group"
            }
            Self::F => "resets a member's password, writes its userAccountControl, or controls the account",
            Self::G => {
                "writes a member's key credentials, service principal names, certificate mapping or delegation"
            }
            Self::H => "reads the managed password of a member, or may let itself",
            Self::I => "replicates the domain (DirSync, DCSync), or may give itself that right",
            Self::J => "keeps or administers a copy of the directory on a read-only domain controller",
            Self::K => {
                "creates or owns keys unnamed, has more rights than the template gives, acts as others by delegation"
            }
        }
    }

    /// All kinds with what they are, and what is never checked.
    #[must_use]
    pub fn table() -> String {
        let mut text = String::from("Searched:\n");
        for kind in Self::ALL {
            text.push_str(&format!("  {kind}  {}\n", kind.what()));
        }
        text.push_str("Not searched:\n");
        for what in NOT_SEARCHED {
            text.push_str(&format!("  -  {what}\n"));
        }
        text
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.letter())
    }
}

impl Serialize for PathKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.letter())
    }
}

/// What no audit looks at: what the directory does not tell, or what is more than one step away.
pub const NOT_SEARCHED: &[&str] = &[
    "domain controllers themselves: their local administrators, hypervisors, disks, memory",
    "backups, snapshots and installation media of domain controllers",
    "logs of domain controllers that record values (Samba's JSON audit log writes key bytes)",
    "deleted objects that a recycle bin keeps with their values",
    "hosts that the services run on, their local administrators, and files with keytabs or passwords there",
    "group policy: who may edit what applies to domain controllers and service hosts",
    "certificate services: templates and authorities that issue certificates for other accounts",
    "AdminSDHolder, the schema and the configuration: who may write what spreads from there",
    "privileges that policy assigns, such as taking ownership, restoring files or debugging",
    "objects that are hidden from the account that runs the audit",
    "other domains and forests: who controls foreign members, and what trusts let in",
    "second steps: who controls the accounts that this report names, other than members",
    "archives and what was read before: those who could read a key may still know it",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_kind_and_every_omission() {
        let table = PathKind::table();
        assert_eq!(table.lines().count(), 2 + PathKind::ALL.len() + NOT_SEARCHED.len());
        let letters: String = PathKind::ALL.iter().map(|kind| kind.letter()).collect();
        assert_eq!(letters, "ABCDEFGHIJK");
    }
}
