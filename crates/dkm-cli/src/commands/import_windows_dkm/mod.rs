//! `dkm import windows-dkm`

#[cfg(feature = "active-directory")]
mod domain;
mod export;

use std::path::PathBuf;

use clap::Args;
use dkm::blocking::Group;
use dkm::windows::WindowsContainer;
use dkm::{ErrorKind, KeyGuid, KeyId, WindowsImport};
use serde_json::json;

use crate::columns;
use crate::failure::{Failure, Result};
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::{GOOD, count, styled};

/// Take over the keys of Windows DKM (AD FS), so that its blobs open and are protected anew
///
/// The keys come onto the group's ring as archived keys: they open blobs of Windows and never protect anything of the
/// group's own. Keys that are there already are left alone. Their container is read from the domain, with nothing but
/// the rights that the caller has there, and stays as it is; or from an export (LDIF), as ldapsearch or ldifde writes
/// it. The export holds the keys in the clear, so pipe it in, or erase it afterwards.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm import windows-dkm --group adfs --container 'CN=ADFS,CN=Microsoft,CN=Program Data' --dry-run
  dkm import windows-dkm --group adfs --from 'ad://old.example.org?dc=dc1.old.example.org' \\
    --container 'CN=8164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5,CN=ADFS,CN=Microsoft,CN=Program Data'
  ldapsearch -LLL -Q -H ldap://dc1 -b 'CN=ADFS,CN=Microsoft,CN=Program Data,DC=example,DC=org' \\
    objectClass displayName l thumbnailPhoto | dkm import windows-dkm --group adfs --ldif -
  dkm import windows-dkm --group adfs --ldif container.ldif --dry-run")]
pub(crate) struct Arguments {
    /// Container of the keys, or where one is: its name in the domain, in full or without the domain's own part; with
    /// --ldif, which container of the export, if it holds several
    #[arg(long, value_name = "DN", required_unless_present_any = ["ldif", "from"])]
    container: Option<String>,
    /// Domain that has the container, if not the repository's own, such as ad://example.com?dc=dc1.example.com
    #[arg(long, value_name = "URL", conflicts_with = "ldif")]
    from: Option<String>,
    /// Export of the container; - is stdin
    #[arg(long, value_name = "FILE")]
    ldif: Option<PathBuf>,
    /// Why, for the audit journal
    #[arg(long, default_value = "imported from Windows DKM", value_name = "TEXT")]
    reason: String,
    /// Only tell which keys the container has
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    // Keys are released for an import that can be done, or not at all.
    let group = shell.group()?;
    let (container, source) = read(arguments, shell)?;
    for skipped in &container.skipped {
        shell.terminal.warn("windows-object", &format!("{}: {}", skipped.dn, skipped.why), None);
    }
    warn_of_active_key(&container, shell);
    let found = Found { container, source, dry_run: arguments.dry_run };
    if arguments.dry_run {
        return tell(&group, &found, &expected(&group, &found.container)?, shell);
    }
    let import = group.import_windows(found.container.keys.clone(), &arguments.reason)?;
    shell.warn_about(&group)?;
    tell(&group, &found, &results(&import), shell)
}

/// A container that was read, and where.
struct Found {
    container: WindowsContainer,
    source: String,
    dry_run: bool,
}

fn read(arguments: &Arguments, shell: &Shell) -> Result<(WindowsContainer, String)> {
    let named = arguments.container.as_deref();
    match &arguments.ldif {
        Some(path) => Ok((export::read(path, named, shell)?, path.display().to_string())),
        None => in_domain(arguments.from.as_deref(), named, shell),
    }
}

#[cfg(feature = "active-directory")]
fn in_domain(from: Option<&str>, place: Option<&str>, shell: &Shell) -> Result<(WindowsContainer, String)> {
    domain::read(from, place, shell)
}

#[cfg(not(feature = "active-directory"))]
fn in_domain(_: Option<&str>, _: Option<&str>, _: &Shell) -> Result<(WindowsContainer, String)> {
    Err(Failure::usage("this dkm was built without Active Directory").help("give an export: --ldif FILE"))
}

