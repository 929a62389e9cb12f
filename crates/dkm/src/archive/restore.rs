//! Putting archives back.

use std::collections::BTreeSet;

use dkm_core::archive::{
    Archive, ArchivedRecord, RestoreConsent, RestorePlan, RestoreSkip, RestoreStep, restore_plan,
};
use dkm_core::policy::{Policy, Wrap};
use dkm_core::record::{KeyRecord, Material, Record};
use dkm_core::ring::Ring;
use dkm_core::safeguards::Safeguards;
use dkm_core::{KeyId, SlotName};

use super::export::Collected;
use crate::blocking::{Client, Group, NewGroup};
use crate::engine::{Engine, Made, Need, NewKey};
use crate::journal::EventKind;
use crate::repository::{GroupAccess, Put};
use crate::root_key::RootKeyError;
use crate::{Error, Result};

/// What is taken from an archive beside its keys.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Policies too. Whoever made the archive then has a say in the group's policy.
    pub take_policy: bool,
    /// Rosters too, under the same caution.
    pub take_roster: bool,
    /// Who shall read a root key that has to be made, because the group's root keys are lost. Without it, a group
    /// that lost them is not restored in place.
    pub access: Option<GroupAccess>,
    /// Why, for the journal.
    pub reason: String,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RestoreSummary {
    /// Keys that came back, as archived ones: they open blobs and never protect.
    pub keys: usize,
    /// Control records that came back: tombstones, compromises, exposures, and what was consented to.
    pub control: usize,
    /// What was left out, and why.
    pub skipped: Vec<RestoreSkip>,
    /// The key that will protect instead of those that whoever opened the archive knows; none if there was nothing to
    /// restore, or the group is new and has one already.
    pub rolled: Option<NewKey>,
}

/// Puts an archive's keys back into its group, as archived keys, then makes a new key.
///
/// Tombstones and compromises in the archive or the repository win: a destroyed key does not come back. A restore that
/// was interrupted is simply run again.
///
/// # Errors
/// The archive is of another group; a right is missing; the repository or the journal fails.
pub fn restore(group: &Group, archive: &Archive, options: &RestoreOptions) -> Result<RestoreSummary> {
    let engine = group.engine();
    engine.refresh(Need::Fresh)?;
    let plan = plan(engine, archive, options)?;
    let rights = engine.rights();
    let needs_owner = plan.steps.iter().any(|step| matches!(step, RestoreStep::PutControl { .. }));
    let right = match () {
        () if !rights.create && !plan.steps.is_empty() => Some("add keys (creator)"),
        () if !rights.own && needs_owner => Some("add control records (owner)"),
        () => None,
    };
    if let Some(right) = right {
        return Err(Error::NoRight { what: "restoring the archive".to_owned(), right });
    }
    make_root_key_if_lost(engine, &plan, options)?;
    let mut summary = carry_out(engine, &plan, options)?;
    if plan.steps.contains(&RestoreStep::Roll) {
        summary.rolled = Some(roll(engine, archive)?);
    }
    Ok(summary)
}

/// Makes the key that protects from now on: one that whoever opened the archive does not know.
fn roll(engine: &Engine, archive: &Archive) -> Result<NewKey> {
    const CAUSE: &str = "restored from an archive";
    for _ in 0..8 {
        let ring = engine.view()?.ring;
        if ring.keys.iter().any(|key| key.distrust.is_none()) {
            let known: BTreeSet<KeyId> = archived_keys(archive).collect();
            if engine.rights().own {
                engine.deactivate_waiting(engine.parts.clock.now(), |key| known.contains(&key), CAUSE)?;
            }
            return engine.roll_unless_waiting(CAUSE, |key| !known.contains(&key));
        }
        // No key that another could succeed, as after a loss of all root keys: the group begins anew.
        let made = engine.make_key(None, engine.parts.clock.now(), CAUSE)?;
        if let Made::Created(key) = made {
            return Ok(key);
        }
    }
    Err(Error::Refused {
        what: "making a new key".to_owned(),
        why: "other clients keep making keys at the same time".to_owned(),
        advice: "the archive is restored; make a key with dkm key roll".to_owned(),
    })
}

/// The keys that whoever opened the archive knows.
fn archived_keys(archive: &Archive) -> impl Iterator<Item = KeyId> {
    archive.entries.iter().filter_map(|entry| match &entry.record {
        ArchivedRecord::Known(Record::Key(key)) => Some(key.id),
        _ => None,
    })
}

