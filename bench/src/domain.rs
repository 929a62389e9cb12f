//! A cold start against a real domain controller, beside `ldapsearch` with the same sign-in and the same reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use dkm::core::blob::{BlobKey, Header, seal};
use dkm::core::kdf::key_id;
use dkm::core::record::{Family, KeyRecord, Material, Origin, Record};
use dkm::core::{Context, Digest, GroupId, Suite};
use dkm_testbed::{Domain, Options};

use crate::measure::Times;
use crate::report::{Limit, Section, spread, spread_time};

const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 800_000_000_000;
/// Objects that are added in one transaction.
const BATCH: u64 = 500;

/// A group in the domain, with one account that reads it and nothing else.
struct Ring {
    keys: u64,
    cache: PathBuf,
    home: PathBuf,
    blob: PathBuf,
}

pub(crate) fn cold_start(dkm: &Path, quick: bool) -> Result<Section> {
    let mut section = Section::new(
        "A cold start in Active Directory",
        "Whole runs of two programs against a Samba domain controller on this machine, in turn, each with a ticket in its cache. \
         `ldapsearch` signs in by Kerberos, seals the connection, and reads all records of the group with the attributes that we read, in \
         pages of 1 000. `dkm unprotect` does the same, verifies every key's id, and opens a blob of 1 KiB: of the only key, or of \
         the oldest archived one.",
        ["keys", "dkm unprotect", "ldapsearch", "ratio"],
    );
    let Some(domain) = Domain::start_or_skip(&Options::default())? else {
        section.row([
            "not measured: no domain can be run here".into(),
            String::new(),
            String::new(),
            String::new(),
        ]);
        return Ok(section);
    };
    let folder = tempfile::tempdir()?;
    let sizes: &[u64] = if quick { &[1, 100] } else { &[1, 100, 10_000] };
    let admin = domain.admin().clone();
    domain.keytab(&admin)?;
    let admin_cache = domain.ccache(&admin, None)?;
    run(dkm_command(dkm, &domain, &admin_cache, &folder.path().join("admin")).args(["ad", "init"]))?;
    for &keys in sizes {
        let ring = prepare(dkm, &domain, &admin_cache, folder.path(), keys)?;
        let (mut ours, mut theirs) = (Times(Vec::new()), Times(Vec::new()));
        let rounds = if quick { 3 } else { 11 };
        for round in 0..=rounds {
            let mine = time(&mut unprotect(dkm, &domain, &ring))?;
            let other = time(&mut ldapsearch(&domain, &ring))?;
            // The first of each fills caches.
            if round > 0 {
                ours.0.push(mine);
                theirs.0.push(other);
            }
        }
        let ratio = ours.per(&theirs);
        section.row([keys.to_string(), spread_time(&ours), spread_time(&theirs), spread(ratio)]);
        let what = format!("cold start in a domain with {keys} keys, times ldapsearch");
        section.target(&what, Limit::Most(1.3), ratio.median, "×");
    }
    Ok(section)
}

fn prepare(dkm: &Path, domain: &Domain, admin_cache: &Path, folder: &Path, keys: u64) -> Result<Ring> {
    let name = format!("ring-{keys}");
    let service = domain.add_user(&format!("svc-{name}"))?;
    let create = ["group", "create", &name, "--creators", &service.sam, "--owners", "Domain Admins"];
    run(dkm_command(dkm, domain, admin_cache, &folder.join("admin")).args(create))?;
    let cache = domain.ccache(&service, None)?;
    let home = folder.join(&name);
    let (plain, blob) = (folder.join("plain"), folder.join(format!("{name}.dkm")));
    fs::write(&plain, [b'x'; 1024])?;
    // The first key, and with it the group's id.
    let mut protect = dkm_command(dkm, domain, &cache, &home);
    run(protect.args(["--quiet", "protect", "-g", &name]).arg(&plain).arg("-o").arg(&blob))?;
    let header = Header::parse(&fs::read(&blob)?)?;
    let group = header.group();
    if keys > 1 {
        archive_keys(domain, group, keys - 1)?;
        fs::write(&blob, archived_blob(group)?)?;
    }
    Ok(Ring { keys, cache, home, blob })
}

