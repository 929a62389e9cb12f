//! Security identifiers (MS-DTYP §2.4.2): who a trustee is.

use std::fmt;
use std::str::FromStr;

use super::{DescriptorError, SddlError, wire};

/// The most sub-authorities a SID has (MS-DTYP §2.4.2.2).
pub const MAX_SUB_AUTHORITIES: usize = 15;
/// The largest identifier authority: six bytes.
const MAX_AUTHORITY: u64 = (1 << 48) - 1;

/// A principal of Windows: an account, a group, or one of the well-known ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    authority: u64,
    count: u8,
    // Behind `count` all zero, so that the derived comparisons hold.
    sub: [u32; MAX_SUB_AUTHORITIES],
}

/// Domain-relative identifiers (MS-DTYP §2.4.2.4).
pub mod rid {
    /// Enterprise Read-only Domain Controllers, of the forest root domain.
    pub const ENTERPRISE_READ_ONLY_DOMAIN_CONTROLLERS: u32 = 498;
    /// The built-in Administrator account.
    pub const ADMINISTRATOR: u32 = 500;
    /// The built-in Guest account.
    pub const GUEST: u32 = 501;
    /// The key distribution centre's account: its password forges any ticket.
    pub const KRBTGT: u32 = 502;
    /// Domain Admins.
    pub const DOMAIN_ADMINS: u32 = 512;
    /// Domain Users.
    pub const DOMAIN_USERS: u32 = 513;
    /// Domain Guests.
    pub const DOMAIN_GUESTS: u32 = 514;
    /// Domain Computers.
    pub const DOMAIN_COMPUTERS: u32 = 515;
    /// Domain Controllers.
    pub const DOMAIN_CONTROLLERS: u32 = 516;
    /// Cert Publishers.
    pub const CERT_PUBLISHERS: u32 = 517;
    /// Schema Admins, of the forest root domain.
    pub const SCHEMA_ADMINS: u32 = 518;
    /// Enterprise Admins, of the forest root domain.
    pub const ENTERPRISE_ADMINS: u32 = 519;
    /// Group Policy Creator Owners.
    pub const GROUP_POLICY_CREATOR_OWNERS: u32 = 520;
    /// Read-only Domain Controllers.
    pub const READ_ONLY_DOMAIN_CONTROLLERS: u32 = 521;
    /// Cloneable Domain Controllers.
    pub const CLONEABLE_DOMAIN_CONTROLLERS: u32 = 522;
    /// Protected Users.
    pub const PROTECTED_USERS: u32 = 525;
    /// Key Admins.
    pub const KEY_ADMINS: u32 = 526;
    /// Enterprise Key Admins, of the forest root domain.
    pub const ENTERPRISE_KEY_ADMINS: u32 = 527;
    /// RAS and IAS Servers.
    pub const RAS_SERVERS: u32 = 553;
}

impl Sid {
    /// Everyone, `S-1-1-0`.
    pub const EVERYONE: Self = Self::known(1, &[0]);
    /// CREATOR OWNER, `S-1-3-0`: replaced by the owner when a child inherits.
    pub const CREATOR_OWNER: Self = Self::known(3, &[0]);
    /// CREATOR GROUP, `S-1-3-1`.
    pub const CREATOR_GROUP: Self = Self::known(3, &[1]);
    /// OWNER RIGHTS, `S-1-3-4`: what the owner may do, in place of the implicit READ_CONTROL and WRITE_DAC.
    pub const OWNER_RIGHTS: Self = Self::known(3, &[4]);
    /// NETWORK, `S-1-5-2`.
    pub const NETWORK: Self = Self::known(5, &[2]);
    /// INTERACTIVE, `S-1-5-4`.
    pub const INTERACTIVE: Self = Self::known(5, &[4]);
    /// SERVICE, `S-1-5-6`.
    pub const SERVICE: Self = Self::known(5, &[6]);
    /// ANONYMOUS LOGON, `S-1-5-7`.
    pub const ANONYMOUS: Self = Self::known(5, &[7]);
    /// Enterprise Domain Controllers, `S-1-5-9`.
    pub const ENTERPRISE_DOMAIN_CONTROLLERS: Self = Self::known(5, &[9]);
    /// PRINCIPAL SELF, `S-1-5-10`: the object itself, when the object is a principal.
    pub const SELF: Self = Self::known(5, &[10]);
    /// Authenticated Users, `S-1-5-11`.
    pub const AUTHENTICATED_USERS: Self = Self::known(5, &[11]);
    /// RESTRICTED, `S-1-5-12`.
    pub const RESTRICTED: Self = Self::known(5, &[12]);
    /// LOCAL SYSTEM, `S-1-5-18`: on a domain controller the directory itself.
    pub const SYSTEM: Self = Self::known(5, &[18]);
    /// LOCAL SERVICE, `S-1-5-19`.
    pub const LOCAL_SERVICE: Self = Self::known(5, &[19]);
    /// NETWORK SERVICE, `S-1-5-20`.
    pub const NETWORK_SERVICE: Self = Self::known(5, &[20]);
    /// The domain controller's own Administrators, `S-1-5-32-544`.
    pub const BUILTIN_ADMINISTRATORS: Self = Self::builtin(544);

