//! A whole domain, as a test sees it.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::accounts::{Account, shown};
use crate::address::Address;
use crate::controller::Controller;
use crate::network::Network;
use crate::process::Guard;
use crate::{availability, start};

/// In the environment, makes tests that need a domain fail instead of skipping.
const REQUIRED: &str = "DKM_TESTBED";

/// What a domain is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The Kerberos realm, in capitals; the domain's name in small letters.
    pub realm: String,
    /// The first controller's host name.
    pub host: String,
    /// The second controller's host name, if there is to be one. Each has a network of its own then.
    pub second: Option<String>,
    /// Whether a SASL bind inside TLS is allowed, as Samba can and Windows with required signing doesn't.
    pub sasl_inside_tls: bool,
    /// Whether the controllers serve the domain's names: Samba's own DNS.
    pub dns: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            realm: "DKM.TEST".to_owned(),
            host: "dc1".to_owned(),
            second: None,
            sasl_inside_tls: false,
            dns: false,
        }
    }
}

impl Options {
    /// Two controllers that replicate.
    #[must_use]
    pub fn two() -> Self {
        Self { second: Some("dc2".to_owned()), ..Self::default() }
    }

    /// The domain's old short name.
    pub(crate) fn workgroup(&self) -> &str {
        self.realm.split('.').next().unwrap_or(&self.realm)
    }

    /// What Samba calls its way of serving names.
    pub(crate) fn dns_backend(&self) -> &str {
        if self.dns { "--dns-backend=SAMBA_INTERNAL" } else { "--dns-backend=NONE" }
    }

    /// The domain's name.
    pub(crate) fn domain(&self) -> String {
        self.realm.to_lowercase()
    }

    /// The controllers' names.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        std::iter::once(self.host.as_str()).chain(self.second.as_deref()).collect()
    }
}

/// A running domain. It is spoken to through its first controller, unless another is named. Dropping it leaves nothing
/// behind; neither does the end of the process, however it comes.
#[derive(Debug)]
pub struct Domain {
    // Fields are dropped in this order: the guard removes the folder after the servers that use it.
    pub(crate) controllers: Vec<Controller>,
    pub(crate) options: Options,
    pub(crate) base: String,
    pub(crate) sid: String,
    pub(crate) admin: Account,
    pub(crate) folder: PathBuf,
    pub(crate) network: Option<Network>,
    pub(crate) _guard: Guard,
    pub(crate) _address: Address,
}

impl Deref for Domain {
    type Target = Controller;

    fn deref(&self) -> &Controller {
        &self.controllers[0]
    }
}

impl Domain {
    /// Whether domains can be run here.
    ///
    /// # Errors
    /// Everything that is missing.
    pub fn available() -> Result<(), String> {
        availability::check()
    }

    /// As [`Domain::start`]. Where no domain can be run there is none, and standard error says that nothing was tested,
    /// past the test harness, which keeps what passing tests print to itself.
    ///
    /// # Errors
    /// As [`Domain::start`]; also what is missing, if `DKM_TESTBED=required` is in the environment.
    pub fn start_or_skip(options: &Options) -> Result<Option<Self>> {
        if let Err(missing) = Self::available() {
            if env::var_os(REQUIRED).is_some_and(|value| value == "required") {
                bail!("{REQUIRED} is required: {missing}");
            }
            writeln!(io::stderr(), "SKIPPED, NOTHING WAS TESTED: no domain can be run here: {missing}")?;
            return Ok(None);
        }
        Self::start(options).map(Some)
    }

    /// Starts a domain, and waits until LDAP and Kerberos work on each controller, and replication between them.
    ///
    /// # Errors
    /// Something is missing on this machine, or Samba fails: its last words are in the error.
    pub fn start(options: &Options) -> Result<Self> {
        Self::available().map_err(|missing| anyhow!(missing))?;
        Self::from_template(options)
    }

    /// Starts the first controller's server, after ending it if it runs, and waits until LDAP and Kerberos work.
    ///
    /// # Errors
    /// Samba fails.
    pub fn restart(&self) -> Result<()> {
        self.restart_controller(self)
    }

