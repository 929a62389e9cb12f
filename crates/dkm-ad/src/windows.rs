//! Containers of keys of Windows DKM in a domain, as AD FS makes them. They are read, never written, and with the rights
//! that the caller has.

use dkm::repository::{Repository as _, RepositoryError};
use dkm::windows::{DirectoryEntry, WindowsContainer, containers};
use zeroize::Zeroizing;

use crate::ldap::{
    Connection, Found, Identity, LdapError, NO_SUCH_OBJECT, Scope, Search, all_of, any_of, equal, present,
};
use crate::name;
use crate::repository::{AdRepository, Limits};
use crate::url::AdUrl;

/// Where AD FS keeps its containers of keys, relative to the domain.
pub const ADFS_CONTAINER: &str = "CN=ADFS,CN=Microsoft,CN=Program Data";

/// Most objects of one container.
const OBJECTS_MAX: usize = 10_000;
/// Most bytes of all values that may be keys: what an export may have.
const VALUES_LEN_MAX: usize = dkm::windows::LDIF_LEN_MAX;
/// How many values that may be keys are asked for together. Each has 100 KiB at most, MS-ADTS §2.2 and the schema's
/// `rangeUpper`.
const VALUES_AT_ONCE: usize = 20;
/// A name that is none, RFC 4511 §4.1.9: `invalidDNSyntax`.
const INVALID_NAME: u32 = 34;

/// What a container of keys consists of, the keys themselves aside.
const ATTRIBUTES: [&str; 3] = ["objectClass", "displayName", "l"];
const VALUE: &str = "thumbnailPhoto";

/// The containers of keys in one place of a domain. No key was read yet.
#[derive(Debug)]
pub struct WindowsContainers {
    repository: AdRepository,
    number: usize,
    connection: Connection,
    names: Vec<String>,
}

