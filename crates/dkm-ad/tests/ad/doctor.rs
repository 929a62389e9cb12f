//! What a look at a real domain tells to whom: a maker, a member, an outsider, an administrator.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::Group;
use dkm_ad::doctor::{Area, Conclusion, Options, Report, Subject, Verdict, examine};
use dkm_ad::{AdRepository, DEFAULT_CONTAINER};
use dkm_testbed::{Account, Scope};

use super::person::{Person, encoded};
use super::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("doctor_tells_a_maker_of_the_domain", tells_a_maker_of_the_domain),
    ("doctor_tells_each_what_it_may_see", tells_each_what_it_may_see),
    ("doctor_finds_a_key_that_was_written_again", finds_a_key_that_was_written_again),
    ("alone_doctor_finds_keys_in_the_global_catalogue", finds_keys_in_the_global_catalogue),
    ("alone_doctor_finds_read_only_controllers", finds_read_only_controllers),
    ("alone_doctor_finds_a_recycle_bin", finds_a_recycle_bin),
    ("doctor_clears_its_own_probes_away", clears_its_own_probes_away),
];

/// The SACL alone is meant (MS-ADTS §3.1.1.3.4.1.11).
const SACL: &str = "1.2.840.113556.1.4.801 true:: MAMCAQg=";

/// A group that the maker and a service read.
fn group(stage: &Stage) -> Result<(Group, Account)> {
    let service = stage.account("svc-examined")?;
    let readers = stage.readers(&[&stage.maker, &service])?;
    Ok((stage.group(&stage.maker, &readers)?, service))
}

fn look(repository: &AdRepository, group: Option<&Group>) -> Result<Report> {
    let subject = group
        .map(|group| {
            Ok::<_, dkm::Error>(Subject { group: group.id(), name: group.name(), policy: group.policy()? })
        })
        .transpose()?;
    Ok(examine(repository, &Options { probe_timeout: Some(Duration::from_secs(1)), subject })?)
}

fn told(report: &Report, area: Area, verdict: Verdict, words: &str) -> Result<()> {
    let is_told = report
        .checks
        .iter()
        .any(|check| check.area == area && check.verdict == verdict && check.what.contains(words));
    ensure!(is_told, "no {verdict:?} of {area:?} with {words:?}:\n{report}");
    Ok(())
}

