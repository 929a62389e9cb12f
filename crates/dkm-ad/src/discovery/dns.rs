//! SRV records: which hosts offer a service, RFC 2782.

use std::collections::BTreeSet;

use domain::base::iana::Rtype;
use domain::base::name::NameBuilder;
use domain::base::{Name, ToName as _};
use domain::rdata::Srv;

use super::resolver::{Answer, Resolver};
use crate::url::host_name;

/// A host that offers the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Its DNS name, in lower case.
    pub(super) host: String,
    pub(super) port: u16,
    /// Hosts with a lower priority are tried first.
    pub(super) priority: u16,
    /// Among hosts of one priority, how much of the work this one shall have.
    pub(super) weight: u16,
}

/// The domain controllers that DNS names, of a domain or of one site of it (MS-ADTS §6.3.2.3), in the order of
/// [`in_order`]; none if DNS says that there is no such record.
///
/// # Errors
/// DNS does not answer, or not with an answer. That nobody knows is not the same as that there are none.
pub(super) fn controllers(
    resolver: &Resolver,
    domain: &str,
    site: Option<&str>,
) -> Result<Vec<Target>, String> {
    let name = question(domain, site)?;
    let failed = |why: String| format!("DNS can't tell the SRV records of {name}: {why}");
    let answer = resolver.ask(&name, Rtype::SRV).map_err(failed)?;
    targets(&answer).map(in_order).map_err(failed)
}

/// The name whose records tell them.
fn question(domain: &str, site: Option<&str>) -> Result<Name<Vec<u8>>, String> {
    let mut labels = vec!["_ldap", "_tcp"];
    if let Some(site) = site {
        labels.extend(site.split('.'));
        labels.push("_sites");
    }
    labels.extend(["dc", "_msdcs"]);
    labels.extend(domain.split('.'));
    let mut name = NameBuilder::new_vec();
    labels
        .into_iter()
        .try_for_each(|label| name.append_label(label.as_bytes()))
        .and_then(|()| name.into_name())
        .map_err(|error| format!("{domain:?} and site {site:?} are no name for DNS: {error}"))
}

/// What the records say that belong to the question.
fn targets(answer: &Answer) -> Result<Vec<Target>, String> {
    let odd = |error: domain::base::wire::ParseError| format!("the answer can't be read: {error}");
    let records = answer.answer().map_err(odd)?.limit_to_in::<Srv<_>>();
    // The name that was asked for may stand for another.
    let owner = answer.canonical_name();
    let mut targets = Vec::new();
    for record in records {
        let record = record.map_err(odd)?;
        let srv = record.data();
        // The root as a target means that nobody offers it.
        let host = host_name(&srv.target().to_string());
        if let (Ok(host), true) = (host, srv.port() != 0)
            && owner.as_ref().is_some_and(|owner| owner.name_eq(record.owner()))
        {
            targets.push(Target { host, port: srv.port(), priority: srv.priority(), weight: srv.weight() });
        }
    }
    Ok(targets)
}

/// The same order for everybody who gets the same records: lower priority first, then greater weight, then by name. No
/// lot is drawn by weight as RFC 2782 would: all that are taken are read anyhow, and who adds records does best to add
/// them where others of its site do.
fn in_order(mut targets: Vec<Target>) -> Vec<Target> {
    targets.sort_by(|a, b| {
        let rank = a.priority.cmp(&b.priority).then(b.weight.cmp(&a.weight));
        rank.then_with(|| (&a.host, a.port).cmp(&(&b.host, b.port)))
    });
    let mut hosts = BTreeSet::new();
    targets.retain(|target| hosts.insert(target.host.clone()));
    targets
}

#[cfg(test)]
mod tests {
    use domain::base::MessageBuilder;
    use domain::base::iana::Class;
    use domain::rdata::Cname;

    use super::*;

    fn name(text: &str) -> Name<Vec<u8>> {
        text.parse().unwrap()
    }

    /// An answer with these records: priority, weight, port, target.
    fn answer(records: &[(u16, u16, u16, &str)]) -> Answer {
        let asked = question("example.com", None).unwrap();
        let mut question = MessageBuilder::new_vec().question();
        question.push((&asked, Rtype::SRV)).unwrap();
        let mut answer = question.answer();
        // The name stands for another one.
        answer.push((&asked, Class::IN, 60, Cname::new(name("real.example.com")))).unwrap();
        for (priority, weight, port, target) in records {
            let srv = Srv::new(*priority, *weight, *port, name(target));
            answer.push((name("REAL.example.com"), Class::IN, 60, srv)).unwrap();
        }
        answer
            .push((name("other.example.com"), Class::IN, 60, Srv::new(0, 0, 389, name("stray.example.com"))))
            .unwrap();
        answer.into_message()
    }

    fn hosts(records: &[(u16, u16, u16, &str)]) -> Vec<String> {
        in_order(targets(&answer(records)).unwrap()).into_iter().map(|target| target.host).collect()
    }

    #[test]
    fn the_order_is_by_priority_then_weight_then_name() {
        let records = [
            (10, 100, 389, "far.example.com"),
            (0, 10, 389, "light.example.com"),
            (0, 100, 389, "b.example.com"),
            (0, 100, 389, "A.example.com"),
            (0, 0, 389, "last.example.com"),
        ];
        let wanted =
            ["a.example.com", "b.example.com", "light.example.com", "last.example.com", "far.example.com"];
        assert_eq!(hosts(&records), wanted);
        let mut other_way = records;
        other_way.reverse();
        assert_eq!(hosts(&other_way), wanted);
    }

    #[test]
    fn what_offers_nothing_is_left_out() {
        assert!(
            hosts(&[(0, 0, 389, "."), (0, 0, 0, "dc1.example.com"), (0, 0, 389, "a b.example.com")])
                .is_empty()
        );
        // Named twice, once with a better priority.
        assert_eq!(
            hosts(&[(5, 0, 389, "dc1.example.com"), (0, 0, 389, "DC1.example.com")]),
            ["dc1.example.com"]
        );
    }

    #[test]
    fn the_question_is_the_one_of_the_specification() {
        let asked = |site| question("example.com", site).unwrap().to_string();
        assert_eq!(asked(None), "_ldap._tcp.dc._msdcs.example.com");
        assert_eq!(asked(Some("Hub")), "_ldap._tcp.Hub._sites.dc._msdcs.example.com");
        assert!(question("example.com", Some(&"x".repeat(64))).is_err());
        let long = vec!["x".repeat(60); 5].join(".");
        assert!(question(&long, None).unwrap_err().contains("no name for DNS"));
    }
}
