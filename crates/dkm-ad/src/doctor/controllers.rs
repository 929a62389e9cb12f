//! The domain controllers of the URL, and those of the domain that the configuration knows.

use std::collections::BTreeMap;

use super::dc::{Dc, site};
use super::report::{Area, ControllerFacts, Draft};
use super::text::{about, plain};
use crate::ldap::{Found, Scope, Search, any_of, equal};
use crate::name::parent;
use crate::security::sid::rid;

/// How far Kerberos lets clocks differ by default; a policy may say less.
const KERBEROS_SKEW_MS: u64 = 5 * 60_000;
/// A clock that is further off than this is looked after by nobody.
const SKEW_CARE_MS: u64 = 60_000;

/// Tells of each domain controller of the URL. `skew_ms`: what the group's policy allows clocks to differ.
pub(super) fn of_the_url(facts: &[ControllerFacts], dcs: &[Dc], skew_ms: Option<u64>, draft: &mut Draft) {
    for facts in facts {
        one(facts, skew_ms, draft);
    }
    for (at, dc) in dcs.iter().enumerate() {
        let twin =
            dcs.iter().take(at).find(|other| dc.invocation.is_some() && other.invocation == dc.invocation);
        if let Some(twin) = twin {
            let what = format!("{} and {} are one database, and count as one replica", twin.host, dc.host);
            draft.warning(Area::Controllers, what, "name each domain controller once");
        }
        if !dc.sees_container {
            let what = format!("the repository's container on {}", dc.host);
            let why = "it is not there, or this account may not see it";
            draft.not_checked(Area::Controllers, &what, why, "dkm ad init makes it; replication brings it");
        }
    }
    if facts.len() == 1 {
        let what = "the URL names one domain controller: keys are used after they were read from one copy";
        draft.warning(
            Area::Controllers,
            what,
            "name each that clients may rely on: ?dc=dc1.example.com,dc2.example.com",
        );
    }
}

