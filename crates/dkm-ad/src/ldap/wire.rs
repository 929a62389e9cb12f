//! The stream to a domain controller: LDAP messages out and in, sealed or in TLS, each within a deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::LdapError;
use super::kerberos::Kerberos;
use super::tls::Tls;

/// The longest message that is taken: a page of 1 000 records at their longest, and some.
const MESSAGE_LEN_MAX: usize = 128 << 20;
/// As much as a TLS record holds, RFC 8446 §5.1.
const TLS_RECORD_LEN_MAX: usize = 16 << 10;

/// A connected stream.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    layer: Layer,
    /// Opened bytes that are not a whole message yet. They may hold keys.
    plain: Zeroizing<Vec<u8>>,
    taken: usize,
    deadline: Instant,
    /// The longest message that is taken, in bytes.
    longest: usize,
}

/// What lies between messages and the stream.
#[derive(Debug)]
enum Layer {
    /// Nothing.
    Open,
    /// Kerberos seals.
    Sealed(Kerberos),
    /// TLS.
    Tls(Box<Tls>),
}

/// A stream whose every read and write ends by the deadline.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(remaining(self.deadline)?))?;
            match self.stream.read(into) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                other => return other,
            }
        }
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(Some(remaining(self.deadline)?))?;
            match self.stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn unreachable(doing: &str) -> impl Fn(io::Error) -> LdapError + '_ {
    move |error| {
        let why = match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => "it did not answer in time".to_owned(),
            ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        };
        LdapError::Unreachable(format!("{doing}: {why}"))
    }
}