fn material(number: u64) -> [u8; 32] {
    *Digest::of(&number.to_be_bytes()).as_bytes()
}

/// Puts archived keys into the room, with the descriptor that the group's own first key has.
fn archive_keys(domain: &Domain, group: GroupId, keys: u64) -> Result<()> {
    let mark = format!("(&(objectClass=container)(displayName={group}/keys))");
    let found = domain.search(domain.base(), dkm_testbed::Scope::Sub, &mark, &["cn"])?;
    let room = found.first().context("the group has no room of keys")?.dn.clone();
    let found =
        domain.search(&room, dkm_testbed::Scope::One, "(objectClass=contact)", &["distinguishedName"])?;
    let first = found.first().context("the group has no first key")?;
    let sddl = domain.descriptor(&first.dn)?;
    for begin in (1..=keys).step_by(BATCH as usize) {
        let mut ldif = String::new();
        for number in begin..(begin + BATCH).min(keys + 1) {
            let material = material(number);
            let created_at_ms = START_MS + number * DAY_MS;
            let key = KeyRecord {
                id: key_id(group, Family::Native, &material),
                family: Family::Native,
                origin: Origin::Restored,
                created_at_ms,
                activates_at_ms: created_at_ms,
                predecessor: None,
                attempt: 0,
                material: Material::Plain(material.into()),
                guid: None,
            };
            let (id, slot) = (key.id, key.slot());
            let bytes = base64(&Record::Key(key).encode(group));
            ldif.push_str(&format!(
                "dn: CN={slot},{room}\nchangetype: add\nobjectClass: contact\ndisplayName: {slot}\nl: {id}\n\
                 showInAdvancedViewOnly: TRUE\nthumbnailPhoto:: {bytes}\nnTSecurityDescriptor: {sddl}\n\n"
            ));
        }
        domain.modify_ldif(&ldif)?;
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What the oldest archived key protected once.
fn archived_blob(group: GroupId) -> Result<Vec<u8>> {
    let key = BlobKey::new(group, Family::Native, &material(1));
    let header = Header::new(Suite::Aes256Gcm, group, key.id(), [3; 32], 65_536)?;
    Ok(seal(&key, &header, &Context::new(), &[b'x'; 1024])?)
}

fn dkm_command(dkm: &Path, domain: &Domain, cache: &Path, home: &Path) -> Command {
    let mut command = Command::new(dkm);
    command
        .envs(domain.env_with(cache))
        .env("DKM_REPOSITORY", domain.url())
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .env("XDG_STATE_HOME", home);
    command
}

fn unprotect(dkm: &Path, domain: &Domain, ring: &Ring) -> Command {
    let mut command = dkm_command(dkm, domain, &ring.cache, &ring.home);
    command.args(["--quiet", "unprotect", "-g", &format!("ring-{}", ring.keys)]).arg(&ring.blob);
    command
}

fn ldapsearch(domain: &Domain, ring: &Ring) -> Command {
    let mut command = Command::new("ldapsearch");
    command
        .envs(domain.env_with(&ring.cache))
        .args(["-Q", "-LLL", "-Y", "GSSAPI", "-H", &domain.ldap_url()])
        .args(["-b", &format!("CN=DKM,CN=Program Data,{}", domain.base())])
        // Owner, group and DACL of each descriptor.
        .args(["-E", "pr=1000/noprompt", "-E", "!1.2.840.113556.1.4.801=::MAMCAQc=", "(objectClass=contact)"])
        .args(["name", "displayName", "objectGUID", "uSNChanged", "thumbnailPhoto", "whenCreated"])
        .arg("nTSecurityDescriptor");
    command
}

/// Nanoseconds of a whole run.
fn time(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    run(command)?;
    Ok(start.elapsed().as_secs_f64() * 1e9)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("can't start a program")?;
    ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        command.get_program().to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