/// Makes a group anew that the repository has lost, under its old id, and restores its keys.
///
/// The policy is the archive's if it is to be taken, else the default; the roster is not taken by itself. The group is
/// announced only when its first key, a new one, is usable, and the old keys are back.
///
/// # Errors
/// The group is still there, or another one has its name; as [`restore`].
pub fn restore_group(
    client: &Client,
    archive: &Archive,
    access: &GroupAccess,
    options: &RestoreOptions,
) -> Result<(Group, RestoreSummary)> {
    for group in client.groups()? {
        if group.id == archive.group {
            return Err(Error::Refused {
                what: "making the group anew".to_owned(),
                why: format!("group {} is still there", group.id),
                advice: "restore into it: dkm archive restore".to_owned(),
            });
        }
        if group.name == archive.name {
            return Err(Error::GroupExists { name: group.name });
        }
    }
    let now = dkm_core::Timestamp(archive.exported_at_ms);
    let ring = Ring::derive(&archive.observed(), now, Safeguards::ALL);
    let policy = ring.policy().filter(|_| options.take_policy).cloned().unwrap_or_else(Policy::for_directory);
    let description = archive.entries.iter().find_map(|entry| match &entry.record {
        ArchivedRecord::Known(Record::Group(group)) => group.description.clone(),
        _ => None,
    });
    let new = NewGroup { name: archive.name.clone(), description, policy, access: access.clone() };
    let mut summary = None;
    let group = client.create_group_as(archive.group, new, None, |engine| {
        // The policy is in force already, as the first version of a new chain.
        let options = RestoreOptions { take_policy: false, ..options.clone() };
        let plan = plan(engine, archive, &options)?;
        summary = Some(carry_out(engine, &plan, &options)?);
        engine.refresh(Need::Fresh)?;
        Ok(())
    })?;
    let summary = summary.ok_or_else(|| Error::Internal("a group was made and not filled".to_owned()))?;
    Ok((group, summary))
}

fn plan(engine: &Engine, archive: &Archive, options: &RestoreOptions) -> Result<RestorePlan> {
    let consent = RestoreConsent { group: false, policy: options.take_policy, roster: options.take_roster };
    let existing = Collected::from(engine)?.observed;
    restore_plan(archive, engine.group, &existing, engine.parts.clock.now(), consent)
        .map_err(|error| Error::Invalid(error.to_string()))
}

/// Keys that come back are wrapped under the group's present root key, so there must be one.
fn make_root_key_if_lost(engine: &Engine, plan: &RestorePlan, options: &RestoreOptions) -> Result<()> {
    if plan.steps.is_empty() || engine.policy()?.wrap != Wrap::RootKey {
        return Ok(());
    }
    let lost = match engine.parts.roots.current(engine.group) {
        Ok(_) => return Ok(()),
        Err(error @ RootKeyError::NotFound { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let Some(access) = &options.access else {
        return Err(Error::Refused {
            what: "restoring the archive".to_owned(),
            why: lost.to_string(),
            advice: "put the root key back from its backup, or name the group's readers (--readers), and a new one is \
                     made for them"
                .to_owned(),
        });
    };
    engine.parts.roots.create(engine.group, access)?;
    Ok(())
}

/// Puts everything back; making a new key is the caller's affair.
fn carry_out(engine: &Engine, plan: &RestorePlan, options: &RestoreOptions) -> Result<RestoreSummary> {
    let mut summary = RestoreSummary { keys: 0, control: 0, skipped: plan.skipped.clone(), rolled: None };
    let count = |key: fn(&RestoreStep) -> bool| plan.steps.iter().filter(|step| key(step)).count();
    let keys = count(|step| matches!(step, RestoreStep::PutKey { .. }));
    let control = count(|step| matches!(step, RestoreStep::PutControl { .. }));
    if keys + control == 0 {
        return Ok(summary);
    }
    let reason = Some(options.reason.as_str()).filter(|reason| !reason.trim().is_empty());
    engine.record(EventKind::ArchiveRestored, None, reason, |event| {
        event.detail = Some(format!("{keys} keys and {control} control records"));
    })?;
    let wrap = engine.policy()?.wrap;
    let mut taken = Vec::new();
    for step in &plan.steps {
        match step {
            RestoreStep::PutControl { name, record } => {
                // A slot that is taken by now holds this record, or one that the next run plans with.
                engine.put(record, name)?;
                summary.control += 1;
            }
            RestoreStep::PutKey { name, record } => match put_key(engine, name, record, wrap)? {
                Put::Created => summary.keys += 1,
                Put::Tombstoned => summary.skipped.push(RestoreSkip::KeyDestroyed { key: record.id }),
                Put::Taken => taken.push((record.id, name.clone())),
            },
            // A step that is not known here would be one that the plan of this version does not make.
            _ => {}
        }
        crate::steps::step("part of an archive restored");
    }
    engine.refresh(Need::Fresh)?;
    // Another run may have put the key there meanwhile; or somebody put something else.
    for (key, name) in taken {
        let opens = engine.opens(key);
        summary.skipped.push(if opens {
            RestoreSkip::KeyPresent { key }
        } else {
            RestoreSkip::SlotTaken { key, name }
        });
    }
    Ok(summary)
}

fn put_key(engine: &Engine, name: &SlotName, record: &KeyRecord, wrap: Wrap) -> Result<Put> {
    let Material::Plain(material) = &record.material else {
        return Err(Error::Internal("an archived key without plain material".to_owned()));
    };
    engine.put_key(name, record, material, wrap)
}
