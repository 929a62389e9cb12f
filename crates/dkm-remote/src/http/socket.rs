//! Sockets whose every operation ends by a deadline, however slowly the other side takes or gives its bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// A connected socket.
#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket with a deadline for whatever is done with it.
#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    deadline: Instant,
}

fn too_late() -> io::Error {
    ErrorKind::TimedOut.into()
}

/// What is left until a deadline; never zero, which the system takes for *for ever*.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(too_late()) } else { Ok(left) }
}

impl Socket {
    /// Connects to the first address that takes the connection.
    pub(super) fn tcp(addresses: &[SocketAddr], deadline: Instant) -> io::Result<Self> {
        let mut error = io::Error::new(ErrorKind::AddrNotAvailable, "its name has no address");
        for (number, address) in addresses.iter().enumerate() {
            // One that swallows packets leaves time for those after it.
            let others = u32::try_from(addresses.len() - number).unwrap_or(u32::MAX);
            let share = (left(deadline)? / others).max(Duration::from_millis(1));
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self { kind: Kind::Tcp(stream), deadline });
                }
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }

    /// Connects to a Unix socket.
    pub(super) fn unix(path: &Path, deadline: Instant) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A server whose queue is full makes callers wait, for as long as they would wait to send.
        set_socket_timeout(&socket, Timeout::Send, Some(left(deadline)?))?;
        connect(&socket, &address).map_err(|error| timed_out(error.into()))?;
        Ok(Self { kind: Kind::Unix(UnixStream::from(socket)), deadline })
    }

    /// Sets by when all that follows must end.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Whether the other side has neither ended the connection nor said anything unasked.
    pub(super) fn is_quiet(&mut self) -> bool {
        let set = |on| match &self.kind {
            Kind::Tcp(stream) => stream.set_nonblocking(on),
            Kind::Unix(stream) => stream.set_nonblocking(on),
        };
        if set(true).is_err() {
            return false;
        }
        let mut byte = [0];
        let read = match &mut self.kind {
            Kind::Tcp(stream) => stream.read(&mut byte),
            Kind::Unix(stream) => stream.read(&mut byte),
        };
        let quiet = matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock);
        let set = match &self.kind {
            Kind::Tcp(stream) => stream.set_nonblocking(false),
            Kind::Unix(stream) => stream.set_nonblocking(false),
        };
        quiet && set.is_ok()
    }
}

/// The system says *would block* where a time limit passed.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { too_late() } else { error }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let limit = Some(left(self.deadline)?);
            let read = match &mut self.kind {
                Kind::Tcp(stream) => stream.set_read_timeout(limit).and_then(|()| stream.read(into)),
                Kind::Unix(stream) => stream.set_read_timeout(limit).and_then(|()| stream.read(into)),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read.map_err(timed_out),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = Some(left(self.deadline)?);
        let wrote = match &mut self.kind {
            Kind::Tcp(stream) => stream.set_write_timeout(limit).and_then(|()| stream.write(bytes)),
            Kind::Unix(stream) => stream.set_write_timeout(limit).and_then(|()| stream.write(bytes)),
        };
        wrote.map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[test]
    fn who_neither_answers_nor_takes_bytes_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = Socket::tcp(&[listener.local_addr().unwrap()], soon()).unwrap();
        assert!(socket.is_quiet());
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        socket.set_deadline(soon());
        let error = loop {
            if let Err(error) = socket.write(&[0; 65_536]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_unix_server_whose_queue_is_full_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut taken = Vec::new();
        let error = loop {
            match Socket::unix(&path, soon()) {
                Ok(socket) => taken.push(socket),
                Err(error) => break error,
            }
            assert!(taken.len() < 10_000);
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_connection_that_ended_or_speaks_unasked_is_not_quiet() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = Socket::tcp(&[listener.local_addr().unwrap()], soon()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        assert!(socket.is_quiet());
        drop(other.write_all(b"x"));
        drop(other);
        while socket.is_quiet() {}
    }
}
