//! The `dkmd` command: DKM's key service.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use dkm_audit::entry::Reason;
use dkm_server::dev::Dev;
use dkm_server::setup::{self, SetupError};
use dkm_server::telemetry::Telemetry;
use dkm_server::{Config, Running, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// DKM's key service: keys for services that have no Active Directory, and a tamper-evident audit log
///
/// Services reach it with `dkm --repository https://HOST:PORT?credentials=FOLDER`, or on the same machine with
/// `--repository unix:/run/dkmd/socket`.
#[derive(Parser)]
#[command(name = "dkmd", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Cli {
    /// Make a server to try things with, fill it with a group and people who approve, and serve until SIGTERM or SIGINT
    ///
    /// For nothing that matters: the private keys of all lie in its folder. What can be tried is shown once it serves.
    #[arg(long)]
    dev: bool,
    /// Its folder, which is made or was made so before; $XDG_STATE_HOME/dkmd-dev if not given
    #[arg(long, value_name = "FOLDER", requires = "dev")]
    folder: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str =
    "Exit codes: 0 stopped in good order; 1 failed; 2 the command line or the configuration is not \
understood; 7 an older database or audit log was put back: nothing is served (see dkmd recover)\n\nExample:
  dkmd init --config /etc/dkm/dkmd.toml
  dkmd serve --config /etc/dkm/dkmd.toml
  dkmd --dev";

#[derive(Subcommand)]
enum Command {
    /// Make the server's folder: database, audit log, certificate authority
    #[command(after_help = "Example:\n  dkmd init --config /etc/dkm/dkmd.toml")]
    Init(Place),
    /// Serve until SIGTERM or SIGINT
    #[command(after_help = "Example:\n  dkmd serve --config /etc/dkm/dkmd.toml")]
    Serve(Place),
    /// Check the configuration, the folder, and that database and audit log go together
    #[command(after_help = "Example:\n  dkmd check --config /etc/dkm/dkmd.toml")]
    Check(Place),
    /// Show the description of the API (OpenAPI 3.1)
    #[command(after_help = "Example:\n  dkmd openapi > openapi.json")]
    Openapi,
    /// Go on although an older database or audit log was put back
    ///
    /// What was lost stays lost, and may be a revocation: look at who has access before you let anybody in. That the
    /// server was recovered, by whom and why, is recorded.
    #[command(
        after_help = "Example:\n  dkmd recover --config /etc/dkm/dkmd.toml --reason 'INC-4711: disk lost, backup of Monday'"
    )]
    Recover {
        #[command(flatten)]
        place: Place,
        /// Why; it stands in the audit log
        #[arg(long, value_name = "TEXT")]
        reason: Reason,
    },
}

