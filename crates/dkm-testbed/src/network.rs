//! Two hosts with a link between them that can be cut, and a link from each to us that can't.
//!
//! Each controller has a network namespace. Its address sits on the namespace's loopback interface, so that it stays
//! when a link goes.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;

use crate::address::Address;
use crate::process::{self, command};

/// The namespaces of a domain with two controllers. What [`Network::undo`] says removes them.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// Ours alone while the domain's address is.
    number: u8,
}

impl Network {
    pub(crate) const fn new(address: &Address) -> Self {
        Self { number: address.ip().octets()[3] }
    }

    /// A host's address, from the range for benchmarks of networks, which nobody routes. Hosts are 1 and 2; 254 is us.
    pub(crate) const fn ip(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, host)
    }

    fn namespace(&self, host: u8) -> String {
        format!("dkm-testbed-{}-{host}", self.number)
    }

    fn link(&self, host: u8) -> String {
        format!("dkm-{}-{host}", self.number)
    }

    /// Commands that remove everything. The links would go with the namespaces, but later.
    pub(crate) fn undo(&self) -> Vec<String> {
        let commands = |host| {
            [
                format!("ip link delete {}", self.link(host)),
                format!("ip netns delete {}", self.namespace(host)),
            ]
        };
        [1, 2].into_iter().flat_map(commands).collect()
    }

    /// Makes the namespaces, and what a killed guard left of them anew.
    pub(crate) fn make(&self) -> Result<()> {
        for left in self.undo() {
            let _ = run(left.trim_start_matches("ip "));
        }
        let us = self.ip(254);
        for host in [1, 2] {
            let (space, ip, link) = (self.namespace(host), self.ip(host), self.link(host));
            run(&format!("netns add {space}"))?;
            run(&format!("-n {space} link set lo up"))?;
            run(&format!("-n {space} address add {ip}/32 dev lo"))?;
            run(&format!("link add {link} type veth peer name us netns {space}"))?;
            run(&format!("address add {us}/32 dev {link}"))?;
            run(&format!("link set {link} up"))?;
            run(&format!("-n {space} link set us up"))?;
            run(&format!("route replace {ip}/32 dev {link} src {us}"))?;
            run(&format!("-n {space} route add {us}/32 dev us src {ip}"))?;
        }
        let (one, two) = (self.namespace(1), self.namespace(2));
        run(&format!("-n {one} link add peer type veth peer name peer netns {two}"))?;
        self.connect()
    }

    /// Connects the two hosts.
    pub(crate) fn connect(&self) -> Result<()> {
        for (host, other) in [(1, 2), (2, 1)] {
            let space = self.namespace(host);
            run(&format!("-n {space} link set peer up"))?;
            let (ip, other) = (self.ip(host), self.ip(other));
            run(&format!("-n {space} route replace {other}/32 dev peer src {ip}"))?;
        }
        Ok(())
    }

    /// Cuts the link between them.
    pub(crate) fn cut(&self) -> Result<()> {
        [1, 2].iter().try_for_each(|host| run(&format!("-n {} link set peer down", self.namespace(*host))))
    }

    /// What starts a command line on a host, with its own list of names.
    pub(crate) fn on_host(&self, host: u8, hosts: &Path) -> Vec<String> {
        let space = format!("--net=/run/netns/{}", self.namespace(host));
        let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
        ["nsenter", &space, "unshare", "--mount", "sh", "-c", script, &hosts.display().to_string()]
            .map(str::to_owned)
            .into()
    }
}

fn run(arguments: &str) -> Result<()> {
    process::run(command("ip").args(arguments.split(' '))).map(drop)
}
