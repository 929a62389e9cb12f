//! Backups of a controller's disk, and setting it back to one.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::controller::Controller;
use crate::domain::Domain;
use crate::template;

/// What a controller's disk held.
#[derive(Debug)]
pub struct Backup {
    host: String,
    folder: PathBuf,
}

impl Domain {
    /// Copies a controller's database and keys. Its server is ended for that, and started again if it ran.
    ///
    /// # Errors
    /// Its files can't be copied, or it does not start again.
    pub fn backup(&self, controller: &Controller) -> Result<Backup> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("backup-{count}"));
        fs::create_dir(&folder)?;
        let ran = controller.runs();
        controller.close()?;
        template::copy(&controller.folder, &folder)?;
        if ran {
            self.restart_controller(controller)?;
        }
        Ok(Backup { host: controller.host().to_owned(), folder })
    }

    /// Sets a controller back to what its disk held, as a snapshot of a virtual machine does: its database's id stays, and
    /// its sequence numbers begin again where they were. Its server is ended, and started again.
    ///
    /// # Errors
    /// It is another controller's backup; its files can't be copied; or it does not start again.
    pub fn set_back(&self, controller: &Controller, backup: &Backup) -> Result<()> {
        anyhow::ensure!(backup.host == controller.host(), "a backup of {}", backup.host);
        controller.close()?;
        for part in ["private", "state"] {
            let path = controller.folder.join(part);
            fs::remove_dir_all(&path).with_context(|| format!("can't remove {}", path.display()))?;
        }
        template::copy(&backup.folder, &controller.folder)?;
        self.restart_controller(controller)
    }
}
