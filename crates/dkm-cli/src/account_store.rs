//! The store of connected accounts that a command works with, and the accounts in it.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use dkm::ErrorKind;
use dkm_accounts::{Account, AccountId, Accounts, Error, Field, Filter, SECRET_LEN_MAX};
use dkm_core::Plaintext;
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::shell::{Shell, data_folder, make_private_folder};
use crate::when;

/// Where the store is.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArguments {
    /// File of the accounts; $XDG_DATA_HOME/dkm/accounts.db if not given
    #[arg(long, value_name = "FILE", env = "DKM_ACCOUNTS", hide_env_values = true)]
    store: Option<PathBuf>,
}

impl StoreArguments {
    fn path(&self) -> Result<PathBuf> {
        let named = self.store.clone().filter(|path| !path.as_os_str().is_empty());
        let path = named.or_else(|| data_folder().map(|folder| folder.join("accounts.db")));
        path.ok_or_else(|| {
            Failure::usage("no store of accounts was named, and there is no home folder to look for one")
                .help("name it: --store FILE, or DKM_ACCOUNTS")
        })
    }

    /// Opens the store that is there.
    pub(crate) fn open(&self, shell: &Shell) -> Result<Accounts> {
        Accounts::open(&self.path()?, shell.group()?).map_err(failure)
    }

    /// Opens the store, or makes it for the group that is meant.
    pub(crate) fn open_or_make(&self, shell: &Shell) -> Result<Accounts> {
        let path = self.path()?;
        if let Some(folder) = path.parent().filter(|_| self.store.is_none()) {
            make_private_folder(folder).map_err(|error| Failure::file("can't make", folder, &error))?;
        }
        match Accounts::open(&path, shell.group()?) {
            Err(Error::NoStore(_)) => {
                let accounts = Accounts::create(&path, shell.group()?).map_err(failure)?;
                shell.terminal.note(format!("Made the store {}", path.display()));
                Ok(accounts)
            }
            opened => opened.map_err(failure),
        }
    }
}

/// Why something is not done with accounts, with what helps.
pub(crate) fn failure(error: Error) -> Failure {
    let (kind, text) = (error.kind(), error.to_string());
    let failure = Failure::new(kind, text);
    match error {
        Error::Dkm { source, .. } => match source.advice() {
            Some(advice) => failure.help(advice),
            None => failure,
        },
        Error::NoStore(_) => failure.help("dkm accounts add makes it; --store FILE or DKM_ACCOUNTS names another"),
        Error::NoAccount(_) | Error::NoSecret { .. } => failure.help("dkm accounts list shows what there is"),
        Error::Exists { .. } => failure.help("dkm accounts update changes it"),
        Error::OtherGroup { .. } => failure.help("name its group with --group, or another store with --store"),
        Error::NoServer => failure.help("give --host NAME"),
        Error::Damaged { .. } => failure.help(
            "whoever can write the store has changed it: put back a copy, or remove the account and add it anew",
        ),
        Error::Version { .. } => failure.help("use a newer dkm"),
        _ => failure,
    }
}

/// The account that is meant: by its id, the beginning of it, or its address.
pub(crate) fn find(accounts: &Accounts, named: &str) -> Result<Account> {
    if let Ok(id) = named.parse::<AccountId>() {
        return accounts.show(id).map_err(failure);
    }
    let is_address = named.contains('@');
    let is_beginning = named.len() >= 4 && named.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_address && !is_beginning {
        return Err(Failure::usage(format!("{named:?} names no account"))
            .help("give its id, at least 4 digits of its beginning, or its address"));
    }
    let address = is_address.then(|| match named.parse::<dkm_accounts::Address>() {
        Ok(address) => address.to_string(),
        Err(_) => named.to_owned(),
    });
    let filter = Filter { address, ..Filter::default() };
    let mut found = Vec::new();
    accounts
        .list(&filter, |account| {
            found.extend(account.ok().filter(|account| {
                is_address || account.id.to_string().starts_with(&named.to_ascii_lowercase())
            }));
            found.len() < 10
        })
        .map_err(failure)?;
    match found.len() {
        1 => found.pop().ok_or_else(|| Failure::internal("an account was lost")),
        0 => Err(Failure::new(ErrorKind::NotFound, format!("there is no account {named}"))
            .help("dkm accounts list shows what there is")),
        _ => {
            let of =
                |account: &Account| format!("{} of {} ({})", account.id, account.owner, account.protocol);
            Err(Failure::usage(format!("{named} is more than one account"))
                .help(format!("give its id: {}", found.iter().map(of).collect::<Vec<_>>().join(", "))))
        }
    }
}

/// Reads a secret from stdin: its only line. At a terminal it is asked for, and not shown.
pub(crate) fn secret(field: Field, from_stdin: bool, of: &str) -> Result<Plaintext> {
    if !from_stdin && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("nobody is there to type the {field}"))
            .help("run it in a terminal, or send it in: --password-stdin"));
    }
    let mut read = if from_stdin {
        Input::open(None)?.read_up_to(SECRET_LEN_MAX + 2)?
    } else {
        let typed = rpassword::prompt_password(format!("{field} of {of}: "))
            .map_err(|error| Failure::file("can't ask at", Path::new("/dev/tty"), &error))?;
        Plaintext::from(typed.into_bytes())
    };
    // As an editor or echo ends it.
    let mut len = read.len();
    for end in [b'\n', b'\r'] {
        if len > 0 && read[len - 1] == end {
            len -= 1;
        }
    }
    read.resize(len);
    Ok(read)
}

/// An account as JSON.
pub(crate) fn json(account: &Account) -> Value {
    json!({
        "id": account.id.to_string(),
        "owner": account.owner.as_str(),
        "address": account.address.as_str(),
        "provider": account.provider.as_str(),
        "protocol": account.protocol.as_str(),
        "host": account.host.as_str(),
        "port": account.port,
        "user": account.user,
        "login": account.login.as_str(),
        "ca": account.ca,
        "created": when::precise(account.created),
        "state": account.state.kind.as_str(),
        "state_since": when::precise(account.state.since),
        "state_detail": account.state.detail,
    })
}
