//! The domain's names: its DNS zones, and clients that look names up there.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::Result;

use crate::controller::Controller;
use crate::domain::Domain;
use crate::process::{self, command};

/// The site that every domain begins with.
pub const FIRST_SITE: &str = "Default-First-Site-Name";

impl Domain {
    /// Runs `samba-tool` where a controller runs, as the domain's administrator, and returns what it prints.
    ///
    /// # Errors
    /// It fails: what it wrote is in the error.
    pub fn samba_tool(&self, controller: &Controller, arguments: &[&str]) -> Result<String> {
        let cache = self.ccache_at(controller, self.admin(), None)?;
        let mut tool = controller.command("samba-tool");
        tool.args(arguments).arg("-s").arg(controller.tool_conf());
        tool.args(["--use-kerberos=required", &format!("--use-krb5-ccache={}", cache.display())]);
        process::run(tool.env("KRB5_CONFIG", self.krb5_conf_of(controller)))
    }

    /// Adds (`add`) or removes (`delete`) a record on a controller. The zone is the domain's, or `_msdcs` below it.
    ///
    /// # Errors
    /// It is there already, or isn't.
    pub fn dns(&self, at: &Controller, change: &str, zone: &str, record: [&str; 3]) -> Result<()> {
        let [name, kind, data] = record;
        self.samba_tool(at, &["dns", change, at.fqdn(), zone, name, kind, data]).map(drop)
    }

    /// Adds or removes the record that says that a host is a domain controller: anywhere, or in a site.
    ///
    /// # Errors
    /// As [`Domain::dns`].
    pub fn dns_service(
        &self,
        at: &Controller,
        change: &str,
        site: Option<&str>,
        (host, priority, weight): (&str, u16, u16),
    ) -> Result<()> {
        let name =
            site.map_or_else(|| "_ldap._tcp.dc".to_owned(), |site| format!("_ldap._tcp.{site}._sites.dc"));
        let zone = format!("_msdcs.{}", self.name());
        self.dns(at, change, &zone, [&name, "SRV", &format!("{host} 389 {priority} {weight}")])
    }

    /// What Samba's service of updates, which needs a working resolver on the controllers, would register.
    pub(crate) fn register(&self, joined: &Controller) -> Result<()> {
        for site in [None, Some(FIRST_SITE)] {
            self.dns_service(self, "add", site, (joined.fqdn(), 0, 100))?;
        }
        Ok(())
    }

    /// A program whose system is configured to use these name servers, and knows the controllers' addresses.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn client_of_dns(&self, program: &str, servers: &[Ipv4Addr]) -> Result<Command> {
        let lines: String = servers.iter().map(|ip| format!("nameserver {ip}\n")).collect();
        let folder = tempfile::tempdir_in(self.clients())?.keep();
        let (servers, hosts) = (folder.join("resolv.conf"), self.folder.join("hosts"));
        fs::write(&servers, lines)?;
        let mut client = command("unshare");
        client.args(["--mount", "sh", "-c"]);
        client.arg(
            r#"mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/hosts && shift 2 && exec "$@""#,
        );
        client.arg("sh").args([servers, hosts]).arg(program);
        client.envs(self.env());
        Ok(client)
    }
}
