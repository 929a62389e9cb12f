//! `dkm quickstart`

mod comparing;
mod place;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use age::secrecy::ExposeSecret as _;
use clap::Args;
use dkm::blocking::{Client, Group, NewGroup, Options};
use dkm::journal::FileJournal;
use dkm::repository::GroupAccess;
use dkm::repository::directory::{CreateOptions, DirectoryRepository};
use dkm::{ErrorKind, Location, archive, reprotect};
use dkm_core::blob::Header;
use dkm_core::policy::Policy;
use dkm_core::{Context, KeyId};
use serde_json::json;

use comparing::Comparing;
use place::{prepare, put_on_path};

use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::key_argument::short;
use crate::output_file::{ORDINARY, Output, PRIVATE};
use crate::shell::Shell;
use crate::terminal::{BOLD, FAINT, count, shell_word, styled};
use crate::{duration, progress, timeline, when};

/// What is protected where no file is given.
const README: &str = include_str!("../../../../../README.md");
const GROUP: &str = "tour";

/// See all of it in one run: protect, open, roll, archive
///
/// Makes a folder with a repository and a group, and goes through a key's life with a real file. Asks nothing, and writes
/// nothing outside of the folder.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm quickstart
  dkm quickstart --file ~/notes.txt --folder /tmp/tour")]
pub(crate) struct Arguments {
    /// File to protect; DKM's own README otherwise
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Folder to make; ./dkm-quickstart otherwise, with a number where that is there already
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Remove the folder first, if an earlier run made it
    #[arg(long)]
    force: bool,
}

struct Tour<'a> {
    shell: &'a Shell,
    folder: PathBuf,
    step: u32,
}

