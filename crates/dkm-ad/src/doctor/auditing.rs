//! Whether the directory records who reads keys: the SACL of the rooms, as far as this account may see it.

use super::dc::Dc;
use super::keys::Room;
use super::report::{Area, Draft};
use crate::security::{AccessMask, Ace, AceFlags, AceKind, AclSlot, SecurityDescriptor, Sid};

/// Reads the SACLs of a group's rooms; none of them: the group is not seen, or none was named.
pub(super) fn look(dc: &mut Dc, rooms: &[Room], draft: &mut Draft) {
    if dc.is_samba {
        draft.warning(
            Area::Auditing,
            "Samba records binds and changes, and no reads, whatever a SACL says",
            "who reads a key is not to be found out; dkm group audit shows who can",
        );
        draft.not_checked(
            Area::Auditing,
            "whether Samba's dsdb_json_audit is on, which writes the bytes of keys that do not lie wrapped into its log",
            "that can't be seen by LDAP",
            "look at log level in smb.conf of each domain controller; wrap=root-key, or keep that log as you keep keys",
        );
    }
    for room in rooms.iter().filter(|room| room.room == dkm_core::Room::Keys) {
        let dn = super::text::plain(&room.dn);
        match sacl(dc, &room.dn) {
            Err(why) => draft.not_checked(
                Area::Auditing,
                &format!("the SACL of {dn}"),
                why,
                "run it as an administrator: it takes the privilege to manage auditing",
            ),
            Ok(descriptor) if records_reads(&descriptor) => {
                let what = format!("the SACL of {dn} asks for each read to be recorded");
                if dc.is_samba {
                    draft.note(Area::Auditing, what, "nothing: Samba does not do so");
                } else {
                    draft.note(
                        Area::Auditing,
                        what,
                        "Audit Directory Service Access must be on, too: that can't be seen by LDAP",
                    );
                }
            }
            Ok(_) if dc.is_samba => {}
            Ok(_) => draft.warning(
                Area::Auditing,
                format!("the SACL of {dn} does not ask for reads to be recorded"),
                "put (AU;CISA;RP;;;WD) into it, and switch on Audit Directory Service Access",
            ),
        }
    }
    if rooms.is_empty() {
        draft.not_checked(
            Area::Auditing,
            "the SACL of a group's rooms",
            "no group was named that this account sees",
            "-g GROUP",
        );
    }
}

fn sacl(dc: &mut Dc, dn: &str) -> Result<SecurityDescriptor, String> {
    let refused = "this account may not read it";
    let found = match dc.connection.find_with_sacl(dn) {
        Ok(found) => found,
        Err(error) if error.code() == Some(crate::ldap::INSUFFICIENT_ACCESS) => {
            return Err(refused.to_owned());
        }
        Err(error) => return Err(error.to_string()),
    };
    let bytes = found.as_ref().and_then(|found| found.bytes("nTSecurityDescriptor")).ok_or(refused)?;
    SecurityDescriptor::parse(bytes).map_err(|error| format!("its descriptor is damaged: {error}"))
}

/// Whether every successful read of whatever is in the room would be recorded.
fn records_reads(descriptor: &SecurityDescriptor) -> bool {
    let AclSlot::Present(sacl) = &descriptor.sacl else { return false };
    let wanted = AceFlags::CONTAINER_INHERIT | AceFlags::SUCCESSFUL;
    sacl.entries.iter().any(|ace| match ace {
        Ace::Entry(entry) => {
            entry.kind == AceKind::Audit
                && entry.flags.contains(wanted)
                && !entry.flags.contains(AceFlags::NO_PROPAGATE)
                && entry.trustee == Sid::EVERYONE
                && entry.object.is_none()
                && entry.inherited_object.is_none()
                && entry.mask.mapped().contains(AccessMask::READ_PROPERTY)
        }
        Ace::Opaque(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::template::audit_reads;

    fn of(sddl: &str) -> SecurityDescriptor {
        SecurityDescriptor::from_sddl(sddl, None).unwrap()
    }

    #[test]
    fn reads_are_recorded_if_everybodys_are() {
        let advised = SecurityDescriptor { sacl: audit_reads(), ..SecurityDescriptor::default() };
        assert!(records_reads(&advised));
        assert!(records_reads(&of("O:SYG:SYS:(AU;CISAFA;GR;;;WD)")));
        for less in [
            "O:SYG:SYD:(A;;GA;;;SY)",
            "O:SYG:SYS:(AU;CIFA;RP;;;WD)",
            "O:SYG:SYS:(AU;SA;RP;;;WD)",
            "O:SYG:SYS:(AU;CISA;WP;;;WD)",
            "O:SYG:SYS:(AU;CISA;RP;;;BA)",
            "O:SYG:SYS:(OU;CISA;RP;bf9679c0-0de6-11d0-a285-00aa003049e2;;WD)",
        ] {
            assert!(!records_reads(&of(less)), "{less}");
        }
    }
}
