//! Signatures that were found good, so that the same one is not computed again with each use of a grant.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use dkm_core::Digest;

use crate::answer::verify_sshsig;

/// Most signatures that are remembered.
const MAX: usize = 65_536;

/// Remembers which signatures are good. What it is asked is all that a signature depends on: key, namespace, message and
/// signature, each bit of them, so that an answer is as good as another computation. What is not good is not remembered.
#[derive(Debug, Default)]
pub struct Memo(Mutex<BTreeSet<Digest>>);

impl Memo {
    /// [`verify_sshsig`], remembered.
    #[must_use]
    pub fn verify(&self, line: &str, namespace: &str, message: &[u8], armored: &str) -> bool {
        let asked = asked(&[line.as_bytes(), namespace.as_bytes(), message, armored.as_bytes()]);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&asked) {
            return true;
        }
        let good = verify_sshsig(line, namespace, message, armored);
        if good {
            let mut known = known();
            if known.len() >= MAX {
                known.clear();
            }
            known.insert(asked);
        }
        good
    }
}

fn asked(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        // With its length, so that no two questions are the same bytes.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    Digest(out)
}
