//! `dkm ad init`

use clap::Args;
use dkm::Location;
use dkm_ad::{AdRepository, Limits, init};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Make a repository in Active Directory
///
/// Makes a container and an empty recovery group, each with an explicit, protected security descriptor. Needs an
/// account that may do so, usually a Domain Admin with a Kerberos ticket (kinit). Groups in it are made by Domain Admins
/// and by those named with --makers. Nothing of the domain's schema is changed.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm ad init --repository ad://example.com --makers 'DKM Makers' --auditors 'DKM Auditors'
  dkm ad init --repository ad://example.com --makers 'DKM Makers' --elevators svc-dkmd
  dkm ad init --repository 'ad://example.com/OU=Keys?dc=dc1.example.com' --dry-run > dkm.ldif")]
pub(crate) struct Arguments {
    /// Who may make groups, beside the Domain Admins: an account or a security group. Repeatable
    #[arg(long, value_name = "WHO")]
    makers: Vec<String>,
    /// Who sees which groups there are, to audit those that name it too: an account or a security group. Repeatable
    #[arg(long, value_name = "WHO")]
    auditors: Vec<String>,
    /// Who lets people in for a time: dkmd's account. Makes a container of temporary accounts, which nobody else may fill;
    /// dkm group create --elevators names it for each group. Repeatable
    #[arg(long, value_name = "WHO")]
    elevators: Vec<String>,
    /// Change nothing: write the objects as LDIF, each with its descriptor in SDDL, for an administrator to make
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let location = shell.location()?;
    let Location::ActiveDirectory { url } = &location else {
        return Err(Failure::usage(format!("{location} is no repository in Active Directory"))
            .help("name one: --repository ad://example.com"));
    };
    let url = url.parse().map_err(|error: dkm_ad::ParseAdUrlError| Failure::usage(error.to_string()))?;
    let repository = AdRepository::open(url, None, Limits::default()).map_err(dkm::Error::from)?;
    let plan = init::plan(&repository, &arguments.makers, &arguments.auditors, &arguments.elevators)
        .map_err(dkm::Error::from)?;
    let objects: Vec<_> =
        plan.objects.iter().map(|object| json!({"dn": object.dn, "sddl": object.sddl})).collect();
    if arguments.dry_run {
        let ldif: Vec<String> = plan.objects.iter().map(init::PlannedObject::ldif).collect();
        let ldif = ldif.join("\n");
        shell.terminal.result(&json!({"objects": objects, "ldif": ldif, "made": []}), || ldif.clone())?;
        shell.terminal.note("Nothing was changed. Next: ldapadd -Y GSSAPI -H ldap://DC -f FILE");
        return Ok(());
    }
    let made = plan.carry_out().map_err(dkm::Error::from)?;
    shell.terminal.result(&json!({"objects": objects, "made": made}), || {
        if made.is_empty() {
            return format!("{location} is there already; nothing was changed.\n");
        }
        made.iter().map(|dn| format!("Made {dn}\n")).collect()
    })?;
    shell.terminal.note("Next: dkm group create NAME --members WHO --creators WHO --owners WHO");
    Ok(())
}
