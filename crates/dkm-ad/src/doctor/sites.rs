//! Site links: between sites, changes travel by a schedule, and a probe that was in luck does not see it.

use std::collections::BTreeSet;

use dkm_core::time::MINUTE_MS;

use super::Subject;
use super::dc::Dc;
use super::policy::repair;
use super::report::{Area, ControllerFacts, Draft};
use super::text::{exact, plain};
use crate::audit::first_name;
use crate::ldap::{Scope, Search, equal};

/// What counts where `replInterval` is not set, in minutes: MS-ADTS §6.1.1.2.2.3.1.
const INTERVAL_MIN: u64 = 180;
/// `NTDSSITELINK_OPT_USE_NOTIFY`, MS-ADTS §6.1.1.2.2.3.1: changes are announced as within a site.
const USE_NOTIFY: i64 = 1;

/// A link between sites.
#[derive(Debug, Clone)]
struct Link {
    name: String,
    sites: BTreeSet<String>,
    /// None: it brings changes as they are made.
    every_ms: Option<u64>,
}

/// Tells how often changes travel between the sites of the URL's domain controllers.
pub(super) fn look(dc: &mut Dc, facts: &[ControllerFacts], subject: Option<&Subject>, draft: &mut Draft) {
    let sites: BTreeSet<String> =
        facts.iter().filter_map(|facts| facts.site.as_ref()).map(|site| site.to_ascii_lowercase()).collect();
    if sites.len() < 2 {
        return;
    }
    match links(dc) {
        Ok(links) => judge(&links, &sites, subject, draft),
        Err(why) => draft.not_checked(Area::Convergence, "links between sites", why, "run it again"),
    }
}

fn links(dc: &mut Dc) -> Result<Vec<Link>, String> {
    let search = Search {
        base: format!("CN=Inter-Site Transports,CN=Sites,{}", dc.configuration),
        scope: Scope::Subtree,
        filter: equal("objectClass", "siteLink"),
        attributes: vec!["siteList", "replInterval", "options"],
        paged: true,
    };
    let found = dc.search(&search)?;
    let link = |object: &crate::ldap::Found| {
        let number = |name: &str| object.text(name).and_then(|text| text.parse::<i64>().ok());
        let notifies = number("options").is_some_and(|options| options & USE_NOTIFY != 0);
        let minutes = number("replInterval").and_then(|minutes| u64::try_from(minutes).ok());
        let every_ms = minutes.unwrap_or(INTERVAL_MIN).saturating_mul(MINUTE_MS);
        let sites = object
            .values("siteList")
            .map(|site| first_name(&String::from_utf8_lossy(site)).to_ascii_lowercase())
            .collect();
        Link { name: plain(&first_name(&object.dn)), sites, every_ms: (!notifies).then_some(every_ms) }
    };
    Ok(found.iter().map(link).collect())
}

fn judge(links: &[Link], sites: &BTreeSet<String>, subject: Option<&Subject>, draft: &mut Draft) {
    let ours = || links.iter().filter(|link| !link.sites.is_disjoint(sites));
    if ours().next().is_none() {
        let why = "this account sees no link of theirs";
        draft.not_checked(
            Area::Convergence,
            "how often changes travel between sites",
            why,
            "run it as another account",
        );
        return;
    }
    let slowest =
        ours().filter_map(|link| Some((link.every_ms?, link))).max_by_key(|(every_ms, _)| *every_ms);
    let Some((every_ms, link)) = slowest else {
        draft.good(Area::Convergence, "links between sites announce changes as they are made");
        return;
    };
    let what = format!("site link {} brings changes every {}", link.name, exact(every_ms));
    match subject.filter(|subject| subject.policy.replication_bound_ms < every_ms) {
        Some(subject) => {
            let bound = exact(subject.policy.replication_bound_ms);
            let what = format!("{what}, and replication_bound is {bound}: a probe may have been in luck");
            draft.warning(Area::Policy, what, repair(subject, every_ms));
        }
        None => draft.note(
            Area::Convergence,
            format!("{what}: a probe may take anything up to that, by its schedule"),
            "replication_bound must be longer than the sum of the links on the way",
        ),
    }
}

#[cfg(test)]
mod tests {
    use dkm_core::GroupId;
    use dkm_core::policy::Policy;

    use super::super::report::Verdict;
    use super::*;

    fn link(name: &str, sites: &[&str], minutes: Option<u64>) -> Link {
        let sites = sites.iter().map(|site| (*site).to_owned()).collect();
        Link { name: name.to_owned(), sites, every_ms: minutes.map(|minutes| minutes * MINUTE_MS) }
    }

    #[test]
    fn a_bound_shorter_than_a_links_interval_is_warned_of() {
        let sites: BTreeSet<String> = ["a", "b"].map(str::to_owned).into();
        let links = [
            link("x", &["a", "b"], Some(180)),
            link("far", &["c", "d"], Some(9_000)),
            link("y", &["b", "c"], None),
        ];
        let subject = |bound_min: u64| Subject {
            group: GroupId([1; 16]),
            name: "mail".to_owned(),
            policy: Policy { replication_bound_ms: bound_min * MINUTE_MS, ..Policy::for_active_directory() },
        };
        let judged = |links: &[Link], bound_min| {
            let mut draft = Draft::default();
            judge(links, &sites, Some(&subject(bound_min)), &mut draft);
            draft.checks.pop().unwrap()
        };
        let short = judged(&links, 179);
        assert_eq!((short.area, short.verdict), (Area::Policy, Verdict::Warning));
        assert!(short.advice.unwrap().starts_with("dkm policy set -g mail replication_bound=10800s"));
        assert_eq!(judged(&links, 180).verdict, Verdict::Note);
        assert_eq!(judged(&links[2..], 1).verdict, Verdict::Good);
        assert_eq!(judged(&links[1..2], 1).verdict, Verdict::NotChecked);
    }
}
