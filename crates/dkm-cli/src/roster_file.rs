//! A roster as a file that people read and write: TOML. Its fields are described in docs/elevation.md.

use std::path::Path;

use dkm_core::GroupId;
use dkm_core::record::{ApprovalLevel, BreakGlass, ElevationRules, Person, Record, RosterRecord};
use dkm_core::roster::Roster;
use dkm_lockbox::{shown, sshsig};
use serde::{Deserialize, Serialize};

use crate::audit_log::read_limited;
use crate::duration;
use crate::failure::{Failure, Result};

/// How long a change waits if the file does not say it.
const CHANGE_DELAY: &str = "1d";

/// The file. An unknown field is an error: a misspelt one would otherwise leave out somebody's rule in silence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RosterFile {
    /// How long a change waits, visible to all, before it takes effect.
    #[serde(default = "change_delay")]
    change_delay: String,
    #[serde(default)]
    people: Vec<PersonEntry>,
    #[serde(default)]
    levels: Vec<LevelEntry>,
    elevation: Option<ElevationEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonEntry {
    id: String,
    #[serde(default)]
    accounts: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelEntry {
    name: String,
    approvers: Vec<String>,
    #[serde(default = "one")]
    quorum: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ElevationEntry {
    longest: String,
    approve_within: String,
    activate_within: String,
    #[serde(default)]
    revokers: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    direct: Vec<LevelEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    emergency: Option<EmergencyEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmergencyEntry {
    longest: String,
    review_within: String,
    #[serde(default)]
    direct: bool,
    levels: Vec<LevelEntry>,
}

fn change_delay() -> String {
    CHANGE_DELAY.to_owned()
}

const fn one() -> u32 {
    1
}

/// Reads a roster, and checks what can be checked of it before there is a group. It is a first version: who makes another
/// fills in what it follows.
pub(crate) fn read(path: &Path) -> Result<RosterRecord> {
    let text = read_limited(path)?;
    parse(&text).map_err(|why| {
        Failure::usage(format!("{}: {why}", path.display())).help(
            "docs/elevation.md describes the file; dkm roster show --toml writes the one that is in force",
        )
    })
}

fn parse(text: &str) -> std::result::Result<RosterRecord, String> {
    let file: RosterFile = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}: {}", shown(&error.message().replace('`', "").replace('\n', " ")))
    })?;
    let record = file.record()?;
    check(&record)?;
    Ok(record)
}

/// What no record shows to be wrong, and would let nobody in, or somebody who was not meant.
fn check(record: &RosterRecord) -> std::result::Result<(), String> {
    // Of any group: what a roster may say does not depend on it.
    let bytes = Record::Roster(record.clone()).encode(GroupId::default());
    Record::decode(&bytes).map_err(|error| error.to_string())?;
    if record.levels.is_empty() {
        return Err("it has no levels: nobody could approve anything, not even another roster".to_owned());
    }
    let rules = record.elevation.as_ref();
    let direct = rules.and_then(|rules| rules.direct.as_deref()).unwrap_or_default();
    let emergency = rules.and_then(|rules| rules.break_glass.as_ref()).map_or(&[][..], |rules| &rules.levels);
    let able =
        |id: &&String| record.persons.iter().any(|person| person.id == **id && !person.keys.is_empty());
    for level in record.levels.iter().chain(direct).chain(emergency) {
        let count = level.approvers.iter().filter(able).count();
        if u32::try_from(count).is_ok_and(|count| count < level.quorum) {
            return Err(format!(
                "level {:?} needs {} approvers, and {count} of those that it names have a key: it could never approve",
                level.name, level.quorum
            ));
        }
    }
    Ok(())
}

