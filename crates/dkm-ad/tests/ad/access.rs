//! Who sees what, with the programs that everybody has: no code of ours stands between them and the domain controller.

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::Group;
use dkm::core::record::PublicPart;
use dkm::core::{Context, GroupId, Room};
use dkm::repository::Repository as _;
use dkm_testbed::{Account, Scope};

use super::person::{DACL, INSUFFICIENT_ACCESS, NO_SUCH_OBJECT, OWNER, Person, new_descriptor};
use super::stage::Stage;

pub(crate) const TESTS: &[super::stage::Test] = &[
    ("outsiders_learn_nothing_of_a_group", outsiders_learn_nothing_of_a_group),
    ("names_of_objects_do_not_follow_from_blobs", names_of_objects_do_not_follow_from_blobs),
    ("members_change_nothing", members_change_nothing),
    ("administrators_must_take_ownership_which_shows", administrators_must_take_ownership_which_shows),
];

/// A group's objects, as the database has them.
pub(crate) struct Objects {
    pub(crate) container: String,
    pub(crate) keys: String,
    pub(crate) control: String,
    /// The object of the only key.
    pub(crate) key: String,
    pub(crate) key_guid: String,
    pub(crate) slot: String,
}

impl Objects {
    pub(crate) fn of(stage: &Stage, group: GroupId) -> Result<Self> {
        let keys = stage.room(group, Room::Keys)?;
        let container = keys.split_once(',').context("a room is in a container")?.1.to_owned();
        let found = stage.with(|domain| {
            domain.search(&keys, Scope::One, "(objectClass=contact)", &["objectGUID", "displayName"])
        })?;
        let key = found.first().context("no key")?;
        let guid = key.attributes.get("objectGUID").and_then(|values| values.first()).context("no GUID")?;
        let hex: String = guid.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            control: format!("CN={},{container}", Room::Control),
            key: key.dn.clone(),
            key_guid: format!("<GUID={hex}>"),
            slot: key.text("displayName").context("no displayName")?,
            container,
            keys,
        })
    }

    /// What there is to hide.
    fn all(&self) -> [&str; 5] {
        [&self.container, &self.keys, &self.control, &self.key, &self.key_guid]
    }
}

/// A group of the maker's with one key, and a blob.
pub(crate) fn group_of(stage: &Stage, members: &[&Account]) -> Result<(Group, Vec<u8>)> {
    let readers = stage.readers(&[&[&stage.maker], members].concat())?;
    let group = stage.group(&stage.maker, &readers)?;
    let blob = group.protect(&context(), b"secret")?;
    Ok((group, blob))
}

pub(crate) fn context() -> Context {
    Context::new()
}

/// Every way to learn of a group that comes to mind.
pub(crate) fn learns_nothing(
    stage: &Stage,
    person: &Person,
    group: GroupId,
    objects: &Objects,
) -> Result<()> {
    let domain = stage.url().domain_dn();
    let filters = [
        format!("displayName=*{group}*"),
        format!("displayName={}", objects.slot),
        format!("cn={}", objects.slot),
        format!("cn={group}"),
        "thumbnailPhoto=*".to_owned(),
        // Substrings, with which a value that may not be read could be guessed byte by byte.
        "thumbnailPhoto=\\44*".to_owned(),
        "thumbnailPhoto>=\\00".to_owned(),
        format!("distinguishedName={}", objects.key),
        "description=dkm-access 1".to_owned(),
        "l=*".to_owned(),
        "info=*".to_owned(),
    ];
    let answer = person.search_all(&domain, "sub", &filters)?;
    ensure!(answer.entries() == 0 && answer.code == 0, "{answer:?}");
    let below = person.search(&stage.url().container_dn(), "sub", "(objectClass=*)", &["1.1"])?.done()?;
    ensure!(!below.text.contains(&group.to_string()), "{below:?}");
    for dn in objects.all() {
        let answer = person.search(dn, "base", "(objectClass=*)", &[])?;
        ensure!(answer.entries() == 0, "{dn}: {answer:?}");
        answer.refused_with(NO_SUCH_OBJECT)?;
    }
    Ok(())
}

