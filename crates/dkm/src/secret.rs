//! Key material in memory: locked, kept out of core dumps, fenced by guard pages, erased when dropped.
//!
//! The only module of the workspace that may use `unsafe`. All of it rests on one rule: a slot belongs to the vault's
//! free list or to exactly one [`Secret`], and a secret keeps its vault alive.

#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use zeroize::Zeroize;

type Slot = NonNull<[u8; 32]>;

/// How well the system lets key material be guarded in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Protection {
    /// No page that holds key material can be swapped out.
    pub locked: bool,
    /// No page that holds key material gets into a core dump.
    pub kept_out_of_dumps: bool,
    /// Bytes of locked memory.
    pub locked_bytes: usize,
    /// What the system refused, and what to do about it; none if nothing.
    pub warning: Option<String>,
}

/// Memory for 32-byte secrets: pages of their own, between pages that nobody can touch.
///
/// A page holds 128 secrets (where pages have 4 KiB) and is locked once, so that 100 000 keys take 3.2 MB of the
/// process's limit on locked memory. Where the system refuses to lock, the vault says so once and goes on.
pub(crate) struct Vault {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    pages: Vec<Page>,
    free: Vec<Slot>,
    warning: Option<String>,
}

// SAFETY: the raw pointers in `pages` and `free` are owned by this value alone: it made the memory, hands a slot to one
// secret at a time, and frees the memory when it is dropped. Nothing of it is bound to a thread.
unsafe impl Send for Inner {}

/// Memory of one system page, and how it is guarded.
struct Page {
    data: NonNull<u8>,
    len: usize,
    /// Whether it was mapped, guard pages around it, or had to come from the ordinary allocator.
    mapped: bool,
    locked: bool,
    undumped: bool,
}

impl Vault {
    /// An empty vault. Memory is taken with the first secret.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code that runs under the lock leaves the lists half-changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a copy of `bytes` into the vault. The caller erases its own.
    pub(crate) fn store(self: &Arc<Self>, bytes: &[u8; 32]) -> Secret {
        let mut inner = self.inner();
        let slot = match inner.free.pop() {
            Some(slot) => slot,
            None => inner.grow(),
        };
        drop(inner);
        // SAFETY: the slot has just left the free list, so nobody else reads or writes it; it lies whole in a readable
        // and writable page that lives as long as the vault, and any address is aligned for bytes.
        unsafe { slot.as_ptr().write(*bytes) };
        Secret { vault: self.clone(), slot }
    }

    /// How well the memory taken so far is guarded. An empty vault has nothing to complain of.
    pub(crate) fn protection(&self) -> Protection {
        let inner = self.inner();
        Protection {
            locked: inner.pages.iter().all(|p| p.locked),
            kept_out_of_dumps: inner.pages.iter().all(|p| p.undumped),
            locked_bytes: inner.pages.iter().filter(|p| p.locked).map(|p| p.len).sum(),
            warning: inner.warning.clone(),
        }
    }
}

