//! Context on the command line: `-c key=value`.

use clap::Args;
use dkm_core::Context;

use crate::failure::{Failure, Result};

/// The pairs of a context.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ContextArguments {
    /// What the data is for: authenticated, not stored, and needed again to open it. Repeatable
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse_pair)]
    context: Vec<(String, String)>,
}

impl ContextArguments {
    /// The context, in whatever order the pairs were given.
    pub(crate) fn context(&self) -> Result<Context> {
        self.context.iter().try_fold(Context::new(), |context, (key, value)| {
            context.with(key, value).map_err(|error| Failure::usage(error.to_string()))
        })
    }
}

/// Splits at the first `=`: values may hold more of them.
pub(crate) fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the key is empty".to_owned()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("expected KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_pair("a").is_err());
        assert!(parse_pair("=b").is_err());
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        let twice = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
        let failure = ContextArguments { context: twice }.context().unwrap_err();
        assert_eq!((failure.exit_code, failure.message.as_str()), (2, "context has the key \"a\" twice"));
    }
}