/// Every way to change something, each refused.
pub(crate) fn changes_nothing(stage: &Stage, person: &Person, objects: &Objects) -> Result<()> {
    let Objects { container, keys, control, key, key_guid, .. } = objects;
    let before = state(stage, objects)?;
    let mut changes = Vec::new();
    for dn in [key, key_guid] {
        for (attribute, value) in
            [("thumbnailPhoto", "AA=="), ("displayName", "a2V5"), ("l", "a2V5"), ("info", "a2V5")]
        {
            for how in ["replace", "add", "delete"] {
                let value = if how == "delete" { String::new() } else { format!("{attribute}:: {value}\n") };
                changes.push(format!("dn: {dn}\nchangetype: modify\n{how}: {attribute}\n{value}"));
            }
        }
        changes.push(format!("dn: {dn}\nchangetype: delete\n"));
    }
    let renamed = |dn: &str, name: &str, to: &str| {
        format!("dn: {dn}\nchangetype: modrdn\nnewrdn: {name}\ndeleteoldrdn: 1\nnewsuperior: {to}\n")
    };
    changes.push(renamed(key, "CN=other", keys));
    changes.push(renamed(key, "CN=other", control));
    changes.push(renamed(keys, "CN=other", container));
    changes.push(renamed(keys, "CN=keys", &format!("CN=Users,{}", stage.url().domain_dn())));
    for dn in [key, keys, control, container] {
        changes.push(new_descriptor(stage, dn, DACL, "D:PAI(A;;GA;;;AU)")?);
        changes.push(new_descriptor(stage, dn, OWNER, "O:AU")?);
        // With all that is below: LDAP_SERVER_TREE_DELETE_OID, MS-ADTS §3.1.1.3.4.1.15.
        changes.push(format!("dn: {dn}\ncontrol: 1.2.840.113556.1.4.805 true\nchangetype: delete\n"));
    }
    for class in ["contact", "container", "group"] {
        changes.push(format!("dn: CN=mine,{keys}\nchangetype: add\nobjectClass: {class}\n"));
    }
    let refused = person.changes_refused(&changes)?;
    ensure!(refused == changes.len(), "{refused} of {} were refused", changes.len());
    ensure!(state(stage, objects)? == before);
    Ok(())
}

/// All that could have been changed.
fn state(stage: &Stage, objects: &Objects) -> Result<Vec<String>> {
    stage.with(|domain| {
        let mut state = Vec::new();
        for found in domain.search(&objects.container, Scope::Sub, "(objectClass=*)", &[])? {
            state.push(format!("{:?} {}", found, domain.descriptor(&found.dn)?));
        }
        Ok(state)
    })
}

fn outsiders_learn_nothing_of_a_group(stage: &Stage) -> Result<()> {
    let (leaving, user) = (stage.account("svc-leaving")?, stage.account("person")?);
    let readers = stage.readers(&[&stage.maker, &leaving])?;
    let group = stage.group(&stage.maker, &readers)?;
    group.protect(&context(), b"secret")?;
    let objects = Objects::of(stage, group.id())?;
    // The questions find it if they are asked by a member.
    let member = Person::with_fresh_ticket(stage, &leaving)?;
    ensure!(learns_nothing(stage, &member, group.id(), &objects).is_err());
    stage.with(|domain| domain.remove_member(&readers, &leaving.dn))?;
    for account in [&leaving, &user] {
        let person = Person::with_fresh_ticket(stage, account)?;
        learns_nothing(stage, &person, group.id(), &objects)?;
        changes_nothing(stage, &person, &objects)?;
    }
    // Without a name there is the directory's root and nothing else.
    let nobody = Person::nobody(stage)?;
    nobody.search("", "base", "(objectClass=*)", &["defaultNamingContext"])?.done()?;
    let domain = stage.url().domain_dn();
    for base in [&domain, &stage.url().container_dn(), &objects.keys, &objects.key] {
        let answer = nobody.search(base, "sub", "(objectClass=*)", &[])?;
        ensure!(answer.code != 0 && answer.entries() == 0, "{answer:?}");
    }
    let ldif = format!("dn: CN=mine,{}\nchangetype: add\nobjectClass: contact\n", objects.keys);
    ensure!(nobody.change(&ldif)?.code != 0);
    Ok(())
}

/// A directory may answer more than it should about an object whose name is known. So names must not follow from what is
/// no secret: a group's id and the ids of its keys, which stand in blobs.
fn names_of_objects_do_not_follow_from_blobs(stage: &Stage) -> Result<()> {
    let user = stage.account("person")?;
    let (group, _) = group_of(stage, &[])?;
    let objects = Objects::of(stage, group.id())?;
    let id = group.id().to_string();
    for dn in objects.all() {
        ensure!(!dn.contains(&id), "{dn}");
    }
    let person = Person::with_fresh_ticket(stage, &user)?;
    let url = stage.url().container_dn();
    let guesses = [
        format!("CN={},CN={},CN={id},{url}", objects.slot, Room::Keys),
        format!("CN={},CN={},{url}", objects.slot, Room::Keys),
        format!("CN={},CN={id},{url}", Room::Keys),
        format!("CN={id},{url}"),
    ];
    for dn in guesses {
        person.search(&dn, "base", "(objectClass=*)", &["cn"])?.refused_with(NO_SUCH_OBJECT)?;
    }
    Ok(())
}