fn tells_a_maker_of_the_domain(stage: &Stage) -> Result<()> {
    let (group, _) = group(stage)?;
    let report = look(&stage.open(&stage.maker)?, Some(&group))?;
    let [facts] = &report.controllers[..] else { anyhow::bail!("{report}") };
    ensure!(facts.software.as_ref().is_some_and(|text| text.starts_with("Samba 4")), "{facts:?}");
    ensure!(facts.site.as_deref() == Some("Default-First-Site-Name"), "{facts:?}");
    ensure!(facts.read_only == Some(false) && facts.synchronized == Some(true), "{facts:?}");
    ensure!(facts.functional_level == Some(4) && facts.invocation_id.is_some(), "{facts:?}");
    told(&report, Area::Controllers, Verdict::Good, "the clock of dc1.dkm.test is")?;
    told(&report, Area::Controllers, Verdict::Warning, "names one domain controller")?;
    told(&report, Area::Controllers, Verdict::Warning, "the domain has one writable domain controller")?;
    // With one there is nothing to measure, and no number is made up.
    ensure!(report.convergence.slowest_ms.is_none() && report.convergence.ways.is_empty(), "{report}");
    told(&report, Area::Convergence, Verdict::NotChecked, "nothing to measure")?;
    told(&report, Area::Policy, Verdict::NotChecked, "nothing to measure")?;
    // Tickets last ten hours by default.
    let hours = |ms: Option<u64>| ms.map(|ms| ms.div_ceil(3_600_000));
    ensure!(hours(report.lock_out.tgt_left_ms) == Some(10), "{:?}", report.lock_out);
    ensure!(hours(report.lock_out.service_ticket_left_ms) == Some(10), "{:?}", report.lock_out);
    ensure!(report.lock_out.refresh_ms == Some(100) && report.lock_out.convergence_ms.is_none(), "{report}");
    told(&report, Area::LockOut, Verdict::Note, "an open connection: up to ")?;
    told(&report, Area::LockOut, Verdict::Note, "a fresh ticket: not measured")?;
    told(
        &report,
        Area::Schema,
        Verdict::Good,
        "thumbnailPhoto, which holds keys, is in no global catalogue",
    )?;
    told(&report, Area::Schema, Verdict::Note, "l (ids of keys) is in the global catalogue")?;
    told(&report, Area::Schema, Verdict::Good, "class contact may be made in containers")?;
    told(&report, Area::Schema, Verdict::Note, "without a descriptor of its own would be readable by all")?;
    told(&report, Area::Schema, Verdict::Good, "who has not signed in may not search")?;
    told(&report, Area::Deleted, Verdict::Good, "its tombstone stays 180 days")?;
    told(&report, Area::Auditing, Verdict::Warning, "Samba records binds and changes, and no reads")?;
    told(&report, Area::Auditing, Verdict::NotChecked, "dsdb_json_audit")?;
    told(&report, Area::Keys, Verdict::Good, "as they were made, descriptors included: 1 of 1 key objects")?;
    ensure!(report.conclusion == Conclusion::NothingWrong, "{report}");
    let json = serde_json::to_value(&report)?;
    ensure!(json["conclusion"] == "nothing-wrong" && json["checks"][0]["verdict"].is_string(), "{json}");
    ensure!(json["lock_out"]["cases"][0]["has"] == "keys in a running client", "{json}");
    Ok(())
}

fn tells_each_what_it_may_see(stage: &Stage) -> Result<()> {
    let (group, service) = group(stage)?;
    let member = look(&stage.open(&service)?, Some(&group))?;
    told(&member, Area::Keys, Verdict::Good, "as they were made, descriptors included: 1 of 1 key objects")?;
    told(&member, Area::Auditing, Verdict::NotChecked, "this account may not read it")?;
    ensure!(member.conclusion == Conclusion::NothingWrong, "{member}");
    // Who is nobody to the group learns nothing of it, and is told that.
    let outsider = look(&stage.open(&stage.account("outsider")?)?, Some(&group))?;
    told(&outsider, Area::Keys, Verdict::NotChecked, "this account does not see the room")?;
    told(&outsider, Area::Auditing, Verdict::NotChecked, "no group was named that this account sees")?;
    told(&outsider, Area::Schema, Verdict::Good, "is in no global catalogue")?;
    told(&outsider, Area::Controllers, Verdict::Good, "dc1.dkm.test: site")?;
    ensure!(outsider.lock_out.tgt_left_ms.is_some(), "{outsider}");
    // An administrator sees SACLs, and no key.
    let administrator = look(&stage.open_as_administrator()?, Some(&group))?;
    told(&administrator, Area::Keys, Verdict::NotChecked, "key objects")?;
    let sacl = |report: &Report| report.checks.iter().any(|check| check.what.starts_with("the SACL of"));
    ensure!(sacl(&member) && !sacl(&administrator), "{administrator}");
    let room = stage.room(group.id(), dkm::core::Room::Keys)?;
    Person::administrator(stage)?.set_descriptor(stage, &room, SACL, "S:(AU;CISA;RP;;;WD)")?.done()?;
    let administrator = look(&stage.open_as_administrator()?, Some(&group))?;
    told(&administrator, Area::Auditing, Verdict::Note, "asks for each read to be recorded")
}

