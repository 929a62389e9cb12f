//! Searches, paged where the answer may be long.

use rasn::prelude::*;
use rasn_ldap::{
    AttributeValueAssertion, Control, Filter, MatchingRuleAssertion, ProtocolOp, ResultCode, SearchRequest,
    SearchRequestDerefAliases, SearchRequestScope,
};

use super::error::refused;
use super::{Connection, Found, LdapError, text, unexpected};

/// Paged results, RFC 2696.
const PAGED: &str = "1.2.840.113556.1.4.319";
/// Which parts of a security descriptor are asked for, MS-ADTS §3.1.1.3.4.1.11.
const SD_FLAGS: &str = "1.2.840.113556.1.4.801";
/// As many as Active Directory gives at once by default.
const PAGE: u32 = 1000;
/// No search of ours has more answers: the limit of a key ring, a few times over.
pub(super) const FOUND_MAX: usize = 400_000;

/// How deep a search goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    /// The object itself.
    Base,
    /// Its children.
    Children,
    /// It and all below.
    Subtree,
}

/// A search.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    pub(crate) base: String,
    pub(crate) scope: Scope,
    pub(crate) filter: Filter,
    pub(crate) attributes: Vec<&'static str>,
    /// Whether the answer may be longer than a page.
    pub(crate) paged: bool,
}

/// An attribute has this value.
pub(crate) fn equal(attribute: &str, value: impl AsRef<[u8]>) -> Filter {
    Filter::EqualityMatch(AttributeValueAssertion::new(text(attribute), OctetString::from(value.as_ref())))
}

/// An attribute is at least this.
pub(crate) fn greater_or_equal(attribute: &str, value: impl AsRef<[u8]>) -> Filter {
    Filter::GreaterOrEqual(AttributeValueAssertion::new(text(attribute), OctetString::from(value.as_ref())))
}

/// An attribute has any value.
pub(crate) fn present(attribute: &str) -> Filter {
    Filter::Present(text(attribute))
}

/// A number has all of these bits: `LDAP_MATCHING_RULE_BIT_AND`, MS-ADTS §3.1.1.3.4.4.1.
pub(crate) fn has_bits(attribute: &str, bits: u32) -> Filter {
    Filter::ExtensibleMatch(MatchingRuleAssertion::new(
        Some(text("1.2.840.113556.1.4.803")),
        Some(text(attribute)),
        OctetString::from(bits.to_string().into_bytes()),
        false,
    ))
}

/// All hold.
pub(crate) fn all_of(filters: Vec<Filter>) -> Filter {
    Filter::And(SetOf::from_vec(filters))
}

/// Any holds.
pub(crate) fn any_of(filters: Vec<Filter>) -> Filter {
    Filter::Or(SetOf::from_vec(filters))
}

/// It does not hold. Of what may not be read, Samba says so whatever the value is.
pub(crate) fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

impl Search {
    /// One object by its name.
    pub(crate) fn base(dn: impl Into<String>, attributes: Vec<&'static str>) -> Self {
        Self { base: dn.into(), scope: Scope::Base, filter: present("objectClass"), attributes, paged: false }
    }

    fn request(&self) -> ProtocolOp {
        let scope = match self.scope {
            Scope::Base => SearchRequestScope::BaseObject,
            Scope::Children => SearchRequestScope::SingleLevel,
            Scope::Subtree => SearchRequestScope::WholeSubtree,
        };
        ProtocolOp::SearchRequest(SearchRequest::new(
            text(&self.base),
            scope,
            SearchRequestDerefAliases::NeverDerefAliases,
            0,
            0,
            false,
            self.filter.clone(),
            self.attributes.iter().map(|name| text(name)).collect(),
        ))
    }

    fn controls(&self, cookie: &[u8]) -> Vec<Control> {
        let mut controls = Vec::new();
        if self.attributes.contains(&"nTSecurityDescriptor") {
            controls.push(sd_flags(OWNER_GROUP_DACL));
        }
        if self.paged {
            controls.push(page(cookie));
        }
        controls
    }
}

/// Owner, group and DACL: the SACL takes a privilege to read.
const OWNER_GROUP_DACL: u8 = 7;
/// These, and the SACL.
const WHOLE: u8 = 15;
/// The DACL alone.
const DACL: u8 = 4;

fn sd_flags(parts: u8) -> Control {
    // SEQUENCE { INTEGER }
    let value = vec![0x30, 0x03, 0x02, 0x01, parts];
    Control::new(SD_FLAGS.as_bytes().into(), true, Some(value.into()))
}

/// A write of a descriptor changes its DACL only.
pub(crate) fn sd_flags_dacl() -> Control {
    sd_flags(DACL)
}

#[derive(Debug, rasn::AsnType, rasn::Encode, rasn::Decode)]
struct Page {
    size: u32,
    cookie: OctetString,
}

