//! One domain controller: its server, and its database.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::admin::{self, Entry, Helper, Scope};
use crate::process::{self, Server, command};

/// A domain controller. Its database can be read and changed here whether the server runs or not.
#[derive(Debug)]
pub struct Controller {
    pub(crate) fqdn: String,
    pub(crate) ip: Ipv4Addr,
    pub(crate) folder: PathBuf,
    /// Words before the server's command line, to start it somewhere else.
    pub(crate) prefix: Vec<String>,
    pub(crate) server: Mutex<Option<Server>>,
    pub(crate) helper: Mutex<Option<Helper>>,
    pub(crate) keytabs: Mutex<Option<Helper>>,
}

/// Objects that are added in one transaction.
const CONTACTS_AT_ONCE: usize = 500;

/// A `contact` object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// `cn` and `displayName`; nothing in it that a distinguished name would have to escape.
    pub name: String,
    /// `l`.
    pub l: String,
    /// `thumbnailPhoto`.
    pub photo: Vec<u8>,
    /// `info`, which holds it in base64.
    pub info: Vec<u8>,
}

/// A test that panicked has not broken what it held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Controller {
    /// Its name in the domain's name service.
    #[must_use]
    pub fn fqdn(&self) -> &str {
        &self.fqdn
    }

    /// The host's part of it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.fqdn.split('.').next().unwrap_or(&self.fqdn)
    }

    /// Where it listens: LDAP 389, LDAPS 636, Kerberos 88.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.ip
    }

    /// `ldap://` and its address. Kerberos knows it by this name too.
    #[must_use]
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}", self.ip)
    }

    /// `ldaps://` and its address, which its certificate names.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}", self.ip)
    }

    /// Lines of JSON about every change, tried or done. They hold values of attributes.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.json")
    }

    /// Lines of JSON about every authentication and authorization.
    #[must_use]
    pub fn authentication_log(&self) -> PathBuf {
        self.folder.join("auth.json")
    }

    /// The id of this controller's database, a UUID: what tells replicas apart.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn invocation_id(&self) -> Result<String> {
        admin::text(&self.ask(&json!({"do": "facts"}))?, "invocation_id")
    }

    pub(crate) fn tool_conf(&self) -> PathBuf {
        self.folder.join("tool.conf")
    }

    /// A program that runs where the server does.
    pub(crate) fn command(&self, program: &str) -> Command {
        let Some((first, others)) = self.prefix.split_first() else {
            return command(program);
        };
        let mut command = command(first);
        command.args(others).arg(program);
        command
    }

    /// Starts the server, which asks a Kerberos service itself, and returns when nothing is missing for a client.
    pub(crate) fn start_server(&self, krb5_conf: &Path, ready: impl Fn() -> Result<()>) -> Result<()> {
        let conf = self.folder.join("smb.conf");
        let mut arguments: Vec<&OsStr> = self.prefix.iter().map(AsRef::as_ref).collect();
        for argument in ["samba", "--foreground", "--no-process-group", "--configfile"] {
            arguments.push(argument.as_ref());
        }
        arguments.push(conf.as_ref());
        let output = self.folder.join("output.log");
        let server = Server::start(&arguments, krb5_conf, &self.folder.join("server.pid"), &output)?;
        let mut last = None;
        let result = process::wait_for(&format!("the start of {}", self.fqdn), || {
            if !server.runs() {
                bail!("the server ended");
            }
            // Cheaper than a ticket that can't be had.
            let port = (self.ip, 389).into();
            if TcpStream::connect_timeout(&port, Duration::from_secs(1)).is_err() {
                return Ok(None);
            }
            Ok(ready().map_err(|error| last = Some(error)).ok())
        });
        if let Err(error) = result {
            let mut error = error.context(self.last_words());
            if let Some(last) = last {
                error = error.context(last);
            }
            return Err(error.context(format!("{} does not work", self.fqdn)));
        }
        *lock(&self.server) = Some(server);
        Ok(())
    }

    /// The end of the server's log.
    fn last_words(&self) -> String {
        let log = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let text = log("samba.log") + &log("output.log");
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Ends the server in good order. Nothing happens if it does not run.
    ///
    /// # Errors
    /// It can't be asked to.
    pub fn stop(&self) -> Result<()> {
        lock(&self.server).take().map_or(Ok(()), Server::stop)
    }

    /// Ends the server in good order, and whatever holds its database open.
    pub(crate) fn close(&self) -> Result<()> {
        self.stop()?;
        drop(lock(&self.helper).take());
        drop(lock(&self.keytabs).take());
        Ok(())
    }

    /// Ends the server as a power cut would, except that what was written stays.
    pub fn kill(&self) {
        drop(lock(&self.server).take());
    }

    /// Whether the server runs (a frozen one does).
    #[must_use]
    pub fn runs(&self) -> bool {
        lock(&self.server).as_ref().is_some_and(Server::runs)
    }

    /// Stops every process of the server where it stands: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// The server does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// The server does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        lock(&self.server).as_ref().context("the server does not run")?.signal(signal)
    }

    /// Asks the helper that holds the database open; it is started when first needed.
    pub(crate) fn ask(&self, request: &Value) -> Result<Value> {
        let mut helper = lock(&self.helper);
        let helper = match &mut *helper {
            Some(helper) => helper,
            none => {
                let database = self.folder.join("private/sam.ldb");
                none.insert(Helper::start(&[self.tool_conf().as_ref(), database.as_ref()])?)
            }
        };
        helper.ask(request)
    }

    pub(crate) fn export_keytab(&self, path: &Path, principal: &str) -> Result<()> {
        let mut helper = lock(&self.keytabs);
        let helper = match &mut *helper {
            Some(helper) => helper,
            none => none.insert(Helper::start(&[self.tool_conf().as_ref()])?),
        };
        helper.ask(&json!({"do": "export_keytab", "path": path, "principal": principal}))?;
        Ok(())
    }

    /// Changes the database with LDIF as the system account, all of it or nothing: objects, or changes of type `add`,
    /// `modify` or `delete`. A `nTSecurityDescriptor` may be SDDL.
    ///
    /// # Errors
    /// The text is not understood, or a change is refused.
    pub fn modify_ldif(&self, text: &str) -> Result<()> {
        self.ask(&json!({"do": "ldif", "text": text})).map(drop)
    }

    /// As [`Controller::modify_ldif`], of what only the directory itself may change otherwise: the schema, and objects
    /// of its own classes.
    ///
    /// # Errors
    /// As [`Controller::modify_ldif`].
    pub fn modify_ldif_relaxed(&self, text: &str) -> Result<()> {
        self.ask(&json!({"do": "ldif", "text": text, "relaxed": true})).map(drop)
    }

    /// Searches as the system account. No attributes mean all of them.
    ///
    /// # Errors
    /// The base does not exist, or the filter is not understood.
    pub fn search(&self, base: &str, scope: Scope, filter: &str, attributes: &[&str]) -> Result<Vec<Entry>> {
        self.search_with(base, scope, filter, attributes, &[])
    }

    /// Searches with controls as Samba's tools write them, for example `show_deleted:1`.
    ///
    /// # Errors
    /// As [`Controller::search`].
    pub fn search_with(
        &self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        controls: &[&str],
    ) -> Result<Vec<Entry>> {
        let request = json!({
            "do": "search", "base": base, "scope": scope.name(), "filter": filter, "attributes": attributes,
            "controls": controls
        });
        admin::entries(&self.ask(&request)?)
    }

    /// An object's security descriptor as Samba writes it in SDDL.
    ///
    /// # Errors
    /// There is no such object.
    pub fn descriptor(&self, dn: &str) -> Result<String> {
        sddl(&self.ask(&json!({"do": "descriptor", "dn": dn}))?)
    }

    /// Replaces owner, group and DACL.
    ///
    /// # Errors
    /// There is no such object, or the text is not SDDL.
    pub fn set_descriptor(&self, dn: &str, sddl: &str) -> Result<()> {
        self.ask(&json!({"do": "set_descriptor", "dn": dn, "sddl": sddl})).map(drop)
    }

    /// What Samba's own codec makes of a binary security descriptor.
    ///
    /// # Errors
    /// It is not one.
    pub fn binary_to_sddl(&self, descriptor: &[u8]) -> Result<String> {
        sddl(&self.ask(&json!({"do": "binary_to_sddl", "binary": admin::base64(descriptor)}))?)
    }

    /// What Samba's own codec makes of SDDL.
    ///
    /// # Errors
    /// It is not SDDL.
    pub fn sddl_to_binary(&self, text: &str) -> Result<Vec<u8>> {
        admin::binary(&sddl(&self.ask(&json!({"do": "sddl_to_binary", "sddl": text}))?)?)
    }

    /// Creates an organizational unit with this distinguished name.
    ///
    /// # Errors
    /// It exists, or its parent doesn't.
    pub fn add_ou(&self, dn: &str) -> Result<()> {
        self.ask(&json!({"do": "add_ou", "dn": dn})).map(drop)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// There is no such object, or it has children.
    pub fn delete(&self, dn: &str) -> Result<()> {
        self.ask(&json!({"do": "delete", "dn": dn, "tree": false})).map(drop)
    }

    /// Deletes an object and everything below.
    ///
    /// # Errors
    /// There is no such object.
    pub fn delete_tree(&self, dn: &str) -> Result<()> {
        self.ask(&json!({"do": "delete", "dn": dn, "tree": true})).map(drop)
    }

    /// Gives an object another distinguished name: renames or moves it.
    ///
    /// # Errors
    /// There is no such object, or the place is taken.
    pub fn rename(&self, dn: &str, to: &str) -> Result<()> {
        self.ask(&json!({"do": "rename", "dn": dn, "to": to})).map(drop)
    }

    /// Makes `contact` objects beside a model, with its security descriptor.
    ///
    /// # Errors
    /// There is no model, or a name is taken.
    pub fn add_contacts_like(&self, model: &str, contacts: &[Contact]) -> Result<()> {
        let (_, parent) = model.split_once(',').context("the model has no parent")?;
        let sddl = self.descriptor(model)?;
        for batch in contacts.chunks(CONTACTS_AT_ONCE) {
            let mut ldif = String::new();
            for Contact { name, l, photo, info } in batch {
                ldif += &format!(
                    "dn: CN={name},{parent}\nchangetype: add\nobjectClass: contact\ndisplayName: {name}\nl: {l}\n\
                     showInAdvancedViewOnly: TRUE\nthumbnailPhoto:: {}\ninfo: {}\nnTSecurityDescriptor: {sddl}\n\n",
                    admin::base64(photo),
                    admin::base64(info)
                );
            }
            self.modify_ldif(&ldif)?;
        }
        Ok(())
    }

    /// Has an LDAP client bind with a Kerberos ticket and read the domain's head.
    pub(crate) fn bind(&self, env: &[(String, String)], cache: &Path, base: &str) -> Result<()> {
        process::run(
            command("ldapsearch")
                .args([
                    "-LLL",
                    "-Q",
                    "-Y",
                    "GSSAPI",
                    "-o",
                    "nettimeout=5",
                    "-s",
                    "base",
                    "-H",
                    &self.ldap_url(),
                ])
                .args(["-b", base, "objectClass"])
                .envs(env.iter().map(|(name, value)| (name, value)))
                .env("KRB5CCNAME", cache),
        )?;
        Ok(())
    }
}

fn sddl(answer: &Value) -> Result<String> {
    Ok(answer.as_str().context("not a text")?.to_owned())
}
