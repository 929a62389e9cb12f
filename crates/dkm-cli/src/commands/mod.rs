//! The commands, one a file.

mod accounts_add;
mod accounts_export;
mod accounts_list;
mod accounts_remove;
mod accounts_rewrap;
mod accounts_show;
mod accounts_update;
#[cfg(feature = "active-directory")]
mod ad_doctor;
#[cfg(feature = "active-directory")]
mod ad_init;
mod archive_export;
mod archive_inspect;
mod archive_restore;
mod audit_export;
mod audit_ingest;
mod audit_prove;
mod audit_search;
mod audit_tail;
mod audit_verify;
mod completions;
mod directory_group_add;
mod directory_list;
mod directory_member;
mod doctor;
mod elevate_answer;
mod elevate_credentials;
mod elevate_evidence;
mod elevate_list;
mod elevate_request;
mod elevate_run;
mod elevate_show;
mod elevate_step;
mod enrol;
#[cfg(feature = "active-directory")]
mod group_access;
#[cfg(feature = "active-directory")]
mod group_audit;
mod group_create;
mod group_list;
#[cfg(feature = "active-directory")]
mod group_repair_access;
#[cfg(feature = "active-directory")]
mod group_replace_readers;
mod group_show;
mod import_windows_dkm;
mod init;
mod inspect;
mod key_change;
mod key_compromise;
mod key_destroy;
mod key_list;
mod key_republish;
mod key_roll;
mod key_show;
mod key_usage;
mod lockbox_offline_answer;
mod lockbox_offline_export;
mod lockbox_offline_request;
mod lockbox_offline_submit;
mod lockbox_offline_use;
mod lockbox_offline_verify;
mod man;
mod policy_set;
mod policy_show;
mod principal_add;
mod principal_disable;
mod principal_list;
mod principal_token;
mod protect;
mod quickstart;
mod reprotect;
mod root_key_list;
mod root_key_make;
mod root_key_use;
mod roster_apply;
mod roster_check;
mod roster_propose;
mod roster_show;
mod roster_sign;
mod unprotect;
mod whoami;

use clap::Subcommand;

use crate::failure::Result;
use crate::shell::Shell;

/// All commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Quickstart(quickstart::Arguments),
    Init(init::Arguments),
    /// Make, list, show and audit groups
    #[command(subcommand)]
    Group(Group),
    /// Show and set a group's policy
    #[command(subcommand)]
    Policy(Policy),
    Protect(protect::Arguments),
    Unprotect(unprotect::Arguments),
    Inspect(inspect::Arguments),
    Reprotect(reprotect::Arguments),
    /// List a group's keys and change their states
    #[command(subcommand)]
    Key(Key),
    /// List, make and replace the root keys that wrap a group's keys
    #[command(subcommand)]
    RootKey(RootKey),
    /// Export, inspect and restore a group's keys, sealed to age recipients
    #[command(subcommand)]
    Archive(Archive),
    /// Verify, follow, search, export and feed a tamper-evident audit log
    ///
    /// Who could come to read a group's keys is another question: dkm group audit.
    #[command(subcommand)]
    Audit(Audit),
    /// Set up and check a repository in Active Directory
    #[cfg(feature = "active-directory")]
    #[command(subcommand)]
    Ad(Ad),
    /// Ask for access to what a group protects, approve it, use it and end it
    #[command(subcommand)]
    Elevate(Elevate),
    /// Let people in while the server does not answer
    #[command(subcommand)]
    Lockbox(Lockbox),
    /// Check, show and change a group's roster: who lets people in
    #[command(subcommand)]
    Roster(Roster),
    Enrol(enrol::Arguments),
    Whoami(whoami::Arguments),
    /// Make, list and disable the accounts that a dkmd server knows
    #[command(subcommand)]
    Principal(Principal),
    /// Make, list and fill the directory groups of a dkmd server
    #[command(subcommand)]
    Directory(Directory),
    /// Take over keys of other systems
    #[command(subcommand)]
    Import(Import),
    /// Keep other people's mailbox credentials: passwords and tokens of connected e-mail accounts
    #[command(subcommand)]
    Accounts(AccountsCommand),
    Doctor(doctor::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Commands on a repository in Active Directory.
#[cfg(feature = "active-directory")]
#[derive(Debug, Subcommand)]
pub(crate) enum Ad {
    Init(ad_init::Arguments),
    Doctor(ad_doctor::Arguments),
}

/// Commands on connected accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountsCommand {
    Add(Box<accounts_add::Arguments>),
    List(accounts_list::Arguments),
    Show(accounts_show::Arguments),
    Update(accounts_update::Arguments),
    Remove(accounts_remove::Arguments),
    Export(accounts_export::Arguments),
    Rewrap(accounts_rewrap::Arguments),
}

