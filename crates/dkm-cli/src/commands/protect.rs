//! `dkm protect`

use std::io::Write as _;

use clap::Args;
use dkm::KeyGuid;
use dkm_core::windows::WINDOWS_PLAINTEXT_LEN_MAX;

use crate::context_pair::ContextArguments;
use crate::failure::{Failure, Result};
use crate::input::InputArguments;
use crate::output_file::OutputArguments;
use crate::shape::StreamShape;
use crate::shell::Shell;
use crate::windows_blob::WindowsShape;

/// Protect a file or stream with the group's current key
///
/// The blob names its group and key, so that it opens for as long as the group keeps the key. The context given with -c
/// is bound into it and not stored: the same pairs must be given to open it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  dkm protect --group mail -c account=alice password.txt -o password.dkm
  pg_dump db | dkm protect --group backup > db.dkm")]
pub(crate) struct Arguments {
    #[command(flatten)]
    input: InputArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    context: ContextArguments,
    /// Make a blob of Windows DKM with this imported key, for programs that read nothing else
    #[arg(long, value_name = "GUID", conflicts_with = "context")]
    windows_key: Option<KeyGuid>,
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
    if let Some(guid) = arguments.windows_key {
        return protect_windows(guid, arguments, shell);
    }
    let context = arguments.context.context()?;
    let mut input = arguments.input.open()?.with_progress(&shell.terminal, "protecting");
    let mut output = arguments.output.open_binary("a blob")?;
    let group = shell.group()?;
    let done = group.protect_stream(&context, &mut input, &mut output);
    let streamed = done.map_err(|error| {
        output.failure().or_else(|| input.failure()).unwrap_or_else(|| Failure::from(error))
    })?;
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
    shell.terminal.note(format!("Protected {} bytes with key {}.", streamed.plaintext_len, streamed.key));
    Ok(())
}

fn protect_windows(guid: KeyGuid, arguments: &Arguments, shell: &Shell) -> Result {
    // One byte more: what is too long is told.
    let plaintext = arguments.input.open()?.read_up_to(WINDOWS_PLAINTEXT_LEN_MAX + 1)?;
    let mut output = arguments.output.open_binary("a blob")?;
    let group = shell.group()?;
    let blob = group.protect_windows(guid, &plaintext)?;
    output.write_all(&blob).map_err(|error| {
        let stdout = std::path::Path::new("stdout");
        output.failure().unwrap_or_else(|| Failure::file("can't write to", stdout, &error))
    })?;
    output.commit()?;
    shell.warn_about(&group)?;
    let shape = WindowsShape::of(&group, &blob, plaintext.len(), arguments.output.path())?;
    if arguments.output.is_stdout() {
        return shell.terminal.summary_beside_data(&shape);
    }
    if shell.terminal.is_json() {
        return shell.terminal.result(&shape, String::new);
    }
    shell.terminal.note(format!("Protected {} bytes with Windows key {guid}.", shape.plaintext_len));
    Ok(())
}
