//! Owners, administrators and auditors who are no members: what they can do, and that they come to know no key by it.

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::{Group, NewGroup};
use dkm::core::record::PublicPart;
use dkm::core::ring::{KeyState, RingKey};
use dkm::core::{KeyId, Room};
use dkm::repository::{GroupAccess, READERS_GROUP, Repository as _};
use dkm::{Compromise, Destruction, ErrorKind, Policy};
use dkm_testbed::{Account, Scope};

use super::access::{Objects, changes_nothing, context, learns_nothing};
use super::person::{Person, base64};
use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("owners_set_states_and_policy_and_read_no_key", set_states_and_policy_and_read_no_key),
    ("owners_destroy_what_they_never_read", destroy_what_they_never_read),
    ("owners_say_a_compromise_and_creators_replace_the_key", say_a_compromise),
    ("owners_who_leave_the_members_go_on_as_owners", who_leave_the_members_go_on),
    ("owners_who_create_and_are_no_members_make_no_key", who_create_and_are_no_members_make_no_key),
    ("material_is_out_of_reach_of_those_who_only_look", material_is_out_of_reach),
    ("auditors_change_nothing", auditors_change_nothing),
];

/// A group with an owner who is no member.
struct Scene {
    /// As its creator has it, who owns it too.
    group: Group,
    readers: dkm_testbed::Group,
    keeper: Account,
    key: KeyId,
    blob: Vec<u8>,
}

impl Scene {
    fn set(stage: &Stage) -> Result<Self> {
        let keeper = stage.account("keeper")?;
        let readers = stage.readers(&[&stage.maker])?;
        let new = NewGroup {
            name: format!("kept-by-{}", keeper.sam),
            description: None,
            policy: Stage::policy(),
            access: GroupAccess {
                readers: vec![format!("{READERS_GROUP}{}", readers.sam)],
                creators: vec![stage.maker.sam.clone()],
                owners: vec![stage.maker.sam.clone(), keeper.sam.clone()],
                auditors: vec![stage.auditors.sam.clone()],
                elevators: Vec::new(),
            },
        };
        let group = stage.client(&stage.maker)?.create_group(new)?;
        let blob = group.protect(&context(), b"secret")?;
        let key = group.view()?.protecting?;
        Ok(Self { group, readers, keeper, key, blob })
    }

    fn as_keeper(&self, stage: &Stage) -> Result<Group> {
        Ok(stage.client(&self.keeper)?.group(&self.group.id().to_string())?)
    }

    /// A key's state as its creator sees it.
    fn state(&self, key: KeyId) -> Result<KeyState> {
        self.group.refresh()?;
        let view = self.group.view()?;
        Ok(view.ring.key(key).context("no such key")?.state(view.now))
    }
}

fn set_states_and_policy_and_read_no_key(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let keeper = scene.as_keeper(stage)?;
    let (view, theirs) = (keeper.view()?, scene.group.view()?);
    ensure!(!view.rights.read && !view.rights.create && view.rights.own, "{:?}", view.rights);
    ensure!(view.protects_for_members() == Some(scene.key) && view.unread.is_empty(), "{view:?}");
    let (seen, meant) = (view.ring.key(scene.key).context("no key")?, &theirs.ring.keys[0]);
    ensure!(seen.is_withheld() && seen.distrust.is_none() && seen.record == meant.record, "{seen:?}");
    ensure!(seen.attested == meant.attested && meant.public == PublicPart::Agrees, "{seen:?} {meant:?}");
    for error in [
        keeper.protect(&context(), b"x").map(drop).unwrap_err(),
        keeper.unprotect(&context(), &scene.blob).map(drop).unwrap_err(),
        keeper.roll("x").map(drop).unwrap_err(),
    ] {
        ensure!(error.kind() == ErrorKind::Denied, "{error}");
    }
    keeper.suspend(scene.key, "a drill")?;
    ensure!(scene.state(scene.key)? == KeyState::Suspended);
    ensure!(scene.group.protect(&context(), b"x").is_err());
    keeper.resume(scene.key, "over")?;
    ensure!(scene.state(scene.key)? == KeyState::Active);
    let changed = Policy { rotation_period_ms: 80 * 86_400_000, ..keeper.policy()? };
    keeper.set_policy(changed.clone())?;
    scene.group.refresh()?;
    ensure!(scene.group.policy()? == changed);
    // What is made later is seen by the client that runs, too.
    let waiting = scene.group.roll("as usual")?;
    keeper.refresh()?;
    ensure!(keeper.view()?.ring.key(waiting.key).is_some_and(RingKey::is_withheld));
    ensure!(keeper.view()?.alarms.is_empty() && keeper.view()?.ring.findings.is_empty());
    ensure!(scene.group.view()?.ring.findings.is_empty());
    Ok(())
}

