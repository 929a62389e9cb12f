//! What a search found.

use bytes::Bytes;
use rasn_ldap::SearchResultEntry;
use zeroize::Zeroize as _;

/// An object, with the attributes that were asked for and may be read. Its values are wiped when it is dropped.
pub(crate) struct Found {
    pub(crate) dn: String,
    attributes: Vec<(String, Vec<Bytes>)>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.attributes.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "Found({:?}, {names:?})", self.dn)
    }
}

impl From<SearchResultEntry> for Found {
    fn from(entry: SearchResultEntry) -> Self {
        let attributes = entry
            .attributes
            .into_iter()
            .map(|attribute| {
                (attribute.r#type.0, attribute.vals.to_vec().into_iter().cloned().map(Bytes::from).collect())
            })
            .collect();
        Self { dn: entry.object_name.0, attributes }
    }
}

impl Found {
    /// All values of an attribute, none if it has none or may not be read.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.attributes
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .flat_map(|(_, values)| values.iter().map(|value| &**value))
    }

    /// Whether an attribute has more values than the server gave, MS-ADTS §3.1.1.3.1.3.3; those that it gave, if any,
    /// are under another name.
    pub(crate) fn is_cut(&self, name: &str) -> bool {
        self.attributes.iter().any(|(found, _)| {
            found
                .split_once(";range=")
                .is_some_and(|(found, range)| found.eq_ignore_ascii_case(name) && !range.ends_with('*'))
        })
    }

    /// The first value of an attribute.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The first value, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        for (_, values) in &mut self.attributes {
            for value in values.drain(..) {
                // Ours alone unless somebody still looks at it.
                if let Ok(mut value) = value.try_into_mut() {
                    value.zeroize();
                }
            }
        }
    }
}
