//! `dkm enrol`

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use dkm_core::{Digest, Timestamp};
use dkm_lockbox::shown;
use dkm_remote::credentials::Credentials;
use dkm_remote::{Endpoint, Limits, ParseRemoteUrlError, RemoteUrl, Trust};
use serde_json::json;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::shell::Shell;
use crate::when;

/// Longest token that is read, in bytes.
const TOKEN_LEN_MAX: usize = 4096;

/// Get this account's first certificate from a dkmd server, for a one-time token
///
/// Makes a private key, which never leaves the folder, and writes it there with the certificate and the authority that
/// vouches for the server. The server is known by --ca or --authority-digest before the token is sent. Run it as the
/// account that will use the credentials. From then on the certificate is renewed as it is used.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("trust").required(true).args(["ca", "authority_digest"]))]
#[command(after_long_help = "\
Examples:
  dkm enrol https://keys.example.com --token-file token --ca /etc/dkm/authority.pem
  dkm enrol https://keys.example.com --token-file - --credentials ~/.config/dkm/credentials \\
      --authority-digest 3f0b...c2 < token")]
pub(crate) struct Arguments {
    /// Server, such as https://keys.example.com:8443
    #[arg(value_name = "URL")]
    url: String,
    /// File with the token, which dkm principal token wrote; - is stdin
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Folder for the credentials; that of the URL, or /etc/dkm/credentials, if not given
    #[arg(long, value_name = "FOLDER")]
    credentials: Option<PathBuf>,
    /// File with the certificate of the server's authority, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// SHA-256 of the certificate of the server's authority, in hexadecimal; dkmd shows it as it starts
    #[arg(long, value_name = "HEX", value_parser = digest)]
    authority_digest: Option<Digest>,
    /// Replace credentials that are in the folder and have not ended
    #[arg(long)]
    force: bool,
}

/// A digest, with colons between the bytes or without.
fn digest(text: &str) -> std::result::Result<Digest, String> {
    text.replace(':', "").parse().map_err(|error: dkm_core::id::ParseIdError| error.to_string())
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let url: RemoteUrl =
        arguments.url.parse().map_err(|error: ParseRemoteUrlError| Failure::usage(error.to_string()))?;
    let Some(endpoint @ Endpoint::Host { .. }) = url.endpoints.first() else {
        return Err(Failure::usage(format!("nobody enrols at {url}"))
            .help("over a Unix socket the server asks the kernel who connects; enrol at https://host"));
    };
    let trust = match (&arguments.ca, arguments.authority_digest) {
        (Some(file), _) => Trust::Ca(file.clone()),
        (None, Some(digest)) => Trust::AuthorityDigest(digest),
        (None, None) => {
            return Err(Failure::usage("neither --ca nor --authority-digest says which server is meant"));
        }
    };
    let token = token(&arguments.token_file)?;
    let folder = arguments.credentials.as_ref().unwrap_or(&url.credentials);
    let credentials = Credentials::in_folder(folder);
    let certificate =
        dkm_remote::enrol(endpoint, token, &credentials, &trust, arguments.force, Limits::default())?;
    let until = Timestamp(certificate.not_after_ms);
    let named =
        RemoteUrl { credentials: folder.clone(), kerberos: false, principal: None, ca: None, ..url.clone() };
    let value = json!({
        "account": certificate.account,
        "repository": named.to_string(),
        "credentials": folder,
        "not_after": when::precise(until),
    });
    shell.terminal.result(&value, || {
        format!(
            "Enrolled as {} until {}. The credentials are in {}.\n",
            shown(&certificate.account),
            when::second(until),
            folder.display()
        )
    })?;
    shell.terminal.note(format!("Next: dkm whoami --repository '{named}'"));
    Ok(())
}

/// The token in a file, without what an editor puts around it.
fn token(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = Input::open(Some(path))?.read_up_to(TOKEN_LEN_MAX)?;
    let text = std::str::from_utf8(bytes.as_ref()).ok().map(str::trim).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Failure::usage(format!("{} holds no token", path.display())))?;
    Ok(Zeroizing::new(text.to_owned()))
}
