//! Security descriptors of the directory's objects: who may do what with a key.
//!
//! One codec for the self-relative form that LDAP carries in `nTSecurityDescriptor` (MS-DTYP §2.4) and for its text
//! form, SDDL (MS-DTYP §2.5.1); the descriptors that DKM gives its own objects ([`template`]); the comparison of an
//! object's descriptor with its template ([`check`]); and the access check that a domain controller makes
//! ([`access`]), so that an audit can say who reads a key without trying it.
//!
//! Everything here is a function of its inputs: no I/O, no clock, and no panic on any bytes.

pub mod access;
pub mod ace;
pub mod acl;
pub mod check;
pub mod descriptor;
mod error;
pub mod guid;
pub mod rights;
mod sddl;
pub mod sid;
pub mod template;
mod text;
mod wire;

pub use access::{Access, OwnerRights, Token};
pub use ace::{Ace, AceFlags, AceKind, Entry, Opaque};
pub use acl::{Acl, AclSlot};
pub use check::{Deviation, compare};
pub use descriptor::{Control, SecurityDescriptor};
pub use error::{DescriptorError, SddlError};
pub use guid::Guid;
pub use rights::AccessMask;
pub use sid::{Domain, Sid};
pub use template::{OwnerRule, Template, Trustees};