/// Commands on groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    Create(Box<group_create::Arguments>),
    List(group_list::Arguments),
    Show(group_show::Arguments),
    #[cfg(feature = "active-directory")]
    Audit(group_audit::Arguments),
    #[cfg(feature = "active-directory")]
    RepairAccess(group_repair_access::Arguments),
    #[cfg(feature = "active-directory")]
    ReplaceReaders(group_replace_readers::Arguments),
}

/// Commands on a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    Show(policy_show::Arguments),
    Set(policy_set::Arguments),
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    List(key_list::Arguments),
    Show(key_show::Arguments),
    Roll(key_roll::Arguments),
    /// Stop a key from protecting until it is resumed; it still opens
    #[command(after_long_help = "Example:\n  dkm key suspend 3f2a9c --reason 'under investigation'")]
    Suspend(key_change::Arguments),
    /// Let a suspended key protect again; calls off its destruction too
    #[command(after_long_help = "Example:\n  dkm key resume 3f2a9c --reason 'false alarm'")]
    Resume(key_change::Arguments),
    Compromise(key_compromise::Arguments),
    Destroy(key_destroy::Arguments),
    Usage(key_usage::Arguments),
    Republish(key_republish::Arguments),
}

/// Commands on root keys.
#[derive(Debug, Subcommand)]
pub(crate) enum RootKey {
    List(root_key_list::Arguments),
    Make(root_key_make::Arguments),
    Use(root_key_use::Arguments),
}

/// Commands on archives.
#[derive(Debug, Subcommand)]
pub(crate) enum Archive {
    Export(archive_export::Arguments),
    Restore(archive_restore::Arguments),
    Inspect(archive_inspect::Arguments),
}

/// Commands on an audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    Verify(audit_verify::Arguments),
    Tail(audit_tail::Arguments),
    Search(audit_search::Arguments),
    Prove(audit_prove::Arguments),
    Export(audit_export::Arguments),
    Ingest(audit_ingest::Arguments),
}

/// Commands on requests for elevated access.
#[derive(Debug, Subcommand)]
pub(crate) enum Elevate {
    Request(elevate_request::Arguments),
    List(elevate_list::Arguments),
    Show(elevate_show::Arguments),
    /// Approve a request, as one of a level's approvers: shows what you sign, and has it signed by ssh-keygen
    ///
    /// What you sign is made here, from the request's records, and not taken from the server. Where you may read the group's
    /// records, it is checked against them.
    #[command(after_long_help = "\
Examples:
  dkm elevate approve 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b --key ~/.ssh/id_ed25519
  dkm elevate approve 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b --key agent --as bob --level manager --dry-run")]
    Approve(elevate_answer::Arguments),
    /// Deny a request, whatever others say; a grant that is in use ends by it
    #[command(
        after_long_help = "Example:\n  dkm elevate deny 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b --key agent"
    )]
    Deny(elevate_answer::Arguments),
    /// Take your own request back
    #[command(after_long_help = "Example:\n  dkm elevate withdraw 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b")]
    Withdraw(elevate_step::Arguments),
    /// Begin to use what was approved: from now its time runs
    #[command(after_long_help = "Example:\n  dkm elevate activate 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b")]
    Activate(elevate_step::Arguments),
    /// End a grant, or the request for one: who asked may, the approvers, and those whom the roster names
    #[command(after_long_help = "Example:\n  dkm elevate revoke 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b")]
    Revoke(elevate_step::Arguments),
    /// Say that you have looked at what was done in an emergency
    #[command(after_long_help = "Example:\n  dkm elevate review 3f2a9c1b-e0d4-4f6d-8b7a-6c5d4e3f2a1b")]
    Review(elevate_step::Arguments),
    Run(elevate_run::Arguments),
    Credentials(elevate_credentials::Arguments),
    Evidence(elevate_evidence::Arguments),
}