impl RosterFile {
    fn record(self) -> std::result::Result<RosterRecord, String> {
        let mut persons = self.people.into_iter().map(person).collect::<std::result::Result<Vec<_>, _>>()?;
        persons.sort();
        Ok(RosterRecord {
            version: 1,
            previous: Vec::new(),
            created_at_ms: 0,
            persons,
            levels: levels(self.levels)?,
            change_delay_ms: time("change_delay", &self.change_delay)?,
            signatures: Vec::new(),
            elevation: self.elevation.map(rules).transpose()?,
        })
    }

    /// A roster as this file says it.
    pub(crate) fn of(roster: &Roster) -> Self {
        let person = |person: &Person| PersonEntry {
            id: person.id.clone(),
            accounts: person.accounts.clone(),
            keys: person.keys.clone(),
        };
        Self {
            change_delay: duration::format(roster.change_delay_ms),
            people: roster.persons.iter().map(person).collect(),
            levels: entries(&roster.levels),
            elevation: roster.elevation.as_ref().map(|rules| ElevationEntry {
                longest: duration::format(rules.duration_max_ms),
                approve_within: duration::format(rules.untouched_ms),
                activate_within: duration::format(rules.activation_window_ms),
                revokers: rules.revokers.clone(),
                direct: rules.direct.as_deref().map(entries).unwrap_or_default(),
                emergency: rules.break_glass.as_ref().map(|rules| EmergencyEntry {
                    longest: duration::format(rules.duration_max_ms),
                    review_within: duration::format(rules.review_within_ms),
                    direct: rules.direct,
                    levels: entries(&rules.levels),
                }),
            }),
        }
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| Failure::internal(format!("can't write TOML: {error}")))
    }
}

fn time(field: &str, text: &str) -> std::result::Result<u64, String> {
    duration::parse(text).map_err(|why| format!("{field}: {why}"))
}

/// A text that people decide by, and others have written.
fn plain(what: &str, text: &str) -> std::result::Result<String, String> {
    let seen = shown(text);
    if seen == text {
        Ok(seen)
    } else {
        Err(format!("{what} {seen:?} holds characters that can't be seen or could be misread"))
    }
}

fn all_plain(what: &str, texts: Vec<String>) -> std::result::Result<Vec<String>, String> {
    let mut texts = texts.iter().map(|text| plain(what, text)).collect::<std::result::Result<Vec<_>, _>>()?;
    texts.sort();
    if let Some(pair) = texts.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("{what} {:?} stands twice in one place", pair[0]));
    }
    Ok(texts)
}

fn person(entry: PersonEntry) -> std::result::Result<Person, String> {
    let id = plain("person", &entry.id)?;
    let key = |line: &String| {
        sshsig::check_key(line.trim()).map_err(|error| format!("a key of {id:?}: {error}"))?;
        // As one space between words: the same key shall have one line.
        plain("key", &line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    };
    let keys = entry.keys.iter().map(key).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Person { keys: all_plain("key", keys)?, accounts: all_plain("account", entry.accounts)?, id })
}

fn levels(entries: Vec<LevelEntry>) -> std::result::Result<Vec<ApprovalLevel>, String> {
    let level = |entry: LevelEntry| {
        Ok(ApprovalLevel {
            name: plain("level", &entry.name)?,
            approvers: all_plain("approver", entry.approvers)?,
            quorum: entry.quorum,
        })
    };
    entries.into_iter().map(level).collect()
}

fn entries(levels: &[ApprovalLevel]) -> Vec<LevelEntry> {
    let entry = |level: &ApprovalLevel| LevelEntry {
        name: level.name.clone(),
        approvers: level.approvers.clone(),
        quorum: level.quorum,
    };
    levels.iter().map(entry).collect()
}

fn rules(entry: ElevationEntry) -> std::result::Result<ElevationRules, String> {
    Ok(ElevationRules {
        duration_max_ms: time("elevation.longest", &entry.longest)?,
        untouched_ms: time("elevation.approve_within", &entry.approve_within)?,
        activation_window_ms: time("elevation.activate_within", &entry.activate_within)?,
        revokers: all_plain("revoker", entry.revokers)?,
        direct: if entry.direct.is_empty() { None } else { Some(levels(entry.direct)?) },
        break_glass: entry.emergency.map(emergency).transpose()?,
    })
}

