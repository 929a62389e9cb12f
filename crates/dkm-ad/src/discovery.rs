//! Finding the domain controllers of a domain.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use crate::ldap::{LdapError, host_at};
use crate::patience;
use crate::url::Controller;

/// How long one address may take to say which domain controller it is.
const LIMIT: Duration = Duration::from_secs(5);
/// Most addresses that are asked.
const ASKED_MAX: usize = 64;
/// How long DNS may take.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

/// Every domain controller registers its addresses under the domain's own name, too. Which it is, it says itself,
/// before anybody signs in; a false answer leads to nothing, since Kerberos then finds another than was named.
pub(crate) fn controllers(domain: &str) -> Result<Vec<Controller>, String> {
    let name = domain.to_owned();
    let addresses: Vec<SocketAddr> = patience::within(LOOK_UP_LIMIT, move || {
        (name.as_str(), 389).to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string())
    })
    .and_then(|found| found)
    .map_err(|why| format!("{domain} can't be looked up: {why}; name domain controllers with ?dc="))?;
    // All at once: those that are down don't make the others wait.
    let answers: Vec<_> = addresses
        .into_iter()
        .take(ASKED_MAX)
        .map(|address| (address, thread::spawn(move || host_at(address, LIMIT))))
        .collect();
    let mut controllers: Vec<Controller> = Vec::new();
    let mut faults = Vec::new();
    for (address, asked) in answers {
        let answer =
            asked.join().unwrap_or_else(|_| Err(LdapError::Unreachable("asking it failed".to_owned())));
        match answer {
            Ok(host) => {
                let controller = Controller { host, address: Some(address.ip()), port: 389 };
                if !controllers.iter().any(|known| known.host == controller.host) {
                    controllers.push(controller);
                }
            }
            Err(error) => faults.push(format!("{}: {error}", IpAddr::to_string(&address.ip()))),
        }
    }
    // The same order for everybody: who adds records prefers the first.
    controllers.sort_by(|a, b| a.host.cmp(&b.host));
    if controllers.is_empty() {
        return Err(format!("no domain controller of {domain} answers: {}", faults.join("; ")));
    }
    Ok(controllers)
}
