//! The key record: one 32-byte key, its times and its place in the chain.

use std::fmt;

use minicbor::data::Type;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use zeroize::Zeroizing;

use crate::id::{KeyGuid, KeyId, RootKeyId};
use crate::slot::SlotName;

/// What a key may be used for. Part of the derivation of its id, so that a key cannot change families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Family {
    /// DKM's own blobs.
    #[n(1)]
    Native,
    /// Windows DKM blobs (AD FS), never DKM's own. Each key has the GUID that Windows gave it.
    #[n(2)]
    Windows,
}

impl Family {
    /// The byte that stands for the family in key derivations.
    #[must_use]
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Native => 1,
            Self::Windows => 2,
        }
    }
}

/// How a key came into the ring. Only rolled keys ever protect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// Made as the group's first key or as a successor.
    #[n(0)]
    Rolled,
    /// Came back from an archive; deactivated from the start.
    #[n(1)]
    Restored,
    /// Taken over from another system; deactivated from the start.
    #[n(2)]
    Imported,
}

/// Key material wrapped under a root key: AES-256-GCM, 12-byte nonce, ciphertext and 16-byte tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedMaterial {
    /// The root key that opens it.
    pub root: RootKeyId,
    /// Nonce; its length is the provider's affair, at most 64 bytes.
    pub nonce: Vec<u8>,
    /// Ciphertext with tag, at most 4 KiB (an RSA-wrapped key takes 512).
    pub ciphertext: Vec<u8>,
}

/// The secret part of a key record.
#[derive(Clone, PartialEq, Eq)]
pub enum Material {
    /// Left out: in the encoding that a root key authenticates, and in a record's [public part](super::PublicPart).
    None,
    /// The 32 bytes themselves; the repository's access control is all that guards them.
    Plain(Zeroizing<[u8; 32]>),
    /// Wrapped under a root key.
    Wrapped(WrappedMaterial),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Plain(_) => f.write_str("Plain(..)"),
            Self::Wrapped(w) => write!(f, "Wrapped(root {})", w.root),
        }
    }
}

impl<C> Encode<C> for Material {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::None => e.null()?.ok(),
            Self::Plain(bytes) => e.bytes(bytes.as_slice())?.ok(),
            Self::Wrapped(w) => {
                e.array(3)?.bytes(w.root.as_bytes())?.bytes(&w.nonce)?.bytes(&w.ciphertext)?.ok()
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Material {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        match d.datatype()? {
            Type::Bytes => {
                let mut out = Zeroizing::new([0u8; 32]);
                let bytes = d.bytes()?;
                if bytes.len() != 32 {
                    return Err(decode::Error::message("key material is not 32 bytes"));
                }
                out.copy_from_slice(bytes);
                Ok(Self::Plain(out))
            }
            // Whoever reads a whole record refuses it.
            Type::Null => {
                d.null()?;
                Ok(Self::None)
            }
            Type::Array => {
                if d.array()? != Some(3) {
                    return Err(decode::Error::message("wrapped material is not an array of 3"));
                }
                let root = RootKeyId::decode(d, ctx)?;
                let nonce = d.bytes()?.to_vec();
                let ciphertext = d.bytes()?.to_vec();
                if nonce.len() > 64 || ciphertext.len() > 4096 {
                    return Err(decode::Error::message("wrapped material is too long"));
                }
                Ok(Self::Wrapped(WrappedMaterial { root, nonce, ciphertext }))
            }
            _ => Err(decode::Error::message("key material is neither bytes nor wrapped")),
        }
    }
}

/// A key of a group.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KeyRecord {
    /// Derived from the material, the group and the family; every reader verifies it.
    #[n(0)]
    pub id: KeyId,
    /// What the key may be used for.
    #[n(1)]
    pub family: Family,
    /// How the key came into the ring.
    #[n(2)]
    pub origin: Origin,
    /// Creation time in milliseconds since the epoch, as its author says: a hint; the repository's word counts.
    #[n(3)]
    pub created_at_ms: u64,
    /// From when the key may protect, in milliseconds since the epoch.
    #[n(4)]
    pub activates_at_ms: u64,
    /// The key it succeeds; none for a group's first key.
    #[n(5)]
    pub predecessor: Option<KeyId>,
    /// Which slot after the predecessor: earlier ones were taken by keys that could not be used.
    #[n(6)]
    pub attempt: u32,
    /// The secret.
    #[n(7)]
    pub material: Material,
    /// What Windows calls the key: exactly the keys of [`Family::Windows`] have one.
    #[n(8)]
    pub guid: Option<KeyGuid>,
}

impl KeyRecord {
    pub(super) fn check(&self) -> Result<(), String> {
        match (self.family, self.guid) {
            (Family::Native, Some(_)) => Err("a key of the native family has a Windows GUID".to_owned()),
            (Family::Windows, None) => Err("a key of the Windows family has no GUID".to_owned()),
            _ => Ok(()),
        }
    }

    /// The record without its secret.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { material: Material::None, ..self.clone() }
    }

    /// The one slot in which this record counts.
    #[must_use]
    pub fn slot(&self) -> SlotName {
        match self.origin {
            Origin::Rolled => SlotName::for_key(self.predecessor, self.attempt),
            Origin::Restored => SlotName::for_restored_key(self.id),
            Origin::Imported => SlotName::for_imported_key(self.id),
        }
    }
}