/// Blobs that Windows makes now are under its active key: without it they do not open.
fn warn_of_active_key(container: &WindowsContainer, shell: &Shell) {
    let (message, advice) = match container.active {
        Some(active) if container.keys.iter().any(|key| key.guid == active) => return,
        Some(active) => (
            format!("{}: Windows protects with key {active}, which was not found", container.dn),
            "its blobs won't open: import again as an account that may read it, or when it has replicated",
        ),
        None => (
            format!("{}: no CryptoPolicy says which key Windows protects with", container.dn),
            "check that this is the container that is meant, and that the account sees all of it",
        ),
    };
    shell.terminal.warn("windows-active-key", &message, Some(advice));
}

/// What an import would come to.
fn expected(group: &Group, container: &WindowsContainer) -> Result<Vec<(KeyGuid, KeyId, &'static str)>> {
    let ring = group.view()?.ring;
    let mut all: Vec<_> = container
        .keys
        .iter()
        .map(|key| {
            let id = key.id(group.id());
            let result = match ring.key(id) {
                _ if ring.is_destroyed(id) => "destroyed",
                Some(there) if there.verified => "present",
                _ => "to be imported",
            };
            (key.guid, id, result)
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn results(import: &WindowsImport) -> Vec<(KeyGuid, KeyId, &'static str)> {
    let lists =
        [(&import.imported, "imported"), (&import.present, "present"), (&import.destroyed, "destroyed")];
    let mut all: Vec<_> = lists
        .into_iter()
        .flat_map(|(keys, result)| keys.iter().map(move |(guid, id)| (*guid, *id, result)))
        .collect();
    all.sort_unstable();
    all
}

fn nothing_chosen(container: &str) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("container {container} has no keys"))
}

/// The one container that is meant, of those that there are.
fn chosen(place: &str, names: &[String], named: Option<&str>) -> Result<String> {
    let quoted = || names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let fitting: Vec<&String> =
        names.iter().filter(|dn| named.is_none_or(|name| dn.eq_ignore_ascii_case(name))).collect();
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::new(ErrorKind::NotFound, format!("{place} does not hold this container"))
            .help(format!("it holds {}", quoted()))),
        _ => Err(Failure::usage(format!("{place} holds several containers"))
            .help(format!("name one with --container: {}", quoted()))),
    }
}

fn tell(group: &Group, found: &Found, keys: &[(KeyGuid, KeyId, &'static str)], shell: &Shell) -> Result {
    let Found { container, source, dry_run } = found;
    let shapes: Vec<_> = keys
        .iter()
        .map(|(guid, id, result)| {
            json!({
                "guid": guid.to_string(),
                "key": id.to_string(),
                "result": result,
                "active": container.active == Some(*guid),
            })
        })
        .collect();
    let skipped: Vec<_> =
        container.skipped.iter().map(|skipped| json!({"dn": skipped.dn, "why": skipped.why})).collect();
    let value = json!({
        "group": GroupShape::of(group),
        "container": container.dn,
        "source": source,
        "dry_run": dry_run,
        "keys": shapes,
        "skipped": skipped,
    });
    shell.terminal.result(&value, || {
        let rows: Vec<Vec<String>> = keys
            .iter()
            .map(|(guid, id, result)| {
                let active = container.active == Some(*guid);
                let note = if active { styled(GOOD, "Windows protects with it") } else { "-".to_owned() };
                vec![guid.to_string(), crate::key_argument::short(*id), (*result).to_owned(), note]
            })
            .collect();
        let new = keys.iter().filter(|(.., result)| *result == "imported").count();
        let head = if *dry_run {
            format!("{} of {}:\n", count(keys.len(), "key"), container.dn)
        } else {
            format!("Imported {} of {} into group {}.\n", count(new, "key"), container.dn, group.name())
        };
        head + &columns::table(&["GUID", "KEY", "RESULT", "NOTES"], &rows)
    })
}
