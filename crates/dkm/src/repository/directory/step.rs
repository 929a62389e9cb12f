//! Steps at which a test may kill this process, or let the kernel fail.

use rustix::io::Errno;

/// Marks a call that changes something on the disk, right before it.
///
/// # Errors
/// None but what a test of this module asks for.
#[cfg_attr(not(test), allow(clippy::unnecessary_wraps))]
pub(super) fn step(name: &'static str) -> Result<(), Errno> {
    crate::steps::step(name);
    #[cfg(test)]
    testing::pass(name)?;
    Ok(())
}

/// What this thread's steps were, and which of them shall fail.
#[cfg(test)]
pub(super) mod testing {
    use std::cell::RefCell;

    use rustix::io::Errno;

    #[derive(Default)]
    struct Script {
        passed: Vec<&'static str>,
        fail: Option<(usize, Errno)>,
    }

    thread_local! {
        static SCRIPT: RefCell<Script> = RefCell::default();
    }

    pub(super) fn pass(name: &'static str) -> Result<(), Errno> {
        SCRIPT.with_borrow_mut(|script| {
            script.passed.push(name);
            match script.fail {
                Some((n, errno)) if n == script.passed.len() => Err(errno),
                _ => Ok(()),
            }
        })
    }

    /// Runs something whose n-th step, counted from 1, fails; its result and its steps.
    pub(in super::super) fn run<T>(
        fail: Option<(usize, Errno)>,
        act: impl FnOnce() -> T,
    ) -> (T, Vec<&'static str>) {
        SCRIPT.set(Script { passed: Vec::new(), fail });
        let result = act();
        (result, SCRIPT.take().passed)
    }
}