/// Looks for containers of keys in a place of the URL's domain and below. The place is named in full, or relative to the
/// domain; without a name it is [`ADFS_CONTAINER`]. The URL's own container does not matter.
///
/// Domain controllers are asked in the order of the URL, until one answers.
///
/// # Errors
/// [`RepositoryError::NotFound`] if the place is not there or not seen, [`RepositoryError::Invalid`] if it is in another
/// domain or no name, [`RepositoryError::Unavailable`] if no domain controller answers or none turns the account's ticket
/// into a connection.
pub fn find(
    url: AdUrl,
    identity: Option<Identity>,
    limits: Limits,
    place: Option<&str>,
) -> Result<WindowsContainers, RepositoryError> {
    let base = full_name(place.unwrap_or(ADFS_CONTAINER), &url)?;
    let repository = AdRepository::open(url, identity, limits)?;
    let mut fault = None;
    for number in 0..repository.replicas() {
        let asked = repository.raw(number).and_then(|mut connection| {
            let names = names(&repository, number, &mut connection, &base)?;
            Ok((connection, names))
        });
        match asked {
            Ok((connection, names)) => {
                return Ok(WindowsContainers { repository, number, connection, names });
            }
            // Another may answer. What this one decided, it decided for all.
            Err(error @ RepositoryError::Unavailable { .. }) => fault = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(fault.unwrap_or_else(|| RepositoryError::Unavailable {
        location: repository.location().to_string(),
        why: "it names no domain controller".to_owned(),
    }))
}

impl WindowsContainers {
    /// Their distinguished names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Which domain controller was asked, for people.
    #[must_use]
    pub fn location(&self) -> String {
        self.repository.shared().place(self.number)
    }

    /// Reads one container's keys.
    ///
    /// # Errors
    /// [`RepositoryError::Denied`] if this account sees keys' objects and may read none of the keys,
    /// [`RepositoryError::NotFound`] if there are none, [`RepositoryError::Invalid`] if there is more than any container of
    /// keys has, [`RepositoryError::Unavailable`] if the domain controller fails.
    pub fn read(mut self, container: &str) -> Result<WindowsContainer, RepositoryError> {
        let search = Search {
            base: container.to_owned(),
            scope: Scope::Children,
            filter: equal("objectClass", "contact"),
            attributes: ATTRIBUTES.to_vec(),
            paged: true,
        };
        let found = self.connection.search(&search).map_err(|error| self.failed(container, &error))?;
        if found.len() > OBJECTS_MAX {
            return Err(RepositoryError::Invalid(format!(
                "{container} has {} objects; a container of keys has no more than {OBJECTS_MAX}",
                found.len()
            )));
        }
        let mut entries: Vec<DirectoryEntry> = found.iter().map(entry).collect();
        self.fill(container, &mut entries)?;
        let readable = entries.iter().any(|entry| entry.thumbnail_photo.is_some());
        let seen = entries.iter().any(|entry| entry.l.is_some());
        let read = containers(&entries).into_iter().next().filter(|_| readable);
        match read {
            Some(read) => Ok(read),
            None if seen => Err(RepositoryError::Denied {
                location: self.location(),
                what: format!("the keys (thumbnailPhoto) of {container}"),
            }),
            None => Err(RepositoryError::NotFound {
                location: self.location(),
                what: format!("a key of {container}"),
            }),
        }
    }

    /// Reads the values that may be keys, a few at once, so that no directory can fill this machine's memory.
    fn fill(&mut self, container: &str, entries: &mut [DirectoryEntry]) -> Result<(), RepositoryError> {
        let mut left = VALUES_LEN_MAX;
        for batch in entries.chunks_mut(VALUES_AT_ONCE) {
            let searches: Vec<_> =
                batch.iter().map(|entry| Search::base(entry.dn.clone(), vec![VALUE])).collect();
            let answers =
                self.connection.search_all(&searches).map_err(|error| self.failed(container, &error))?;
            for (entry, answer) in batch.iter_mut().zip(answers) {
                let found = match answer {
                    // Deleted since it was listed, or hidden.
                    Err(error) if error.code() == Some(NO_SUCH_OBJECT) => continue,
                    other => other.map_err(|error| self.failed(&entry.dn, &error))?,
                };
                let Some(value) = found.first().and_then(|found| found.bytes(VALUE)) else { continue };
                left = left.checked_sub(value.len()).ok_or_else(|| {
                    RepositoryError::Invalid(format!(
                        "what {container} holds is longer than the limit of {VALUES_LEN_MAX} bytes: it is no container of keys"
                    ))
                })?;
                entry.thumbnail_photo = Some(Zeroizing::new(value.to_vec()));
            }
        }
        Ok(())
    }

    fn failed(&self, what: &str, error: &LdapError) -> RepositoryError {
        self.repository.shared().error(self.number, what, error)
    }
}

/// The names of the containers that have objects as keys have them, or the object that says which key is active.
fn names(
    repository: &AdRepository,
    number: usize,
    connection: &mut Connection,
    base: &str,
) -> Result<Vec<String>, RepositoryError> {
    let search = Search {
        base: base.to_owned(),
        scope: Scope::Subtree,
        filter: all_of(vec![
            equal("objectClass", "contact"),
            any_of(vec![equal("cn", "CryptoPolicy"), present("l")]),
        ]),
        attributes: ATTRIBUTES.to_vec(),
        paged: true,
    };
    let found = connection.search(&search).map_err(|error| match error.code() {
        Some(INVALID_NAME) => RepositoryError::Invalid(format!("{base:?} is no distinguished name")),
        _ => repository.shared().error(number, base, &error),
    })?;
    let entries: Vec<DirectoryEntry> = found.iter().map(entry).collect();
    // Other contacts, those of people, have a town where keys have a GUID.
    let is_key = |entry: &&DirectoryEntry| {
        let texts = [&entry.l, &entry.display_name];
        texts.into_iter().flatten().any(|text| is_guid(text))
    };
    let mut names: Vec<String> = entries
        .iter()
        .filter(is_key)
        .filter_map(|entry| name::parent(&entry.dn))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn is_guid(text: &str) -> bool {
    text.trim().trim_matches(['{', '}']).parse::<dkm::KeyGuid>().is_ok()
}

fn entry(found: &Found) -> DirectoryEntry {
    let text = |name: &str| found.text(name).map(str::to_owned);
    DirectoryEntry {
        dn: found.dn.clone(),
        object_classes: found
            .values("objectClass")
            .map(|class| String::from_utf8_lossy(class).into_owned())
            .collect(),
        display_name: text("displayName"),
        l: text("l"),
        thumbnail_photo: None,
    }
}

/// A place's distinguished name. Whatever ends with a part of a domain's name is named in full.
fn full_name(place: &str, url: &AdUrl) -> Result<String, RepositoryError> {
    let place = place.trim();
    let domain = url.domain_dn();
    let wrong = |why: String| RepositoryError::Invalid(format!("{place:?} is no container of keys: {why}"));
    let mut last = place;
    let mut domain_parts: Vec<String> = Vec::new();
    loop {
        let next = name::parent(last);
        let first = next.map_or(last, |rest| last.get(..last.len() - rest.len() - 1).unwrap_or(last)).trim();
        let Some((kind, value)) = first.split_once('=').filter(|(_, value)| !value.trim().is_empty()) else {
            return Err(wrong(format!(
                "{first:?} is not of the form attribute=value, as in {ADFS_CONTAINER}"
            )));
        };
        match (kind.trim().eq_ignore_ascii_case("DC"), domain_parts.is_empty()) {
            (true, _) => domain_parts.push(format!("DC={}", value.trim())),
            (false, true) => {}
            (false, false) => return Err(wrong(format!("{first:?} stands above a domain"))),
        }
        match next {
            Some(rest) => last = rest,
            None => break,
        }
    }
    if place.chars().any(char::is_control) {
        return Err(wrong("it has a control character".to_owned()));
    }
    let named = domain_parts.join(",");
    if named.is_empty() {
        Ok(format!("{place},{domain}"))
    } else if named.eq_ignore_ascii_case(&domain) {
        Ok(place.to_owned())
    } else {
        Err(wrong(format!("it is in the domain {named}, and {domain} is asked; name the other with --from")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(place: &str) -> Result<String, String> {
        let url: AdUrl = "ad://dkm.test?dc=dc1.dkm.test".parse().unwrap();
        full_name(place, &url).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_relative_to_the_domain_or_in_it() {
        assert_eq!(full("CN=ADFS").unwrap(), "CN=ADFS,DC=dkm,DC=test");
        assert_eq!(full("CN=a\\,DC\\=b").unwrap(), "CN=a\\,DC\\=b,DC=dkm,DC=test");
        for whole in ["CN=ADFS,DC=dkm,DC=test", "CN=ADFS, dc=DKM, Dc=test", "DC=dkm,DC=test"] {
            assert_eq!(full(whole).unwrap(), whole);
        }
        for (place, why) in [
            ("", "attribute=value"),
            ("ADFS", "attribute=value"),
            ("CN=,DC=dkm,DC=test", "attribute=value"),
            ("CN=a,,DC=dkm,DC=test", "attribute=value"),
            ("CN=ADFS,DC=other,DC=test", "--from"),
            ("CN=ADFS,DC=test", "--from"),
            ("DC=dkm,CN=ADFS", "above a domain"),
            ("CN=a\nb", "control character"),
        ] {
            let error = full(place).unwrap_err();
            assert!(error.contains(why), "{place}: {error}");
        }
    }
}
