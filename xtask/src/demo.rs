//! `cargo xtask demo ad`: the whole story in a real domain, for somebody who has none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use dkm_testbed::{Account, Domain, Options};

use crate::{setup, shell};

/// Arguments of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    demo: Demo,
}

#[derive(Debug, clap::Subcommand)]
enum Demo {
    /// A Samba domain, a group, its members, an outsider, a removal, a roll, an archive and an audit. Needs root
    Ad,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Demo::Ad = arguments.demo;
    println!(
        "This needs root, Debian's Samba and Kerberos packages (installed through apt where they are missing), and a \
         minute. The domain runs on a loopback address, in a folder of its own, and leaves nothing behind.\n"
    );
    setup::need(setup::DOMAIN)?;
    setup::need(&[setup::AGE])?;
    shell::run(shell::cargo().args(["build", "--quiet", "--locked", "--package", "dkm-cli"]))?;
    let Some(domain) = Domain::start_or_skip(&Options::default())? else {
        bail!("a domain can't be run here");
    };
    let folder = shell::own_folder().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("can't remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("can't create {}", folder.display()))?;
    Stage { dkm: shell::target().join("debug/dkm"), url: domain.url(), folder, domain }.story()
}

struct Stage {
    dkm: PathBuf,
    url: String,
    folder: PathBuf,
    domain: Domain,
}

fn say(text: &str) {
    println!("\n\u{2500}\u{2500} {text}");
}

impl Stage {
    fn story(&self) -> Result<()> {
        say(
            "A domain, dkm.test. Two service accounts in a security group, an auditor, and somebody who is nobody.",
        );
        let (mail, web) = (self.domain.add_user("svc-mail")?, self.domain.add_user("svc-web")?);
        let auditor = self.domain.add_user("svc-audit")?;
        let mallory = self.domain.add_user("mallory")?;
        let services = self.domain.add_group("dkm-services")?;
        for member in [&mail, &web] {
            self.domain.add_member(&services, &member.dn)?;
        }
        let admin = self.domain.admin().clone();
        self.domain.keytab(&admin)?;
        let (plain, blob) = (self.folder.join("password"), self.folder.join("alice.dkm"));
        fs::write(&plain, "correct horse battery staple\n")?;
        let (plain, blob) = (text(&plain)?, text(&blob)?);

        say("An administrator makes the repository and a group. He is in neither: he will read no key.");
        self.does(&admin, &["ad", "init", "--auditors", "svc-audit"], 0)?;
        let create = [
            "group",
            "create",
            "mail",
            "--members",
            "dkm-services",
            "--creators",
            "svc-mail",
            "--owners",
            "Domain Admins",
            "--auditors",
            "svc-audit",
        ];
        self.does(&admin, &create, 0)?;

        say("A service that may add keys opens the group and makes its first key; another one reads it.");
        self.does(&mail, &["protect", "-g", "mail", "-c", "account=alice", plain, "-o", blob], 0)?;
        self.does(&web, &["unprotect", "-g", "mail", "-c", "account=alice", blob], 0)?;

        say("Who is not a member does not even see that the group exists.");
        self.does(&mallory, &["group", "list"], 0)?;
        self.does(&mallory, &["unprotect", "-g", "mail", "-c", "account=alice", blob], 3)?;

        say(
            "The administrator owns the group: he sees which keys there are and sets their states, and reads none.",
        );
        self.does(&admin, &["key", "list", "-g", "mail"], 0)?;
        self.does(&admin, &["unprotect", "-g", "mail", "-c", "account=alice", blob], 4)?;

        say(
            "The key is rolled; the new one takes over in a day, when every client has read it. Old blobs open.",
        );
        self.does(&mail, &["key", "roll", "-g", "mail", "--reason", "rehearsal"], 0)?;
        self.does(&mail, &["key", "list", "-g", "mail"], 0)?;
        self.does(&mail, &["unprotect", "-g", "mail", "-c", "account=alice", blob], 0)?;

        say("An archive, sealed to an age key that could lie in a safe; plain age opens it.");
        let identity = self.folder.join("safe.txt");
        shell::run(shell::command("age-keygen").arg("-o").arg(&identity))?;
        let recipient = shell::output(shell::command("age-keygen").arg("-y").arg(&identity))?;
        let archive = self.folder.join("mail.age");
        let export =
            ["archive", "export", "-g", "mail", "--recipient", recipient.trim(), "-o", text(&archive)?];
        self.does(&mail, &export, 0)?;
        let opened = shell::command("age").arg("-d").arg("-i").arg(&identity).arg(&archive).output()?;
        ensure!(opened.status.success(), "age did not open the archive");
        println!("$ age -d -i safe.txt mail.age | wc -c\n{}", opened.stdout.len());

        say("svc-web leaves the security group. With its next fresh ticket it sees nothing any more.");
        self.domain.remove_member(&services, &web.dn)?;
        self.does(&web, &["unprotect", "-g", "mail", "-c", "account=alice", blob], 3)?;

        say(
            "Who could read the keys, by whatever way? The auditor is no member and sees. Once with all services listed, once \
             with one left out.",
        );
        self.audit(&auditor, &[&mail], 0)?;
        self.audit(&auditor, &[&web], 7)?;
        println!("\nAll of it is in {}; the domain has ended.", self.folder.display());
        Ok(())
    }

    fn audit(&self, auditor: &Account, services: &[&Account], expected: i32) -> Result<()> {
        let list = self.folder.join("services.txt");
        let lines: String = services.iter().map(|who| format!("{} {}\n", who.sid, who.sam)).collect();
        fs::write(&list, lines)?;
        self.does(
            auditor,
            &["group", "audit", "-g", "mail", "--services", text(&list)?, "--unsigned-services"],
            expected,
        )
    }

    /// Runs `dkm` as an account, with a fresh ticket from its keytab, and shows it.
    fn does(&self, who: &Account, arguments: &[&str], expected: i32) -> Result<()> {
        println!("\n{}$ dkm {}", who.sam, shown(arguments));
        let cache = self.domain.ccache(who, None)?;
        let mut dkm = Command::new(&self.dkm);
        let status = dkm
            .args(arguments)
            .envs(self.domain.env_with(&cache))
            .env("DKM_REPOSITORY", &self.url)
            .env("HOME", self.folder.join(&who.sam))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("DKM_GROUP")
            .current_dir(&self.folder)
            .status()
            .with_context(|| format!("can't start {}", self.dkm.display()))?;
        ensure!(
            status.code() == Some(expected),
            "dkm {} ended with {status}, expected was exit code {expected}",
            shown(arguments)
        );
        Ok(())
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not text", path.display()))
}

fn shown(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        if argument.contains([' ', '\'']) { format!("'{argument}'") } else { (*argument).to_owned() }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
