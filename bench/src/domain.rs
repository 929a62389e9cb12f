//! A cold start against a real domain controller, beside `ldapsearch` with the same sign-in and the same reads; and a
//! refresh with nothing new.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use dkm::core::blob::{BlobKey, Header, seal};
use dkm::core::kdf::key_id;
use dkm::core::record::{Family, KeyRecord, Material, Origin, Record, public_part};
use dkm::core::{Context, Digest, GroupId, Suite};
use dkm_testbed::{Contact, Domain, Options};

use crate::measure::Times;
use crate::refresh;
use crate::report::{Limit, Section, spread, spread_time};

const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 800_000_000_000;
/// Objects that are held in memory at once.
const BATCH: usize = 2_000;

/// A group in the domain, with one account that reads it and nothing else.
struct Ring {
    keys: u64,
    cache: PathBuf,
    home: PathBuf,
    blob: PathBuf,
}

impl Ring {
    fn name(&self) -> String {
        format!("ring-{}", self.keys)
    }
}

/// A cold start, and a refresh with nothing new, for each size of ring.
pub(crate) fn sections(dkm: &Path, quick: bool) -> Result<Vec<Section>> {
    let Some(domain) = Domain::start_or_skip(&Options::default())? else {
        let mut section = cold_start_section();
        let none = || String::new();
        section.row(["not measured: no domain can be run here".into(), none(), none(), none()]);
        return Ok(vec![section]);
    };
    let folder = tempfile::tempdir()?;
    let sizes: &[u64] = if quick { &[1, 100] } else { &[1, 100, 10_000] };
    let admin = domain.admin().clone();
    domain.keytab(&admin)?;
    let admin_cache = domain.ccache(&admin, None)?;
    run(dkm_command(dkm, &domain, &admin_cache, &folder.path().join("admin")).args(["ad", "init"]))?;
    let prepared = |keys: &u64| prepare(dkm, &domain, &admin_cache, folder.path(), *keys);
    let rings = sizes.iter().map(prepared).collect::<Result<Vec<_>>>()?;
    Ok(vec![cold_start(dkm, &domain, &rings, quick)?, refreshes(&domain, &rings, quick)?])
}

fn cold_start_section() -> Section {
    Section::new(
        "A cold start in Active Directory",
        "Whole runs of two programs against a Samba domain controller on this machine, in turn, each with a ticket in its cache. \
         `ldapsearch` signs in by Kerberos, seals the connection, and reads all records of the group with the attributes that we read, in \
         pages of 1 000. `dkm unprotect` does the same, verifies every key's id, and opens a blob of 1 KiB: of the only key, or of \
         the oldest archived one.",
        ["keys", "dkm unprotect", "ldapsearch", "ratio"],
    )
}

fn cold_start(dkm: &Path, domain: &Domain, rings: &[Ring], quick: bool) -> Result<Section> {
    let mut section = cold_start_section();
    for ring in rings {
        let keys = ring.keys;
        let (mut ours, mut theirs) = (Times(Vec::new()), Times(Vec::new()));
        let rounds = if quick { 3 } else { 11 };
        for round in 0..=rounds {
            let mine = time(&mut unprotect(dkm, domain, ring))?;
            let other = time(&mut ldapsearch(domain, ring))?;
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

fn refreshes(domain: &Domain, rings: &[Ring], quick: bool) -> Result<Section> {
    let mut section = Section::new(
        "A refresh with nothing new in Active Directory",
        "What a running service does every few minutes, on the connection that it has: an unprotect of 1 KiB that reads first, \
         because the refresh interval is over, while nothing is written to the domain controller. Round trips are counted on the \
         wire, in another run: the median, and the most. Beside it stands a search of the rootDSE for one attribute by `ldapsearch`, one of \
         many on one sealed connection.",
        ["keys", "round trips", "refresh", "search of the rootDSE"],
    );
    let mut first = None;
    for ring in rings {
        let keys = ring.keys;
        let mut command = Command::new(std::env::current_exe()?);
        command.envs(domain.env_with(&ring.cache)).env("HOME", &ring.home);
        let turns = if quick { 3 } else { 11 };
        let found = refresh::measure(&mut command, &domain.url(), &ring.name(), &ring.blob, turns)?;
        let mut trips = found.trips;
        trips.sort_unstable();
        let (median, most) = (trips[trips.len() / 2], trips.last().copied().unwrap_or_default());
        let counted = format!("{median} (most: {most})");
        section.row([keys.to_string(), counted, spread_time(&found.refresh), spread_time(&found.search)]);
        let what = format!("round trips of a refresh with nothing new, {keys} keys");
        section.target(&what, Limit::Most(1.0), median as f64, "");
        let time = found.refresh.middle().median;
        let flat = *first.get_or_insert(time);
        if keys > 1 {
            let what = format!("refresh with nothing new with {keys} keys, times with 1 key");
            section.target(&what, Limit::Most(1.3), time / flat, "×");
        }
    }
    Ok(section)
}

fn prepare(dkm: &Path, domain: &Domain, admin_cache: &Path, folder: &Path, keys: u64) -> Result<Ring> {
    let name = format!("ring-{keys}");
    let service = domain.add_user(&format!("svc-{name}"))?;
    let mut create = vec!["group", "create", &name, "--creators", &service.sam, "--owners", "Domain Admins"];
    create.extend(["--policy", refresh::INTERVAL]);
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
    for begin in (1..=keys).step_by(BATCH) {
        let numbers = begin..(begin + BATCH as u64).min(keys + 1);
        let contacts: Vec<Contact> = numbers.map(|number| contact(group, number)).collect::<Result<_>>()?;
        domain.add_contacts_like(&first.dn, &contacts)?;
    }
    Ok(())
}

/// An archived key, as dkm-ad writes one.
fn contact(group: GroupId, number: u64) -> Result<Contact> {
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
    let (name, l) = (key.slot().to_string(), key.id.to_string());
    let photo = Record::Key(key).encode(group);
    let info = public_part(&photo).context("a key has a public part")?;
    Ok(Contact { name, l, photo, info })
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
    command.args(["--quiet", "unprotect", "-g", &ring.name()]).arg(&ring.blob);
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
        .args(["name", "displayName", "objectGUID", "uSNChanged", "thumbnailPhoto", "info", "whenCreated"])
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
