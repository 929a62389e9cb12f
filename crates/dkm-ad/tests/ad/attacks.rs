//! Creators who mean ill. They are trusted to add keys, and with nothing else.

use anyhow::{Context as _, Result, bail, ensure};
use dkm::View;
use dkm::blocking::{Group, NewGroup};
use dkm::core::kdf::key_id;
use dkm::core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm::core::ring::Distrust;
use dkm::core::{KeyId, Room, SlotName};
use dkm::repository::{GroupAccess, READERS_GROUP};
use dkm_testbed::{Account, Scope};

use super::access::{Objects, context};
use super::person::{DACL, INSUFFICIENT_ACCESS, Person, base64, encoded};
use super::stage::Stage;

pub(crate) const TESTS: &[super::stage::Test] = &[
    ("planted_keys_protect_only_when_policy_says_so", planted_keys_protect_only_when_policy_says_so),
    ("descriptors_are_refused_or_reported", descriptors_are_refused_or_reported),
    ("a_key_that_was_opened_up_does_not_protect", a_key_that_was_opened_up_does_not_protect),
    ("a_key_that_was_exchanged_is_reported", a_key_that_was_exchanged_is_reported),
    ("squatters_do_not_stop_rolling", squatters_do_not_stop_rolling),
    ("litter_with_great_names_misleads_nobody", litter_with_great_names_misleads_nobody),
    ("a_destroyed_key_that_is_brought_back_is_erased", a_destroyed_key_that_is_brought_back_is_erased),
    ("clients_find_what_was_moved", clients_find_what_was_moved),
];

/// A group with a creator who means ill, and a member who suffers.
struct Scene<'a> {
    stage: &'a Stage,
    /// Of an honest creator, who owns the group.
    group: Group,
    key: KeyId,
    blob: Vec<u8>,
    objects: Objects,
    readers: dkm_testbed::Group,
    mallory: Account,
    member: Account,
    person: Person,
}

impl<'a> Scene<'a> {
    fn new(stage: &'a Stage) -> Result<Self> {
        let (mallory, member) = (stage.account("svc-mallory")?, stage.account("svc-member")?);
        let readers = stage.readers(&[&stage.maker, &mallory, &member])?;
        let new = NewGroup {
            name: format!("attacked-by-{}", mallory.sam),
            description: None,
            policy: Stage::policy(),
            access: GroupAccess {
                readers: vec![format!("{READERS_GROUP}{}", readers.sam)],
                creators: vec![stage.maker.sam.clone(), mallory.sam.clone()],
                owners: vec![stage.maker.sam.clone()],
            },
        };
        let group = stage.client(&stage.maker)?.create_group(new)?;
        let blob = group.protect(&context(), b"secret")?;
        let key = group.view()?.protecting?;
        let objects = Objects::of(stage, group.id())?;
        let person = Person::with_fresh_ticket(stage, &mallory)?;
        Ok(Self { stage, group, key, blob, objects, readers, mallory, member, person })
    }

    /// The descriptor of an honest key of the attacker's.
    fn descriptor(&self) -> Result<String> {
        let honest = self.stage.with(|domain| domain.descriptor(&self.objects.key))?;
        let (_, rest) = honest.split_once("G:").context("no owner")?;
        let rest = rest.split("S:AI").next().unwrap_or(rest);
        Ok(format!("O:{}G:{rest}", self.mallory.sid))
    }

    fn record(&self, secret: u8, activates_at_ms: u64, attempt: u32) -> (KeyRecord, SlotName) {
        let material = [secret; 32];
        let key = KeyRecord {
            id: key_id(self.group.id(), Family::Native, &material),
            family: Family::Native,
            origin: Origin::Rolled,
            created_at_ms: activates_at_ms,
            activates_at_ms,
            predecessor: Some(self.key),
            attempt,
            material: Material::Plain(material.into()),
            guid: None,
        };
        let slot = key.slot();
        (key, slot)
    }

