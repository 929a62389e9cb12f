//! Leave to open blobs of compromised keys: asked for with a reason, which is recorded.

use clap::Args;
use dkm::blocking::Group;

use crate::failure::Result;

/// The override.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OverrideArguments {
    /// Also open what a compromised key protects, which may be forged; the reason is recorded first
    #[arg(long, value_name = "REASON")]
    allow_compromised: Option<String>,
}

impl OverrideArguments {
    /// The handle, with the leave that was asked for.
    pub(crate) fn apply(&self, group: Group) -> Result<Group> {
        Ok(match &self.allow_compromised {
            Some(reason) => group.overriding(reason)?,
            None => group,
        })
    }
}
