//! `dkm accounts add`

use std::path::PathBuf;

use clap::Args;
use dkm_accounts::{Address, Host, Login, NewAccount, Owner, Protocol, Provider};

use crate::account_store::{StoreArguments, failure, json, secret};
use crate::failure::{Failure, Result};
use crate::shell::Shell;

/// Keep the credentials of a mailbox: its password, or an OAuth2 refresh token
///
/// The secret is asked for at the terminal, or read from stdin, and stored as a blob that opens for this account of this owner
/// alone. Outlook.com takes OAuth2 only; Gmail and Yahoo! take app passwords too, which their owner makes for one program.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm accounts add alice@gmail.com --owner user-4711
  dkm accounts add alice@example.org --owner user-4711 --provider custom --host imap.example.org --password-stdin < secret
  dkm accounts add alice@outlook.com --owner user-4711 --login oauth2 --password-stdin < refresh-token")]
pub(crate) struct Arguments {
    /// Address of the mailbox
    #[arg(value_name = "ADDRESS")]
    address: Address,
    /// Whose it is, as your service names its users. Its secret opens for this owner alone
    #[arg(long, value_name = "OWNER")]
    owner: Owner,
    /// outlook, gmail, yahoo or custom; what the address says if not given
    #[arg(long, value_name = "PROVIDER")]
    provider: Option<Provider>,
    /// imap or pop3
    #[arg(long, value_name = "PROTOCOL", default_value = "imap")]
    protocol: Protocol,
    /// password or oauth2
    #[arg(long, value_name = "LOGIN", default_value = "password")]
    login: Login,
    /// Server of a custom provider, which its certificate must name; always over TLS
    #[arg(long, value_name = "HOST")]
    host: Option<Host>,
    /// Its port; 993 for IMAP and 995 for POP3 if not given
    #[arg(long, value_name = "PORT", requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// File with the authorities that vouch for the server, in PEM; the system's if not given
    #[arg(long, value_name = "FILE", requires = "host")]
    ca: Option<PathBuf>,
    /// Name to sign in with; the address if not given
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the secret from stdin, its only line
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    store: StoreArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    let Arguments { address, owner, protocol, login, host, port, .. } = arguments;
    let provider = arguments.provider.or_else(|| Provider::of_domain(address.domain()));
    let provider = match (provider, host) {
        (Some(provider), _) => provider,
        (None, Some(_)) => Provider::Custom,
        (None, None) => {
            return Err(Failure::usage(format!("nothing is known of {}", address.domain()))
                .help("name its server: --provider custom --host NAME; or the provider: --provider gmail"));
        }
    };
    if provider != Provider::Custom && host.is_some() {
        return Err(Failure::usage(format!("{provider} has servers of its own"))
            .help("leave out --host, or say --provider custom"));
    }
    let ca = match &arguments.ca {
        Some(ca) => Some(ca.canonicalize().map_err(|error| Failure::file("can't read", ca, &error))?),
        None => None,
    };
    let new = NewAccount {
        owner: owner.clone(),
        address: address.clone(),
        provider,
        protocol: *protocol,
        server: host.clone().map(|host| (host, port.unwrap_or_else(|| protocol.port()))),
        user: arguments.user.clone(),
        login: *login,
        ca,
    };
    if let Some(why) = provider.refuses(*login) {
        return Err(failure(dkm_accounts::Error::Login { provider, login: *login, why })
            .help("--login oauth2 takes a refresh token"));
    }
    let mut accounts = arguments.store.open_or_make(shell)?;
    let read = secret(login.field(), arguments.password_stdin, address.as_str())?;
    let account = accounts.add(new, &read).map_err(failure)?;
    drop(read);
    shell.terminal.result(&json(&account), || {
        format!(
            "Kept the {} of {} for {}, as account {}.\n",
            account.login.field(),
            account.address,
            account.owner,
            account.id
        )
    })
}