    const fn known(authority: u64, sub: &[u32]) -> Self {
        let mut sid = Self { authority, count: 0, sub: [0; MAX_SUB_AUTHORITIES] };
        while (sid.count as usize) < sub.len() {
            sid.sub[sid.count as usize] = sub[sid.count as usize];
            sid.count += 1;
        }
        sid
    }

    /// An alias of the `BUILTIN` domain, `S-1-5-32-…`.
    #[must_use]
    pub const fn builtin(rid: u32) -> Self {
        Self::known(5, &[32, rid])
    }

    /// A SID of these parts.
    ///
    /// # Errors
    /// More than [`MAX_SUB_AUTHORITIES`], or an authority of more than 48 bits.
    pub fn new(authority: u64, sub_authorities: &[u32]) -> Result<Self, DescriptorError> {
        if sub_authorities.len() > MAX_SUB_AUTHORITIES {
            return Err(DescriptorError::SubAuthorities { found: sub_authorities.len() });
        }
        if authority > MAX_AUTHORITY {
            return Err(DescriptorError::TooLong { what: "SID's authority" });
        }
        Ok(Self::known(authority, sub_authorities))
    }

    /// The identifier authority: 5 is Windows NT.
    #[must_use]
    pub const fn authority(&self) -> u64 {
        self.authority
    }

    /// The sub-authorities; the last one is the RID.
    #[must_use]
    pub fn sub_authorities(&self) -> &[u32] {
        &self.sub[..usize::from(self.count)]
    }

    /// The last sub-authority: in a domain's SID space, the account.
    #[must_use]
    pub fn rid(&self) -> Option<u32> {
        self.sub_authorities().last().copied()
    }

    /// This SID with one more sub-authority: an account of this domain. `None` if there is no room.
    #[must_use]
    pub fn child(&self, rid: u32) -> Option<Self> {
        let mut child = *self;
        *child.sub.get_mut(usize::from(self.count))? = rid;
        child.count += 1;
        Some(child)
    }

    /// This SID without its last sub-authority: the account's domain. `None` if it has none.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let mut parent = *self;
        parent.count = self.count.checked_sub(1)?;
        parent.sub[usize::from(parent.count)] = 0;
        Some(parent)
    }

    /// How many bytes [`to_bytes`](Self::to_bytes) gives: 8 to 68.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        8 + 4 * usize::from(self.count)
    }

    /// The bytes that `objectSid` and a descriptor hold.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_len());
        self.write(&mut bytes);
        bytes
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend([1, self.count]);
        out.extend(&self.authority.to_be_bytes()[2..]);
        for sub in self.sub_authorities() {
            out.extend(sub.to_le_bytes());
        }
    }

    /// The SID that these bytes are, all of them.
    ///
    /// # Errors
    /// Any other revision than 1, more than 15 sub-authorities, too few or too many bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, DescriptorError> {
        let sid = Self::read("SID", bytes, 0)?;
        if sid.encoded_len() != bytes.len() {
            return Err(DescriptorError::Length { what: "SID", found: bytes.len() });
        }
        Ok(sid)
    }

    pub(super) fn read(what: &'static str, bytes: &[u8], at: usize) -> Result<Self, DescriptorError> {
        let [revision, count, authority @ ..] = wire::array::<8>(what, bytes, at)?;
        if revision != 1 {
            return Err(DescriptorError::Revision { what, found: revision });
        }
        let found = usize::from(count);
        if found > MAX_SUB_AUTHORITIES {
            return Err(DescriptorError::SubAuthorities { found });
        }
        let [a, b, c, d, e, f] = authority;
        let authority = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        let mut sid = Self { authority, count, sub: [0; MAX_SUB_AUTHORITIES] };
        for (index, sub) in sid.sub.iter_mut().take(found).enumerate() {
            *sub = wire::u32_at(what, bytes, at + 8 + 4 * index)?;
        }
        Ok(sid)
    }
}

