//! Opening a long ring of archived keys, and unprotecting with it.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use dkm::blocking::Group;
use dkm::core::blob::{BlobKey, Header, seal};
use dkm::core::kdf::key_id;
use dkm::core::record::{Family, KeyRecord, Material, Origin, Record, wrap_aad};
use dkm::core::{Context, Digest, GroupId, Room, Suite};
use dkm::repository::directory::DirectoryRepository;
use dkm::repository::{Put, Repository as _};
use dkm::root_key::{FileRootKeys, RootKeyProvider as _};

use crate::measure::{Effort, compare, making, plain};
use crate::product::{client, new_group};
use crate::report::{Limit, Section, spread, spread_time};

/// Keys of the long ring, with the one that protects.
const KEYS: u64 = 10_000;
const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 800_000_000_000;

pub(crate) fn ring(effort: Effort) -> Result<Section> {
    // Ten thousand durable writes take minutes on a disk; what is measured lies in the system's cache anyway.
    let shared = Path::new("/dev/shm");
    let folder = || if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
    let (short, long) = (folder()?, folder()?);
    let (short, long) = (short.path().join("repository"), long.path().join("repository"));
    let one = new_group(&short)?;
    let id = new_group(&long)?.id();
    archive_keys(&long, id)?;

    let [parse, opening] = compare(
        effort,
        [
            making(|| read_and_parse(&long, id).expect("the files are there")),
            making(|| open_ring(&long).expect("the files are there")),
        ],
    );
    let mut section = Section::new(
        "A ring of 10 000 archived keys",
        "The reference reads the files of the 10 000 keys, which lie in the system's cache, and parses each as a record. \
         Opening the ring is a new client that opens the directory repository and the group: it also asks the system \
         who owns each file and who may read it, unwraps every key under the root key, verifies its id, takes its \
         material into locked memory, and derives every key's state. Unprotect opens 1 KiB with the key of a ring of \
         one key, and with an archived key of the ring of 10 000.",
        ["operation", "time", "reference", "ratio"],
    );
    let ratio = opening.per(&parse);
    section.row(["open the ring".into(), spread_time(&opening), spread_time(&parse), spread(ratio)]);
    section.target("opening 10 000 keys, times reading and parsing", Limit::Most(2.0), ratio.median, "×");

    let many = open_ring(&long)?;
    ensure!(many.view()?.ring.keys.len() as u64 == KEYS, "the ring lacks keys");
    let text = [b'x'; 1024];
    let new_blob = one.protect(&Context::new(), &text)?;
    let old_blob = archived_blob(id, &text)?;
    ensure!(*many.unprotect(&Context::new(), &old_blob)? == text, "an archived key does not open its blob");
    let [one, many] = compare(
        effort,
        [
            plain(|| one.unprotect(&Context::new(), &new_blob).expect("it opens")),
            plain(|| many.unprotect(&Context::new(), &old_blob).expect("it opens")),
        ],
    );
    let ratio = many.per(&one);
    section.row(["unprotect with it".into(), spread_time(&many), spread_time(&one), spread(ratio)]);
    section.target("unprotect in a ring of 10 000 keys, times one key", Limit::Most(1.1), ratio.median, "×");
    Ok(section)
}

fn material(number: u64) -> [u8; 32] {
    *Digest::of(&number.to_be_bytes()).as_bytes()
}

/// Puts archived keys into the repository as a client does, wrapped under the group's root key.
fn archive_keys(repository: &Path, group: GroupId) -> Result<()> {
    let repository = DirectoryRepository::open(repository)?;
    let roots = FileRootKeys::new(repository.root_keys().to_path_buf());
    let mut replica = repository.connect(0)?;
    for number in 1..KEYS {
        let material = material(number);
        let created_at_ms = START_MS + number * DAY_MS;
        let mut key = KeyRecord {
            id: key_id(group, Family::Native, &material),
            family: Family::Native,
            origin: Origin::Restored,
            created_at_ms,
            activates_at_ms: created_at_ms,
            predecessor: None,
            attempt: 0,
            material: Material::None,
            guid: None,
        };
        let aad = wrap_aad(replica.repository(), group, &key);
        key.material = Material::Wrapped(roots.wrap(group, &aad, &material)?);
        let slot = key.slot();
        let put = replica.put(group, Room::Keys, &slot, &Record::Key(key).encode(group))?;
        ensure!(put == Put::Created, "key {number} was not taken");
    }
    Ok(())
}

/// What the first of the archived keys protected once.
fn archived_blob(group: GroupId, text: &[u8]) -> Result<Vec<u8>> {
    let key = BlobKey::new(group, Family::Native, &material(1));
    let header = Header::new(Suite::Aes256Gcm, group, key.id(), [3; 32], 65_536)?;
    Ok(seal(&key, &header, &Context::new(), text)?)
}

fn read_and_parse(repository: &Path, group: GroupId) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(repository.join("groups").join(group.to_string()).join("keys"))? {
        let (found, record) = Record::decode(&fs::read(entry?.path())?)?;
        ensure!(found == group, "a record of another group");
        records.push(record);
    }
    ensure!(records.len() as u64 == KEYS, "{} files", records.len());
    Ok(records)
}

fn open_ring(repository: &Path) -> Result<Group> {
    Ok(client(repository)?.group("bench")?)
}