fn page(cookie: &[u8]) -> Control {
    // A sequence of a number and bytes can't fail to be encoded; without a value the server refuses it.
    let value = rasn::ber::encode(&Page { size: PAGE, cookie: cookie.into() }).unwrap_or_default();
    Control::new(PAGED.as_bytes().into(), true, Some(value.into()))
}

/// Where the next page begins; empty at the end.
fn next_page(controls: Option<&Vec<Control>>) -> Result<Vec<u8>, LdapError> {
    let paged = controls.into_iter().flatten().find(|control| *control.control_type == *PAGED.as_bytes());
    let Some(value) = paged.and_then(|control| control.control_value.as_ref()) else {
        return Ok(Vec::new());
    };
    rasn::ber::decode::<Page>(value)
        .map(|page| page.cookie.to_vec())
        .map_err(|error| LdapError::Protocol(format!("a page's mark can't be decoded: {error}")))
}

impl Connection {
    /// What a search finds. Referrals to other naming contexts are not followed.
    ///
    /// # Errors
    /// [`NO_SUCH_OBJECT`](super::NO_SUCH_OBJECT) for a base that is not there or not seen, and others.
    pub(crate) fn search(&mut self, search: &Search) -> Result<Vec<Found>, LdapError> {
        let mut all = self.search_all(std::slice::from_ref(search))?;
        all.pop().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// The one object that a search finds, if any.
    ///
    /// # Errors
    /// As [`Connection::search`]; a base that is not there is none.
    pub(crate) fn find(&mut self, search: &Search) -> Result<Option<Found>, LdapError> {
        match self.search(search) {
            Ok(found) => Ok(found.into_iter().next()),
            Err(error) if error.code() == Some(super::NO_SUCH_OBJECT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An object with its whole descriptor, SACL included; without it if this account lacks the privilege to read SACLs.
    ///
    /// # Errors
    /// As [`Connection::search`]; an object that is not there is none.
    pub(crate) fn find_with_sacl(&mut self, dn: &str) -> Result<Option<Found>, LdapError> {
        let search = Search::base(dn, vec!["nTSecurityDescriptor"]);
        self.begin();
        let id = self.ask(&[(search.request(), vec![sd_flags(WHOLE)])])?;
        let mut found = Vec::new();
        match self.collect(id, &mut found) {
            Err(error) if error.code() != Some(super::NO_SUCH_OBJECT) => Err(error),
            _ => Ok(found.into_iter().next()),
        }
    }

    /// What several searches find, asked in one round trip; further pages take one each.
    ///
    /// # Errors
    /// The connection fails. Each search has a result of its own.
    pub(crate) fn search_all(
        &mut self,
        searches: &[Search],
    ) -> Result<Vec<Result<Vec<Found>, LdapError>>, LdapError> {
        self.begin();
        let requests: Vec<_> =
            searches.iter().map(|search| (search.request(), search.controls(&[]))).collect();
        let first = self.ask(&requests)?;
        let mut results = Vec::with_capacity(searches.len());
        for (id, search) in (first..).zip(searches) {
            let mut found = Vec::new();
            results.push(self.collect(id, &mut found).map(|cookie| (search, found, cookie)));
        }
        results.into_iter().map(|result| self.further_pages(result)).collect()
    }

    fn further_pages(
        &mut self,
        first: Result<(&Search, Vec<Found>, Vec<u8>), LdapError>,
    ) -> Result<Result<Vec<Found>, LdapError>, LdapError> {
        let (search, mut found, mut cookie) = match first {
            Ok(first) => first,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => return Ok(Err(error)),
        };
        while !cookie.is_empty() {
            self.begin();
            let id = self.ask(&[(search.request(), search.controls(&cookie))])?;
            cookie = match self.collect(id, &mut found) {
                Ok(cookie) => cookie,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => return Ok(Err(error)),
            };
        }
        Ok(Ok(found))
    }

    /// Reads one page's answers; answers the mark of the next page.
    fn collect(&mut self, id: u32, found: &mut Vec<Found>) -> Result<Vec<u8>, LdapError> {
        loop {
            let message = self.answer(id)?;
            match message.protocol_op {
                ProtocolOp::SearchResEntry(entry) => {
                    if found.len() >= self.found_max {
                        return Err(LdapError::Protocol(format!(
                            "a search found more than {} objects",
                            self.found_max
                        )));
                    }
                    found.push(entry.into());
                }
                ProtocolOp::SearchResRef(_) => {}
                ProtocolOp::SearchResDone(done) => {
                    self.open = self.open.saturating_sub(1);
                    return match done.0.result_code {
                        ResultCode::Success => next_page(message.controls.as_ref()),
                        code => Err(refused(code, &done.0.diagnostic_message.0)),
                    };
                }
                other => return Err(unexpected("a search", &other)),
            }
        }
    }
}