/// `S-1-…`; an authority of more than 32 bits stands in hexadecimal (MS-DTYP §2.4.2.1).
impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.authority > u64::from(u32::MAX) {
            write!(f, "S-1-0x{:012X}", self.authority)?;
        } else {
            write!(f, "S-1-{}", self.authority)?;
        }
        self.sub_authorities().iter().try_for_each(|sub| write!(f, "-{sub}"))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sid({self})")
    }
}

/// `S-1-…` only; abbreviations stand in SDDL alone, because some need a domain.
impl FromStr for Sid {
    type Err = SddlError;

    fn from_str(text: &str) -> Result<Self, SddlError> {
        let mut cursor = super::text::Cursor::new(text);
        let sid = cursor.sid_number()?;
        cursor.end()?;
        Ok(sid)
    }
}

/// The domain in which an abbreviation such as `DA` is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Domain {
    /// The domain's own SID.
    pub sid: Sid,
    /// The forest root domain's SID: `EA` and `SA` live there (MS-DTYP §2.4.2.4).
    pub forest_root: Sid,
}

impl Domain {
    /// The only domain of its forest, or its root.
    #[must_use]
    pub const fn single(sid: Sid) -> Self {
        Self { sid, forest_root: sid }
    }

    /// An account or group of the domain. `None` if the domain's SID has no room for one: it is no domain's.
    #[must_use]
    pub fn account(&self, rid: u32) -> Option<Sid> {
        self.sid.child(rid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_say_the_same() {
        let sid: Sid = "S-1-5-21-1-2-4294967295-512".parse().unwrap();
        assert_eq!(sid.rid(), Some(rid::DOMAIN_ADMINS));
        assert_eq!(sid.to_string(), "S-1-5-21-1-2-4294967295-512");
        let bytes = sid.to_bytes();
        assert_eq!(
            bytes,
            [1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255, 0, 2, 0, 0]
        );
        assert_eq!(Sid::parse(&bytes), Ok(sid));
        assert_eq!(sid.parent().and_then(|domain| domain.child(512)), Some(sid));
        assert_eq!(sid.parent().unwrap(), "S-1-5-21-1-2-4294967295".parse().unwrap());
    }

    #[test]
    fn a_large_authority_is_hexadecimal() {
        let sid = Sid::new(0x1234_5678_9abc, &[7]).unwrap();
        assert_eq!(sid.to_string(), "S-1-0x123456789ABC-7");
        assert_eq!("S-1-0x123456789abc-7".parse(), Ok(sid));
        assert_eq!("S-1-0x5-18".parse(), Ok(Sid::SYSTEM));
        assert_eq!(Sid::parse(&sid.to_bytes()), Ok(sid));
        assert_eq!(Sid::new(u64::from(u32::MAX), &[]).unwrap().to_string(), "S-1-4294967295");
    }

    #[test]
    fn what_is_no_sid_is_refused() {
        for text in [
            "",
            "S-1",
            "S-1-",
            "S-1-5-",
            "S-2-5-1",
            "s-1-5-1",
            "S-1-5-4294967296",
            "S-1-5--1",
            "S-1-5-1 ",
            "S-1-05-1",
            "S-1-5-01",
            "S-1-0x-1",
            "S-1-0x123456789abcd-1",
            "S-1-0x+12-1",
            "S-1-281474976710656-1",
            "S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15-16",
        ] {
            assert!(text.parse::<Sid>().is_err(), "{text}");
        }
        let whole = Sid::EVERYONE.to_bytes();
        for end in 0..whole.len() {
            assert!(Sid::parse(&whole[..end]).is_err());
        }
        assert!(Sid::parse(&[whole.as_slice(), &[0]].concat()).is_err());
        assert!(Sid::parse(&[2, 0, 0, 0, 0, 0, 0, 5]).is_err());
        assert!(Sid::parse(&[&[1, 16, 0, 0, 0, 0, 0, 5], [0; 64].as_slice()].concat()).is_err());
    }

    #[test]
    fn a_full_sid_has_no_child() {
        let full = Sid::new(5, &[9; 15]).unwrap();
        assert_eq!(full.child(1), None);
        assert_eq!(full.to_string().parse(), Ok(full));
        assert_eq!(Sid::new(5, &[]).unwrap().parent(), None);
        assert!(Sid::new(5, &[0; 16]).is_err());
        assert!(Sid::new(1 << 48, &[]).is_err());
    }
}
