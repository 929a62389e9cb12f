//! Bringing a domain up: from options to controllers that answer.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::accounts::{Account, random_password};
use crate::address::Address;
use crate::controller::Controller;
use crate::domain::{Domain, Options};
use crate::network::Network;
use crate::process::{self, Guard};
use crate::{admin, files, template};

/// What Samba calls the replication service in names of Kerberos services.
const REPLICATION: &str = "E3514235-4B06-11D1-AB04-00C04FC2DCD2";

impl Domain {
    /// A running domain from a template, which is made if there is none.
    pub(crate) fn from_template(options: &Options) -> Result<Self> {
        let alone = Options { second: None, ..options.clone() };
        let one = || template::find(&alone, |folder| template::provision(folder, &alone));
        let template = match options.second {
            None => one()?,
            Some(_) => template::find(options, |folder| Self::join(options, &one()?, folder))?,
        };
        let mut domain = Self::lay_out(options)?;
        for host in options.hosts() {
            template::copy(&template.join(host), &domain.folder.join(host))?;
        }
        domain.prepare(&domain.controllers)?;
        domain.sid = admin::text(&domain.ask(&json!({"do": "facts"}))?, "sid")?;
        domain.admin.sid = format!("{}-500", domain.sid);
        for controller in &domain.controllers {
            domain.restart_controller(controller)?;
        }
        // Links that a cut tests must have worked before.
        domain.replicate()?;
        Ok(domain)
    }

    /// Folders, addresses, configuration and certificates; no database yet.
    fn lay_out(options: &Options) -> Result<Self> {
        // Not below the target folder: paths of sockets may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("dkm-testbed-").tempdir()?.keep();
        let address = Address::claim()?;
        let network = options.second.as_ref().map(|_| Network::new(&address));
        let undo = network.as_ref().map(Network::undo).unwrap_or_default();
        let guard = Guard::new(&folder, &undo)?;
        // Clients may run as somebody else; what is secret is in private folders.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let clients = folder.join("clients");
        fs::create_dir(&clients)?;
        if let Some(network) = &network {
            network.make()?;
        }
        files::make_authority(&folder)?;
        fs::copy(folder.join("ca.pem"), clients.join("ca.pem"))?;
        fs::write(clients.join("ldap.conf"), files::ldap_conf(&clients.join("ca.pem")))?;

        let names = folder.join("hosts");
        let mut controllers = Vec::new();
        for (number, host) in (1..).zip(options.hosts()) {
            let ip = network.as_ref().map_or_else(|| address.ip(), |network| network.ip(number));
            let prefix = network.as_ref().map(|network| network.on_host(number, &names)).unwrap_or_default();
            controllers.push(Self::lay_out_controller(options, &folder, host, ip, prefix)?);
            let path = clients.join(format!("krb5-{host}.conf"));
            fs::write(path, files::krb5_conf(&options.realm, &[ip]))?;
        }
        let ips: Vec<Ipv4Addr> = controllers.iter().map(Controller::address).collect();
        fs::write(clients.join("krb5.conf"), files::krb5_conf(&options.realm, &ips))?;
        // Always in the same file: servers have it mounted.
        fs::write(&names, files::hosts(options, &controllers, &BTreeMap::new()))?;

        let base = format!("DC={}", options.domain().replace('.', ",DC="));
        let admin = Account {
            sam: "Administrator".to_owned(),
            dn: format!("CN=Administrator,CN=Users,{base}"),
            sid: String::new(),
            password: random_password()?,
            keytab: clients.join("Administrator.keytab"),
            principal: format!("Administrator@{}", options.realm),
        };
        Ok(Self {
            controllers,
            options: options.clone(),
            base,
            sid: String::new(),
            admin,
            folder,
            network,
            _guard: guard,
            _address: address,
        })
    }

    fn lay_out_controller(
        options: &Options,
        folder: &Path,
        host: &str,
        ip: Ipv4Addr,
        prefix: Vec<String>,
    ) -> Result<Controller> {
        let home = folder.join(host);
        fs::create_dir(&home)?;
        let interface = if prefix.is_empty() { format!("{ip}/8") } else { format!("{ip}/24") };
        let conf = files::tool_conf(&home, options, host, &interface)?;
        fs::write(home.join("smb.conf"), conf.clone() + &files::server_conf(&home, options))?;
        fs::write(home.join("tool.conf"), conf)?;
        let fqdn = format!("{host}.{}", options.domain());
        files::make_certificate(folder, &home.join("private/tls"), &fqdn, ip)?;
        Ok(Controller {
            fqdn,
            ip,
            folder: home,
            prefix,
            server: Mutex::default(),
            helper: Mutex::default(),
            keytabs: Mutex::default(),
        })
    }