fn one(facts: &ControllerFacts, skew_ms: Option<u64>, draft: &mut Draft) {
    let host = &facts.host;
    if let Some(why) = &facts.error {
        let what = format!("{host} was not looked at: {}", plain(why));
        draft.warning(
            Area::Controllers,
            what,
            "see that it runs, and that its name leads to it; or take it out of the URL",
        );
        return;
    }
    if facts.read_only == Some(true) {
        let what = format!("{host} is a read-only domain controller: it never counts as a replica");
        draft.warning(Area::Controllers, what, "take it out of the URL");
    }
    if facts.synchronized == Some(false) {
        let what = format!("{host} says that it has not caught up with its partners since it was started");
        draft.warning(Area::Controllers, what, "see why it does not replicate");
    }
    let known = [
        facts.site.as_ref().map(|site| format!("site {}", plain(site))),
        facts.software.clone(),
        facts.functional_level.map(level),
        facts.sign_in_ms.map(|ms| format!("signed in within {}", about(ms))),
        facts.answer_ms.map(|ms| format!("answers within {}", about(ms.max(1)))),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    draft.good(Area::Controllers, format!("{host}: {}", known.join(", ")));
    clock(facts, skew_ms, draft);
}

fn clock(facts: &ControllerFacts, skew_ms: Option<u64>, draft: &mut Draft) {
    let Some(ahead) = facts.clock_ahead_ms else {
        let what = format!("the clock of {}", facts.host);
        draft.not_checked(Area::Controllers, &what, "it does not tell the time", "see what it is");
        return;
    };
    let off = ahead.unsigned_abs();
    let way = if ahead < 0 { "behind" } else { "ahead of" };
    let what = format!("the clock of {} is {} {way} this machine's", facts.host, about(off));
    let allowed = skew_ms.unwrap_or(KERBEROS_SKEW_MS).min(KERBEROS_SKEW_MS);
    if off > allowed {
        let why = format!("{what}: more than {}", about(allowed));
        draft.wrong(
            Area::Controllers,
            why,
            "set the clocks: until then clients neither protect nor make keys",
        );
    } else if off > SKEW_CARE_MS {
        draft.warning(Area::Controllers, what, "see why its time service does not keep it");
    } else {
        draft.good(Area::Controllers, format!("{what}, to about a second"));
    }
}

/// The functional level, as people call it.
fn level(level: u32) -> String {
    let name = match level {
        0 => "2000",
        1 => "2003 interim",
        2 => "2003",
        3 => "2008",
        4 => "2008 R2",
        5 => "2012",
        6 => "2012 R2",
        7 => "2016",
        10 => "2025",
        other => return format!("functional level {other}"),
    };
    format!("functional level {name}")
}

/// A domain controller, as the configuration describes it.
#[derive(Debug, Default)]
struct Known {
    host: Option<String>,
    dn: String,
    service: Option<String>,
    read_only: bool,
}

impl Known {
    fn name(&self) -> String {
        let name = self.host.clone().unwrap_or_else(|| self.dn.clone());
        match site(&self.dn) {
            Some(site) => plain(&format!("{name} in site {site}")),
            None => plain(&name),
        }
    }
}

/// Tells of the domain's other domain controllers, and of read-only ones. `filtered`: whether the schema keeps key bytes
/// from those; `wrapped`: whether the group's keys lie wrapped.
pub(super) fn of_the_domain(
    dc: &mut Dc,
    facts: &[ControllerFacts],
    named: &[Vec<u8>],
    (filtered, wrapped): (bool, bool),
    draft: &mut Draft,
) {
    let all = match known(dc) {
        Ok(all) => all,
        Err(why) => {
            draft.not_checked(
                Area::Controllers,
                "which domain controllers the domain has",
                why,
                "run it again",
            );
            return;
        }
    };
    if all.is_empty() {
        let why = "this account does not see them in the configuration";
        draft.not_checked(
            Area::Controllers,
            "which domain controllers the domain has",
            why,
            "run it as another account",
        );
        return;
    }
    let is_named = |known: &Known| {
        let service = known.service.as_deref().map(str::to_ascii_lowercase).unwrap_or_default();
        let by_service = named.iter().any(|named| *named == service.as_bytes());
        by_service
            || known
                .host
                .as_ref()
                .is_some_and(|host| facts.iter().any(|facts| facts.host.eq_ignore_ascii_case(host)))
    };
    let (read_only, writable): (Vec<_>, Vec<_>) = all.into_iter().partition(|known| known.read_only);
    for known in writable.iter().filter(|known| !is_named(known)) {
        let what = format!(
            "the URL does not name {}: it holds the keys, too, and nothing was measured on it",
            known.name()
        );
        draft.note(Area::Controllers, what, "name it if clients may rely on it");
    }
    if writable.len() == 1 {
        let what = "the domain has one writable domain controller: whoever loses it loses the keys";
        draft.warning(Area::Controllers, what, "have a second one, and an archive (dkm archive export)");
    }
    let mut names: Vec<String> = read_only.iter().map(Known::name).collect();
    names.extend(read_only_accounts(dc, &names, draft));
    for name in names {
        let what = format!("{name} is a read-only domain controller: it has a copy of every key object");
        let (why, wrap) = match (filtered, wrapped) {
            (true, _) => (", without the keys: the schema keeps thumbnailPhoto from it", None),
            (false, true) => (", whose keys lie wrapped", None),
            _ => ("", Some("dkm policy set wrap=root-key, then dkm key roll: a copy then opens nothing")),
        };
        match wrap {
            None => draft.note(Area::Controllers, format!("{what}{why}"), "nothing"),
            Some(wrap) => draft.warning(Area::Controllers, what, wrap),
        }
    }
}

/// The domain controllers of this domain below `CN=Sites` (MS-ADTS §6.1.1.2.2.1).
fn known(dc: &mut Dc) -> Result<Vec<Known>, String> {
    let search = Search {
        base: format!("CN=Sites,{}", dc.configuration),
        scope: Scope::Subtree,
        filter: any_of(vec![equal("objectClass", "nTDSDSA"), equal("objectClass", "server")]),
        attributes: vec![
            "objectClass",
            "dNSHostName",
            "msDS-HasDomainNCs",
            "hasMasterNCs",
            "msDS-hasFullReplicaNCs",
        ],
        paged: true,
    };
    let found = dc.search(&search)?;
    let mut servers: BTreeMap<String, Known> = BTreeMap::new();
    for object in &found {
        let is = |class: &str| {
            object.values("objectClass").any(|found| found.eq_ignore_ascii_case(class.as_bytes()))
        };
        if is("server") {
            let server = servers.entry(object.dn.to_ascii_lowercase()).or_default();
            server.dn.clone_from(&object.dn);
            server.host = object.text("dNSHostName").map(str::to_ascii_lowercase);
        } else if let Some(above) = parent(&object.dn).filter(|_| is_of(object, &dc.domain_dn)) {
            let server = servers.entry(above.to_ascii_lowercase()).or_default();
            above.clone_into(&mut server.dn);
            server.service = Some(object.dn.clone());
            server.read_only = is("nTDSDSARO");
        }
    }
    // Servers without settings are no domain controllers, or not of this domain.
    Ok(servers.into_values().filter(|known| known.service.is_some()).collect())
}

/// Whether a domain controller's settings name this domain, or none at all.
fn is_of(settings: &Found, domain: &str) -> bool {
    let contexts = || {
        ["msDS-HasDomainNCs", "hasMasterNCs", "msDS-hasFullReplicaNCs"]
            .into_iter()
            .flat_map(|name| settings.values(name))
    };
    contexts().next().is_none() || contexts().any(|context| context.eq_ignore_ascii_case(domain.as_bytes()))
}

/// Read-only domain controllers that have an account, and are not among those that the configuration knows.
fn read_only_accounts(dc: &mut Dc, known: &[String], draft: &mut Draft) -> Vec<String> {
    let search = Search {
        base: dc.domain_dn.clone(),
        scope: Scope::Subtree,
        filter: equal("primaryGroupID", rid::READ_ONLY_DOMAIN_CONTROLLERS.to_string()),
        attributes: vec!["dNSHostName", "sAMAccountName"],
        paged: true,
    };
    let found = match dc.search(&search) {
        Ok(found) => found,
        Err(why) => {
            draft.not_checked(
                Area::Controllers,
                "accounts of read-only domain controllers",
                why,
                "run it again",
            );
            return Vec::new();
        }
    };
    let name = |found: &Found| {
        let host = found.text("dNSHostName").map(str::to_ascii_lowercase);
        let account = found.text("sAMAccountName").unwrap_or(&found.dn);
        let short = account.trim_end_matches('$').to_ascii_lowercase();
        let is_known = known.iter().map(|known| known.to_ascii_lowercase()).any(|known| {
            let first = known.split([' ', '.']).next().unwrap_or_default();
            host.as_ref().is_some_and(|host| known.starts_with(host.as_str())) || first == short
        });
        (!is_known).then(|| plain(host.as_deref().unwrap_or(account)))
    };
    found.iter().filter_map(name).collect()
}
