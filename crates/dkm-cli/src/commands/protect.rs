//! `dkm protect`

use clap::Args;

use crate::context_pair::ContextArguments;
use crate::failure::{Failure, Result};
use crate::input::InputArguments;
use crate::output_file::OutputArguments;
use crate::shape::StreamShape;
use crate::shell::Shell;

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
}

pub(crate) fn run(arguments: &Arguments, shell: &Shell) -> Result {
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