    /// As [`Domain::restart`], with another answer to SASL binds inside TLS than [`Options::sasl_inside_tls`] says, until
    /// it is told again.
    ///
    /// # Errors
    /// Samba fails.
    pub fn restart_with_sasl_inside_tls(&self, allowed: bool) -> Result<()> {
        let options = Options { sasl_inside_tls: allowed, ..self.options.clone() };
        let home = &self.controllers[0].folder;
        let conf = fs::read_to_string(self.tool_conf())?;
        fs::write(home.join("smb.conf"), conf + &crate::files::server_conf(home, &options))?;
        self.restart()
    }

    /// As [`Domain::restart`], of any controller.
    ///
    /// # Errors
    /// Samba fails, or the controller is lost.
    pub fn restart_controller(&self, controller: &Controller) -> Result<()> {
        controller.stop()?;
        controller.start_server(&self.krb5_conf_of(controller), || {
            let cache = self.ccache_at(controller, &self.admin, None)?;
            controller.bind(&self.env_at(controller), &cache, &self.base)
        })
    }

    /// All controllers.
    #[must_use]
    pub fn controllers(&self) -> &[Controller] {
        &self.controllers
    }

    /// The second controller.
    ///
    /// # Errors
    /// There is none.
    pub fn second(&self) -> Result<&Controller> {
        self.controllers.get(1).context("the domain has one controller")
    }

    /// The Kerberos realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.options.realm
    }

    /// The domain's DNS name.
    #[must_use]
    pub fn name(&self) -> String {
        self.options.domain()
    }

    /// The distinguished name of the domain's head.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The domain's security identifier, as text.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The URL of a repository in this domain, in its default container, with all controllers.
    #[must_use]
    pub fn url(&self) -> String {
        let target = |controller: &Controller| format!("{}@{}", controller.fqdn(), controller.address());
        let targets: Vec<String> = self.controllers.iter().map(target).collect();
        format!("ad://{}?dc={}", self.name(), targets.join(","))
    }

    /// As [`Domain::url`], with TLS, whose certificates our authority gives.
    #[must_use]
    pub fn tls_url(&self) -> String {
        format!("{}&tls=yes&ca={}", self.url(), self.authority().display())
    }

    /// Addresses of all controllers.
    #[must_use]
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        self.controllers.iter().map(Controller::address).collect()
    }

    /// The built-in administrator.
    #[must_use]
    pub const fn admin(&self) -> &Account {
        &self.admin
    }

    /// The certificate of the authority that the controllers' certificates are from.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.clients().join("ca.pem")
    }

    /// The Kerberos configuration for clients.
    #[must_use]
    pub fn krb5_conf(&self) -> PathBuf {
        self.clients().join("krb5.conf")
    }

    /// The Kerberos configuration for clients that are to ask this controller only.
    #[must_use]
    pub fn krb5_conf_of(&self, controller: &Controller) -> PathBuf {
        start::krb5_conf_of(&self.clients(), controller)
    }

    /// The domain's folder: removed in the end.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn clients(&self) -> PathBuf {
        self.folder.join("clients")
    }

    /// What a client needs in its environment to find the domain: `KRB5_CONFIG`, and `LDAPCONF` for OpenLDAP's tools.
    /// Add `KRB5CCNAME` with what [`Domain::ccache`] returns.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        self.env_of(&self.krb5_conf())
    }

    /// As [`Domain::env`], for clients that are to get tickets from this controller only.
    #[must_use]
    pub fn env_at(&self, controller: &Controller) -> Vec<(String, String)> {
        self.env_of(&self.krb5_conf_of(controller))
    }

    fn env_of(&self, krb5_conf: &Path) -> Vec<(String, String)> {
        vec![
            ("KRB5_CONFIG".to_owned(), shown(krb5_conf)),
            ("LDAPCONF".to_owned(), shown(&self.clients().join("ldap.conf"))),
        ]
    }

    /// As [`Domain::env`], with a credential cache.
    #[must_use]
    pub fn env_with(&self, cache: &Path) -> Vec<(String, String)> {
        let mut env = self.env();
        env.push(("KRB5CCNAME".to_owned(), shown(cache)));
        env
    }
}