fn destroy_what_they_never_read(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let objects = Objects::of(stage, scene.group.id())?;
    let keeper = scene.as_keeper(stage)?;
    let typed = scene.key.to_string();
    ensure!(keeper.destroy_now(scene.key, &typed, "x").is_err(), "it protects");
    ensure!(keeper.destroy(scene.key, "x").is_err(), "it is no archived key");
    scene.group.compromise(scene.key, "known to others")?;
    let done = keeper.destroy_now(scene.key, &typed, "known to others")?;
    ensure!(done == Destruction::Destroyed { replicas: 1 }, "{done:?}");
    let left = stage
        .with(|domain| domain.search(&objects.keys, Scope::One, "(objectClass=contact)", &["displayName"]))?;
    ensure!(left.len() == 1 && left[0].dn != objects.key, "{left:?}");
    scene.group.refresh()?;
    ensure!(scene.group.unprotect(&context(), &scene.blob).is_err());
    ensure!(scene.group.protect(&context(), b"x").is_ok());
    Ok(())
}

fn say_a_compromise(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let keeper = scene.as_keeper(stage)?;
    let error = keeper.compromise(scene.key, "stolen").map(drop).unwrap_err();
    ensure!(error.kind() == ErrorKind::Refused && scene.state(scene.key)? == KeyState::Active, "{error}");
    let at_once = Compromise { at_once: true, ..Compromise::default() };
    ensure!(keeper.compromise_as(scene.key, "stolen", at_once)?.unreplaced);
    ensure!(scene.state(scene.key)? == KeyState::Compromised);
    // A creator's client that comes along makes another, once its turn in the next refresh has come.
    let replaced = (0..50).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let creator = stage.client(&stage.maker).and_then(|client| {
            let group = client.group(&scene.group.id().to_string())?;
            Ok(group.protect(&context(), b"x").is_ok())
        });
        creator.unwrap_or(false)
    });
    ensure!(replaced, "{:?}", scene.group.view()?.plan);
    keeper.refresh()?;
    let protecting = keeper.view()?.protects_for_members();
    ensure!(protecting.is_some_and(|key| key != scene.key), "{protecting:?}");
    Ok(())
}

