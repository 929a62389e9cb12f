//! `dkm unprotect`

use std::io::{Seek as _, Write as _};

use clap::Args;
use dkm::Streamed;
use dkm::blocking::Group;
use dkm_core::{Context, Digest};

use crate::context_pair::ContextArguments;
use crate::failure::{Failure, Result};
use crate::input::{Input, InputArguments};
use crate::output_file::{Output, OutputArguments, PRIVATE, spool};
use crate::overriding::OverrideArguments;
use crate::shape::StreamShape;
use crate::shell::Shell;
use crate::windows_blob::{self, WindowsShape};

/// Up to this length `--whole` keeps the blob in memory; longer ones go through a file without a name.
const WHOLE_IN_MEMORY_MAX: usize = 16 << 20;

/// Open a blob
///
/// A file appears only after all of it is authenticated, readable by you alone. On stdout each chunk is released when
/// that chunk is authenticated; if a later one is damaged, the command ends with exit code 5, and what came before must
/// be discarded. With --whole nothing is released before everything is authenticated.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm unprotect --group mail -c account=alice password.dkm -o password.txt
  dkm unprotect --group backup --whole < db.dkm | psql db
  dkm unprotect --group adfs --windows encrypted-pfx.txt -o signing.pfx")]
pub(crate) struct Arguments {
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    context: ContextArguments,
    /// Release nothing on stdout before everything is authenticated; a blob above 16 MiB is copied to the folder for
    /// temporary files, as ciphertext
    #[arg(long)]
    whole: bool,
    /// Open a blob of Windows DKM (AD FS), as it is or as base64, with a key that was imported from there
    #[arg(long, conflicts_with_all = ["context", "whole"])]
    windows: bool,
    #[command(flatten)]
    overriding: OverrideArguments,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    if arguments.windows {
        return open_windows(arguments, shell);
    }
    let context = arguments.context.context()?;
    let mut input = arguments.input.open()?.with_progress(&shell.terminal, "opening");
    let mut output = arguments.output.open(PRIVATE)?;
    let group = arguments.overriding.apply(shell.group()?)?;
    // A file is whole or not there by itself.
    let streamed = if arguments.whole && arguments.output.is_stdout() {
        open_whole(&group, &context, &mut input, &mut output)?
    } else {
        open_by_chunks(&group, &context, &mut input, &mut output, arguments.output.is_stdout())?
    };
    output.commit()?;
    drop(input);
    shell.warn_about(&group)?;
    let shape = StreamShape::of(&group, &streamed, arguments.output.path());
    if arguments.output.is_stdout() {
        return shell.terminal.summary_beside_data(&shape);
    }
    if shell.terminal.is_json() {
        return shell.terminal.result(&shape, String::new);
    }
    shell
        .terminal
        .note(format!("Opened {} bytes, protected with key {}.", streamed.plaintext_len, streamed.key));
    Ok(())
}

/// Opens a blob of Windows, of which nothing is released before all of it is authenticated.
fn open_windows(arguments: &Arguments, shell: &Shell) -> Result {
    let blob = windows_blob::read(&mut arguments.input.open()?)?;
    let mut output = arguments.output.open(PRIVATE)?;
    let group = arguments.overriding.apply(shell.group()?)?;
    let plaintext = group.unprotect_windows(&blob)?;
    output.write_all(&plaintext).map_err(|error| written(&output, &error))?;
    output.commit()?;
    shell.warn_about(&group)?;
    let shape = WindowsShape::of(&group, &blob, plaintext.len(), arguments.output.path())?;
    if arguments.output.is_stdout() {
        return shell.terminal.summary_beside_data(&shape);
    }
    if shell.terminal.is_json() {
        return shell.terminal.result(&shape, String::new);
    }
    let (len, key) = (shape.plaintext_len, &shape.windows_key);
    shell.terminal.note(format!("Opened {len} bytes, protected with Windows key {key}."));
    Ok(())
}

fn open_by_chunks(
    group: &Group,
    context: &Context,
    input: &mut Input,
    output: &mut Output,
    released: bool,
) -> Result<Streamed> {
    group.unprotect_stream(context, &mut *input, &mut *output).map_err(|error| {
        let failure = output.failure().unwrap_or_else(|| input.fault(error));
        if released && output.written() > 0 && !failure.silent {
            let message = format!(
                "{}; discard the {} bytes written before: they are incomplete",
                failure.message,
                output.written()
            );
            return Failure { message, ..failure };
        }
        failure
    })
}

/// Authenticates all of a private copy, which nobody can change meanwhile, and only then releases it.
fn open_whole(group: &Group, context: &Context, input: &mut Input, output: &mut Output) -> Result<Streamed> {
    let first = input.read_up_to(WHOLE_IN_MEMORY_MAX + 1)?;
    if first.len() <= WHOLE_IN_MEMORY_MAX {
        let plaintext = group.unprotect(context, &first).map_err(|error| input.fault(error))?;
        output.write_all(&plaintext).map_err(|error| written(output, &error))?;
        return summary(&first, u64::try_from(plaintext.len()).unwrap_or(u64::MAX));
    }
    let mut copy = spool()?;
    let fail = |error: &std::io::Error| Failure::file("can't write to", &std::env::temp_dir(), error);
    copy.write_all(&first).map_err(|e| fail(&e))?;
    drop(first);
    if let Err(error) = std::io::copy(input, &mut copy) {
        return Err(input.failure().unwrap_or_else(|| fail(&error)));
    }
    copy.rewind().map_err(|e| fail(&e))?;
    group.unprotect_stream(context, &mut copy, std::io::sink()).map_err(|error| input.fault(error))?;
    copy.rewind().map_err(|e| fail(&e))?;
    group
        .unprotect_stream(context, &mut copy, &mut *output)
        .map_err(|error| output.failure().unwrap_or_else(|| input.fault(error)))
}

fn written(output: &Output, error: &std::io::Error) -> Failure {
    output.failure().unwrap_or_else(|| Failure::file("can't write to", std::path::Path::new("stdout"), error))
}

fn summary(blob: &[u8], plaintext_len: u64) -> Result<Streamed> {
    let header = dkm_core::blob::Header::parse(blob).map_err(dkm::Error::from)?;
    let prefix = blob.first_chunk().map_or(Digest::default(), dkm_core::blob::blob_id);
    let blob_len = u64::try_from(blob.len()).unwrap_or(u64::MAX);
    Ok(Streamed { blob_id: prefix, key: header.key(), plaintext_len, blob_len })
}