    fn object(
        &self,
        cn: &str,
        display_name: Option<&str>,
        bytes: &[u8],
        sddl: Option<&str>,
    ) -> Result<String> {
        let mut text = format!("dn: CN={cn},{}\nchangetype: add\nobjectClass: contact\n", self.objects.keys);
        if let Some(name) = display_name {
            text.push_str(&format!("displayName: {name}\n"));
        }
        text.push_str(&format!("thumbnailPhoto:: {}\n", base64(bytes)));
        if let Some(sddl) = sddl {
            text.push_str(&format!("nTSecurityDescriptor:: {}\n", encoded(self.stage, sddl)?));
        }
        Ok(text)
    }

    /// Adds a key of the attacker's.
    fn plant(&self, secret: u8, activates_at_ms: u64, attempt: u32, sddl: Option<&str>) -> Result<KeyId> {
        let (key, slot) = self.record(secret, activates_at_ms, attempt);
        let id = key.id;
        let bytes = Record::Key(key).encode(self.group.id());
        self.person.change(&self.object(slot.as_str(), Some(slot.as_str()), &bytes, sddl)?)?.done()?;
        Ok(id)
    }

    fn fresh(&self) -> Result<Group> {
        Ok(self.stage.client(&self.member)?.group(&self.group.id().to_string())?)
    }

    /// The views of clients that run and of one that starts; all protect with the honest key, and old blobs open.
    fn all_is_well(&self) -> Result<View> {
        self.group.refresh()?;
        let fresh = self.fresh()?;
        for group in [&self.group, &fresh] {
            let view = group.view()?;
            ensure!(view.protecting == Ok(self.key), "{:?} {:?}", view.protecting, view.ring.findings);
            let blob = group.protect(&context(), b"new")?;
            ensure!(self.fresh()?.unprotect(&context(), &blob)?.as_ref() == b"new");
            ensure!(group.unprotect(&context(), &self.blob)?.as_ref() == b"secret");
        }
        Ok(fresh.view()?)
    }
}

/// Why a key never protects; it must be among what is reported, with whoever made it.
pub(crate) fn distrust(view: &View, key: KeyId, creator: &str) -> Result<Distrust> {
    let found = view.ring.key(key).with_context(|| format!("{key} is not in the ring"))?;
    let Some(why) = found.distrust.clone() else { bail!("{key} is trusted") };
    let reported = view.ring.findings.iter().map(ToString::to_string);
    let reported = reported.filter(|line| line.contains(&key.to_string()) && line.contains(creator)).count();
    ensure!(reported == 1, "{:?}", view.ring.findings);
    Ok(why)
}

fn planted_keys_protect_only_when_policy_says_so(stage: &Stage) -> Result<()> {
    const YEAR_2001: u64 = 978_307_200_000;
    const YEAR_2099: u64 = 4_070_908_800_000;
    let scene = Scene::new(stage)?;
    let sddl = scene.descriptor()?;
    let now = scene.group.view()?.now.0;
    let ahead = scene.plant(1, YEAR_2099, 0, Some(&sddl))?;
    let back = scene.plant(2, YEAR_2001, 1, Some(&sddl))?;
    let hasty = scene.plant(3, now, 2, Some(&sddl))?;
    let view = scene.all_is_well()?;
    let sid = &scene.mallory.sid;
    ensure!(distrust(&view, ahead, sid)? == Distrust::TooFarAhead);
    ensure!(distrust(&view, back, sid)? == Distrust::ShortDelay);
    ensure!(distrust(&view, hasty, sid)? == Distrust::ShortDelay);
    // Somebody else's key in a slot of its own choice.
    let (key, _) = scene.record(4, now + 21 * 60_000, 3);
    let (id, elsewhere) = (key.id, SlotName::for_key(Some(scene.key), 9));
    let bytes = Record::Key(key).encode(scene.group.id());
    let object = scene.object(elsewhere.as_str(), Some(elsewhere.as_str()), &bytes, Some(&sddl))?;
    scene.person.change(&object)?.done()?;
    ensure!(distrust(&scene.all_is_well()?, id, sid)? == Distrust::WrongSlot);
    // Creators are trusted to make keys: one that keeps to the policy will protect when its time comes, whoever knows it.
    let honest = scene.plant(5, now + 21 * 60_000, 4, Some(&sddl))?;
    let view = scene.all_is_well()?;
    let honest = view.ring.key(honest).context("no such key")?;
    ensure!(honest.distrust.is_none() && honest.activation() > view.now, "{honest:?}");
    ensure!(honest.attested.creator.0 == *sid, "whose it is stands there: {honest:?}");
    Ok(())
}

