//! One change to one object: its DACL, or what is written down of who has access.

use dkm::repository::RepositoryError;

use crate::init::ldif_line;
use crate::ldap::{Connection, LdapError, sd_flags_dacl};
use crate::replica::encoded;
use crate::roles;
use crate::security::{Domain, Template, Trustees};

/// The attribute that tells the roles, of the room `control`.
const ROLES: &str = "description";
/// The control that limits a write to the DACL, as LDIF has it (RFC 2849; MS-ADTS §3.1.1.3.4.1.11).
const DACL_ALONE: &str = "control: 1.2.840.113556.1.4.801 true:: MAMCAQQ=\n";

/// A change to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The object's distinguished name.
    pub dn: String,
    /// What it gets, for people: a DACL in SDDL, or the roles.
    pub text: String,
    values: Vec<Vec<u8>>,
    of_dacl: bool,
}

impl Change {
    /// The DACL of a template; owner, primary group and SACL stay.
    pub(super) fn dacl(dn: &str, template: &Template, domain: &Domain) -> Result<Self, RepositoryError> {
        let sddl = template.descriptor.to_sddl(Some(domain));
        let sddl =
            sddl.map_err(|error| RepositoryError::Invalid(format!("the descriptor of {dn}: {error}")))?;
        let dacl = sddl.find("D:").and_then(|at| sddl.get(at..)).unwrap_or_default().to_owned();
        Ok(Self { dn: dn.to_owned(), text: dacl, values: vec![encoded(template)?], of_dacl: true })
    }

    /// Who has access, written down on the room `control`.
    pub(super) fn roles(control: &str, trustees: &Trustees) -> Self {
        let values = roles::to_values(trustees);
        let lines: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
        Self { dn: control.to_owned(), text: lines.join(", "), values, of_dacl: false }
    }

    const fn attribute(&self) -> &'static str {
        if self.of_dacl { "nTSecurityDescriptor" } else { ROLES }
    }

    pub(super) fn write(&self, connection: &mut Connection) -> Result<(), LdapError> {
        let controls = if self.of_dacl { vec![sd_flags_dacl()] } else { Vec::new() };
        connection.replace(&self.dn, (self.attribute(), self.values.clone()), controls)
    }

    /// The change in LDIF (RFC 2849), for `ldapmodify`.
    #[must_use]
    pub fn ldif(&self) -> String {
        use base64::Engine as _;
        let mut text = ldif_line("dn", &self.dn);
        if self.of_dacl {
            text.push_str(&format!("# {}\n{DACL_ALONE}", self.text));
        }
        text.push_str(&format!("changetype: modify\nreplace: {}\n", self.attribute()));
        for value in &self.values {
            match std::str::from_utf8(value) {
                Ok(value) if !self.of_dacl => text.push_str(&ldif_line(ROLES, value)),
                _ => {
                    let value = base64::engine::general_purpose::STANDARD.encode(value);
                    text.push_str(&format!("{}:: {value}\n", self.attribute()));
                }
            }
        }
        text.push_str("-\n");
        text
    }
}