fn who_leave_the_members_go_on(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    stage.with(|domain| domain.add_member(&scene.readers, &scene.keeper.dn))?;
    let keeper = scene.as_keeper(stage)?;
    ensure!(keeper.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    stage.with(|domain| domain.remove_member(&scene.readers, &scene.keeper.dn))?;
    let error = keeper.refresh().unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    keeper.suspend(scene.key, "as an owner")?;
    let error = keeper.unprotect(&context(), &scene.blob).map(drop).unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    ensure!(keeper.view()?.alarms.is_empty(), "{:?}", keeper.view()?.alarms);
    // Back again, it reads without a restart, and nothing seems to have changed.
    stage.with(|domain| domain.add_member(&scene.readers, &scene.keeper.dn))?;
    keeper.refresh()?;
    ensure!(keeper.unprotect(&context(), &scene.blob)?.as_ref() == b"secret");
    ensure!(keeper.view()?.alarms.is_empty(), "{:?}", keeper.view()?.alarms);
    Ok(())
}

/// Whoever may add keys is a member; one that is so no more could otherwise go on making keys that it knows.
fn who_create_and_are_no_members_make_no_key(stage: &Stage) -> Result<()> {
    let leaving = stage.account("svc-leaving")?;
    let readers = stage.readers(&[&stage.maker, &leaving])?;
    let both = vec![stage.maker.sam.clone(), leaving.sam.clone()];
    let access = GroupAccess {
        readers: vec![format!("{READERS_GROUP}{}", readers.sam)],
        creators: both.clone(),
        owners: both,
        ..GroupAccess::default()
    };
    let name = format!("left-by-{}", leaving.sam);
    let new = NewGroup { name, description: None, policy: Stage::policy(), access };
    let group = stage.client(&stage.maker)?.create_group(new)?;
    ensure!(stage.client(&leaving)?.group(&group.id().to_string())?.view()?.rights.create);
    stage.with(|domain| domain.remove_member(&readers, &leaving.dn))?;
    let after = stage.client(&leaving)?.group(&group.id().to_string())?;
    let rights = after.view()?.rights;
    ensure!(!rights.read && !rights.create && rights.own, "{rights:?}");
    let error = after.roll("x").map(drop).unwrap_err();
    ensure!(error.kind() == ErrorKind::Denied, "{error}");
    let key = after.view()?.ring.keys.first().context("no key")?.id();
    after.compromise_as(key, "stolen", Compromise { at_once: true, ..Compromise::default() })?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    let again = stage.client(&leaving)?.group(&group.id().to_string())?;
    ensure!(again.view()?.ring.keys.len() == 1, "it makes none");
    Ok(())
}

/// Every way to come by a value that may not be read.
/// A key's record but for one bit of its random bytes. Samba makes a filter of a value to be compared and complains of
/// some that hold what means something there: the bit is in a byte that means nothing, so that what is asked differs
/// in nothing but in being right.
fn near(record: &[u8]) -> Result<Vec<u8>> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"()*\\&|!~<>=:".contains(&byte);
    let at =
        (72..record.len()).find(|at| record.get(*at).is_some_and(|byte| plain(*byte) && plain(byte ^ 1)));
    let mut near = record.to_vec();
    near[at.context("every byte means something in a filter")?] ^= 1;
    Ok(near)
}

