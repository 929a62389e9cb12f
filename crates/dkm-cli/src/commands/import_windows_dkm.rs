//! `dkm import windows-dkm`

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dkm::blocking::Group;
use dkm::windows::{LDIF_LEN_MAX, WindowsContainer, containers, read_ldif};
use dkm::{ErrorKind, KeyGuid, KeyId, WindowsImport};
use serde_json::json;

use crate::columns;
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::shape::GroupShape;
use crate::shell::Shell;
use crate::terminal::{GOOD, count, styled};

/// Take over the keys of Windows DKM (AD FS), so that its blobs open and are protected anew
///
/// The keys come onto the group's ring as archived keys: they open blobs of Windows and never protect anything of the
/// group's own. Keys that are there already are left alone. Their container is read from an export (LDIF), as ldapsearch
/// or ldifde writes it; the export holds the keys in the clear, so pipe it in, or erase it afterwards.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  ldapsearch -LLL -Q -H ldap://dc1 -b 'CN=ADFS,CN=Microsoft,CN=Program Data,DC=example,DC=org' \\
    objectClass displayName l thumbnailPhoto | dkm import windows-dkm --group adfs --ldif -
  dkm import windows-dkm --group adfs --ldif container.ldif --dry-run")]
pub(crate) struct Arguments {
    /// Export of the container; - is stdin
    #[arg(long, value_name = "FILE")]
    ldif: PathBuf,
    /// Which container, by its distinguished name, if the export holds several
    #[arg(long, value_name = "DN")]
    container: Option<String>,
    /// Why, for the audit journal
    #[arg(long, default_value = "imported from Windows DKM", value_name = "TEXT")]
    reason: String,
    /// Only tell which keys the container has
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let export = Input::open(Some(&arguments.ldif))?.read_up_to(LDIF_LEN_MAX + 1)?;
    warn_of_clear_keys(&arguments.ldif, shell);
    let entries = read_ldif(&export).map_err(|error| Failure::new(ErrorKind::Corrupt, error.to_string()))?;
    drop(export);
    let container = chosen(containers(&entries), arguments.container.as_deref())?;
    drop(entries);
    for skipped in &container.skipped {
        shell.terminal.warn("windows-object", &format!("{}: {}", skipped.dn, skipped.why), None);
    }
    if container.keys.is_empty() {
        return Err(Failure::new(ErrorKind::NotFound, format!("container {} has no keys", container.dn))
            .help("an account that may read them sees a thumbnailPhoto in each: export it as that account"));
    }
    let group = shell.group()?;
    if arguments.dry_run {
        return tell(&group, &container, &expected(&group, &container)?, true, shell);
    }
    let import = group.import_windows(container.keys.clone(), &arguments.reason)?;
    shell.warn_about(&group)?;
    tell(&group, &container, &results(&import), false, shell)
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

/// The export is a release of keys that no journal of ours sees.
fn warn_of_clear_keys(path: &Path, shell: &Shell) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    if path.as_os_str() == "-" || !metadata.is_file() {
        return;
    }
    let others = if metadata.permissions().mode() & 0o077 == 0 { "" } else { ", and others may read it" };
    shell.terminal.warn(
        "clear-keys",
        &format!("{} holds keys in the clear{others}", path.display()),
        Some("erase it and every copy when the import is done, or pipe the export in: --ldif -"),
    );
}

fn chosen(found: Vec<WindowsContainer>, named: Option<&str>) -> Result<WindowsContainer> {
    let names: Vec<String> = found.iter().map(|container| format!("'{}'", container.dn)).collect();
    let mut fitting = found
        .into_iter()
        .filter(|container| named.is_none_or(|name| container.dn.eq_ignore_ascii_case(name)))
        .collect::<Vec<_>>();
    match (fitting.len(), names.as_slice()) {
        (1, _) => Ok(fitting.remove(0)),
        (_, []) => Err(Failure::new(ErrorKind::NotFound, "the export holds no keys of Windows DKM").help(
            "export the container with what is in it: -s sub, and objectClass displayName l thumbnailPhoto",
        )),
        (0, names) => Err(Failure::new(ErrorKind::NotFound, "the export does not hold this container")
            .help(format!("it holds {}", names.join(", ")))),
        (_, names) => Err(Failure::usage("the export holds several containers")
            .help(format!("name one with --container: {}", names.join(", ")))),
    }
}

fn tell(
    group: &Group,
    container: &WindowsContainer,
    keys: &[(KeyGuid, KeyId, &'static str)],
    dry_run: bool,
    shell: &Shell,
) -> Result {
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
        let head = if dry_run {
            format!("{} of {}:\n", count(keys.len(), "key"), container.dn)
        } else {
            format!("Imported {} of {} into group {}.\n", count(new, "key"), container.dn, group.name())
        };
        head + &columns::table(&["GUID", "KEY", "RESULT", "NOTES"], &rows)
    })
}