#[derive(clap::Args)]
struct Place {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/dkm/dkmd.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(Command::Serve(place)) = &cli.command
        && let Err(error) = with_environment(&place.config)
    {
        let _ = writeln!(std::io::stderr(), "error: this program can't be started anew: {error}");
        return ExitCode::FAILURE;
    }
    // Before anything secret is in memory. What the system refuses is told once the log is there.
    let unhardened = dkm::harden_process();
    let filter = std::env::var("DKM_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.as_deref().unwrap_or("info"));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(filter);
    let traced = telemetry(&cli);
    let spans = traced.as_ref().ok().and_then(Option::as_ref).map(Telemetry::layer);
    tracing_subscriber::registry().with(lines).with(spans).init();
    for what in unhardened {
        tracing::warn!("the system refuses {what}: secrets are less well kept from others on this machine");
    }
    let done = traced.and_then(|telemetry| {
        let done = run(cli);
        telemetry.inspect(Telemetry::end);
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let advice = error.advice().map_or_else(String::new, |advice| format!("\nhelp: {advice}"));
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("error: {error}{advice}\n").as_bytes(),
            );
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Becomes this program anew, as the same process, with what the configuration has for the Kerberos library: that reads its
/// environment, and a process can't change its own safely. A configuration that is not understood is told of later.
fn with_environment(config: &std::path::Path) -> std::io::Result<()> {
    let Ok(config) = Config::read(config) else { return Ok(()) };
    let wanted = setup::environment(&config);
    if wanted.iter().all(|(name, value)| std::env::var_os(name).is_some_and(|set| set == value.as_str())) {
        return Ok(());
    }
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.args(std::env::args_os().skip(1)).envs(wanted);
    Err(again.exec())
}

/// What sends traces, if this serves and the configuration wants it. What is wrong with that otherwise, it says itself.
fn telemetry(cli: &Cli) -> Result<Option<Telemetry>, SetupError> {
    let Some(Command::Serve(place)) = &cli.command else { return Ok(None) };
    let config = Config::read(&place.config)?;
    Ok(config.telemetry.as_ref().map(Telemetry::new).transpose()?)
}

const fn exit_code(error: &SetupError) -> u8 {
    use dkm_audit::store::Error::{Behind, Forked, NoAnchor};
    match error {
        SetupError::Config(_) | SetupError::Telemetry(_) => 2,
        SetupError::Mismatch(_) | SetupError::Audit(Behind { .. } | Forked { .. } | NoAnchor { .. }) => 7,
        _ => 1,
    }
}

fn run(cli: Cli) -> Result<(), SetupError> {
    let Some(command) = cli.command else {
        let dev = Dev::prepare(cli.folder.as_deref())?;
        let config = dev.config().clone();
        return serving(&config, Some(dev));
    };
    match command {
        Command::Init(place) => {
            let config = Config::read(&place.config)?;
            setup::init(&config)?;
            let server = setup::open(&config)?;
            say(&[
                format!("made {}", config.data.display()),
                format!("audit log: {}", server.audit().log().key()),
                format!("certificate authority (clients pin it): {}", server.authority().digest()),
            ]);
            Ok(())
        }
        Command::Check(place) => {
            let config = Config::read(&place.config)?;
            let server = setup::open(&config)?;
            say(&[
                "database and audit log go together".to_owned(),
                format!("audit log: {}", server.audit().log().key()),
                format!("certificate authority (clients pin it): {}", server.authority().digest()),
            ]);
            Ok(())
        }
        Command::Openapi => {
            say(&[dkm_server::openapi::text().trim_end().to_owned()]);
            Ok(())
        }
        Command::Recover { place, reason } => {
            let config = Config::read(&place.config)?;
            let by = format!("uid:{}", rustix::process::getuid().as_raw());
            setup::recover(&config, &by, &reason)?;
            say(&["the server can be started; look at who has access before you do".to_owned()]);
            Ok(())
        }
        Command::Serve(place) => serving(&Config::read(&place.config)?, None),
    }
}

fn serving(config: &Config, dev: Option<Dev>) -> Result<(), SetupError> {
    let server = Arc::new(setup::open(config)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| SetupError::Io { path: PathBuf::from("threads"), source })?;
    runtime.block_on(serve(server, config, dev))
}

async fn serve(server: Arc<Server>, config: &Config, dev: Option<Dev>) -> Result<(), SetupError> {
    let running = Running::start(Arc::clone(&server), config).await?;
    let (tell, stop) = watch::channel(false);
    let tell = Arc::new(tell);
    let signalled = Arc::clone(&tell);
    let error = |source| SetupError::Io { path: PathBuf::from("signals"), source };
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate()).map_err(error)?, signal(SignalKind::interrupt()).map_err(error)?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
        tell_manager(sd_notify::NotifyState::Stopping);
        let _ = signalled.send(true);
    });
    let address = running.address();
    if let Some(address) = address {
        tracing::info!(%address, "serving over mutual TLS");
    }
    if let Some(unix) = &config.unix {
        tracing::info!(socket = %unix.socket.display(), "serving over a Unix socket");
    }
    if let Some(address) = running.metrics_address() {
        tracing::info!(%address, "figures can be read at /metrics, over plain HTTP");
    }
    let run = tokio::spawn(running.run(stop));
    let filled = match dev.zip(address) {
        Some((dev, address)) => fill(dev, server, address).await,
        None => Ok(()),
    };
    match filled {
        // For whoever started it and waits.
        Ok(()) => {
            tell_manager(sd_notify::NotifyState::Ready);
            say(&["ready".to_owned()]);
        }
        Err(_) => drop(tell.send(true)),
    }
    let _ = run.await;
    filled
}

/// Fills a server to try things with, and shows what can be tried.
async fn fill(dev: Dev, server: Arc<Server>, address: SocketAddr) -> Result<(), SetupError> {
    let filled = tokio::task::spawn_blocking(move || dev.fill(&server, address)).await;
    let broken =
        |error| Err(SetupError::Io { path: PathBuf::from("threads"), source: std::io::Error::other(error) });
    say(&[filled.unwrap_or_else(broken)?]);
    Ok(())
}

/// Tells the service manager that has started it, if one has and waits for that.
fn tell_manager(state: sd_notify::NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}

/// Nobody may be reading any more: that is no failure.
fn say(lines: &[String]) {
    let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    let mut stdout = std::io::stdout();
    let _ = std::io::Write::write_all(&mut stdout, text.as_bytes());
    let _ = std::io::Write::flush(&mut stdout);
}