/// Commands on the lockbox.
#[derive(Debug, Subcommand)]
pub(crate) enum Lockbox {
    /// Ask for access in an emergency and approve it by files, while dkmd does not answer
    ///
    /// A request is a file under the requester's signature; approvers sign it, whoever is to act by it verifies it and says what
    /// he does, and it is brought to the server once that answers. Only the levels of the roster's section for emergencies
    /// let anybody in so, and each is reviewed.
    #[command(subcommand)]
    Offline(Offline),
}

/// Commands on requests by file.
#[derive(Debug, Subcommand)]
pub(crate) enum Offline {
    Export(lockbox_offline_export::Arguments),
    Request(Box<lockbox_offline_request::Arguments>),
    /// Approve a request by file, as one of a level's approvers: shows all of it, and has it signed by ssh-keygen
    ///
    /// It is checked before by the group's records, or by what was exported of them and is pinned; what can't be checked is
    /// not signed.
    #[command(after_long_help = "\
Examples:
  dkm lockbox offline approve incident.request --as dave --key ~/.ssh/id_ed25519
  dkm lockbox offline approve incident.request --as dave --key agent --roster mail.roster --dry-run")]
    Approve(lockbox_offline_answer::Arguments),
    /// Deny a request by file, whatever others say; give the file to all who have it, and to the server
    #[command(
        after_long_help = "Example:\n  dkm lockbox offline deny incident.request --as dave --key agent"
    )]
    Deny(lockbox_offline_answer::Arguments),
    Verify(lockbox_offline_verify::Arguments),
    Use(lockbox_offline_use::Arguments),
    Submit(lockbox_offline_submit::Arguments),
}

/// Commands on rosters.
#[derive(Debug, Subcommand)]
pub(crate) enum Roster {
    Check(roster_check::Arguments),
    Show(roster_show::Arguments),
    Propose(roster_propose::Arguments),
    Sign(roster_sign::Arguments),
    Apply(roster_apply::Arguments),
}

/// Commands on the accounts of `dkmd`.
#[derive(Debug, Subcommand)]
pub(crate) enum Principal {
    Add(principal_add::Arguments),
    List(principal_list::Arguments),
    Token(principal_token::Arguments),
    Disable(principal_disable::Arguments),
}

/// Commands on the directory groups of `dkmd`.
#[derive(Debug, Subcommand)]
pub(crate) enum Directory {
    GroupAdd(directory_group_add::Arguments),
    /// Take an account or directory group into a directory group
    #[command(after_long_help = "Example:\n  dkm directory member-add mail-servers service:mail-1")]
    MemberAdd(directory_member::Arguments),
    /// Take a member out of a directory group
    #[command(after_long_help = "Example:\n  dkm directory member-remove mail-servers service:mail-1")]
    MemberRemove(directory_member::Arguments),
    List(directory_list::Arguments),
}

/// Commands that take over keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    WindowsDkm(import_windows_dkm::Arguments),
}