fn descriptors_are_refused_or_reported(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let sddl = scene.descriptor()?;
    let at = scene.group.view()?.now.0 + 21 * 60_000;
    let wider = [
        None,
        Some(format!("{sddl}(A;;RPRC;;;AU)")),
        Some(format!("{sddl}(A;;RPRC;;;{})", scene.member.sid)),
        Some(sddl.replace("D:PAI", "D:AI")),
        Some(sddl.replace("(A;;RC;;;OW)", "")),
        Some(format!("{sddl}(A;;GA;;;{})", scene.mallory.sid)),
    ];
    for (attempt, sddl) in (0u8..).zip(&wider) {
        let id = scene.plant(attempt, at, attempt.into(), sddl.as_deref())?;
        let why = distrust(&scene.all_is_well()?, id, &scene.mallory.sid)?;
        ensure!(why == Distrust::LooseAccessControl, "{sddl:?}: {why}");
    }
    // In another's name, which Windows refuses and Samba 4.17 doesn't. In an administrator's it never protects.
    for (attempt, owner) in [(100, "DA"), (101, "SY"), (102, stage.administrator_sid()?.as_str())] {
        let other = sddl.replace(&format!("O:{}", scene.mallory.sid), &format!("O:{owner}"));
        let (key, slot) = scene.record(u8::try_from(attempt)?, at, attempt);
        let id = key.id;
        let bytes = Record::Key(key).encode(scene.group.id());
        let object = scene.object(slot.as_str(), Some(slot.as_str()), &bytes, Some(&other))?;
        if scene.person.change(&object)?.code == 0 {
            ensure!(
                distrust(&scene.all_is_well()?, id, "S-1-5-")? == Distrust::LooseAccessControl,
                "{owner}"
            );
        }
    }
    Ok(())
}

