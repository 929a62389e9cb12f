//! The canonical encoding of a context.

use dkm_core::Context;

/// What is read is written back as the same bytes, and is what its pairs build.
pub(crate) fn decode(input: &[u8]) {
    let Ok(context) = Context::decode(input) else { return };
    assert_eq!(context.encode(), input, "a context has one encoding");
    let rebuilt = context
        .pairs()
        .try_fold(Context::new(), |built, (key, value)| built.with(key, value))
        .expect("what was read keeps the limits");
    assert_eq!(rebuilt, context);
    assert_eq!(rebuilt.hash(), context.hash());
}