impl Tour<'_> {
    /// Begins a step. In JSON there is one result at the end, and nothing before.
    fn step(&mut self, title: &str) -> Result {
        self.step += 1;
        self.say(&format!("\n{}\n", styled(BOLD, format!("{}. {title}", self.step))))
    }

    fn say(&self, text: &str) -> Result {
        if self.shell.terminal.is_json() { Ok(()) } else { self.shell.terminal.text(text) }
    }

    /// The command that would do the step.
    fn command(&self, words: &[&str]) -> Result {
        let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        self.say(&styled(FAINT, format!("   $ dkm {}", words.join(" "))))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let source = arguments
        .file
        .as_ref()
        .map(|path| path.canonicalize().map_err(|error| Failure::file("can't read", path, &error)));
    let source = source.transpose()?;
    let folder = prepare(arguments)?;
    let mut tour = Tour { shell, folder, step: 0 };
    tour.say(&format!("A tour of DKM. Everything is made in {}.\n", tour.folder.display()))?;

    let (client, group) = make_group(&mut tour)?;
    let source = match source {
        Some(path) => path,
        None => own_readme(&tour)?,
    };
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let blob = tour.at(&format!("{name}.dkm"));
    let context = Context::new().with("file", &name).map_err(dkm::Error::from)?;
    let first = protect(&mut tour, &group, &context, &source, &blob)?;
    open(&mut tour, &group, &context, &source, &blob, "Open it, and compare")?;
    let second = roll(&mut tour, &group)?;
    open(&mut tour, &group, &context, &source, &blob, "Open the old blob with the archived key")?;
    renew(&mut tour, &group, &context, &source, &blob)?;
    let (sealed, identity) = export(&mut tour, &group)?;
    tour.step("The keys so far")?;
    tour.command(&["key", "list", "--timeline"])?;
    tour.say(&timeline::draw(&group.view()?))?;
    tour.say(&farewell(&tour, &client))?;
    let value = json!({
        "folder": tour.folder.display().to_string(),
        "repository": client.url(),
        "group": {"id": group.id().to_string(), "name": group.name()},
        "file": source.display().to_string(),
        "blob": blob.display().to_string(),
        "first_key": first,
        "second_key": second,
        "archive": sealed.display().to_string(),
        "archive_identity": identity.display().to_string(),
    });
    if shell.terminal.is_json() { shell.terminal.result(&value, String::new) } else { Ok(()) }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A policy with the shortest delays that still fit a slow disk, so that a tour does not take an hour.
fn short_policy() -> Policy {
    let mut policy = Policy {
        refresh_interval_ms: 200,
        io_deadline_ms: 1000,
        replication_bound_ms: 0,
        clock_skew_ms: 500,
        ..Policy::for_directory()
    };
    policy.activation_delay_ms = policy.activation_delay_min_ms();
    policy
}

fn make_group(tour: &mut Tour<'_>) -> Result<(Client, Group)> {
    tour.step("Make a repository and a group, with its first key")?;
    tour.command(&["init"])?;
    tour.command(&["group", "create", GROUP])?;
    let (repository, root_keys) = (tour.at("repository"), tour.at("root-keys"));
    DirectoryRepository::create(&repository, &CreateOptions { root_keys: Some(root_keys.clone()) })?;
    let journal = FileJournal::open(tour.at("audit.jsonl"))?;
    let options = Options { background: false, journal: Some(Arc::new(journal)), ..Options::default() };
    let client = Client::open(&Location::directory(&repository), options)?;
    let group = client.create_group(NewGroup {
        name: GROUP.to_owned(),
        description: Some("made by dkm quickstart".to_owned()),
        policy: short_policy(),
        access: GroupAccess::default(),
    })?;
    let key = group.view()?.protecting.map_err(dkm::Error::from)?;
    tour.say(&format!(
        "   repository  {}\n   root keys   {} (they wrap the keys; kept apart in earnest)\n   group       {GROUP}, {}\n   first key   {key}\n",
        client.url(),
        root_keys.display(),
        group.id(),
    ))?;
    Ok((client, group))
}

fn own_readme(tour: &Tour<'_>) -> Result<PathBuf> {
    let path = tour.at("README.md");
    std::fs::write(&path, README).map_err(|error| Failure::file("can't write", &path, &error))?;
    Ok(path)
}

fn protect(
    tour: &mut Tour<'_>,
    group: &Group,
    context: &Context,
    source: &Path,
    blob: &Path,
) -> Result<String> {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    tour.step(&format!("Protect {name}"))?;
    tour.command(&["protect", "-c", &format!("file={name}"), &text(source), "-o", &text(blob)])?;
    let mut input = Input::open(Some(source))?.with_progress(&tour.shell.terminal, "protecting");
    let mut output = Output::file(blob, ORDINARY, false)?;
    let streamed = group
        .protect_stream(context, &mut input, &mut output)
        .map_err(|error| output.failure().or_else(|| input.failure()).unwrap_or_else(|| error.into()))?;
    output.commit()?;
    tour.say(&format!(
        "   {} bytes became {}: the blob names its group and key, and is bound to file={name}\n",
        streamed.plaintext_len, streamed.blob_len
    ))?;
    tour.step("Look at the blob; that needs no key")?;
    tour.command(&["inspect", &text(blob)])?;
    let header = header(blob)?;
    tour.say(&format!(
        "   group  {}\n   key    {}\n   suite  {}\n   id     {}\n",
        header.group(),
        header.key(),
        header.suite(),
        streamed.blob_id
    ))?;
    Ok(header.key().to_string())
}

fn header(blob: &Path) -> Result<Header> {
    let mut head = [0u8; dkm_core::blob::HEADER_LEN];
    File::open(blob)
        .and_then(|mut file| file.read_exact(&mut head))
        .map_err(|error| Failure::file("can't read", blob, &error))?;
    Ok(Header::parse(&head).map_err(dkm::Error::from)?)
}

fn open(
    tour: &mut Tour<'_>,
    group: &Group,
    context: &Context,
    source: &Path,
    blob: &Path,
    title: &str,
) -> Result {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    tour.step(title)?;
    tour.command(&["unprotect", "-c", &format!("file={name}"), &text(blob)])?;
    let mut input = Input::open(Some(blob))?;
    let mut original = Comparing { original: Input::open(Some(source))?, same: true };
    let streamed = group.unprotect_stream(context, &mut input, &mut original)?;
    if !original.same_to_the_end() {
        return Err(Failure::new(
            ErrorKind::Internal,
            format!("{} does not open to what was protected", blob.display()),
        ));
    }
    tour.say(&format!(
        "   {} bytes, the same as in {name}; opened with key {}\n",
        streamed.plaintext_len,
        short(streamed.key)
    ))
}

fn roll(tour: &mut Tour<'_>, group: &Group) -> Result<String> {
    tour.step("Roll the key")?;
    tour.command(&["key", "roll"])?;
    let new = group.roll("quickstart")?;
    let wait_ms = new.activates_at.since(when::now()).saturating_add(1);
    let usual = Policy::for_directory();
    tour.say(&format!(
        "   new key     {}\n   It protects in {}, when every client knows it. This group's delays are short for the tour:\n   \
         an ordinary group takes {} for it, and rolls by itself every {}.\n",
        new.key,
        duration::about(wait_ms),
        duration::format(usual.activation_delay_ms),
        duration::format(usual.rotation_period_ms),
    ))?;
    progress::wait(&tour.shell.terminal, "waiting until the new key is active".to_owned(), wait_ms);
    await_active(group, new.key)?;
    tour.say(&format!("   now active: {}; the first key is archived\n", short(new.key)))?;
    Ok(new.key.to_string())
}

/// Looks until a key protects. The client's clock goes in ticks of the system, behind the one that we waited by.
fn await_active(group: &Group, key: KeyId) -> Result {
    const LOOKS_MAX: usize = 100;
    const PAUSE: Duration = Duration::from_millis(50);
    for _ in 0..LOOKS_MAX {
        group.refresh()?;
        if group.view()?.protecting == Ok(key) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    let view = group.view()?;
    let why = view.ring.key(key).and_then(|key| key.distrust.as_ref()).map(|why| format!(": {why}"));
    Err(Failure::new(ErrorKind::Refused, format!("key {key} does not protect{}", why.unwrap_or_default()))
        .help(
            "the disk may be too slow for the short delays of a tour: run it again, or in another --folder",
        ))
}

fn renew(tour: &mut Tour<'_>, group: &Group, context: &Context, source: &Path, blob: &Path) -> Result {
    tour.step("Re-protect it with the new key")?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    tour.command(&["reprotect", "-c", &format!("file={name}"), &text(blob)])?;
    let before = header(blob)?.key();
    let options = reprotect::Options { context: context.clone(), ..reprotect::Options::default() };
    let summary = reprotect::files(group, &[blob.to_path_buf()], &options, &mut |_| {})?;
    if let Some(failed) = summary.failed.into_iter().next() {
        return Err(failed.error.into());
    }
    let after = header(blob)?.key();
    tour.say(&format!("   {} → {}, in place and at once\n", short(before), short(after)))
}

fn export(tour: &mut Tour<'_>, group: &Group) -> Result<(PathBuf, PathBuf)> {
    tour.step("Export the keys into an archive that opens without the repository")?;
    let (sealed, identity) = (tour.at("archive.age"), tour.at("archive-identity.txt"));
    let recipient = make_identity(&identity)?;
    tour.command(&["archive", "export", "--recipient", &recipient, "-o", &text(&sealed)])?;
    let mut output = Output::file(&sealed, PRIVATE, false)?;
    let summary = archive::export(group, &[recipient], &mut output)?;
    output.commit()?;
    tour.say(&format!(
        "   {} in {}\n   The key that opens it is in {}: keep it elsewhere in earnest.\n   age -d opens it too.\n",
        count(summary.keys, "key"),
        sealed.display(),
        identity.display()
    ))?;
    Ok((sealed, identity))
}

/// Makes an age identity in a private file, as `age-keygen` would, and returns its public key.
fn make_identity(path: &Path) -> Result<String> {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let mut output = Output::file(path, PRIVATE, false)?;
    let text = identity.to_string();
    write!(
        output,
        "# opens the archive of dkm quickstart\n# public key: {recipient}\n{}\n",
        text.expose_secret()
    )
    .map_err(|error| Failure::file("can't write", path, &error))?;
    output.commit()?;
    Ok(recipient)
}

fn farewell(tour: &Tour<'_>, client: &Client) -> String {
    format!(
        "\n{}\n{}\
         \x20  export DKM_REPOSITORY={} DKM_GROUP={GROUP}\n\n\
         \x20  echo 'my first secret' | dkm protect -c user=me -o first.dkm\n\
         \x20  dkm unprotect -c user=me first.dkm\n\
         \x20  dkm key list --timeline\n\
         \x20  dkm doctor\n\
         \x20  dkm group create mail --description 'mailbox passwords'\n\n\
         dkm --help tells the rest. To forget the tour: rm -r {}\n",
        styled(BOLD, "Five commands to go on with"),
        put_on_path(),
        shell_word(&client.url()),
        shell_word(&tour.folder.display().to_string())
    )
}