impl Wire {
    /// Connects, by the deadline.
    pub(super) fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<Self, LdapError> {
        let mut last = LdapError::Unreachable("its name has no address".to_owned());
        for (number, address) in addresses.iter().enumerate() {
            // The last of its addresses may be the one that answers.
            let others = u32::try_from(addresses.len() - number).unwrap_or(u32::MAX);
            let connected = remaining(deadline)
                .map(|left| left / others)
                .and_then(|left| TcpStream::connect_timeout(address, left))
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream));
            match connected {
                Ok(stream) => {
                    return Ok(Self {
                        stream,
                        layer: Layer::Open,
                        plain: Zeroizing::default(),
                        taken: 0,
                        deadline,
                        longest: MESSAGE_LEN_MAX,
                    });
                }
                Err(error) => last = unreachable(&format!("connecting to {address}"))(error),
            }
        }
        Err(last)
    }

    /// No message is longer than this many bytes.
    pub(super) fn at_most(&mut self, longest: usize) {
        self.longest = longest.min(MESSAGE_LEN_MAX);
    }

    /// What follows must end by then.
    pub(super) fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// From now on everything goes through TLS. Answers what binds a sign-in to this connection.
    ///
    /// # Errors
    /// The server is another one than TLS was prepared for, does not speak it, or is too slow.
    pub(super) fn encrypt_with(&mut self, mut tls: Tls) -> Result<Vec<u8>, LdapError> {
        let binding = tls.handshake(&mut self.timed(), unreachable("the TLS handshake"))?;
        self.layer = Layer::Tls(Box::new(tls));
        Ok(binding)
    }

    /// From now on everything is sealed.
    ///
    /// # Errors
    /// Something unsealed has come already that nobody asked for: it is not taken for an answer to what follows.
    pub(super) fn seal_with(&mut self, kerberos: Kerberos) -> Result<(), LdapError> {
        if self.taken != self.plain.len() {
            return Err(LdapError::Protocol("it sent more than it was asked for before sealing".to_owned()));
        }
        self.layer = Layer::Sealed(kerberos);
        Ok(())
    }

    /// What is left of the ticket that the connection is sealed with; none where TLS does that.
    pub(super) fn ticket_left(&self) -> Option<Duration> {
        match &self.layer {
            Layer::Sealed(kerberos) => kerberos.ticket_left(),
            Layer::Open | Layer::Tls(_) => None,
        }
    }

    /// Sends messages in one go.
    pub(super) fn send(&mut self, messages: &[u8]) -> Result<(), LdapError> {
        let sending = unreachable("sending");
        let mut stream = Timed { stream: &self.stream, deadline: self.deadline };
        let kerberos = match &mut self.layer {
            Layer::Open => return stream.write_all(messages).map_err(&sending),
            Layer::Tls(tls) => return tls.write(&mut stream, messages, &sending),
            Layer::Sealed(kerberos) => kerberos,
        };
        let mut frames = Vec::new();
        for part in messages.chunks(kerberos.send_max()) {
            let sealed = kerberos.seal(part)?;
            let len = u32::try_from(sealed.len())
                .map_err(|_| LdapError::Protocol("a sealed frame is too long".to_owned()))?;
            frames.extend_from_slice(&len.to_be_bytes());
            frames.extend_from_slice(&sealed);
        }
        stream.write_all(&frames).map_err(&sending)
    }

    /// The next whole message.
    pub(super) fn receive<T>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<T, LdapError>,
    ) -> Result<T, LdapError> {
        loop {
            let waiting = self.plain.get(self.taken..).unwrap_or_default();
            let len = message_len(waiting)?;
            if len.is_some_and(|len| len > self.longest) {
                return Err(LdapError::Protocol("a message is too long".to_owned()));
            }
            if let Some(len) = len
                && let Some(message) = waiting.get(..len)
            {
                let value = read(message)?;
                self.taken += len;
                return Ok(value);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), LdapError> {
        // What was read goes first.
        if self.taken > 0 {
            let rest = self.plain.len() - self.taken;
            self.plain.copy_within(self.taken.., 0);
            self.plain.truncate(rest);
            self.taken = 0;
        }
        if !matches!(self.layer, Layer::Sealed(_)) {
            return self.fill_some();
        }
        let mut head = [0u8; 4];
        self.read_exact(&mut head)?;
        let len = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
        // RFC 4752 §3.1: no longer than what was agreed in the handshake, plus what sealing adds.
        if len == 0 || len > (16 << 20) + 4096 {
            return Err(LdapError::Protocol(format!("it sent a sealed frame of {len} bytes")));
        }
        let mut sealed = vec![0u8; len];
        self.read_exact(&mut sealed)?;
        self.make_room(len);
        match &mut self.layer {
            Layer::Sealed(kerberos) => kerberos.open(&sealed, &mut self.plain),
            Layer::Open | Layer::Tls(_) => Ok(()),
        }
    }

    /// Reads what is there, of a stream that has no frames of ours.
    fn fill_some(&mut self) -> Result<(), LdapError> {
        let waiting = unreachable("waiting for an answer");
        self.make_room(TLS_RECORD_LEN_MAX);
        let before = self.plain.len();
        self.plain.resize(before + TLS_RECORD_LEN_MAX, 0);
        let mut stream = Timed { stream: &self.stream, deadline: self.deadline };
        let into = self.plain.get_mut(before..).unwrap_or_default();
        let read = match &mut self.layer {
            Layer::Tls(tls) => tls.read(&mut stream, into, &waiting),
            Layer::Open | Layer::Sealed(_) => stream.read(into).map_err(&waiting),
        };
        self.plain.truncate(before + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(waiting(ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    /// Lets the vector take as many bytes more. It grows rarely; what it leaves behind when it moves is wiped.
    fn make_room(&mut self, len: usize) {
        if self.plain.capacity() - self.plain.len() < len {
            let mut grown = Zeroizing::new(Vec::with_capacity((self.plain.len() + len).next_power_of_two()));
            grown.extend_from_slice(&self.plain);
            std::mem::swap(&mut self.plain, &mut grown);
        }
    }

    fn timed(&self) -> Timed<'_> {
        Timed { stream: &self.stream, deadline: self.deadline }
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<(), LdapError> {
        self.timed().read_exact(into).map_err(unreachable("waiting for an answer"))
    }
}

/// What is left until the deadline.
fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// How long the message is that begins here, head included; none if the head is not whole yet. X.690 §8.1.
fn message_len(bytes: &[u8]) -> Result<Option<usize>, LdapError> {
    let odd = |why: &str| Err(LdapError::Protocol(why.to_owned()));
    let &[tag, first, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if tag != 0x30 {
        return odd("what it sent is not an LDAP message");
    }
    let (content, head) = match first {
        0..=0x7F => (usize::from(first), 2),
        0x81..=0x84 => {
            let digits = usize::from(first & 0x7F);
            let Some(digits) = rest.get(..digits) else {
                return Ok(None);
            };
            (digits.iter().fold(0usize, |len, digit| (len << 8) | usize::from(*digit)), 2 + digits.len())
        }
        _ => return odd("a message has no definite length"),
    };
    if content > MESSAGE_LEN_MAX {
        return odd("a message is too long");
    }
    Ok(Some(head + content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_bytes_come() {
        assert_eq!(message_len(&[]).unwrap(), None);
        assert_eq!(message_len(&[0x30]).unwrap(), None);
        assert_eq!(message_len(&[0x30, 5]).unwrap(), Some(7));
        assert_eq!(message_len(&[0x30, 0x82, 1]).unwrap(), None);
        assert_eq!(message_len(&[0x30, 0x82, 1, 0]).unwrap(), Some(260));
        assert_eq!(message_len(&[0x30, 0x84, 0, 0, 0, 1, 0]).unwrap(), Some(7));
        for odd in [&[0x31, 5][..], &[0x30, 0x80], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x30, 0x84, 0xFF, 0, 0, 0]]
        {
            assert!(message_len(odd).is_err(), "{odd:x?}");
        }
    }
}
