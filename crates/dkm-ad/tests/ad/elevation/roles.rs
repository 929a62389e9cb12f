//! The role of an elevator: who may have it, what it may do, and what is told of it.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use dkm::blocking::NewGroup;
use dkm::repository::GroupAccess;
use dkm_ad::audit::{Class, PathKind, Report, Services, Verdict, audit};
use dkm_ad::elevation::Elevator;
use dkm_testbed::Account;

use super::{LONG_MS, Scene, now, request};
use crate::access::context;
use crate::audit::{alone, fails};
use crate::person::{INSUFFICIENT_ACCESS, Person};
use crate::stage::{Stage, Test};

pub(crate) const TESTS: &[Test] = &[
    ("elevators_are_accounts_with_no_other_role", are_accounts_with_no_other_role),
    ("elevators_can_be_named_in_a_repository_that_is_there", can_be_named_in_a_repository_that_is_there),
    ("elevators_alone_make_temporary_accounts", alone_make_temporary_accounts),
    ("elevators_refusals_are_no_deviation_and_all_else_is", refusals_are_no_deviation_and_all_else_is),
    ("audit_tells_of_elevators_and_temporary_accounts", audit_tells_of_elevators_and_temporary_accounts),
    (
        "audit_of_elevators_finds_strangers_among_temporary_accounts",
        audit_finds_strangers_among_temporary_accounts,
    ),
];

fn are_accounts_with_no_other_role(stage: &Stage) -> Result<()> {
    let group = stage.readers(&[&stage.elevator])?;
    let cases = [
        (vec![group.sam.clone()], vec![stage.maker.sam.clone()], "is a group"),
        (vec![stage.elevator.sam.clone()], vec![stage.elevator.sam.clone()], "an owner or a creator"),
        (vec!["nobody-of-that-name".to_owned()], vec![stage.maker.sam.clone()], "no account or group"),
    ];
    for (elevators, owners, why) in cases {
        let access = GroupAccess {
            readers: vec![stage.maker.sam.clone()],
            creators: vec![stage.maker.sam.clone()],
            owners,
            elevators,
            auditors: Vec::new(),
        };
        let new = NewGroup {
            name: format!("refused-{}", request()),
            description: None,
            policy: Stage::policy(),
            access,
        };
        let error = stage.client(&stage.maker)?.create_group(new).map(drop).unwrap_err();
        ensure!(error.to_string().contains(why), "{error}");
    }
    Ok(())
}

fn can_be_named_in_a_repository_that_is_there(stage: &Stage) -> Result<()> {
    let url = stage.url().to_string().replacen("dkm.test?", "dkm.test/CN=later,CN=Program Data?", 1);
    let url: dkm_ad::AdUrl = url.parse()?;
    let container = url.container_dn();
    let open = |(principal, password): &(String, String)| {
        let identity =
            dkm_ad::Identity::Password { principal: principal.clone(), password: password.clone().into() };
        stage.open_with(url.clone(), identity, dkm_ad::Limits::default())
    };
    let administrator = open(&stage.administrator)?;
    let init = |elevators: &[String]| {
        dkm_ad::init::plan(&administrator, &[], &[], elevators).map_err(anyhow::Error::from)
    };
    init(&[])?.carry_out()?;
    let Account { principal, password, sam, .. } = &stage.elevator;
    let elevator = Elevator::new(Arc::new(open(&(principal.clone(), password.clone()))?));
    let error = elevator.sweep(now()).unwrap_err();
    ensure!(error.to_string().contains("dkm ad init --elevators"), "{error}");
    let plan = init(std::slice::from_ref(sam))?;
    let ldif: String = plan.objects.iter().map(dkm_ad::init::PlannedObject::ldif).collect();
    ensure!(ldif.contains(&format!("dn: CN=temporary,{container}")), "{ldif}");
    let made = plan.carry_out()?;
    ensure!(made == [format!("CN=temporary,{container}")], "{made:?}");
    ensure!(elevator.sweep(now())?.is_empty());
    ensure!(init(std::slice::from_ref(sam))?.carry_out()?.is_empty(), "once is enough");
    Ok(())
}