    /// What a provision leaves to be done, in each of these controllers' databases.
    fn prepare(&self, present: &[Controller]) -> Result<()> {
        let settings = settings(present.first().context("no controller")?)?;
        fs::write(self.folder.join("hosts"), files::hosts(&self.options, &self.controllers, &settings))?;
        for database in present {
            for controller in present {
                let host = controller.host();
                let guid = settings.get(host).map(String::as_str).unwrap_or_default();
                let names = service_names(&self.options, controller, guid);
                database.ask(&json!({"do": "name_controller", "host": host, "names": names}))?;
            }
            let (name, password) = (&self.admin.sam, &self.admin.password);
            database.ask(&json!({"do": "set_password", "name": name, "password": password}))?;
        }
        self.keytab(&self.admin).map(drop)
    }

    /// Makes a template with two controllers from one with the first: the second joins it.
    fn join(options: &Options, one: &Path, template: &Path) -> Result<()> {
        let domain = Self::lay_out(options)?;
        let [first, second] = &domain.controllers[..] else {
            anyhow::bail!("two controllers are wanted");
        };
        template::copy(&one.join(first.host()), &first.folder)?;
        domain.prepare(std::slice::from_ref(first))?;
        domain.restart_controller(first)?;
        let cache = domain.ccache_at(first, &domain.admin, None)?;
        let tool = |controller: &Controller, arguments: &[&str]| {
            let mut tool = controller.command("samba-tool");
            tool.args(arguments).arg("-s").arg(controller.tool_conf());
            tool.args(["--use-kerberos=required", &format!("--use-krb5-ccache={}", cache.display())]);
            process::run(tool.env("KRB5_CONFIG", domain.krb5_conf_of(first))).map(drop)
        };
        // A provision refuses a folder in which there is a certificate; the copies get new ones anyhow.
        let home = domain.folder.join("joined");
        let (server, target) =
            (format!("--server={}", first.fqdn()), format!("--targetdir={}", home.display()));
        tool(second, &["domain", "join", &options.domain(), "DC", &server, &target, options.dns_backend()])?;
        template::copy(&home, &second.folder)?;
        domain.prepare(&domain.controllers)?;
        domain.restart_controller(second)?;
        for controller in &domain.controllers {
            // Right after its start a controller may not be ready for that.
            let mut last = None;
            process::wait_for("the choice of replication partners", || {
                let done = tool(first, &["drs", "kcc", controller.fqdn()]);
                Ok(done.map_err(|error| last = Some(error)).ok())
            })
            .map_err(|error| {
                last.map_or(error, |last| last.context("replication partners can't be chosen"))
            })?;
        }
        if options.dns {
            domain.register(second)?;
        }
        domain.replicate()?;
        for controller in &domain.controllers {
            controller.stop()?;
            let kept = template.join(controller.host());
            fs::create_dir(&kept)?;
            template::copy(&controller.folder, &kept)?;
        }
        Ok(())
    }
}

/// By controller, the id under which replication looks for it.
fn settings(database: &Controller) -> Result<BTreeMap<String, String>> {
    let answer = database.ask(&json!({"do": "controllers"}))?;
    let hosts = answer.as_object().context("no controllers")?.keys();
    hosts.map(|host| Ok((host.clone(), admin::text(&answer, host)?))).collect()
}

/// The names of services that Samba gives its account when it can reach a name server, and one for our address, since
/// clients here have none.
fn service_names(options: &Options, controller: &Controller, settings: &str) -> Vec<String> {
    let (fqdn, host, domain) = (controller.fqdn(), controller.host(), options.domain());
    let workgroup = options.workgroup();
    vec![
        format!("HOST/{fqdn}"),
        format!("HOST/{host}"),
        format!("HOST/{fqdn}/{domain}"),
        format!("HOST/{fqdn}/{workgroup}"),
        format!("RestrictedKrbHost/{host}"),
        format!("RestrictedKrbHost/{fqdn}"),
        format!("GC/{fqdn}/{domain}"),
        format!("ldap/{fqdn}"),
        format!("ldap/{host}"),
        format!("ldap/{fqdn}/{domain}"),
        format!("ldap/{fqdn}/{workgroup}"),
        format!("ldap/{settings}._msdcs.{domain}"),
        format!("{REPLICATION}/{settings}/{domain}"),
        format!("ldap/{}", controller.address()),
    ]
}

/// The configuration of Kerberos that asks one controller only.
pub(crate) fn krb5_conf_of(clients: &Path, controller: &Controller) -> PathBuf {
    clients.join(format!("krb5-{}.conf", controller.host()))
}
