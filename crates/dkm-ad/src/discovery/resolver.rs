//! A stub resolver: one question, asked of the name servers that the system is configured with.
//!
//! Messages are written and read by `domain`; here are sockets, their deadlines, and whom to ask next. The system's own
//! resolver knows no other questions than those for addresses, and a library with one of its own would bring a second
//! provider of cryptography into the lock file.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};

/// Where the system keeps its configuration.
const CONFIGURATION: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// Most servers that are asked: as many as the C library asks.
const SERVERS_MAX: usize = 3;
/// How often each is asked: a packet may be lost.
const ROUNDS: usize = 2;
/// How long one server may take.
const SERVER_LIMIT: Duration = Duration::from_secs(3);
/// How long all of them may take together.
const LIMIT: Duration = Duration::from_secs(10);

/// The name servers that are asked, in this order.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    limit: Duration,
}

/// An answer: there are such records, or it is certain that there are none.
pub(super) type Answer = Message<Vec<u8>>;

impl Resolver {
    /// Those of `/etc/resolv.conf`, or this host itself where it names none.
    ///
    /// # Errors
    /// The file can't be read.
    pub(super) fn of_system() -> Result<Self, String> {
        let text = match fs::read(CONFIGURATION) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| format!("{CONFIGURATION} can't be read: {error}"))?,
        };
        // What is not understood is left out, as by the C library.
        let (configuration, _) = resolv_conf::Config::parse_with_errors(&text);
        let mut servers: Vec<SocketAddr> = configuration
            .nameservers
            .iter()
            // The only way to an address with the name of an interface in it. Nothing is looked up.
            .filter_map(|ip| (ip.to_string().as_str(), PORT).to_socket_addrs().ok()?.next())
            .take(SERVERS_MAX)
            .collect();
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        Ok(Self { servers, limit: LIMIT })
    }

    /// These.
    #[cfg(test)]
    pub(super) fn of(servers: Vec<SocketAddr>, limit: Duration) -> Self {
        Self { servers, limit }
    }

    /// Asks for the records of a name.
    ///
    /// # Errors
    /// No server has an answer in time; says why of each.
    pub(super) fn ask(&self, name: &Name<Vec<u8>>, kind: Rtype) -> Result<Answer, String> {
        let end = Instant::now() + self.limit;
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..ROUNDS {
            for server in &self.servers {
                match self.ask_one(*server, name, kind, end) {
                    Ok(answer) => return Ok(answer),
                    // The first time it had all the time that it gets.
                    Err(why) => {
                        if !faults.iter().any(|fault| fault.server == *server) {
                            faults.push(Fault { server: *server, why });
                        }
                    }
                }
            }
        }
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Err(faults.join("; "))
    }

    fn ask_one(
        &self,
        server: SocketAddr,
        name: &Name<Vec<u8>>,
        kind: Rtype,
        end: Instant,
    ) -> Result<Answer, String> {
        let end = end.min(Instant::now() + SERVER_LIMIT.min(self.limit));
        let query = query(name, kind)?;
        let mut answer = over_udp(server, &query, end).map_err(|error| said(&error))?;
        if answer.header().tc() {
            answer = over_tcp(server, &query, end).map_err(|error| format!("over TCP: {}", said(&error)))?;
        }
        let header = answer.header();
        match header.rcode() {
            Rcode::NXDOMAIN => Ok(answer),
            // Neither one who knows nor one who finds out: its silence says nothing.
            Rcode::NOERROR if answer.header_counts().ancount() == 0 && !header.aa() && !header.ra() => {
                Err("it does not answer for this name".to_owned())
            }
            Rcode::NOERROR => Ok(answer),
            code => Err(format!("it answers {code}")),
        }
    }
}

struct Fault {
    server: SocketAddr,
    why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "name server {}: {}", self.server.ip(), self.why)
    }
}

/// A question under a number that nobody guesses.
fn query(name: &Name<Vec<u8>>, kind: Rtype) -> Result<Message<Vec<u8>>, String> {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|error| format!("no random number: {error}"))?;
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(u16::from_ne_bytes(id));
    message.header_mut().set_rd(true);
    let mut question = message.question();
    question.push((name, kind)).map_err(|error| format!("the question is too long: {error}"))?;
    Ok(question.into_message())
}

fn over_udp(server: SocketAddr, query: &Message<Vec<u8>>, end: Instant) -> io::Result<Answer> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    // From then on nobody else's packets come in.
    socket.connect(server)?;
    socket.send(query.as_slice())?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut odd = false;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let why = if odd { "it sent no answer to the question" } else { "it did not answer in time" };
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut buffer) {
            Ok(len) => {
                // Whatever else comes, the answer may follow it.
                match Message::from_octets(buffer.get(..len).unwrap_or_default().to_vec()) {
                    Ok(message) if message.is_answer(query) => return Ok(message),
                    _ => odd = true,
                }
            }
            Err(error) if is_patience(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn over_tcp(server: SocketAddr, query: &Message<Vec<u8>>, end: Instant) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, left(end)?)?;
    let len = u16::try_from(query.as_slice().len()).map_err(io::Error::other)?;
    stream.set_write_timeout(Some(left(end)?))?;
    stream.write_all(&[&len.to_be_bytes(), query.as_slice()].concat())?;
    let mut len = [0; 2];
    read_all(&mut stream, &mut len, end)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    read_all(&mut stream, &mut answer, end)?;
    Message::from_octets(answer)
        .ok()
        .filter(|message| message.is_answer(query))
        .ok_or_else(|| io::Error::other("it sent no answer to the question"))
}

/// Fills the buffer, however slowly it comes, by then.
fn read_all(stream: &mut TcpStream, mut into: &mut [u8], end: Instant) -> io::Result<()> {
    while !into.is_empty() {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => into = into.get_mut(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Whether nothing has come yet, rather than something odd.
fn is_patience(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock if error.get_ref().is_none() => {
            "it did not answer in time".to_owned()
        }
        io::ErrorKind::ConnectionRefused => "no name server listens there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