fn finds_a_key_that_was_written_again(stage: &Stage) -> Result<()> {
    let (group, service) = group(stage)?;
    let room = stage.room(group.id(), dkm::core::Room::Keys)?;
    let (key, before) = stage.with(|domain| {
        let found = domain.search(&room, Scope::One, "(objectClass=contact)", &["cn"])?;
        let key = found.first().context("no key")?.dn.clone();
        let before = domain.descriptor(&key)?;
        let (dacl, _) = before.split_once(")S:").unwrap_or((before.trim_end_matches(')'), ""));
        domain.set_descriptor(&key, &format!("{dacl})(A;;RP;;;AU)"))?;
        Ok((key, before))
    })?;
    let report = look(&stage.open(&service)?, Some(&group))?;
    told(&report, Area::Keys, Verdict::Warning, "its descriptor was written again, version 2, last at 20")?;
    told(&report, Area::Keys, Verdict::Warning, "on dc1.dkm.test")?;
    told(&report, Area::Keys, Verdict::Warning, &format!("owner {}", stage.maker.sid))?;
    // Put back, it still tells that it was open.
    stage.with(|domain| domain.set_descriptor(&key, &before))?;
    let report = look(&stage.open(&service)?, Some(&group))?;
    told(&report, Area::Keys, Verdict::Note, "version 3, last at 20")?;
    told(&report, Area::Keys, Verdict::Note, "now it gives nobody more than it should")?;
    let warned =
        report.checks.iter().any(|check| check.area == Area::Keys && check.verdict == Verdict::Warning);
    ensure!(!warned, "{report}");
    Ok(())
}

fn finds_keys_in_the_global_catalogue(stage: &Stage) -> Result<()> {
    let base = stage.with(|domain| Ok(domain.base().to_owned()))?;
    let flip = |change: &str| {
        let dn = format!("CN=Picture,CN=Schema,CN=Configuration,{base}");
        stage.with(|domain| domain.modify_ldif_relaxed(&format!("dn: {dn}\nchangetype: modify\n{change}\n")))
    };
    flip("replace: isMemberOfPartialAttributeSet\nisMemberOfPartialAttributeSet: TRUE")?;
    let report = look(&stage.open(&stage.maker)?, None);
    flip("replace: isMemberOfPartialAttributeSet\nisMemberOfPartialAttributeSet: FALSE")?;
    let report = report?;
    told(&report, Area::Schema, Verdict::Wrong, "is copied into every global catalogue")?;
    ensure!(report.conclusion == Conclusion::Wrong, "{report}");
    let report = look(&stage.open(&stage.maker)?, None)?;
    told(&report, Area::Schema, Verdict::Good, "is in no global catalogue")
}

fn finds_read_only_controllers(stage: &Stage) -> Result<()> {
    let base = stage.with(|domain| Ok(domain.base().to_owned()))?;
    let server = format!("CN=BRANCH,CN=Servers,CN=Default-First-Site-Name,CN=Sites,CN=Configuration,{base}");
    let account = format!("CN=OFFICE,CN=Computers,{base}");
    stage.with(|domain| {
        domain.modify_ldif_relaxed(&format!(
            "dn: {account}\nchangetype: add\nobjectClass: computer\nsAMAccountName: OFFICE$\n\
             userAccountControl: 83890176\ndNSHostName: office.dkm.test\n"
        ))?;
        domain.modify_ldif_relaxed(&format!(
            "dn: {server}\nchangetype: add\nobjectClass: server\ndNSHostName: branch.dkm.test\n\n\
             dn: CN=NTDS Settings,{server}\nchangetype: add\nobjectClass: nTDSDSARO\n"
        ))
    })?;
    let report = look(&stage.open(&stage.maker)?, None);
    stage.with(|domain| {
        domain.modify_ldif_relaxed(&format!(
            "dn: CN=NTDS Settings,{server}\nchangetype: delete\n\ndn: {server}\nchangetype: delete\n\n\
             dn: {account}\nchangetype: delete\n"
        ))
    })?;
    let report = report?;
    let copy = "is a read-only domain controller: it has a copy of every key object";
    told(
        &report,
        Area::Controllers,
        Verdict::Warning,
        &format!("branch.dkm.test in site Default-First-Site-Name {copy}"),
    )?;
    told(&report, Area::Controllers, Verdict::Warning, &format!("office.dkm.test {copy}"))?;
    ensure!(report.conclusion == Conclusion::NothingWrong, "{report}");
    Ok(())
}