fn alone_make_temporary_accounts(stage: &Stage) -> Result<()> {
    let container = format!("CN=temporary,{}", stage.url().container_dn());
    let made = |class: &str, name: &str| {
        format!("dn: CN={name},{container}\nchangetype: add\nobjectClass: {class}\nsAMAccountName: {name}\n")
    };
    let (person, auditor) = (stage.account("person")?, stage.auditor()?);
    for account in [&person, &auditor, &stage.maker] {
        let them = Person::with_fresh_ticket(stage, account)?;
        ensure!(them.change(&made("user", &format!("by-{}", account.sam)))?.code != 0, "{}", account.sam);
    }
    let elevator = Person::with_fresh_ticket(stage, &stage.elevator)?;
    for class in ["group", "computer", "inetOrgPerson"] {
        elevator.change(&made(class, &format!("a-{class}")))?.refused_with(INSUFFICIENT_ACCESS)?;
    }
    let users = format!("CN=Users,{}", stage.url().domain_dn());
    let outside =
        format!("dn: CN=outside,{users}\nchangetype: add\nobjectClass: user\nsAMAccountName: outside\n");
    elevator.change(&outside)?.refused_with(INSUFFICIENT_ACCESS)?;
    // Nor does it do anything about other accounts.
    for change in ["delete", "modify\nreplace: userAccountControl\nuserAccountControl: 514"] {
        let answer = elevator.change(&format!("dn: {}\nchangetype: {change}\n", person.dn))?;
        ensure!(answer.code != 0, "{answer:?}");
    }
    // What it makes is seen by auditors, and by nobody else who signed in.
    let scene = Scene::set(stage)?;
    let guest = scene.issue(request(), LONG_MS)?;
    let filter = format!("(sAMAccountName={})", guest.tickets.account);
    let seen = |account: &Account| -> Result<usize> {
        let them = Person::with_fresh_ticket(stage, account)?;
        Ok(them.search(&stage.url().domain_dn(), "sub", &filter, &["description"])?.entries())
    };
    ensure!(seen(&auditor)? == 1 && seen(&stage.elevator)? == 1 && seen(&person)? == 0);
    Ok(())
}

fn refusals_are_no_deviation_and_all_else_is(stage: &Stage) -> Result<()> {
    let scene = Scene::set(stage)?;
    let outsider = stage.account("person")?;
    let keys = &scene.objects.keys;
    let before = stage.with(|domain| domain.descriptor(keys))?;
    let lines = |dacl: &str| -> Result<Vec<(String, bool)>> {
        stage.with(|domain| domain.set_descriptor(keys, dacl))?;
        scene.group.refresh()?;
        let view = scene.group.view()?;
        let of_room = view.access.into_iter().filter(|line| line.who == "room keys");
        Ok(of_room.map(|line| (line.may, line.alarming)).collect())
    };
    let with = |front: &str, back: &str| {
        let (head, rest) = before.split_once("D:PAI").unwrap_or_default();
        let (dacl, sacl) = rest.split_once("S:").map_or((rest, None), |(dacl, sacl)| (dacl, Some(sacl)));
        let sacl = sacl.map(|sacl| format!("S:{sacl}")).unwrap_or_default();
        format!("{head}D:PAI{front}{dacl}{back}{sacl}")
    };
    ensure!(lines(&before)?.is_empty());
    let refusal = format!("(D;;LCRPLORC;;;{})", outsider.sid);
    ensure!(lines(&with(&refusal, ""))?.is_empty(), "shut out by himself");
    ensure!(lines(&with(&format!("(D;;GA;;;{})", outsider.sid), ""))?.is_empty(), "and from all there is");
    // A role that is refused something is told, and does not alarm: nobody comes to know anything by it.
    for role in [&stage.auditors.sid, &stage.elevator.sid] {
        let told = lines(&with(&format!("(D;;LCRPLORC;;;{role})"), ""))?;
        ensure!(told.len() == 1 && told[0].0.contains("refusal") && !told[0].1, "{told:?}");
    }
    // Everybody else's is no single account's.
    let told = lines(&with("(D;;RP;;;AN)", ""))?;
    ensure!(told.len() == 1, "{told:?}");
    // Every grant is found beside it.
    for grant in ["CC", "WD", "WO", "RP", "DC", "GA"] {
        for who in [&outsider.sid, &stage.elevator.sid] {
            let told = lines(&with(&refusal, &format!("(A;;{grant};;;{who})")))?;
            let is_his = (grant == "WD" || grant == "RP") && *who == stage.elevator.sid;
            ensure!(told.iter().any(|(_, alarming)| *alarming) != is_his, "{grant} to {who}: {told:?}");
        }
    }
    // And what takes the frame away.
    let told = lines(&before.replacen("D:PAI", "D:AI", 1))?;
    ensure!(told.iter().any(|(_, alarming)| *alarming), "{told:?}");
    ensure!(lines(&before)?.is_empty());
    Ok(())
}

fn look(scene: &Scene<'_>, services: &str) -> Result<Report> {
    let services = Services::unsigned(&format!("{} makes groups\n{services}", scene.stage.maker.sid))?;
    let auditor = scene.stage.auditor()?;
    Ok(audit(&scene.stage.open(&auditor)?, scene.id(), &services)?)
}

