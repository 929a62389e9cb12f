//! A container of keys in a domain.

use dkm::windows::WindowsContainer;
use dkm::{ErrorKind, Location};
use dkm_ad::windows::{ADFS_CONTAINER, find};
use dkm_ad::{AdUrl, DEFAULT_CONTAINER, Limits, ParseAdUrlError};

use super::chosen;
use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Reads the container that is meant, as whom Kerberos says this process is. Keys of other containers are not read.
/// Answers which domain controller was asked, too.
pub(super) fn read(
    from: Option<&str>,
    place: Option<&str>,
    shell: &Shell,
) -> Result<(WindowsContainer, String)> {
    let url = domain(from, shell)?;
    let shown = place.unwrap_or(ADFS_CONTAINER);
    let found = find(url, None, Limits::default(), place).map_err(advised)?;
    let asked = found.location();
    if found.names().is_empty() {
        return Err(Failure::new(
            ErrorKind::NotFound,
            format!("{shown} of {asked} holds no keys of Windows DKM that this account may see"),
        )
        .help("run it as an account that may read them, such as AD FS's own service account"));
    }
    // A place may be a container itself, or hold one.
    let name = chosen(shown, found.names(), None)?;
    Ok((found.read(&name).map_err(advised)?, asked))
}

/// The domain that has the container: the one that is named, or the repository's own.
fn domain(from: Option<&str>, shell: &Shell) -> Result<AdUrl> {
    let parsed =
        |url: &str| url.parse::<AdUrl>().map_err(|error: ParseAdUrlError| Failure::usage(error.to_string()));
    let Some(from) = from else {
        return match shell.location()? {
            Location::ActiveDirectory { url } => parsed(&url),
            other => Err(Failure::usage(format!(
                "{other} is in no domain, so it does not say where the container is"
            ))
            .help("name the domain: --from ad://example.com")),
        };
    };
    let url = parsed(from)?;
    if url.container != DEFAULT_CONTAINER || url.root_keys.is_some() {
        return Err(Failure::usage(format!("{from} names more than a domain"))
            .help("--from takes ad://domain with dc= and principal=; name the container with --container"));
    }
    Ok(url)
}

/// What helps whoever moves away is not what helps a member of a group.
fn advised(error: dkm::repository::RepositoryError) -> Failure {
    let failure = Failure::from(error);
    match failure.kind {
        ErrorKind::Denied => {
            failure.help("run it as an account that may read them, such as AD FS's own service account")
        }
        ErrorKind::NotFound => failure.help(
            "check the container's name; an account that may not see it gets the same answer",
        ),
        ErrorKind::Unavailable => failure.help(
            "check that a domain controller answers and that klist shows a ticket, then try again; nothing was changed",
        ),
        _ => failure,
    }
}
