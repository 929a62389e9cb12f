//! The stream to a domain controller: LDAP messages out and in, sealed, each within a deadline.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::LdapError;
use super::kerberos::Kerberos;

/// The longest message that is taken: a page of 1 000 records at their longest, and some.
const MESSAGE_LEN_MAX: usize = 128 << 20;

/// A connected stream.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    kerberos: Option<Kerberos>,
    /// Opened bytes that are not a whole message yet. They may hold keys.
    plain: Zeroizing<Vec<u8>>,
    taken: usize,
    deadline: Instant,
    /// The longest message that is taken, in bytes.
    longest: usize,
}

fn unreachable(doing: &str) -> impl Fn(std::io::Error) -> LdapError + '_ {
    move |error| {
        use std::io::ErrorKind::{TimedOut, UnexpectedEof, WouldBlock};
        let why = match error.kind() {
            TimedOut | WouldBlock => "it did not answer in time".to_owned(),
            UnexpectedEof => "it closed the connection".to_owned(),
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
                        kerberos: None,
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

    /// From now on everything is sealed.
    ///
    /// # Errors
    /// Something unsealed has come already that nobody asked for: it is not taken for an answer to what follows.
    pub(super) fn seal_with(&mut self, kerberos: Kerberos) -> Result<(), LdapError> {
        if self.taken != self.plain.len() {
            return Err(LdapError::Protocol("it sent more than it was asked for before sealing".to_owned()));
        }
        self.kerberos = Some(kerberos);
        Ok(())
    }

    /// What is left of the ticket that the connection is sealed with.
    pub(super) fn ticket_left(&self) -> Option<Duration> {
        self.kerberos.as_ref().and_then(Kerberos::ticket_left)
    }

    /// Sends messages in one go.
    pub(super) fn send(&mut self, messages: &[u8]) -> Result<(), LdapError> {
        let sending = unreachable("sending");
        let left = remaining(self.deadline).map_err(&sending)?;
        self.stream.set_write_timeout(Some(left)).map_err(&sending)?;
        let Some(kerberos) = &mut self.kerberos else {
            return self.stream.write_all(messages).map_err(&sending);
        };
        let mut frames = Vec::new();
        for part in messages.chunks(kerberos.send_max()) {
            let sealed = kerberos.seal(part)?;
            let len = u32::try_from(sealed.len())
                .map_err(|_| LdapError::Protocol("a sealed frame is too long".to_owned()))?;
            frames.extend_from_slice(&len.to_be_bytes());
            frames.extend_from_slice(&sealed);
        }
        self.stream.write_all(&frames).map_err(&sending)
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
        // What was read goes first. The vector grows rarely; what it leaves behind when it moves is wiped.
        let rest = self.plain.len() - self.taken;
        self.plain.copy_within(self.taken.., 0);
        self.plain.truncate(rest);
        self.taken = 0;
        if self.kerberos.is_none() {
            let mut buffer = [0u8; 4096];
            let read = self.read_some(&mut buffer)?;
            self.plain.extend_from_slice(buffer.get(..read).unwrap_or_default());
            return Ok(());
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
        let mut grown = Zeroizing::new(Vec::new());
        if self.plain.capacity() - self.plain.len() < len {
            grown = Zeroizing::new(Vec::with_capacity((self.plain.len() + len).next_power_of_two()));
            grown.extend_from_slice(&self.plain);
        }
        if grown.capacity() > 0 {
            std::mem::swap(&mut self.plain, &mut grown);
        }
        match &mut self.kerberos {
            Some(kerberos) => kerberos.open(&sealed, &mut self.plain),
            None => Ok(()),
        }
    }

    fn read_some(&mut self, into: &mut [u8]) -> Result<usize, LdapError> {
        let waiting = unreachable("waiting for an answer");
        let left = remaining(self.deadline).map_err(&waiting)?;
        self.stream.set_read_timeout(Some(left)).map_err(&waiting)?;
        match self.stream.read(into) {
            Ok(0) => Err(waiting(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => Ok(read),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(waiting(error)),
        }
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Result<(), LdapError> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            done += self.read_some(rest)?;
        }
        Ok(())
    }
}

/// What is left until the deadline.
fn remaining(deadline: Instant) -> std::io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
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