fn material_is_out_of_reach(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let objects = Objects::of(stage, scene.group.id())?;
    let found = stage
        .with(|domain| domain.search(&objects.key, Scope::Base, "(objectClass=*)", &["thumbnailPhoto"]))?;
    let bytes = found.first().and_then(|found| found.attributes["thumbnailPhoto"].first());
    let bytes = bytes.context("no key")?;
    let near = near(bytes)?;
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let guesses = [
        "(thumbnailPhoto=*)".to_owned(),
        format!("(thumbnailPhoto={}*)", escaped(&bytes[..1])),
        format!("(thumbnailPhoto=*{}*)", escaped(&bytes[bytes.len() - 8..])),
        format!("(thumbnailPhoto={})", escaped(bytes)),
        "(thumbnailPhoto>=\\00)".to_owned(),
        "(thumbnailPhoto<=\\ff)".to_owned(),
        format!("(|(thumbnailPhoto={}*)(thumbnailPhoto=\\00*))", escaped(&bytes[..4])),
        format!("(&(objectClass=contact)(thumbnailPhoto={}*))", escaped(&bytes[..4])),
        format!("(thumbnailPhoto:2.5.13.18:={})", escaped(bytes)),
        "(l=*)".to_owned(),
    ];
    let negated = |right: String, wrong: &str| {
        [right, wrong.to_owned()].map(|value| format!("(!(thumbnailPhoto={value}))"))
    };
    let negations = [
        negated(escaped(bytes), "\\00"),
        negated(format!("{}*", escaped(&bytes[..4])), "\\00*"),
        negated(format!("*{}*", escaped(&bytes[72..76])), "*\\00\\01\\02\\03\\04*"),
        ["(!(thumbnailPhoto>=\\00))".to_owned(), "(!(thumbnailPhoto>=\\ff))".to_owned()],
        ["(!(thumbnailPhoto=*))".to_owned(), "(!(photo=*))".to_owned()],
    ];
    let member = Person::with_fresh_ticket(stage, &stage.maker)?;
    ensure!(member.search(&objects.keys, "one", &guesses[1], &["1.1"])?.entries() == 1, "a member finds it");
    let told = |filter: &str| {
        Ok::<_, anyhow::Error>(member.search(&objects.keys, "one", filter, &["1.1"])?.entries())
    };
    ensure!(
        (told(&negations[1][0])?, told(&negations[1][1])?) == (0, 1),
        "and a member is told a right guess"
    );
    let auditor = stage.auditor()?;
    let people = [
        ("owner", Person::with_fresh_ticket(stage, &scene.keeper)?),
        ("administrator", Person::administrator(stage)?),
        ("auditor", Person::with_fresh_ticket(stage, &auditor)?),
    ];
    for (who, person) in &people {
        for dn in [&objects.key, &objects.key_guid] {
            let everything =
                ["*", "+", "thumbnailPhoto", "l", "thumbnailPhoto;binary", "info", "displayName"];
            let shown = person.search(dn, "base", "(objectClass=*)", &everything)?.done()?;
            for name in ["info:", "displayName:", "name:", "whenCreated:", "uSNChanged:", "objectGUID:"] {
                ensure!(shown.text.contains(&format!("\n{name}")), "{who} is not shown {name} {shown:?}");
            }
            for name in ["thumbnailPhoto", "l:"] {
                ensure!(!shown.text.contains(&format!("\n{name}")), "{who} is shown {name} {shown:?}");
            }
            ensure!(!shown.text.replace("\n ", "").contains(&base64(&bytes[72..99])), "{who}: {shown:?}");
        }
        for filter in &guesses {
            for scope in ["sub", "one"] {
                let answer = person.search(&objects.keys, scope, filter, &["1.1"])?;
                ensure!(answer.entries() == 0, "{who} {filter}: {answer:?}");
            }
            let answer = person.search(&objects.key, "base", filter, &["1.1"])?;
            ensure!(answer.entries() == 0, "{who} {filter}: {answer:?}");
        }
        // What does not match may be told, but alike for a right guess and a wrong one.
        for pair in &negations {
            let found = |filter: &str| -> Result<usize> {
                Ok(person.search(&objects.keys, "one", filter, &["1.1"])?.done()?.entries())
            };
            ensure!(found(&pair[0])? == found(&pair[1])?, "{who}: {pair:?} tells a right guess");
        }
        // A comparison is answered alike, right or wrong.
        let compare = |value: &[u8]| {
            person.run("ldapcompare", &[&objects.key, &format!("thumbnailPhoto::{}", base64(value))], "")
        };
        let (right, wrong) = (compare(bytes)?, compare(&near)?);
        ensure!(right.code == wrong.code && right.code != 6, "{who}: {right:?} {wrong:?}");
        // Sorted by it, and through what is replicated.
        let sorted = person.run(
            "ldapsearch",
            &[
                "-LLL",
                "-E",
                "!sss=thumbnailPhoto",
                "-b",
                &objects.keys,
                "(objectClass=contact)",
                "thumbnailPhoto",
            ],
            "",
        )?;
        ensure!(!sorted.text.contains("thumbnailPhoto:"), "{who}: {sorted:?}");
        let metadata = person.search(&objects.key, "base", "(objectClass=*)", &["msDS-ReplValueMetaData"])?;
        ensure!(!metadata.text.contains(&base64(&bytes[72..99])), "{who}: {metadata:?}");
    }
    // The same entries show nothing to anybody else.
    let user = stage.account("person")?;
    learns_nothing(stage, &Person::with_fresh_ticket(stage, &user)?, scene.group.id(), &objects)
}

fn auditors_change_nothing(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let objects = Objects::of(stage, scene.group.id())?;
    let auditor = stage.auditor()?;
    changes_nothing(stage, &Person::with_fresh_ticket(stage, &auditor)?, &objects)?;
    let group = stage.client(&auditor)?.group(&scene.group.id().to_string())?;
    let view = group.view()?;
    ensure!(!view.rights.read && !view.rights.create && !view.rights.own, "{:?}", view.rights);
    ensure!(view.ring.keys.len() == 1 && view.protects_for_members() == Some(scene.key));
    for error in [
        group.suspend(scene.key, "x").unwrap_err(),
        group.protect(&context(), b"x").map(drop).unwrap_err(),
        group.unprotect(&context(), &scene.blob).map(drop).unwrap_err(),
    ] {
        ensure!(error.kind() == ErrorKind::Denied, "{error}");
    }
    let mut connection = stage.open(&auditor)?.connect(0)?;
    for entry in connection.list(group.id(), Room::Keys)? {
        ensure!(connection.get(group.id(), Room::Keys, &entry)?.public == PublicPart::Alone);
        ensure!(connection.shred(group.id(), &entry).is_err());
    }
    Ok(())
}
