//! A file of 1 GiB through the command, against the two programs that encrypt files to age recipients.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use wait4::Wait4 as _;

use crate::measure::Times;
use crate::report::{Limit, Section, spread, spread_time};

const MIB: u64 = 1024 * 1024;

/// One way to encrypt and decrypt a file.
struct Program {
    name: &'static str,
    encrypt: Vec<String>,
    decrypt: Vec<String>,
    variables: Vec<(String, String)>,
    encrypting: Times,
    decrypting: Times,
    memory: u64,
}

impl Program {
    fn new(name: &'static str, encrypt: &[&str], decrypt: &[&str]) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            name,
            encrypt: owned(encrypt),
            decrypt: owned(decrypt),
            variables: Vec::new(),
            encrypting: Times(Vec::new()),
            decrypting: Times(Vec::new()),
            memory: 0,
        }
    }
}

pub(crate) fn large_file(dkm: &Path, quick: bool) -> Result<Section> {
    let (mib, rounds) = if quick { (64, 1) } else { (1024, 5) };
    let shared = Path::new("/dev/shm");
    // Behind a disk it would be the disk that is measured.
    let in_memory = shared.is_dir();
    let folder = if in_memory { tempfile::tempdir_in(shared)? } else { tempfile::tempdir()? };
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (plain, sealed, opened, identity) =
        (place("plain"), place("sealed"), place("opened"), place("identity"));
    write_file(Path::new(&plain), mib)?;
    let recipient = identity_of(Path::new(&identity))?;

    let dkm = dkm.to_string_lossy().into_owned();
    let mut ours = Program::new(
        "dkm",
        &[&dkm, "--quiet", "protect", &plain, "--output", &sealed],
        &[&dkm, "--quiet", "unprotect", &sealed, "--output", &opened],
    );
    ours.variables = vec![
        ("DKM_REPOSITORY".into(), format!("dir:{}", place("repository"))),
        ("DKM_GROUP".into(), "bench".into()),
        // Nothing of the user's: no configuration, and no line in his journal.
        ("HOME".into(), place("home")),
        ("XDG_CONFIG_HOME".into(), place("home")),
        ("XDG_STATE_HOME".into(), place("home")),
    ];
    for arguments in [&["init"][..], &["group", "create", "bench"]] {
        let status = Command::new(&dkm)
            .arg("--quiet")
            .args(arguments)
            .envs(ours.variables.iter().cloned())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "dkm {} failed", arguments.join(" "));
    }
    let mut programs = [
        ours,
        Program::new(
            "age",
            &["age", "-r", &recipient, "-o", &sealed, &plain],
            &["age", "-d", "-i", &identity, "-o", &opened, &sealed],
        ),
        Program::new(
            "rage",
            &["rage", "-r", &recipient, "-o", &sealed, &plain],
            &["rage", "-d", "-i", &identity, "-o", &opened, &sealed],
        ),
        // What the file system alone takes.
        Program::new("cp", &["cp", &plain, &sealed], &["cp", &sealed, &opened]),
    ];
    for _ in 0..rounds {
        for program in &mut programs {
            let encrypt = program.encrypt.clone();
            let decrypt = program.decrypt.clone();
            let (time, memory) = run(program, &encrypt)?;
            program.encrypting.0.push(time);
            program.memory = program.memory.max(memory);
            let (time, memory) = run(program, &decrypt)?;
            program.decrypting.0.push(time);
            program.memory = program.memory.max(memory);
            let len = fs::metadata(&opened)?.len();
            ensure!(len == mib * MIB, "{} opened {len} bytes", program.name);
            fs::remove_file(&sealed)?;
            fs::remove_file(&opened)?;
        }
    }
    let mut section = Section::new(
        &format!("A file of {mib} MiB, through the command"),
        &format!(
            "Whole runs of the program, start and end included, file to file {}; each program in its turn. age and rage \
             encrypt to an X25519 recipient with ChaCha20-Poly1305 on one thread; dkm uses AES-256-GCM and all cores. \
             cp is what the file system alone takes. Memory is the largest resident set of all runs, as the kernel counted it.",
            if in_memory { "in a file system in memory" } else { "on the disk that holds temporary files" }
        ),
        ["program", "encrypt", "decrypt", "memory"],
    );
    for program in &programs {
        section.row([
            program.name.into(),
            spread_time(&program.encrypting),
            spread_time(&program.decrypting),
            format!("{:.1} MiB", program.memory as f64 / MIB as f64),
        ]);
    }
    let [ours, peers @ .., _copy] = &programs;
    for peer in peers {
        let (encrypt, decrypt) =
            (peer.encrypting.per(&ours.encrypting), peer.decrypting.per(&ours.decrypting));
        section.row([
            format!("{} takes times ours", peer.name),
            spread(encrypt),
            spread(decrypt),
            String::new(),
        ]);
        section.target(
            &format!("{mib} MiB file protect, as fast as {}", peer.name),
            Limit::Least(2.0),
            encrypt.median,
            "×",
        );
        section.target(
            &format!("{mib} MiB file unprotect, as fast as {}", peer.name),
            Limit::Least(2.0),
            decrypt.median,
            "×",
        );
    }
    section.target(
        &format!("memory for a {mib} MiB file"),
        Limit::Most(32.0),
        ours.memory as f64 / MIB as f64,
        " MiB",
    );
    Ok(section)
}

/// Not all zeros: a file system must not be able to store it in no space.
fn write_file(path: &Path, mib: u64) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("can't create {}", path.display()))?;
    let mut piece = vec![0u8; 1 << 20];
    for number in 0..mib {
        for (at, word) in (0u64..).zip(piece.chunks_exact_mut(8)) {
            word.copy_from_slice(&(number << 32 | at).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        }
        file.write_all(&piece)?;
    }
    Ok(())
}

/// A fresh identity of age; returns its recipient.
fn identity_of(path: &Path) -> Result<String> {
    let made = Command::new("age-keygen").arg("-o").arg(path).stderr(Stdio::null()).status()?;
    ensure!(made.success(), "age-keygen failed");
    let text = fs::read_to_string(path)?;
    text.lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .map(str::to_owned)
        .context("age-keygen names no recipient")
}

/// Time in nanoseconds and the largest resident set in bytes.
///
/// A shell stands between: the kernel counts to a process what its parent held when it was started.
fn run(program: &Program, words: &[String]) -> Result<(f64, u64)> {
    let start = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", "\"$0\" \"$@\"; exit $?"])
        .args(words)
        .envs(program.variables.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()?;
    let used = child.wait4()?;
    let time = start.elapsed().as_secs_f64() * 1e9;
    if !used.status.success() {
        bail!("{} ended with {}", words.join(" "), used.status);
    }
    Ok((time, used.rusage.maxrss))
}