fn members_change_nothing(stage: &Stage) -> Result<()> {
    let member = stage.account("svc-member")?;
    let (group, blob) = group_of(stage, &[&member])?;
    let objects = Objects::of(stage, group.id())?;
    let person = Person::with_fresh_ticket(stage, &member)?;
    let read = person.search(&objects.key, "base", "(objectClass=*)", &["thumbnailPhoto"])?.done()?;
    ensure!(read.text.contains("thumbnailPhoto::"), "a member reads keys");
    changes_nothing(stage, &person, &objects)?;
    let reading = stage.client(&member)?.group(&group.id().to_string())?;
    ensure!(reading.unprotect(&context(), &blob)?.as_ref() == b"secret");
    ensure!(reading.view()?.alarms.is_empty());
    Ok(())
}

fn administrators_must_take_ownership_which_shows(stage: &Stage) -> Result<()> {
    let (group, blob) = group_of(stage, &[])?;
    let objects = Objects::of(stage, group.id())?;
    let administrator = Person::administrator(stage)?;
    let photo = |person: &Person| -> Result<bool> {
        let answer = person.search(&objects.key, "base", "(objectClass=*)", &["thumbnailPhoto"])?;
        Ok(answer.text.contains("thumbnailPhoto:"))
    };
    ensure!(!photo(&administrator)?);
    let by_value = administrator.search(&objects.keys, "sub", "(thumbnailPhoto=*)", &["1.1"])?;
    ensure!(by_value.entries() == 0, "nor can it be searched by: {by_value:?}");
    let shown =
        administrator.search(&objects.key, "base", "(objectClass=*)", &["l", "displayName", "info"])?;
    ensure!(shown.text.contains("displayName:") && shown.text.contains("info:"), "{shown:?}");
    ensure!(!shown.text.contains("\nl:"), "no more than it takes: {shown:?}");
    let original = stage.with(|domain| domain.descriptor(&objects.key))?;
    let dacl = original.split_once("D:").context("no DACL")?.1;
    let dacl = dacl.split("S:").next().unwrap_or(dacl);
    let opened = format!("D:{dacl}(A;;GA;;;DA)");
    administrator.set_descriptor(stage, &objects.key, DACL, &opened)?.refused_with(INSUFFICIENT_ACCESS)?;
    ensure!(stage.with(|domain| domain.descriptor(&objects.key))? == original);
    let owner = original.split_once("G:").context("no owner")?.0;
    ensure!(descriptor_version(stage, &objects.key)? == 1);
    // A client that goes on, and one that starts afterwards.
    let running = stage.client(&stage.maker)?.group(&group.id().to_string())?;
    administrator.set_descriptor(stage, &objects.key, OWNER, "O:DA")?.done()?;
    administrator.set_descriptor(stage, &objects.key, DACL, &opened)?.done()?;
    ensure!(photo(&administrator)?, "whoever owns it can let himself in");
    administrator.set_descriptor(stage, &objects.key, DACL, &format!("D:{dacl}"))?.done()?;
    ensure!(!photo(&administrator)?);
    // Everything looks as before, except whose it is.
    running.refresh()?;
    for group in [running, stage.client(&stage.maker)?.group(&group.id().to_string())?] {
        let view = group.view()?;
        let key = view.ring.keys.first().context("no key")?;
        ensure!(!key.attested.template_ok, "{:?}", key.attested);
        ensure!(key.distrust == Some(dkm::core::ring::Distrust::LooseAccessControl), "{:?}", key.distrust);
        ensure!(group.protect(&context(), b"x").is_err(), "protected with a key that others may know");
        ensure!(group.unprotect(&context(), &blob)?.as_ref() == b"secret");
    }
    // He may give it back. Then what tells is the directory's own record of changes, and the domain controller's log.
    administrator.set_descriptor(stage, &objects.key, OWNER, owner)?.done()?;
    ensure!(stage.with(|domain| domain.descriptor(&objects.key))? == original);
    ensure!(descriptor_version(stage, &objects.key)? > 1);
    let mut connection = stage.open_as_administrator()?.connect(0)?;
    for entry in connection.list(group.id(), Room::Keys)? {
        let read = connection.get(group.id(), Room::Keys, &entry)?;
        ensure!(read.public == PublicPart::Alone, "{read:?}");
    }
    Ok(())
}

/// How often an object's descriptor was written, as replication knows it: `replPropertyMetaData`, MS-DRSR §4.1.10.2.22.
fn descriptor_version(stage: &Stage, dn: &str) -> Result<u32> {
    const DESCRIPTOR: u32 = 0x0002_0119;
    let found =
        stage.with(|domain| domain.search(dn, Scope::Base, "(objectClass=*)", &["replPropertyMetaData"]))?;
    let values = found.first().and_then(|found| found.attributes.get("replPropertyMetaData"));
    let bytes = values.and_then(|values| values.first()).context("no metadata")?;
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let attributes = bytes.get(16..).context("short metadata")?.chunks_exact(48);
    let mut version =
        attributes.filter(|chunk| number(&chunk[..4]) == DESCRIPTOR).map(|chunk| number(&chunk[4..8]));
    version.next_back().context("no descriptor in the metadata")
}