fn audit_tells_of_elevators_and_temporary_accounts(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    // Whether the list of services names it or not.
    for services in [String::new(), format!("{} is dkmd\n", stage.elevator.sid)] {
        let report = look(&scene, &services)?;
        ensure!(report.verdict == Verdict::NoPath && report.unchecked.is_empty(), "{report}");
        let text = report.to_string();
        ensure!(text.contains("ELEVATORS: can let in anybody"), "{report}");
        for (kind, words) in [(PathKind::E, "writes the members"), (PathKind::D, "writes the DACL")] {
            let told = report.findings.iter().any(|finding| {
                finding.class == Class::Elevator && finding.kind == kind && finding.what.contains(words)
            });
            ensure!(told, "{kind} {words}: {report}");
        }
    }
    let request = request();
    let guest = scene.issue(request, LONG_MS)?;
    let report = look(&scene, "")?;
    ensure!(report.verdict == Verdict::NoPath && report.unchecked.is_empty(), "{report}");
    let told = report.findings.iter().find(|finding| finding.class == Class::Temporary);
    let told = told.context("no temporary account")?;
    ensure!(told.who.name == guest.tickets.account && told.kind == PathKind::A, "{told:?}");
    ensure!(told.what.contains(&request.to_string()) && told.what.contains("until 20"), "{told:?}");
    scene.elevator.revoke(scene.id(), request)?;
    let report = look(&scene, "")?;
    ensure!(!report.findings.iter().any(|finding| finding.class == Class::Temporary), "{report}");
    ensure!(report.verdict == Verdict::NoPath, "{report}");
    // A member can tell who that is.
    let lines = scene.group.view()?.access;
    let line = lines.iter().find(|line| line.who.contains(&stage.elevator.sid)).context("no line")?;
    ensure!(line.may.contains("lets people in") && !line.alarming, "{line:?}");
    Ok(())
}

fn audit_finds_strangers_among_temporary_accounts(stage: &Stage) -> Result<()> {
    let _alone = alone();
    let scene = Scene::set(stage)?;
    let elevator = Person::with_fresh_ticket(stage, &stage.elevator)?;
    let group = scene.group_dn("elevated");
    let changed = |how: &str, dn: &str| {
        elevator.change(&format!("dn: {group}\nchangetype: modify\n{how}: member\nmember: {dn}\n"))?.done()
    };
    // A person, a service, and itself: all of them read by it.
    let (person, service) = (stage.account("person")?, stage.account("svc-listed")?);
    let listed = format!("{} is a service\n{} is dkmd\n", service.sid, stage.elevator.sid);
    for account in [&person, &service, &stage.elevator] {
        changed("add", &account.dn)?;
        let report = look(&scene, &listed)?;
        fails(&report, PathKind::A, account, "group of temporary accounts")?;
        let read = stage.client(account)?.group(&scene.id().to_string())?.unprotect(&context(), &scene.blob);
        ensure!(read.is_ok(), "which is what the audit says");
        changed("delete", &account.dn)?;
    }
    ensure!(look(&scene, &listed)?.verdict == Verdict::NoPath);
    // A group whose members may change, one that says of itself what it is not, and an account of another group of keys.
    let nested = stage.readers(&[&person])?;
    changed("add", &nested.dn)?;
    fails(&look(&scene, &listed)?, PathKind::A, &person, "group of temporary accounts")?;
    changed("delete", &nested.dn)?;
    let guest = scene.issue(request(), LONG_MS)?;
    let mark = scene.account(&guest.tickets.account)?.and_then(|account| account.text("description"));
    let mark = mark.context("no description")?;
    stage.with(|domain| {
        domain.modify_ldif(&format!(
            "dn: {}\nchangetype: modify\nreplace: description\ndescription: {mark}\n",
            person.dn
        ))?;
        domain.disable(&person)
    })?;
    changed("add", &person.dn)?;
    fails(&look(&scene, &listed)?, PathKind::A, &person, "group of temporary accounts")?;
    changed("delete", &person.dn)?;
    let other = Scene::set(stage)?;
    let guest_of_other = other.issue(request(), LONG_MS)?;
    let theirs = other.account(&guest_of_other.tickets.account)?.context("no account")?.dn;
    changed("add", &theirs)?;
    let report = look(&scene, &listed)?;
    ensure!(report.failures().any(|finding| finding.who.name == guest_of_other.tickets.account), "{report}");
    changed("delete", &theirs)?;
    // A temporary account that can sign in.
    let dn = scene.account(&guest.tickets.account)?.context("no account")?.dn;
    let enabled =
        format!("dn: {dn}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 1049088\n");
    elevator.change(&enabled)?.done()?;
    let report = look(&scene, &listed)?;
    ensure!(report.failures().any(|finding| finding.what.contains("can sign in")), "{report}");
    // And what an elevator has beyond its role.
    scene.elevator.revoke(scene.id(), request())?;
    let control = &scene.objects.control;
    let before = stage.with(|domain| domain.descriptor(control))?;
    let opened = before.replacen("D:PAI", &format!("D:PAI(A;;WD;;;{})", stage.elevator.sid), 1);
    stage.with(|domain| domain.set_descriptor(control, &opened))?;
    fails(&look(&scene, "")?, PathKind::D, &stage.elevator, "writes the DACL")?;
    Ok(())
}
