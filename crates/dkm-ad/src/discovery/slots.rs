//! Which domain controller stands behind which number, and putting another in the place of one that has gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use super::that_answer;
use crate::url::{AdUrl, Controller};

/// How long after one look DNS is left in peace, however many domain controllers fail meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(300);

/// The domain controllers of a repository by the numbers of its replicas. How many there are never changes: a client
/// has counted them. Where DNS named them, one that can't be reached gives its place to another that can.
#[derive(Debug)]
pub(crate) struct Slots {
    controllers: RwLock<Vec<Controller>>,
    looks: Mutex<Looks>,
}

#[derive(Debug, Default)]
struct Looks {
    last: Option<Instant>,
    /// Numbers whose domain controllers could not be reached when they were last tried.
    failing: BTreeSet<usize>,
}

impl Slots {
    pub(crate) fn new(controllers: Vec<Controller>) -> Arc<Self> {
        Arc::new(Self { controllers: RwLock::new(controllers), looks: Mutex::default() })
    }

    pub(crate) fn all(&self) -> Vec<Controller> {
        self.controllers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn get(&self, number: usize) -> Option<Controller> {
        self.controllers.read().unwrap_or_else(PoisonError::into_inner).get(number).cloned()
    }

    fn looks(&self) -> std::sync::MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that one was reached.
    pub(crate) fn works(&self, number: usize) {
        self.looks().failing.remove(&number);
    }

    /// Notes that one can't be reached. If DNS named it, DNS is asked again, behind the caller's back: he has waited long
    /// enough, and finds another in its place the next time.
    pub(crate) fn fails(self: &Arc<Self>, number: usize, url: &AdUrl) {
        if !url.controllers.is_empty() {
            return;
        }
        let mut looks = self.looks();
        looks.failing.insert(number);
        if looks.last.is_some_and(|last| last.elapsed() < LOOK_EVERY) {
            return;
        }
        looks.last = Some(Instant::now());
        drop(looks);
        let (slots, url) = (self.clone(), url.clone());
        let looks = thread::Builder::new().name("dkm-ad discovery".to_owned());
        // Without a thread it is tried again after a while.
        let _ = looks.spawn(move || match that_answer(&url) {
            Ok(found) => slots.take_in(found),
            Err(why) => {
                tracing::warn!(domain = url.domain, why, "domain controllers can't be looked up again")
            }
        });
    }

    /// Puts what was found in the places of those that fail and were not found.
    fn take_in(&self, found: Vec<Controller>) {
        let mut looks = self.looks();
        let mut controllers = self.controllers.write().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Controller> = found
            .iter()
            .filter(|found| !controllers.iter().any(|known| known.host == found.host))
            .cloned()
            .collect();
        let gone: Vec<usize> = looks.failing.iter().copied().collect();
        let gone = gone.into_iter().filter(|number| {
            controllers
                .get(*number)
                .is_some_and(|failing| !found.iter().any(|found| found.host == failing.host))
        });
        for (number, new) in gone.collect::<Vec<_>>().into_iter().zip(new) {
            if let Some(place) = controllers.get_mut(number) {
                tracing::info!(
                    replica = number,
                    from = place.host,
                    to = new.host,
                    "another domain controller"
                );
                *place = new;
                looks.failing.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &[&str]) -> Vec<Controller> {
        hosts.iter().map(|host| host.parse().unwrap()).collect()
    }

    fn hosts(slots: &Slots) -> Vec<String> {
        slots.all().into_iter().map(|controller| controller.host).collect()
    }

    #[test]
    fn only_what_fails_and_is_not_found_gives_its_place() {
        // What a list names keeps its place, and nobody asks DNS.
        let listed: AdUrl = "ad://example.com?dc=a,b,c".parse().unwrap();
        let slots = Slots::new(listed.controllers.clone());
        slots.fails(1, &listed);
        slots.take_in(of(&["x", "y"]));
        assert_eq!(hosts(&slots), ["a", "b", "c"]);

        slots.looks().failing.extend([1, 2]);
        slots.works(2);
        slots.take_in(of(&["x", "a", "c"]));
        assert_eq!(hosts(&slots), ["a", "x", "c"], "c is reached, b is not");
        slots.take_in(of(&["y"]));
        assert_eq!(hosts(&slots), ["a", "x", "c"], "x was not tried yet");

        slots.looks().failing.extend([0, 1]);
        slots.take_in(of(&["x", "y"]));
        assert_eq!(hosts(&slots), ["y", "x", "c"], "x was found, so that it may answer again");
        // There are as many as ever.
        slots.looks().failing.extend([0, 1, 2]);
        slots.take_in(of(&[]));
        slots.take_in(of(&["p", "q", "r", "s"]));
        assert_eq!(hosts(&slots), ["p", "q", "r"]);
    }
}