fn finds_a_recycle_bin(stage: &Stage) -> Result<()> {
    let base = stage.with(|domain| Ok(domain.base().to_owned()))?;
    let services = format!("CN=Directory Service,CN=Windows NT,CN=Services,CN=Configuration,{base}");
    // Switched on in the directory's settings only: it can't be switched off again.
    let bin = format!("CN=Recycle Bin Feature,CN=Optional Features,{services}");
    let change = |what: &str| {
        stage.with(|domain| {
            domain.modify_ldif(&format!(
                "dn: CN=Partitions,CN=Configuration,{base}\nchangetype: modify\n{what}: msDS-EnabledFeature\n\
                 msDS-EnabledFeature: {bin}\n"
            ))
        })
    };
    change("add")?;
    let report = look(&stage.open(&stage.maker)?, None);
    change("delete")?;
    told(&report?, Area::Deleted, Verdict::Warning, "stays 180 days with its bytes")
}

fn clears_its_own_probes_away(stage: &Stage) -> Result<()> {
    let base = stage.with(|domain| Ok(domain.base().to_owned()))?;
    let container = format!("{DEFAULT_CONTAINER},{base}");
    let maker = Person::with_fresh_ticket(stage, &stage.maker)?;
    let add = |person: &Person, name: &str, owner: &str, until: &str, entries: &str| {
        let sddl = format!("O:{owner}G:DAD:PAI(A;;GA;;;SY)(A;;RPLOSDRC;;;{owner}){entries}");
        person
            .change(&format!(
                "dn: CN={name},{container}\nchangetype: add\nobjectClass: container\ndisplayName: dkm probe\n\
                 description: until {until}\nnTSecurityDescriptor:: {}\n",
                encoded(stage, &sddl)?
            ))?
            .done()
            .map(drop)
    };
    let (long_ago, far_off) = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    let own = stage.maker.sid.as_str();
    add(&maker, "probe-left", own, long_ago, "")?;
    // One that another run waits for, one with something in it, and one that is not called a probe.
    add(&maker, "probe-waiting", own, far_off, "")?;
    add(&maker, "probe-full", own, long_ago, &format!("(A;;CC;;;{own})"))?;
    add(&maker, "no-probe", own, long_ago, "")?;
    let child = maker.change(&format!(
        "dn: CN=child,CN=probe-full,{container}\nchangetype: add\nobjectClass: container\n"
    ))?;
    child.done()?;
    // Somebody else's.
    let administrator = Person::administrator(stage)?;
    let other = stage.administrator_sid()?;
    add(&administrator, "probe-other", &other, long_ago, &format!("(A;;RPLOSDRC;;;{own})"))?;
    let report = look(&stage.open(&stage.maker)?, None)?;
    let left = stage.with(|domain| {
        let found = domain.search(&container, Scope::One, "(displayName=dkm probe)", &["cn"])?;
        let mut names: Vec<String> = found.iter().filter_map(|entry| entry.text("cn")).collect();
        names.sort();
        for dn in
            ["CN=child,CN=probe-full", "CN=probe-full", "CN=probe-waiting", "CN=probe-other", "CN=no-probe"]
        {
            domain.modify_ldif(&format!("dn: {dn},{container}\nchangetype: delete\n"))?;
        }
        Ok(names)
    })?;
    ensure!(left == ["no-probe", "probe-full", "probe-other", "probe-waiting"], "{left:?}");
    told(
        &report,
        Area::Convergence,
        Verdict::Note,
        "probes of earlier runs of this account that were deleted on dc1.dkm.test: 1",
    )?;
    told(&report, Area::Convergence, Verdict::Note, &format!("probe-other,{container} of {other}"))
}