/// Runs a command.
pub(crate) fn run(command: Command, shell: &Shell) -> Result {
    match command {
        Command::Quickstart(arguments) => quickstart::run(&arguments, shell),
        Command::Init(arguments) => init::run(&arguments, shell),
        #[cfg(feature = "active-directory")]
        Command::Ad(Ad::Init(arguments)) => ad_init::run(&arguments, shell),
        #[cfg(feature = "active-directory")]
        Command::Ad(Ad::Doctor(arguments)) => ad_doctor::run(&arguments, shell),
        Command::Group(Group::Create(arguments)) => group_create::run(*arguments, shell),
        Command::Group(Group::List(arguments)) => group_list::run(&arguments, shell),
        Command::Group(Group::Show(arguments)) => group_show::run(&arguments, shell),
        #[cfg(feature = "active-directory")]
        Command::Group(Group::Audit(arguments)) => group_audit::run(&arguments, shell),
        #[cfg(feature = "active-directory")]
        Command::Group(Group::RepairAccess(arguments)) => group_repair_access::run(&arguments, shell),
        #[cfg(feature = "active-directory")]
        Command::Group(Group::ReplaceReaders(arguments)) => group_replace_readers::run(&arguments, shell),
        Command::Policy(Policy::Show(arguments)) => policy_show::run(&arguments, shell),
        Command::Policy(Policy::Set(arguments)) => policy_set::run(&arguments, shell),
        Command::Protect(arguments) => protect::run(&arguments, shell),
        Command::Unprotect(arguments) => unprotect::run(&arguments, shell),
        Command::Inspect(arguments) => inspect::run(&arguments, shell),
        Command::Reprotect(arguments) => reprotect::run(&arguments, shell),
        Command::Key(Key::List(arguments)) => key_list::run(&arguments, shell),
        Command::Key(Key::Show(arguments)) => key_show::run(&arguments, shell),
        Command::Key(Key::Roll(arguments)) => key_roll::run(&arguments, shell),
        Command::Key(Key::Suspend(arguments)) => key_change::suspend(&arguments, shell),
        Command::Key(Key::Resume(arguments)) => key_change::resume(&arguments, shell),
        Command::Key(Key::Compromise(arguments)) => key_compromise::run(&arguments, shell),
        Command::Key(Key::Destroy(arguments)) => key_destroy::run(&arguments, shell),
        Command::Key(Key::Usage(arguments)) => key_usage::run(&arguments, shell),
        Command::Key(Key::Republish(arguments)) => key_republish::run(&arguments, shell),
        Command::RootKey(RootKey::List(arguments)) => root_key_list::run(&arguments, shell),
        Command::RootKey(RootKey::Make(arguments)) => root_key_make::run(&arguments, shell),
        Command::RootKey(RootKey::Use(arguments)) => root_key_use::run(&arguments, shell),
        Command::Archive(Archive::Export(arguments)) => archive_export::run(&arguments, shell),
        Command::Archive(Archive::Restore(arguments)) => archive_restore::run(arguments, shell),
        Command::Archive(Archive::Inspect(arguments)) => archive_inspect::run(&arguments, shell),
        Command::Audit(Audit::Verify(arguments)) => audit_verify::run(&arguments, shell),
        Command::Audit(Audit::Tail(arguments)) => audit_tail::run(&arguments, shell),
        Command::Audit(Audit::Search(arguments)) => audit_search::run(&arguments, shell),
        Command::Audit(Audit::Prove(arguments)) => audit_prove::run(&arguments, shell),
        Command::Audit(Audit::Export(arguments)) => audit_export::run(&arguments, shell),
        Command::Elevate(command) => elevate(command, shell),
        Command::Lockbox(Lockbox::Offline(command)) => offline(command, shell),
        Command::Roster(Roster::Check(arguments)) => roster_check::run(&arguments, shell),
        Command::Roster(Roster::Show(arguments)) => roster_show::run(&arguments, shell),
        Command::Roster(Roster::Propose(arguments)) => roster_propose::run(&arguments, shell),
        Command::Roster(Roster::Sign(arguments)) => roster_sign::run(&arguments, shell),
        Command::Roster(Roster::Apply(arguments)) => roster_apply::run(&arguments, shell),
        Command::Enrol(arguments) => enrol::run(&arguments, shell),
        Command::Whoami(arguments) => whoami::run(&arguments, shell),
        Command::Principal(Principal::Add(arguments)) => principal_add::run(&arguments, shell),
        Command::Principal(Principal::List(arguments)) => principal_list::run(&arguments, shell),
        Command::Principal(Principal::Token(arguments)) => principal_token::run(&arguments, shell),
        Command::Principal(Principal::Disable(arguments)) => principal_disable::run(&arguments, shell),
        Command::Directory(Directory::GroupAdd(arguments)) => directory_group_add::run(&arguments, shell),
        Command::Directory(Directory::MemberAdd(arguments)) => directory_member::add(&arguments, shell),
        Command::Directory(Directory::MemberRemove(arguments)) => directory_member::remove(&arguments, shell),
        Command::Directory(Directory::List(arguments)) => directory_list::run(&arguments, shell),
        Command::Audit(Audit::Ingest(arguments)) => audit_ingest::run(&arguments, shell),
        Command::Import(Import::WindowsDkm(arguments)) => import_windows_dkm::run(&arguments, shell),
        Command::Accounts(command) => accounts(command, shell),
        Command::Doctor(arguments) => doctor::run(&arguments, shell),
        Command::Completions(arguments) => completions::run(&arguments, shell),
        Command::Man(arguments) => man::run(&arguments, shell),
    }
}