fn emergency(entry: EmergencyEntry) -> std::result::Result<BreakGlass, String> {
    Ok(BreakGlass {
        levels: levels(entry.levels)?,
        duration_max_ms: time("elevation.emergency.longest", &entry.longest)?,
        review_within_ms: time("elevation.emergency.review_within", &entry.review_within)?,
        direct: entry.direct,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the right shape; nobody signs with them.
    const KEYS: [&str; 2] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ",
    ];

    fn text() -> String {
        format!(
            r#"
            change_delay = "2d"
            [[people]]
            id = "bob"
            accounts = ["person:bob"]
            keys = ["  {}   bob@laptop"]
            [[people]]
            id = "alice"
            accounts = ["person:alice-2", "person:alice"]
            keys = ["{}"]
            [[levels]]
            name = "manager"
            approvers = ["bob", "alice"]
            [elevation]
            longest = "1h"
            approve_within = "1d"
            activate_within = "30m"
            revokers = ["bob"]
            [[elevation.direct]]
            name = "privacy"
            approvers = ["alice"]
            [elevation.emergency]
            longest = "15m"
            review_within = "1d"
            [[elevation.emergency.levels]]
            name = "on call"
            approvers = ["alice", "bob"]
            quorum = 2
            "#,
            KEYS[0], KEYS[1]
        )
    }

    #[test]
    fn a_roster_is_read_sorted_and_written_so_that_the_same_is_read() {
        let record = parse(&text()).unwrap();
        assert_eq!(record.persons[0].accounts, ["person:alice", "person:alice-2"]);
        assert_eq!(record.persons[1].keys, [format!("{} bob@laptop", KEYS[0])]);
        assert_eq!((record.change_delay_ms, record.levels[0].quorum), (172_800_000, 1));
        let rules = record.elevation.as_ref().unwrap();
        assert_eq!((rules.duration_max_ms, rules.activation_window_ms), (3_600_000, 1_800_000));
        assert_eq!(rules.break_glass.as_ref().unwrap().levels[0].quorum, 2);
        let written = RosterFile::of(&Roster::from(&record)).text().unwrap();
        assert_eq!(parse(&written).unwrap(), record, "{written}");
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_its_place() {
        for (from, to, told) in [
            ("change_delay", "change_delai", "line 2: unknown field change_delai"),
            ("quorum = 2", "quorum = 3", "3 of 2 approvers"),
            ("revokers = [\"bob\"]", "revokers = [\"eve\"]", "\"eve\" is not in the roster"),
            ("id = \"alice\"", "id = \"al\u{202e}ice\"", "<U+202E>"),
            ("\"person:alice-2\"", "\"person:bob\"", "accounts across people"),
            ("\"person:alice-2\"", "\"person:alice\"", "stands twice"),
            (KEYS[1], KEYS[0], "keys across people"),
            (KEYS[1], "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQ", "a key of \"alice\""),
            ("longest = \"1h\"", "longest = \"1 hour\"", "elevation.longest"),
            ("longest = \"1h\"", "longest = \"0\"", "is 0"),
            ("name = \"privacy\"", "name = \"manager\"", "stands twice"),
        ] {
            assert!(text().contains(from), "{from}");
            let error = parse(&text().replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(told), "{to}: {error}");
        }
    }

    #[test]
    fn a_level_that_could_never_approve_is_no_level() {
        let keyless = text().replace(&format!("keys = [\"{}\"]", KEYS[1]), "keys = []");
        let error = parse(&keyless).unwrap_err();
        assert!(error.contains("could never approve"), "{error}");
        assert!(parse("change_delay = \"1d\"").unwrap_err().contains("no levels"));
    }
}
