//! Finding the domain controllers of a domain.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::time::Duration;

use crate::ldap::host_at;
use crate::url::Controller;

/// How long one address may take to say which domain controller it is.
const LIMIT: Duration = Duration::from_secs(5);

/// Every domain controller registers its addresses under the domain's own name, too. Which it is, it says itself,
/// before anybody signs in; a false answer leads to nothing, since Kerberos then finds another than was named.
pub(crate) fn controllers(domain: &str) -> Result<Vec<Controller>, String> {
    let addresses: Vec<_> = (domain, 389)
        .to_socket_addrs()
        .map_err(|error| format!("{domain} can't be looked up: {error}; name domain controllers with ?dc="))?
        .collect();
    let mut controllers: Vec<Controller> = Vec::new();
    let mut faults = Vec::new();
    for address in addresses {
        match host_at(address, LIMIT) {
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
