//! What somebody asks to have opened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use dkm_core::blob::{PREFIX_LEN, blob_id};
use dkm_core::{Context, Digest};
use dkm_lockbox::Scope;
use dkm_remote::wire::elevation::ScopeView;

use crate::context_pair::parse_pair;
use crate::failure::{Failure, Result};
use crate::input::Input;

/// Bytes of plaintext that a grant gives out if nothing else is asked for.
const BYTES_MAX: u64 = 1 << 20;

/// What is to be opened.
#[derive(Debug, Args)]
pub(crate) struct ScopeArguments {
    /// A blob to be opened, by its id, as dkm inspect shows it. Repeatable
    #[arg(long, value_name = "ID")]
    blob: Vec<Digest>,
    /// A blob to be opened, in this file. Repeatable
    #[arg(long, value_name = "FILE")]
    blob_of: Vec<PathBuf>,
    /// What the context of a blob must hold to be opened. Repeatable
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse_pair)]
    context: Vec<(String, String)>,
    /// How many blobs in all; as many as were named, or 1, if not given
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// How many bytes of plaintext in all
    #[arg(long, value_name = "NUMBER", default_value_t = BYTES_MAX)]
    bytes: u64,
}

impl ScopeArguments {
    /// As a server takes it.
    pub(crate) fn view(&self) -> Result<ScopeView> {
        let blobs = self.blobs()?;
        let mut context = BTreeMap::new();
        for (key, value) in &self.context {
            if context.insert(key.clone(), value.clone()).is_some() {
                return Err(Failure::usage(format!("the key {key:?} was given twice")));
            }
        }
        if blobs.is_empty() && context.is_empty() {
            return Err(Failure::usage("it was not said what is to be opened")
                .help("name blobs (--blob, --blob-of), or pairs of their context (-c key=value)"));
        }
        let named = u64::try_from(blobs.len()).unwrap_or(u64::MAX).max(1);
        Ok(ScopeView {
            blobs: blobs.iter().map(ToString::to_string).collect(),
            context,
            count_max: self.count.unwrap_or(named),
            bytes_max: self.bytes,
        })
    }

    /// As a request holds it.
    pub(crate) fn scope(&self) -> Result<Scope> {
        let view = self.view()?;
        let context = view.context.iter().try_fold(Context::new(), |context, (key, value)| {
            context.with(key, value).map_err(|error| Failure::usage(error.to_string()))
        })?;
        Ok(Scope { blobs: self.blobs()?, context, count_max: view.count_max, bytes_max: view.bytes_max })
    }

    fn blobs(&self) -> Result<Vec<Digest>> {
        let mut blobs = self.blob.clone();
        for path in &self.blob_of {
            let start = Input::open(Some(path))?.read_up_to(PREFIX_LEN)?;
            let start = start
                .first_chunk::<PREFIX_LEN>()
                .ok_or_else(|| Failure::usage(format!("{} is no blob: it is too short", path.display())))?;
            blobs.push(blob_id(start));
        }
        blobs.sort_unstable();
        blobs.dedup();
        Ok(blobs)
    }
}
