//! A way to a server that counts what goes along it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Takes connections on a loopback address of its own and passes them on, byte for byte.
///
/// What is counted is what anybody on the network sees, whatever the program at one end says of itself.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What went along, since the tap was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were made.
    pub connections: u64,
    /// How often the client said something after it had been silent for the server to speak.
    pub round_trips: u64,
    /// Bytes that the client sent.
    pub sent: u64,
    /// Bytes that the server sent.
    pub received: u64,
}

#[derive(Debug, Default)]
struct Shared {
    closed: AtomicBool,
    connections: AtomicU64,
    round_trips: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Tap {
    /// Listens, for connections that are to go to this address.
    ///
    /// # Errors
    /// There is no free port.
    pub fn before(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let counts = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if counts.closed.load(Ordering::SeqCst) {
                    return;
                }
                // A server that does not answer is what the client is to see.
                if let Ok(client) = client
                    && let Ok(server) = TcpStream::connect(server)
                {
                    let _ = pass(client, server, &counts);
                }
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What went along until now.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Traffic {
            connections: count(&self.shared.connections),
            round_trips: count(&self.shared.round_trips),
            sent: count(&self.shared.sent),
            received: count(&self.shared.received),
        }
    }
}

impl Traffic {
    /// What went along since an earlier look.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            round_trips: self.round_trips - earlier.round_trips,
            sent: self.sent - earlier.sent,
            received: self.received - earlier.received,
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the listener up; connections end with their ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn pass(client: TcpStream, server: TcpStream, counts: &Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    counts.connections.fetch_add(1, Ordering::SeqCst);
    let client_spoke = Arc::new(AtomicBool::new(false));
    let (there, back) = (client.try_clone()?, server.try_clone()?);
    let (spoke, shared) = (client_spoke.clone(), counts.clone());
    thread::spawn(move || {
        pump(there, back, |len| {
            if !spoke.swap(true, Ordering::SeqCst) {
                shared.round_trips.fetch_add(1, Ordering::SeqCst);
            }
            shared.sent.fetch_add(len, Ordering::SeqCst);
        });
    });
    let shared = counts.clone();
    thread::spawn(move || {
        pump(server, client, |len| {
            client_spoke.store(false, Ordering::SeqCst);
            shared.received.fetch_add(len, Ordering::SeqCst);
        });
    });
    Ok(())
}

/// Passes on what comes, after it was counted, until one end is gone; then the other goes, too.
fn pump(mut from: TcpStream, mut to: TcpStream, mut count: impl FnMut(u64)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        count(len as u64);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_are_counted() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let tap = Tap::before(listener.local_addr().unwrap()).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 4];
            while stream.read_exact(&mut question).is_ok() {
                stream.write_all(&[question, question].concat()).unwrap();
            }
        });
        let mut client = TcpStream::connect(tap.address()).unwrap();
        for round in 1..=3 {
            let before = tap.traffic();
            client.write_all(b"ping").unwrap();
            client.read_exact(&mut [0; 8]).unwrap();
            let seen = tap.traffic().since(before);
            assert_eq!((seen.round_trips, seen.sent, seen.received), (1, 4, 8), "round {round}");
        }
        // Asked at once, two questions are one round trip.
        let before = tap.traffic();
        client.write_all(b"pingpong").unwrap();
        client.read_exact(&mut [0; 16]).unwrap();
        assert_eq!(tap.traffic().since(before).sent, 8);
        assert_eq!(tap.traffic().connections, 1);
        drop(client);
        server.join().unwrap();
    }
}
