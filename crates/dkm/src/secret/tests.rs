use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{CapabilitySet, CapabilitySets};

use super::*;

/// What lies in a slot, whoever owns it.
fn peek(slot: Slot) -> [u8; 32] {
    // SAFETY: called only while the vault lives and no other thread uses the slot.
    unsafe { slot.as_ptr().read_volatile() }
}

fn pattern(number: usize) -> [u8; 32] {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

#[test]
fn content_survives_and_nothing_shows_it() {
    let vault = Vault::new();
    let secrets: Vec<_> = (0..1000).map(|i| vault.store(&pattern(i))).collect();
    for (i, secret) in secrets.iter().enumerate() {
        secret.expose(|bytes| assert_eq!(*bytes, pattern(i)));
    }
    assert_eq!(format!("{vault:?} {:?}", secrets[0]), "Vault(..) Secret(..)");
}

#[test]
fn a_dropped_secret_is_erased_and_its_slot_used_again() {
    let vault = Vault::new();
    let kept = vault.store(&pattern(1));
    let dropped = vault.store(&pattern(2));
    let slot = dropped.slot;
    assert_eq!(peek(slot), pattern(2));
    drop(dropped);
    assert_eq!(peek(slot), [0; 32]);
    let next = vault.store(&pattern(3));
    assert_eq!(next.slot, slot);
    next.expose(|bytes| assert_eq!(*bytes, pattern(3)));
    kept.expose(|bytes| assert_eq!(*bytes, pattern(1)));
}

#[test]
fn a_secret_outlives_the_last_handle_on_its_vault() {
    let vault = Vault::new();
    let secret = vault.store(&pattern(1));
    drop(vault);
    secret.expose(|bytes| assert_eq!(*bytes, pattern(1)));
}

#[test]
fn a_full_ring_fits_and_locks_pages_not_secrets() {
    let vault = Vault::new();
    let secrets: Vec<_> = (0..100_000).map(|i| vault.store(&pattern(i))).collect();
    let page = rustix::param::page_size();
    assert_eq!(vault.inner().pages.len(), (100_000 * 32usize).div_ceil(page));
    for (i, secret) in secrets.iter().enumerate() {
        secret.expose(|bytes| assert_eq!(*bytes, pattern(i)));
    }
    let slots: std::collections::BTreeSet<_> = secrets.iter().map(|s| s.slot).collect();
    assert_eq!(slots.len(), secrets.len());
}

/// The flags that the kernel shows for the mapping in which `address` lies, and whether its neighbours are closed.
fn kernel_view(address: usize) -> (Vec<String>, bool) {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut mappings: Vec<(usize, usize, String, Vec<String>)> = Vec::new();
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let head = words.next().unwrap();
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            mappings.last_mut().unwrap().3 = flags.split_whitespace().map(str::to_owned).collect();
        } else if let Some((start, end)) = head.split_once('-') {
            let (start, end) =
                (usize::from_str_radix(start, 16).unwrap(), usize::from_str_radix(end, 16).unwrap());
            mappings.push((start, end, words.next().unwrap().to_owned(), Vec::new()));
        }
    }
    let closed_at = |at: usize| {
        mappings.iter().any(|(start, end, mode, _)| (*start..*end).contains(&at) && mode == "---p")
    };
    let (start, end, _, flags) =
        mappings.iter().find(|(start, end, ..)| (*start..*end).contains(&address)).unwrap();
    (flags.clone(), closed_at(start - 1) && closed_at(*end))
}

#[test]
fn the_kernel_says_locked_undumped_and_fenced() {
    let vault = Vault::new();
    let secret = vault.store(&pattern(1));
    let protection = vault.protection();
    let (flags, fenced) = kernel_view(secret.slot.as_ptr() as usize);
    assert!(flags.iter().any(|f| f == "dd"), "{flags:?}");
    assert!(protection.kept_out_of_dumps);
    // Where the machine that runs the test allows no locking at all, the vault must have said so.
    assert_eq!(flags.iter().any(|f| f == "lo"), protection.locked, "{flags:?} {protection:?}");
    assert_eq!(protection.locked, protection.warning.is_none());
    assert_eq!(protection.locked_bytes, if protection.locked { rustix::param::page_size() } else { 0 });
    assert!(fenced);
}

#[test]
fn memory_from_the_ordinary_allocator_works_too() {
    let page = Page::allocate(rustix::param::page_size());
    assert!(!page.locked && !page.undumped);
    for i in 0..page.slots() {
        assert_eq!(peek(page.slot(i)), [0; 32]);
    }
    page.release();
}

/// Counts warnings.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn without_leave_to_lock_it_warns_once_and_works() {
    const CHILD: &str = "DKM_TEST_NO_LOCKING";
    if std::env::var_os(CHILD).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secret::tests::without_leave_to_lock_it_warns_once_and_works", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    // Root may lock beyond any limit: give the capability up.
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).unwrap();
    rustix::process::setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let vault = Vault::new();
    tracing::subscriber::with_default(Warnings(count.clone()), || {
        let secrets: Vec<_> = (0..1000).map(|i| vault.store(&pattern(i))).collect();
        for (i, secret) in secrets.iter().enumerate() {
            secret.expose(|bytes| assert_eq!(*bytes, pattern(i)));
        }
    });
    let protection = vault.protection();
    assert!(!protection.locked && protection.kept_out_of_dumps, "{protection:?}");
    assert_eq!(protection.locked_bytes, 0);
    assert!(protection.warning.unwrap().contains("ulimit -l"));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn many_threads_share_a_vault() {
    let vault = Vault::new();
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let vault = &vault;
            scope.spawn(move || {
                let mut held = std::collections::VecDeque::new();
                for i in 0..5000 {
                    let number = thread * 10_000 + i;
                    held.push_back((number, vault.store(&pattern(number))));
                    if held.len() > 50 {
                        let (number, secret) = held.pop_front().unwrap();
                        secret.expose(|bytes| assert_eq!(*bytes, pattern(number)));
                    }
                }
            });
        }
    });
    // At most 8 × 51 were alive at once: slots were used again.
    assert!(vault.inner().pages.len() <= 408usize.div_ceil(rustix::param::page_size() / 32));
    let inner = vault.inner();
    assert!(inner.free.iter().all(|slot| peek(*slot) == [0; 32]));
    assert_eq!(inner.free.len(), inner.pages.iter().map(Page::slots).sum::<usize>());
}

#[test]
fn a_hardened_process_leaves_no_core() {
    const CHILD: &str = "DKM_TEST_HARDENED";
    if std::env::var_os(CHILD).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secret::tests::a_hardened_process_leaves_no_core", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    assert_eq!(harden_process(), Vec::<String>::new());
    assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
}