/// On Samba 4.17 the owner of an object may write its DACL, whatever OWNER RIGHTS says.
fn a_key_that_was_opened_up_does_not_protect(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    // The honest creator turns: the key that protects is its own.
    let turned = Person::with_fresh_ticket(stage, &stage.maker)?;
    let key = &scene.objects.key;
    let honest = stage.with(|domain| domain.descriptor(key))?;
    let dacl = honest.split_once("D:").context("no DACL")?.1.split("S:").next().unwrap_or_default();
    let running = scene.fresh()?;
    ensure!(running.protect(&context(), b"x").is_ok());
    turned.set_descriptor(stage, key, DACL, &format!("D:{dacl}(A;;RPRC;;;AU)"))?.done()?;
    running.refresh()?;
    for group in [&running, &scene.fresh()?] {
        let view = group.view()?;
        ensure!(distrust(&view, scene.key, &stage.maker.sid)? == Distrust::LooseAccessControl);
        ensure!(view.protecting.is_err() && group.protect(&context(), b"x").is_err());
        ensure!(group.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    }
    // Whoever may write the DACL, such as the recovery group, closes it, and all go on.
    stage.with(|domain| domain.set_descriptor(key, &honest))?;
    ensure!(scene.all_is_well()?.ring.findings.is_empty());
    running.refresh()?;
    ensure!(running.protect(&context(), b"x").is_ok());
    Ok(())
}

fn a_key_that_was_exchanged_is_reported(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let turned = Person::with_fresh_ticket(stage, &stage.maker)?;
    let key = &scene.objects.key;
    let running = scene.fresh()?;
    let honest = stage.with(|domain| domain.descriptor(key))?;
    let dacl = honest.split_once("D:").context("no DACL")?.1.split("S:").next().unwrap_or_default();
    turned.set_descriptor(stage, key, DACL, &format!("D:{dacl}(A;;GA;;;{})", stage.maker.sid))?.done()?;
    let (mut planted, _) = scene.record(7, scene.group.view()?.now.0, 0);
    planted.predecessor = None;
    let bytes = base64(&Record::Key(planted).encode(scene.group.id()));
    let ldif = format!("dn: {key}\nchangetype: modify\nreplace: thumbnailPhoto\nthumbnailPhoto:: {bytes}\n");
    turned.change(&ldif)?.done()?;
    running.refresh()?;
    let view = running.view()?;
    ensure!(view.alarms.iter().any(|alarm| alarm.changed && alarm.room == Room::Keys), "{:?}", view.alarms);
    // Still open, the exchanged one protects nothing.
    ensure!(scene.fresh()?.protect(&context(), b"x").is_err());
    // A client that knew the key still has it.
    ensure!(running.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    Ok(())
}

fn squatters_do_not_stop_rolling(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let slot = |attempt| SlotName::for_key(Some(scene.key), attempt);
    let sddl = scene.descriptor()?;
    let nobody = format!("O:{0}G:DAD:PAI(A;;GA;;;{0})", scene.mallory.sid);
    let objects = [
        // Rubbish; a name and a displayName that disagree; no displayName; bytes that readers may not read; invisible.
        scene.object(slot(0).as_str(), Some(slot(0).as_str()), b"\xff", Some(&sddl))?,
        scene.object(slot(1).as_str(), Some(slot(7).as_str()), b"\xff", Some(&sddl))?,
        scene.object(slot(2).as_str(), None, b"\xff", Some(&sddl))?,
        scene.object(slot(3).as_str(), Some("x"), b"\xff", Some(&sddl.replace("RPRC", "RC")))?,
        scene.object(slot(4).as_str(), Some(slot(4).as_str()), b"\xff", Some(&nobody))?,
    ];
    for object in &objects {
        scene.person.change(object)?.done()?;
    }
    let view = scene.all_is_well()?;
    for attempt in 0..3 {
        let name = slot(attempt).to_string();
        ensure!(view.unread.iter().any(|line| line.contains(&name)), "{attempt}: {:?}", view.unread);
    }
    let new = scene.group.roll("to see whether it can be")?;
    ensure!(!new.was_there);
    let view = scene.all_is_well()?;
    ensure!(view.ring.key(new.key).is_some_and(|key| key.distrust.is_none()));
    Ok(())
}

fn litter_with_great_names_misleads_nobody(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let id = scene.group.id();
    let world = format!("O:{0}G:DAD:PAI(A;;GA;;;WD)", scene.mallory.sid);
    let mut litter = vec![
        scene.object("mark-of-keys", Some(&format!("{id}/{}", Room::Keys)), b"x", Some(&world))?,
        scene.object("mark-of-control", Some(&format!("{id}/{}", Room::Control)), b"x", Some(&world))?,
        scene.object("keys", Some("keys"), b"x", Some(&world))?,
        scene.object("recovery", Some("dkm recovery"), b"x", Some(&world))?,
        scene.object(
            "announced",
            Some(&format!("announced {}", dkm::GroupId([7; 16]))),
            b"x",
            Some(&world),
        )?,
    ];
    for number in 0..300 {
        let name = format!("junk-{number}");
        litter.push(scene.object(&name, Some(&name), b"junk", Some(&world))?);
    }
    let answer = scene.person.run("ldapmodify", &[], &litter.join("\n"))?;
    answer.done()?;
    for class in ["container", "group", "user"] {
        let ldif = format!("dn: CN=mine,{}\nchangetype: add\nobjectClass: {class}\n", scene.objects.keys);
        scene.person.change(&ldif)?.refused_with(INSUFFICIENT_ACCESS)?;
    }
    let control = format!("dn: CN=mine,{}\nchangetype: add\nobjectClass: contact\n", scene.objects.control);
    scene.person.change(&control)?.refused_with(INSUFFICIENT_ACCESS)?;
    let view = scene.all_is_well()?;
    ensure!(view.unread.iter().filter(|line| line.contains("junk-")).count() == 300, "{:?}", view.unread);
    scene.group.roll("to see whether it can be")?;
    // Others' groups are found and made as before.
    let summaries = stage.client(&scene.member)?.groups()?;
    ensure!(summaries.iter().any(|summary| summary.id == id));
    let readers = stage.readers(&[&stage.maker])?;
    stage.group(&stage.maker, &readers)?.protect(&context(), b"x")?;
    Ok(())
}

fn a_destroyed_key_that_is_brought_back_is_erased(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let (key, dn) = (scene.key, &scene.objects.key);
    let saved =
        stage.with(|domain| domain.search(dn, Scope::Base, "(objectClass=*)", &["thumbnailPhoto"]))?;
    let saved =
        saved.first().and_then(|found| found.attributes["thumbnailPhoto"].first()).context("no key")?;
    let sddl = scene.descriptor()?;
    scene.group.compromise(key, "known to others")?;
    scene.group.destroy_now(key, &key.to_string(), "to see whether it comes back")?;
    let there = |dn: &str| {
        stage.with(|domain| Ok(domain.search(dn, Scope::Base, "(objectClass=*)", &["cn"]).is_ok()))
    };
    ensure!(!there(dn)?);
    // The domain controller keeps the tombstone of the object: is the key in it?
    let filter = format!("(&(isDeleted=TRUE)(cn={}*))", scene.objects.slot);
    let deleted = stage
        .with(|domain| domain.search_with(domain.base(), Scope::Sub, &filter, &["*"], &["show_deleted:1"]))?;
    ensure!(deleted.iter().all(|found| !found.attributes.contains_key("thumbnailPhoto")), "{deleted:?}");
    // Put back under its name, and under another.
    for slot in [scene.objects.slot.clone(), SlotName::for_restored_key(key).to_string()] {
        let object = scene.object(&slot, Some(&slot), saved, Some(&sddl))?;
        scene.person.change(&object)?.done()?;
        let dn = format!("CN={slot},{}", scene.objects.keys);
        ensure!(there(&dn)?);
        // A member cannot erase it, and does not open anything with it.
        ensure!(scene.fresh()?.unprotect(&context(), &scene.blob).is_err());
        scene.group.refresh()?;
        ensure!(!there(&dn)?, "a destroyed key stays");
        ensure!(scene.fresh()?.unprotect(&context(), &scene.blob).is_err());
    }
    Ok(())
}

fn clients_find_what_was_moved(stage: &Stage) -> Result<()> {
    let scene = Scene::new(stage)?;
    let running = scene.fresh()?;
    let goes_on = |what: &str| -> Result<()> {
        running.refresh().with_context(|| what.to_owned())?;
        let blob = running.protect(&context(), b"moved")?;
        ensure!(scene.fresh()?.unprotect(&context(), &blob)?.as_ref() == b"moved", "{what}");
        ensure!(running.view()?.alarms.is_empty(), "{what}: {:?}", running.view()?.alarms);
        Ok(())
    };
    let rename = |dn: &str, to: &str| stage.with(|domain| domain.rename(dn, to));
    let repository = stage.url().container_dn();
    let moved = format!("CN=moved-{},{repository}", scene.mallory.sam);
    rename(&scene.objects.container, &moved)?;
    goes_on("the group's container renamed")?;
    // Where they may list, readers find it.
    let attic = format!("CN=attic-{},{repository}", scene.mallory.sam);
    stage.with(|domain| {
        domain.modify_ldif(&format!("dn: {attic}\nchangetype: add\nobjectClass: container\n"))?;
        domain.set_descriptor(&attic, &format!("O:DAG:DAD:PAI(A;;GA;;;SY)(A;;LC;;;{})", scene.readers.sid))
    })?;
    let below = format!("CN=group,{attic}");
    rename(&moved, &below)?;
    goes_on("the group's container moved")?;
    rename(&format!("CN={},{below}", Room::Keys), &format!("CN=here,{below}"))?;
    goes_on("a room renamed")?;
    rename(&format!("CN=here,{below}"), &format!("CN=there,{attic}"))?;
    goes_on("a room moved")?;
    let new = scene.group.roll("into the moved room")?;
    running.refresh()?;
    ensure!(running.view()?.ring.key(new.key).is_some());
    // The readers group, renamed and moved: descriptors name its SID.
    rename(&scene.readers.dn, &format!("CN=renamed-{},{attic}", scene.readers.sam))?;
    goes_on("the readers group renamed and moved")
}
