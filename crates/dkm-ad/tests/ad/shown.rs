//! Creators who lie about their keys to those who don't read them.

use anyhow::{Context as _, Result, ensure};
use dkm::core::record::{KeyRecord, Record, public_part};
use dkm::core::ring::{Distrust, KeyState};
use dkm::core::{GroupId, KeyId};
use dkm_testbed::Scope;

use super::access::context;
use super::attacks::{Scene, distrust};
use super::person::{base64, encoded};
use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("keys_that_are_not_what_they_show_do_not_protect", keys_that_are_not_what_they_show_do_not_protect),
    ("what_a_key_shows_can_change_only_to_its_harm", what_a_key_shows_can_change_only_to_its_harm),
];

/// A key of the attacker's that shows this.
fn plant(scene: &Scene<'_>, stage: &Stage, key: &KeyRecord, shows: Option<&str>) -> Result<()> {
    let (slot, bytes) = (key.slot(), Record::Key(key.clone()).encode(scene.group.id()));
    let mut ldif = format!(
        "dn: CN={slot},{}\nchangetype: add\nobjectClass: contact\ndisplayName: {slot}\nthumbnailPhoto:: {}\n\
         nTSecurityDescriptor:: {}\n",
        scene.objects.keys,
        base64(&bytes),
        encoded(stage, &scene.descriptor()?)?,
    );
    if let Some(shows) = shows {
        ldif.push_str(&format!("info: {shows}\n"));
    }
    scene.person.change(&ldif)?.done()?;
    Ok(())
}

fn keys_that_are_not_what_they_show_do_not_protect(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    crate::stage::next_second();
    let group = scene.group.id();
    let at = scene.group.view()?.now.0 + 21 * 60_000;
    let shown = |record: &KeyRecord, group: GroupId| {
        base64(&public_part(&Record::Key(record.clone()).encode(group)).unwrap_or_default())
    };
    let lies: [fn(&Scene<'_>, &KeyRecord) -> KeyRecord; 3] = [
        |_, key| KeyRecord { id: KeyId([9; 16]), ..key.clone() },
        // As the key that protects.
        |scene, key| KeyRecord { id: scene.key, ..key.clone() },
        |_, key| KeyRecord { activates_at_ms: key.activates_at_ms + 1, ..key.clone() },
    ];
    let mut planted = Vec::new();
    let mut attempt = 0u8;
    let mut add = |shows: &dyn Fn(&KeyRecord) -> Option<String>| -> Result<()> {
        let (key, _) = scene.record(attempt + 1, at, attempt.into());
        plant(&scene, stage, &key, shows(&key).as_deref())?;
        planted.push(key.id);
        attempt += 1;
        Ok(())
    };
    for lie in lies {
        add(&|key| Some(shown(&lie(&scene, key), group)))?;
    }
    add(&|key| Some(shown(key, GroupId([8; 16]))))?;
    add(&|_| None)?;
    add(&|_| Some("rubbish!".to_owned()))?;
    add(&|_| Some("A".repeat(1024)))?;
    // The whole key, to be read by all who watch.
    add(&|key| Some(base64(&Record::Key(key.clone()).encode(group))))?;
    // To members each is what it is, and is told with whoever made it.
    let view = scene.all_is_well()?;
    for key in &planted {
        ensure!(distrust(&view, *key, &scene.mallory.sid)? == Distrust::Misdescribed, "{key}");
    }
    // Owners who don't read keys go on, and what they do to the true key is done.
    let keeper = stage.client(&scene.keeper)?.group(&group.to_string())?;
    let seen = keeper.view()?;
    ensure!(seen.protects_for_members() == Some(scene.key), "{:?}", seen.ring.findings);
    ensure!(seen.unread.len() >= 5, "what is no public part is told: {:?}", seen.unread);
    keeper.suspend(scene.key, "to see whether it can be")?;
    scene.group.refresh()?;
    let view = scene.group.view()?;
    ensure!(view.ring.key(scene.key).is_some_and(|key| key.state(view.now) == KeyState::Suspended));
    keeper.resume(scene.key, "it could")?;
    scene.all_is_well()?;
    Ok(())
}

/// On Samba 4.17 whoever made an object may open it up, and then write it.
fn what_a_key_shows_can_change_only_to_its_harm(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let running = scene.fresh()?;
    ensure!(running.protect(&context(), b"x").is_ok());
    let dn = &scene.objects.key;
    let found = stage.with(|domain| domain.search(dn, Scope::Base, "(objectClass=*)", &["info"]))?;
    let honest = found.first().and_then(|found| found.text("info")).context("it shows nothing")?;
    let write = |value: &str| {
        let ldif = format!("dn: {dn}\nchangetype: modify\nreplace: info\ninfo: {value}\n");
        stage.with(|domain| domain.modify_ldif(&ldif))
    };
    write("rubbish")?;
    running.refresh()?;
    for group in [&running, &scene.fresh()?] {
        let view = group.view()?;
        ensure!(distrust(&view, scene.key, &stage.maker.sid)? == Distrust::Misdescribed);
        ensure!(group.protect(&context(), b"x").is_err());
        ensure!(group.unprotect(&context(), &scene.blob)?.as_ref() == b"secret", "it opens all the same");
    }
    // The only key of the group can be succeeded.
    ensure!(!scene.group.roll("the key shows something else")?.was_there);
    write(&honest)?;
    running.refresh()?;
    ensure!(running.protect(&context(), b"x").is_ok() && running.view()?.ring.findings.is_empty());
    Ok(())
}
