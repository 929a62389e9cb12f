//! A whole domain: from options to a client's environment.

use std::fs;
use std::net::Ipv4Addr;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Result, anyhow};
use serde_json::json;

use crate::accounts::{Account, random_password, shown};
use crate::address::Address;
use crate::controller::Controller;
use crate::process::Guard;
use crate::{admin, availability, files, template};

/// What a domain is to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The Kerberos realm, in capitals; the domain's name in small letters.
    pub realm: String,
    /// The first controller's host name.
    pub host: String,
    /// Whether a SASL bind inside TLS is allowed, as Samba can and Windows with required signing doesn't.
    pub sasl_inside_tls: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { realm: "DKM.TEST".to_owned(), host: "dc1".to_owned(), sasl_inside_tls: true }
    }
}

impl Options {
    /// The domain's old short name.
    pub(crate) fn workgroup(&self) -> &str {
        self.realm.split('.').next().unwrap_or(&self.realm)
    }

    fn domain(&self) -> String {
        self.realm.to_lowercase()
    }
}

/// A running domain, spoken to through its first controller. Dropping it leaves nothing behind; neither does the end
/// of the process, however it comes.
#[derive(Debug)]
pub struct Domain {
    first: Controller,
    admin: Account,
    folder: PathBuf,
    // Fields are dropped in this order: the folder goes after the servers that use it.
    _guard: Guard,
    _address: Address,
}

impl Deref for Domain {
    type Target = Controller;

    fn deref(&self) -> &Controller {
        &self.first
    }
}

impl Domain {
    /// Whether domains can be run here.
    ///
    /// # Errors
    /// Everything that is missing. A test should print it and say that it was skipped.
    pub fn available() -> Result<(), String> {
        availability::check()
    }

    /// Starts a domain with one controller, and waits until LDAP and Kerberos work.
    ///
    /// # Errors
    /// Something is missing on this machine, or Samba fails: its last words are in the error.
    pub fn start(options: &Options) -> Result<Self> {
        Self::available().map_err(|missing| anyhow!(missing))?;
        // Not below the target folder: paths of sockets may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("dkm-testbed-").tempdir()?.keep();
        let guard = Guard::new(&folder, &[])?;
        // Clients may run as somebody else; what is secret is in private folders.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let clients = folder.join("clients");
        fs::create_dir(&clients)?;
        let address = Address::claim()?;
        let ip = address.ip();

        let home = folder.join(&options.host);
        fs::create_dir(&home)?;
        template::copy_to(&home, options)?;
        let tool_conf = files::tool_conf(&home, options, &options.host, &format!("{ip}/8"))?;
        fs::write(home.join("smb.conf"), tool_conf.clone() + &files::server_conf(&home, options))?;
        fs::write(home.join("tool.conf"), tool_conf)?;
        fs::write(clients.join("krb5.conf"), files::krb5_conf(&options.realm, &[ip]))?;
        files::make_authority(&folder)?;
        fs::copy(folder.join("ca.pem"), clients.join("ca.pem"))?;
        fs::write(clients.join("ldap.conf"), files::ldap_conf(&clients.join("ca.pem")))?;
        let fqdn = format!("{}.{}", options.host, options.domain());
        files::make_certificate(&folder, &home.join("private/tls"), &fqdn, ip)?;

        let mut first = Controller {
            fqdn,
            ip,
            realm: options.realm.clone(),
            base: String::new(),
            domain_sid: String::new(),
            folder: home,
            prefix: Vec::new(),
            server: Mutex::default(),
            helper: Mutex::default(),
            keytabs: Mutex::default(),
        };
        let facts = first.ask(&json!({"do": "facts"}))?;
        first.base = admin::text(&facts, "base")?;
        first.domain_sid = admin::text(&facts, "sid")?;
        let sid = format!("{}-500", first.domain_sid);
        let dn = format!("CN=Administrator,CN=Users,{}", first.base);
        let admin = Account {
            sam: "Administrator".to_owned(),
            dn,
            sid,
            password: random_password()?,
            keytab: clients.join("Administrator.keytab"),
            principal: format!("Administrator@{}", options.realm),
        };
        let domain = Self { first, admin, folder, _guard: guard, _address: address };
        domain.prepare()?;
        domain.restart()?;
        Ok(domain)
    }

    /// What a provision leaves to be done.
    fn prepare(&self) -> Result<()> {
        // Samba gives its account no name for LDAP that clients ask for; and ours speak to an address.
        self.modify_ldif(&format!(
            "dn: CN={},OU=Domain Controllers,{}\nchangetype: modify\nadd: servicePrincipalName\n\
             servicePrincipalName: ldap/{}\nservicePrincipalName: ldap/{}\n",
            self.first.host().to_uppercase(),
            self.base,
            self.fqdn,
            self.ip
        ))?;
        let mut admin = self.admin.clone();
        let password = admin.password.clone();
        self.set_password(&mut admin, &password)?;
        self.keytab(&self.admin).map(drop)
    }

    /// Starts the first controller's server, after ending it if it runs, and waits until LDAP and Kerberos work.
    ///
    /// # Errors
    /// Samba fails.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.first.start_server(|| {
            let cache = self.ccache(&self.admin, None)?;
            self.first.bind(&self.env(), &cache)
        })
    }

    /// The Kerberos realm.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.first.realm
    }

    /// The domain's DNS name.
    #[must_use]
    pub fn name(&self) -> String {
        self.first.realm.to_lowercase()
    }

    /// The distinguished name of the domain's head.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.first.base
    }

    /// The domain's security identifier, as text.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.first.domain_sid
    }

    /// Addresses of all controllers.
    #[must_use]
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        vec![self.first.ip]
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
        vec![
            ("KRB5_CONFIG".to_owned(), shown(&self.krb5_conf())),
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
