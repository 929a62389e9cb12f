//! A witness that is asked over HTTP ([C2SP tlog-witness](https://c2sp.org/tlog-witness)).

use std::fmt;
use std::io;

use super::{Client, HttpError, HttpOptions};
use crate::witness::{ANSWER_LEN_MAX, Answer, Transport};

/// Asks the witness with this submission prefix.
pub struct HttpWitness(Client);

impl HttpWitness {
    /// The witness that takes requests at `url`/add-checkpoint.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn new(url: &str, options: &HttpOptions) -> Result<Self, HttpError> {
        Client::new(url, options).map(Self)
    }
}

impl Transport for HttpWitness {
    fn add_checkpoint(&mut self, request: &[u8]) -> io::Result<Answer> {
        let answered = self.0.post("add-checkpoint", request, ANSWER_LEN_MAX)?;
        Ok(Answer { status: answered.status, content_type: answered.content_type, body: answered.body })
    }
}

impl fmt::Debug for HttpWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpWitness({})", self.0.base)
    }
}
