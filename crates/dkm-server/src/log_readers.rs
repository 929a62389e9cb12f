//! Who reads the audit log, and that this is in the log itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::actions::Action;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::server::{About, Server};

/// How long a reading that was recorded goes on. A log is read in thousands of requests, of which some follow each other
/// every second: one entry for each would make the log grow by being read.
const READING: Duration = Duration::from_secs(3600);

/// Since when each reader's present reading is on record. Only those who may read are in it, so it stays as small as the
/// directory.
#[derive(Debug, Default)]
pub(crate) struct LogReaders(Mutex<HashMap<Arc<str>, Instant>>);

impl Server {
    /// Records that somebody reads the audit log: as he begins, and once an hour for as long as he goes on.
    ///
    /// # Errors
    /// He may not, which is recorded each time; or it can't be recorded.
    pub(crate) async fn read_log(&self, caller: &Caller) -> Result<(), Problem> {
        let about = About::plain("the audit log");
        self.require(caller.reads_log(), caller, Action::ReadAudit, &about).await?;
        // Kept while it is recorded: nobody reads ahead of his own entry.
        let mut readers = self.log_readers().0.lock().await;
        readers.retain(|_, since| since.elapsed() < READING);
        if readers.contains_key(caller.name()) {
            return Ok(());
        }
        self.record(caller, Action::ReadAudit, &about).await?;
        readers.insert(caller.name().into(), Instant::now());
        Ok(())
    }
}
