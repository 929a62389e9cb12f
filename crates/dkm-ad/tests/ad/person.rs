//! Whoever wants more than he may: an account with a ticket, and the LDAP programs that every machine has.

use std::io::Write as _;
use std::process::{Command, Stdio};

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use anyhow::{Context as _, Result, ensure};
use dkm_testbed::Account;

use super::stage::Stage;

/// RFC 4511 §4.1.9.
pub(crate) const NO_SUCH_OBJECT: i32 = 32;
pub(crate) const INSUFFICIENT_ACCESS: i32 = 50;
/// The parts of a descriptor that a request means (MS-ADTS §3.1.1.3.4.1.11): the DACL alone, or the owner alone.
pub(crate) const DACL: &str = "1.2.840.113556.1.4.801 true:: MAMCAQQ=";
pub(crate) const OWNER: &str = "1.2.840.113556.1.4.801 true:: MAMCAQE=";

/// Somebody at a shell.
#[derive(Debug)]
pub(crate) struct Person {
    url: String,
    env: Vec<(String, String)>,
    sign_in: &'static [&'static str],
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The result code of LDAP.
    pub(crate) code: i32,
    pub(crate) text: String,
    pub(crate) complaint: String,
}

impl Answer {
    /// Distinguished names in a search's answer, apart from referrals.
    pub(crate) fn entries(&self) -> usize {
        self.text.lines().filter(|line| line.starts_with("dn:")).count()
    }

    pub(crate) fn done(self) -> Result<Self> {
        ensure!(self.code == 0, "{self:?}");
        Ok(self)
    }

    pub(crate) fn refused_with(&self, code: i32) -> Result<()> {
        ensure!(self.code == code, "{code} was expected: {self:?}");
        Ok(())
    }
}

impl Person {
    /// With a ticket of its own, fetched now.
    pub(crate) fn with_fresh_ticket(stage: &Stage, account: &Account) -> Result<Self> {
        stage.with(|domain| {
            let env = domain.env_with(&domain.ccache(account, None)?);
            Ok(Self { url: domain.ldap_url(), env, sign_in: &["-Q", "-Y", "GSSAPI"] })
        })
    }

    /// With the tickets in a file.
    pub(crate) fn with_cache(stage: &Stage, cache: &std::path::Path) -> Result<Self> {
        stage.with(|domain| {
            let env = domain.env_with(cache);
            Ok(Self { url: domain.ldap_url(), env, sign_in: &["-Q", "-Y", "GSSAPI"] })
        })
    }

    pub(crate) fn administrator(stage: &Stage) -> Result<Self> {
        let administrator = stage.with(|domain| {
            let administrator = domain.admin().clone();
            domain.keytab(&administrator)?;
            Ok(administrator)
        })?;
        Self::with_fresh_ticket(stage, &administrator)
    }

    /// Without any name.
    pub(crate) fn nobody(stage: &Stage) -> Result<Self> {
        stage.with(|domain| Ok(Self { url: domain.ldap_url(), env: domain.env(), sign_in: &["-x"] }))
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<Answer> {
        let mut child = Command::new(program)
            .args(self.sign_in)
            .args(["-o", "nettimeout=20", "-H", &self.url])
            .args(arguments)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start {program}"))?;
        // One that gives up early does not read it.
        let _ = child.stdin.take().context("no input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        Ok(Answer {
            code: output.status.code().context("killed")?,
            text: String::from_utf8_lossy(&output.stdout).into_owned(),
            complaint: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    /// A search below or at `base`, a name or `<GUID=…>`.
    pub(crate) fn search(
        &self,
        base: &str,
        scope: &str,
        filter: &str,
        attributes: &[&str],
    ) -> Result<Answer> {
        let arguments = [&["-LLL", "-b", base, "-s", scope, filter], attributes].concat();
        self.run("ldapsearch", &arguments, "")
    }

    /// Many searches below or at one base, one after the other; what follows each filter's opening parenthesis.
    pub(crate) fn search_all(&self, base: &str, scope: &str, filters: &[String]) -> Result<Answer> {
        let arguments = ["-LLL", "-c", "-f", "/dev/stdin", "-b", base, "-s", scope, "(%s)"];
        self.run("ldapsearch", &arguments, &filters.join("\n"))
    }

    /// One change, in LDIF.
    pub(crate) fn change(&self, ldif: &str) -> Result<Answer> {
        self.run("ldapmodify", &[], ldif)
    }

    /// Tries all changes; returns how many were refused, however.
    pub(crate) fn changes_refused(&self, changes: &[String]) -> Result<usize> {
        let answer = self.run("ldapmodify", &["-c"], &changes.join("\n"))?;
        let refusals = ["(50)", "(32)", "(53)", "(1)"];
        let refused = |line: &&str| {
            line.starts_with("ldap_") && refusals.iter().any(|refusal| line.trim_end().ends_with(refusal))
        };
        Ok(answer.complaint.lines().filter(refused).count())
    }

    /// Replaces the part of an object's descriptor that `part` names.
    pub(crate) fn set_descriptor(&self, stage: &Stage, dn: &str, part: &str, sddl: &str) -> Result<Answer> {
        self.change(&new_descriptor(stage, dn, part, sddl)?)
    }
}

/// The change that replaces the part of an object's descriptor that `part` names.
pub(crate) fn new_descriptor(stage: &Stage, dn: &str, part: &str, sddl: &str) -> Result<String> {
    let descriptor = encoded(stage, sddl)?;
    Ok(format!(
        "dn: {dn}\ncontrol: {part}\nchangetype: modify\n\
         replace: nTSecurityDescriptor\nnTSecurityDescriptor:: {descriptor}\n"
    ))
}

/// A descriptor as LDIF has it.
pub(crate) fn encoded(stage: &Stage, sddl: &str) -> Result<String> {
    Ok(base64(&stage.with(|domain| domain.sddl_to_binary(sddl))?))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
