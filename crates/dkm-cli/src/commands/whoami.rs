//! `dkm whoami`

use clap::Args;
use dkm_core::Timestamp;
use dkm_lockbox::shown;
use dkm_remote::Endpoint;
use dkm_remote::credentials::Credentials;
use serde_json::json;

use crate::failure::Result;
use crate::shell::Shell;
use crate::{columns, when};

/// Tell as whom a dkmd server knows this account
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm whoami --repository https://keys.example.com
  dkm whoami --repository 'https://keys.example.com?kerberos=yes'
  dkm whoami --repository unix:/run/dkmd/socket --json")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let location = shell.remote()?.location().clone();
    let who = shell.directory()?.who_am_i()?;
    let over_tls = matches!(location.endpoints.first(), Some(Endpoint::Host { .. }));
    let by_certificate = over_tls && !location.signs_in_by_kerberos();
    let validity =
        by_certificate.then(|| Credentials::in_folder(&location.credentials).validity().ok()).flatten();
    let until = validity.map(|validity| Timestamp(validity.not_after_ms));
    let value = json!({
        "account": who.account,
        "groups": who.groups,
        "administrator": who.administrator,
        "auditor": who.auditor,
        "repository": location.to_string(),
        "certificate_not_after": until.map(when::precise),
    });
    shell.terminal.result(&value, || {
        let mut facts = vec![
            ("account", shown(&who.account)),
            ("groups", if who.groups.is_empty() { "none".to_owned() } else { shown(&who.groups.join(", ")) }),
            ("administrator", if who.administrator { "yes" } else { "no" }.to_owned()),
            ("reads the audit log", if who.auditor { "yes" } else { "no" }.to_owned()),
        ];
        facts.extend(until.map(|until| ("certificate until", when::second(until))));
        columns::facts(&facts)
    })
}