impl Inner {
    /// Adds a page to the vault and takes a slot of it.
    fn grow(&mut self) -> Slot {
        let (page, complaint) = Page::take();
        if let (Some(complaint), None) = (complaint, &self.warning) {
            tracing::warn!("{complaint}");
            self.warning = Some(complaint);
        }
        let first = page.slot(0);
        // Backwards, so that slots are given out in ascending order.
        self.free.extend((1..page.slots()).rev().map(|i| page.slot(i)));
        self.pages.push(page);
        first
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Every secret keeps the vault alive: here all slots are free, and so erased.
        self.free.clear();
        self.pages.drain(..).for_each(Page::release);
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Page {
    /// A page of zeroes, guarded as well as the system lets us, and what it did not let.
    fn take() -> (Self, Option<String>) {
        let len = rustix::param::page_size();
        let Some(data) = Self::map(len) else {
            let why = "the system gives no memory pages for keys, so they lie in ordinary memory";
            return (Self::allocate(len), Some(why.to_owned()));
        };
        let start = data.as_ptr().cast::<c_void>();
        // SAFETY: `start` is the start of a mapped page of `len` bytes that is ours alone; advice and locking change
        // neither its content nor who may use it.
        let undumped = unsafe { keep_out_of_dumps(start, len) };
        // SAFETY: as above.
        let locked = unsafe { rustix::mm::mlock(start, len) };
        let complaint = match (locked, undumped) {
            (Err(error), _) => Some(format!(
                "keys can't be locked in memory ({error}), so they may be written to swap space: raise the limit on \
                 locked memory (ulimit -l, LimitMEMLOCK=) to 16 MiB, or encrypt the swap space"
            )),
            (_, false) => {
                Some("keys can't be kept out of core dumps: switch those off (ulimit -c 0)".to_owned())
            }
            _ => None,
        };
        (Self { data, len, mapped: true, locked: locked.is_ok(), undumped }, complaint)
    }

    /// Maps a page between two that can't be touched.
    fn map(len: usize) -> Option<NonNull<u8>> {
        let (guards, flags) = (ProtFlags::empty(), MapFlags::PRIVATE);
        // SAFETY: a new anonymous mapping at an address of the system's choice touches no memory in use.
        let start =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), 3 * len, guards, flags) }.ok()?;
        // The page in the middle: `len` bytes into a mapping of three times `len`.
        let data = start.cast::<u8>().wrapping_add(len);
        // SAFETY: the middle page of the mapping just made; nothing refers to it yet.
        let opened =
            unsafe { rustix::mm::mprotect(data.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE) };
        if opened.is_err() {
            // SAFETY: the whole mapping just made; nothing refers to it.
            let _ = unsafe { rustix::mm::munmap(start, 3 * len) };
            return None;
        }
        NonNull::new(data)
    }

    fn layout(len: usize) -> Layout {
        // A page size is a power of two, and far from the limit of a layout.
        Layout::from_size_align(len, 64).unwrap_or(Layout::new::<[u8; 4096]>())
    }

    fn allocate(len: usize) -> Self {
        let layout = Self::layout(len);
        // SAFETY: the layout is not empty.
        let data = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(data) = NonNull::new(data) else { std::alloc::handle_alloc_error(layout) };
        Self { data, len: layout.size(), mapped: false, locked: false, undumped: false }
    }

    const fn slots(&self) -> usize {
        self.len / 32
    }

    /// Slot `index`, which must be less than [`Page::slots`].
    fn slot(&self, index: usize) -> Slot {
        assert!(index < self.slots(), "a slot lies in its page");
        // SAFETY: `index` is less than len / 32, so the slot lies whole within the page.
        unsafe { self.data.cast::<[u8; 32]>().add(index) }
    }

    /// Gives the memory back.
    fn release(self) {
        let data = self.data.as_ptr();
        if self.mapped {
            let start = data.wrapping_sub(self.len).cast::<c_void>();
            // SAFETY: the mapping was made with this start and length, and no slot of it is in use any more.
            let _ = unsafe { rustix::mm::munmap(start, 3 * self.len) };
        } else {
            // SAFETY: allocated with this layout, and no slot of it is in use any more.
            unsafe { std::alloc::dealloc(data, Self::layout(self.len)) };
        }
    }
}

/// # Safety
/// `start` and `len` must name mapped pages.
unsafe fn keep_out_of_dumps(start: *mut c_void, len: usize) -> bool {
    // SAFETY: as the caller promises; this advice changes no content.
    unsafe { rustix::mm::madvise(start, len, Advice::LinuxDontDump) }.is_ok()
}

/// A secret of 32 bytes in a vault. Erased when dropped; `Debug` shows nothing.
pub(crate) struct Secret {
    vault: Arc<Vault>,
    slot: Slot,
}

// SAFETY: the slot belongs to this secret alone, and nothing of it is bound to a thread.
unsafe impl Send for Secret {}
// SAFETY: through a shared reference the slot is only read.
unsafe impl Sync for Secret {}

impl Secret {
    /// Lets `f` see the bytes where they lie. It must not keep a copy.
    pub(crate) fn expose<T>(&self, f: impl FnOnce(&[u8; 32]) -> T) -> T {
        // SAFETY: the slot belongs to this secret, was written by `store`, and lives as long as the vault that the
        // secret holds; it is written again only in `drop`, when no reference can be left.
        f(unsafe { self.slot.as_ref() })
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // SAFETY: as in `expose`; in `drop` the reference is the only one.
        unsafe { self.slot.as_mut() }.zeroize();
        self.vault.inner().free.push(self.slot);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Keeps the whole process out of core dumps and away from debuggers of the same user; what the system refused.
///
/// For programs, not for libraries: it also hides the process's own `/proc` entries from its user. Called before any
/// secret is read.
#[must_use]
pub fn harden_process() -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warnings.push(format!("this process can't be kept from debuggers and core dumps: {error}"));
    }
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(Resource::Core, none) {
        warnings.push(format!("core dumps can't be switched off: {error}"));
    }
    warnings
}

#[cfg(test)]
mod tests;