fn accounts(command: AccountsCommand, shell: &Shell) -> Result {
    match command {
        AccountsCommand::Add(arguments) => accounts_add::run(&arguments, shell),
        AccountsCommand::List(arguments) => accounts_list::run(&arguments, shell),
        AccountsCommand::Show(arguments) => accounts_show::run(&arguments, shell),
        AccountsCommand::Update(arguments) => accounts_update::run(&arguments, shell),
        AccountsCommand::Remove(arguments) => accounts_remove::run(&arguments, shell),
        AccountsCommand::Export(arguments) => accounts_export::run(&arguments, shell),
        AccountsCommand::Rewrap(arguments) => accounts_rewrap::run(&arguments, shell),
    }
}

fn elevate(command: Elevate, shell: &Shell) -> Result {
    match command {
        Elevate::Request(arguments) => elevate_request::run(&arguments, shell),
        Elevate::List(arguments) => elevate_list::run(&arguments, shell),
        Elevate::Show(arguments) => elevate_show::run(&arguments, shell),
        Elevate::Approve(arguments) => elevate_answer::approve(&arguments, shell),
        Elevate::Deny(arguments) => elevate_answer::deny(&arguments, shell),
        Elevate::Withdraw(arguments) => elevate_step::withdraw(&arguments, shell),
        Elevate::Activate(arguments) => elevate_step::activate(&arguments, shell),
        Elevate::Revoke(arguments) => elevate_step::revoke(&arguments, shell),
        Elevate::Review(arguments) => elevate_step::review(&arguments, shell),
        Elevate::Run(arguments) => elevate_run::run(&arguments, shell),
        Elevate::Credentials(arguments) => elevate_credentials::run(&arguments, shell),
        Elevate::Evidence(arguments) => elevate_evidence::run(&arguments, shell),
    }
}

fn offline(command: Offline, shell: &Shell) -> Result {
    match command {
        Offline::Export(arguments) => lockbox_offline_export::run(&arguments, shell),
        Offline::Request(arguments) => lockbox_offline_request::run(&arguments, shell),
        Offline::Approve(arguments) => lockbox_offline_answer::approve(&arguments, shell),
        Offline::Deny(arguments) => lockbox_offline_answer::deny(&arguments, shell),
        Offline::Verify(arguments) => lockbox_offline_verify::run(&arguments, shell),
        Offline::Use(arguments) => lockbox_offline_use::run(&arguments, shell),
        Offline::Submit(arguments) => lockbox_offline_submit::run(&arguments, shell),
    }
}
