//! A group's handle: protect, unprotect, and what its owners do.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use dkm_core::policy::Policy;
use dkm_core::record::RosterRecord;
use dkm_core::roster::RosterVersion;
use dkm_core::windows::WindowsKey;
use dkm_core::{Context, GroupId, KeyGuid, KeyId, Plaintext};

use crate::background::Background;
use crate::engine::{
    Compromise, Compromised, Destruction, Engine, Need, NewKey, Override, Ranges, Reprotected, Rolled,
    Rosters, Streamed, WindowsImport,
};
use crate::view::View;
use crate::{Error, Result};

/// A group in this process. Clones share keys and refreshes.
#[derive(Debug, Clone)]
pub struct Group {
    shared: Arc<Shared>,
    overriding: Option<Override>,
}

#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    /// Ends with the last handle.
    _background: Option<Background>,
}

impl Group {
    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        let background = engine.parts.background.then(|| Background::start(&engine)).flatten();
        Self { shared: Arc::new(Shared { engine, _background: background }), overriding: None }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The group's id.
    #[must_use]
    pub fn id(&self) -> GroupId {
        self.engine().group
    }

    /// The group's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.engine().name()
    }

    /// Protects a plaintext. `context` must be given again, exactly, to open the blob; it is not stored in it.
    ///
    /// With the key in memory this makes no system call but for randomness, and takes no lock.
    ///
    /// # Errors
    /// [`Error::Protect`] says why there is no key to protect with.
    pub fn protect(&self, context: &Context, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.engine().protect(context, plaintext)
    }

    /// Opens a blob. Nothing is returned unless every byte is authentic.
    ///
    /// # Errors
    /// [`Error::Unprotect`] if its key may not be used, [`Error::Blob`] if it is damaged or the context is another.
    pub fn unprotect(&self, context: &Context, blob: &[u8]) -> Result<Plaintext> {
        self.engine().unprotect(context, blob, self.overriding.as_ref())
    }

    /// As [`Group::protect`], into memory that is there: `out` is overwritten, and grows only if it must. On an error
    /// `out` is empty.
    ///
    /// # Errors
    /// As [`Group::protect`].
    pub fn protect_into(&self, context: &Context, plaintext: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let result = self.engine().protect_into(context, plaintext, out);
        if result.is_err() {
            out.clear();
        }
        result
    }

    /// As [`Group::unprotect`], into memory that is there: what `out` held is erased, and it grows only if it must.
    /// On an error `out` is empty.
    ///
    /// # Errors
    /// As [`Group::unprotect`].
    pub fn unprotect_into(&self, context: &Context, blob: &[u8], out: &mut Plaintext) -> Result<()> {
        self.engine().unprotect_into(context, blob, out, self.overriding.as_ref())
    }

    /// Protects everything that `reader` gives, chunks in parallel, in bounded memory.
    ///
    /// # Errors
    /// As [`Group::protect`]; [`Error::Blob`] with what reader or writer said. What was written by then is no blob.
    pub fn protect_stream(
        &self,
        context: &Context,
        reader: impl Read + Send,
        writer: impl Write,
    ) -> Result<Streamed> {
        self.engine().protect_stream(context, reader, writer)
    }

    /// Opens a blob from a reader, chunks in parallel, in bounded memory.
    ///
    /// Each chunk is written as soon as it is authentic: that the blob was cut off is noticed only at its end. **After
    /// an error, what was written must be let go of.** Where that is impossible, use [`Group::unprotect`] or a
    /// file, and release it at the end. If this account is turned away meanwhile, nothing more is written.
    ///
    /// # Errors
    /// As [`Group::unprotect`].
    pub fn unprotect_stream(
        &self,
        context: &Context,
        reader: impl Read + Send,
        writer: impl Write,
    ) -> Result<Streamed> {
        self.engine().unprotect_stream(context, reader, writer, self.overriding.as_ref())
    }

    /// Opens a blob for reading ranges of it. Its last chunk is authenticated first.
    ///
    /// # Errors
    /// As [`Group::unprotect`].
    pub fn open_seekable<R: Read + Seek>(&self, context: &Context, reader: R) -> Result<Ranges<R>> {
        let reader = self.engine().open_seekable(context, reader, self.overriding.as_ref())?;
        Ok(Ranges::new(reader, self.shared.engine.clone()))
    }

    /// Protects a blob's content anew, if it has not the key and suite that protect now.
    ///
    /// # Errors
    /// As [`Group::unprotect`] and [`Group::protect`]. A blob of a compromised key may be forged: it is refused unless
    /// the handle overrides.
    pub fn reprotect(&self, context: &Context, blob: &[u8]) -> Result<Reprotected> {
        self.engine().reprotect(context, blob, self.overriding.as_ref())
    }

    /// Opens a Windows DKM blob with a key that was imported from there. Such a blob has neither context nor group:
    /// whoever can write blobs can put one in another's place.
    ///
    /// # Errors
    /// [`Error::Windows`] if it is none or is damaged, [`Error::NoWindowsKey`], [`Error::Unprotect`] if its key may not
    /// be used.
    pub fn unprotect_windows(&self, blob: &[u8]) -> Result<Plaintext> {
        self.engine().unprotect_windows(blob, self.overriding.as_ref())
    }

    /// Makes a Windows DKM blob with an imported key, for programs that read nothing else. Everybody else is better
    /// served by [`Group::protect`]: imported keys are not rolled, and these blobs have no context.
    ///
    /// # Errors
    /// [`Error::NoWindowsKey`]; [`Error::Refused`] if the key's state or its author forbids it; [`Error::Windows`] if
    /// the plaintext is too long.
    pub fn protect_windows(&self, key: KeyGuid, plaintext: &[u8]) -> Result<Vec<u8>> {
        self.engine().protect_windows(key, plaintext)
    }

    /// The content of a Windows DKM blob in a blob of the group's own, under the key that protects now.
    ///
    /// # Errors
    /// As [`Group::unprotect_windows`] and [`Group::protect`].
    pub fn reprotect_windows(&self, context: &Context, blob: &[u8]) -> Result<Vec<u8>> {
        let plaintext = self.unprotect_windows(blob)?;
        self.protect(context, &plaintext)
    }

    /// Takes keys of Windows DKM onto the ring, as archived keys: they open Windows blobs and never protect anything of
    /// the group's own. Keys that are there already are left alone, so an import that was interrupted is run again.
    ///
    /// Only the repository decides who may do this: it needs the right to add keys. Each key is recorded before it is
    /// written.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the keys contradict each other; [`Error::Refused`] if they contradict the ring; the
    /// repository or the journal fails.
    pub fn import_windows(&self, keys: Vec<WindowsKey>, reason: &str) -> Result<WindowsImport> {
        self.engine().import_windows(keys, reason)
    }

    /// A handle that opens blobs of compromised keys too. Each such use is recorded with `reason` before it happens.
    ///
    /// # Errors
    /// An empty reason, or one of more than 4 KiB.
    pub fn overriding(&self, reason: &str) -> Result<Self> {
        if reason.trim().is_empty() || reason.len() > 4096 {
            return Err(Error::Invalid(
                "an override needs a reason of 1 to 4096 bytes, which is recorded".to_owned(),
            ));
        }
        Ok(Self { shared: self.shared.clone(), overriding: Some(Override { reason: reason.to_owned() }) })
    }

    /// Reads all replicas now, and makes a key if one is due.
    ///
    /// # Errors
    /// No replica answers, or this account was denied.
    pub fn refresh(&self) -> Result<()> {
        self.engine().refresh(Need::Fresh)?;
        self.engine().drive();
        Ok(())
    }

    /// Everything there is to tell about the group.
    ///
    /// # Errors
    /// The group was not read, or this account was denied.
    pub fn view(&self) -> Result<View> {
        let mut view = self.engine().view()?;
        view.access = self.engine().look(|replica| replica.describe_access(self.id())).unwrap_or_default();
        Ok(view)
    }

    /// The policy in force.
    ///
    /// # Errors
    /// As [`Group::view`].
    pub fn policy(&self) -> Result<Policy> {
        self.engine().policy()
    }

    /// Puts a policy in force, as an owner; returns its version.
    ///
    /// # Errors
    /// [`Error::Policy`], [`Error::Invalid`] for archive recipients that are none, [`Error::NoRight`], [`Error::Refused`] if
    /// another owner was faster, or if the policy would lock its author out: its owners leave out this account, or its
    /// creators the maker of the key that protects.
    pub fn set_policy(&self, policy: Policy) -> Result<u32> {
        self.engine().set_policy(policy, false)
    }

    /// As [`Group::set_policy`], even if this account could not change it back or the key that protects would count for
    /// nothing: for who hands a group over.
    ///
    /// # Errors
    /// As [`Group::set_policy`], but for those.
    pub fn set_policy_even_if_locked_out(&self, policy: Policy) -> Result<u32> {
        self.engine().set_policy(policy, true)
    }

    /// Whether [`Group::set_policy`] would put a policy in force. Nothing is changed.
    ///
    /// # Errors
    /// As [`Group::set_policy`].
    pub fn check_policy(&self, policy: &Policy) -> Result<()> {
        self.engine().check_policy(policy, false)
    }

    /// The group's rosters and policies, read now: who lets people in, and which versions count. `verify` tells whether a
    /// signature over a message was made with the key of an OpenSSH line; `dkm-lockbox` has one.
    ///
    /// # Errors
    /// No replica answers, or this account was denied.
    pub fn rosters(&self, verify: &dyn Fn(&str, &[u8], &str) -> bool) -> Result<Rosters> {
        self.engine().rosters(verify)
    }

    /// Writes the next version of the roster, as an owner. Its signatures count, not who writes it: what lacks one is
    /// refused here, and would be ignored by every reader.
    ///
    /// # Errors
    /// [`Error::NoRight`]; [`Error::Refused`] if it follows another version than the last, its signatures do not satisfy
    /// that one's levels, or another was faster; [`Error::Invalid`] for a roster that can't be; the journal fails.
    pub fn set_roster(
        &self,
        roster: &RosterRecord,
        verify: &dyn Fn(&str, &[u8], &str) -> bool,
    ) -> Result<RosterVersion> {
        self.engine().set_roster(roster, verify)
    }

    /// Makes a successor now; it protects after the activation delay. A key that waits already is returned instead.
    ///
    /// Keys that wait were readable by all who were members since they were made. After somebody has left,
    /// [`Group::roll_fresh`] is what you want.
    ///
    /// # Errors
    /// [`Error::NoRight`]; the repository fails.
    pub fn roll(&self, reason: &str) -> Result<NewKey> {
        self.engine().roll(reason)
    }

    /// Makes a successor even if a key waits already, and archives all that wait, as an owner: nobody who could read the
    /// group's keys until now, and can't any more, knows the key that takes over.
    ///
    /// # Errors
    /// As [`Group::roll`] and [`Group::suspend`].
    pub fn roll_fresh(&self, reason: &str) -> Result<Rolled> {
        self.engine().roll_fresh(reason)
    }

    /// Stops a key from protecting until it is resumed; it still opens blobs.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::NoRight`], [`Error::Refused`].
    pub fn suspend(&self, key: KeyId, reason: &str) -> Result<()> {
        self.engine().suspend(key, reason)
    }

    /// Cancels a key's suspensions, and a destruction that has not happened yet.
    ///
    /// # Errors
    /// As [`Group::suspend`].
    pub fn resume(&self, key: KeyId, reason: &str) -> Result<()> {
        self.engine().resume(key, reason)
    }

    /// Says that others may know a key: its blobs may be forged, and open only by a handle that overrides. If the key
    /// protects, its replacement is made usable first and protects at once, and the keys that wait for their activation
    /// are compromised too: they were there to be read by the same people, and would take over later.
    ///
    /// # Errors
    /// As [`Group::suspend`].
    pub fn compromise(&self, key: KeyId, reason: &str) -> Result<Compromised> {
        self.engine().compromise(key, reason, Compromise::default())
    }

    /// As [`Group::compromise`], but keys that wait for their activation stay as they are: for who knows that they were
    /// not read.
    ///
    /// # Errors
    /// As [`Group::suspend`].
    pub fn compromise_alone(&self, key: KeyId, reason: &str) -> Result<Compromised> {
        self.engine().compromise(key, reason, Compromise { keep_waiting: true, ..Compromise::default() })
    }

    /// As [`Group::compromise`], as `how` says.
    ///
    /// # Errors
    /// As [`Group::suspend`].
    pub fn compromise_as(&self, key: KeyId, reason: &str, how: Compromise) -> Result<Compromised> {
        self.engine().compromise(key, reason, how)
    }

    /// Begins the destruction of an archived key, or goes on with it as far as its waiting times allow.
    ///
    /// # Errors
    /// As [`Group::suspend`]; [`Error::Refused`] says how long to wait.
    pub fn destroy(&self, key: KeyId, reason: &str) -> Result<Destruction> {
        self.engine().destroy(key, reason)
    }

    /// Destroys a key at once. `typed` is the whole key id, typed by a person.
    ///
    /// # Errors
    /// As [`Group::suspend`]; the id was not typed, or the key protects now.
    pub fn destroy_now(&self, key: KeyId, typed: &str, reason: &str) -> Result<Destruction> {
        self.engine().destroy_now(key, typed, reason)
    }

    /// Where this group's repository is.
    #[must_use]
    pub fn url(&self) -> String {
        self.engine().parts.repository.url()
    }
}
