//! `dkm principal list`

use clap::Args;
use dkm_lockbox::shown;
use dkm_remote::wire::PrincipalView;
use serde_json::json;

use crate::columns;
use crate::failure::Result;
use crate::shell::Shell;

/// List the accounts that a dkmd server knows
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  dkm principal list --json")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, shell: &Shell) -> Result {
    let principals = shell.directory()?.principals()?;
    shell.terminal.result(&json!({"principals": principals}), || {
        let row = |principal: &PrincipalView| {
            let mut what = Vec::new();
            what.extend(principal.administrator.then_some("administrator"));
            what.extend(principal.auditor.then_some("auditor"));
            what.extend((!principal.enabled).then_some("disabled"));
            let uids: Vec<String> = principal.uids.iter().map(ToString::to_string).collect();
            vec![shown(&principal.account), uids.join(", "), what.join(", ")]
        };
        columns::table(&["ACCOUNT", "UIDS", "STATE"], &principals.iter().map(row).collect::<Vec<_>>())
    })
}
