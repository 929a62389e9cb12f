//! Programs of the system, run with nothing of this process but where they are.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::ElevationError;

/// How long one program may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// The longest text of a program that is passed on in an error.
const COMPLAINT_LEN_MAX: usize = 400;

/// Runs a program to its end with nothing of this process's environment but where programs are; answers what it wrote.
pub(super) fn run(
    program: &str,
    arguments: &[&str],
    input: &[u8],
    configuration: &Path,
) -> Result<String, ElevationError> {
    let failed = |why: String| ElevationError::Other(format!("{program}: {why}"));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("LC_ALL", "C")
        .env("TZ", "UTC0")
        .env("KRB5_CONFIG", configuration)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            failed(format!("{error}; install MIT Kerberos's programs (krb5-user, krb5-workstation)"))
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends early does not read it; its own complaint says why.
        let _ = stdin
            .write_all(input)
            .and_then(|()| if input.is_empty() { Ok(()) } else { stdin.write_all(b"\n") });
    }
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            waited => {
                let _ = child.kill();
                let _ = child.wait();
                let why =
                    waited.map_or_else(|error| error.to_string(), |_| "it does not end in time".to_owned());
                return Err(failed(why));
            }
        }
    };
    // They write less than a pipe holds, so neither waits for the other.
    let text = |pipe: Option<&mut dyn std::io::Read>| {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(1 << 20).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let said = text(child.stdout.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
    let complained = text(child.stderr.as_mut().map(|pipe| pipe as &mut dyn std::io::Read));
    if status.success() {
        return Ok(said);
    }
    let complaint: String = complained.split_whitespace().collect::<Vec<_>>().join(" ");
    Err(failed(complaint.chars().take(COMPLAINT_LEN_MAX).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_their_input_and_no_environment() {
        let configuration = Path::new("/dev/null");
        let said = run("sh", &["-c", "cat; env"], b"a line", configuration).unwrap();
        assert!(said.starts_with("a line\n"), "{said}");
        assert!(said.contains("KRB5_CONFIG=/dev/null") && !said.contains("CARGO"), "{said}");
        let error = run("sh", &["-c", "cat >&2; exit 3"], b"why", configuration).unwrap_err();
        assert_eq!(error.to_string(), "sh: why");
        let error = run("no-such-program", &[], b"", configuration).unwrap_err();
        assert!(error.to_string().contains("krb5-user"), "{error}");
    }
}
