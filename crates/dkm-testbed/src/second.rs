//! Two controllers: replication, partitions and loss.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::controller::Controller;
use crate::domain::Domain;
use crate::network::Network;
use crate::process;

impl Domain {
    fn network(&self) -> Result<&Network> {
        self.network.as_ref().context("the domain has one controller")
    }

    /// Cuts the link between the two controllers. Clients still reach both.
    ///
    /// # Errors
    /// There is one controller.
    pub fn link_down(&self) -> Result<()> {
        self.network()?.cut()
    }

    /// Mends the link between the two controllers.
    ///
    /// # Errors
    /// There is one controller.
    pub fn link_up(&self) -> Result<()> {
        self.network()?.connect()
    }

    /// Has each controller fetch what the other has, and waits for it. With one controller there is nothing to do.
    /// Without this call changes take about a second.
    ///
    /// # Errors
    /// A controller does not run, or the link is down.
    pub fn replicate(&self) -> Result<()> {
        let [first, second] = &self.controllers[..] else {
            return Ok(());
        };
        let cache = self.ccache_at(first, self.admin(), None)?;
        for (to, from) in [(first, second), (second, first)] {
            // Right after a start or a repair the controllers may not have found each other yet.
            let mut last = None;
            let result = process::wait_for("replication", || {
                if !to.runs() || !from.runs() {
                    bail!("a controller does not run");
                }
                let mut tool = to.command("samba-tool");
                tool.args(["drs", "replicate", to.fqdn(), from.fqdn(), self.base(), "-s"])
                    .arg(to.tool_conf());
                tool.args(["--use-kerberos=required", &format!("--use-krb5-ccache={}", cache.display())]);
                let done = process::run(tool.env("KRB5_CONFIG", self.krb5_conf_of(to)));
                Ok(done.map_err(|error| last = Some(error)).ok())
            });
            if let Err(error) = result {
                return Err(last.map_or(error, |last| last.context("replication fails")));
            }
        }
        Ok(())
    }

    /// Loses a controller for good: its server is killed and its database erased.
    ///
    /// # Errors
    /// Its files can't be removed.
    pub fn lose(&self, controller: &Controller) -> Result<()> {
        controller.kill();
        let private = controller.folder.join("private");
        fs::remove_dir_all(&private).with_context(|| format!("can't remove {}", private.display()))
    }
}
