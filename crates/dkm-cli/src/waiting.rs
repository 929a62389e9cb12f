//! Keys that wait for their activation: who was a member since they were made may know them.

use dkm::View;
use dkm_core::KeyId;
use dkm_core::ring::RingKey;

use crate::terminal::Terminal;
use crate::when;

/// The keys that are to take over some day.
pub(crate) fn keys(view: &View) -> Vec<KeyId> {
    let keys = view.ring.keys.iter();
    keys.filter(|key| key.may_ever_protect() && key.activation() > view.now).map(RingKey::id).collect()
}

/// Tells of those of the keys that still wait, and what to do about them.
pub(crate) fn warn(terminal: &Terminal, view: &View, keys: &[KeyId], advice: &str) {
    for key in keys.iter().filter_map(|id| view.ring.key(*id)) {
        let message = format!(
            "key {} waits, and takes over {}; it could be read since {} (made by {})",
            key.id(),
            when::relative(key.activation(), view.now),
            when::second(key.attested.created),
            key.attested.creator
        );
        terminal.warn("waiting-key", &message, Some(advice));
    }
}
