//! A log whose files a server has ([C2SP tlog-tiles](https://c2sp.org/tlog-tiles)).

use std::fmt;
use std::io;

use super::{Client, HttpError, HttpOptions, refused};
use crate::source::Source;

/// A log below a URL.
pub struct HttpSource(Client);

impl HttpSource {
    /// The log whose checkpoint lies at `url`/checkpoint.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(url: &str, options: &HttpOptions) -> Result<Self, HttpError> {
        Client::new(url, options).map(Self)
    }
}

impl Source for HttpSource {
    fn read(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let answered = self.0.get(path, limit)?;
        match answered.status {
            200 => Ok(Some(answered.body)),
            404 | 410 => Ok(None),
            _ => Err(refused(&answered)),
        }
    }

    /// None: servers of tiles do not list them.
    fn names(&self, _: &str) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl fmt::Debug for HttpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpSource({})", self.0.base)
    }
}
