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
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use domain::base::iana::Class;
    use domain::rdata::Srv;

    use super::*;

    fn asked() -> Name<Vec<u8>> {
        "_ldap._tcp.dc._msdcs.example.com".parse().unwrap()
    }

    /// What a server makes of a question.
    type Reply = fn(&Message<Vec<u8>>) -> Vec<Vec<u8>>;

    /// A name server with this way to answer, until the test ends.
    fn server(reply: Reply) -> SocketAddr {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((len, from)) = udp.recv_from(&mut buffer) {
                let query = Message::from_octets(buffer[..len].to_vec()).unwrap();
                for packet in reply(&query) {
                    udp.send_to(&packet, from).unwrap();
                }
            }
        });
        address
    }

    fn with(query: &Message<Vec<u8>>, code: Rcode, hosts: &[&str]) -> Vec<u8> {
        let mut answer = MessageBuilder::new_vec().start_answer(query, code).unwrap();
        answer.header_mut().set_ra(true);
        for host in hosts {
            let target: Name<Vec<u8>> = host.parse().unwrap();
            answer.push((asked(), Class::IN, 60, Srv::new(0, 0, 389, target))).unwrap();
        }
        answer.finish()
    }

    fn found(query: &Message<Vec<u8>>) -> Vec<Vec<u8>> {
        vec![with(query, Rcode::NOERROR, &["dc1.example.com"])]
    }

    fn ask(servers: &[SocketAddr]) -> Result<usize, String> {
        // Long for a server that answers; those that don't are waited for.
        let resolver = Resolver::of(servers.to_vec(), Duration::from_secs(1));
        let answer = resolver.ask(&asked(), Rtype::SRV)?;
        Ok(usize::from(answer.header_counts().ancount()))
    }

    #[test]
    fn there_are_records_or_it_is_certain_that_there_are_none() {
        assert_eq!(ask(&[server(found)]), Ok(1));
        assert_eq!(ask(&[server(|query| vec![with(query, Rcode::NXDOMAIN, &[])])]), Ok(0));
        assert_eq!(ask(&[server(|query| vec![with(query, Rcode::NOERROR, &[])])]), Ok(0));
    }

    #[test]
    fn a_server_that_does_not_know_is_no_answer_and_the_next_is_asked() {
        let fails: &[(Reply, &str)] = &[
            (|query| vec![with(query, Rcode::SERVFAIL, &[])], "SERVFAIL"),
            (|query| vec![with(query, Rcode::REFUSED, &[])], "REFUSED"),
            (
                // It sends elsewhere.
                |query| {
                    let mut packet = with(query, Rcode::NOERROR, &[]);
                    packet[3] &= 0x7F;
                    vec![packet]
                },
                "does not answer for this name",
            ),
            (|_| Vec::new(), "did not answer in time"),
            (|_| vec![b"garbage".to_vec(), vec![0xFF; 512], Vec::new()], "no answer to the question"),
            (
                |query| {
                    // Under another number, as somebody who can't see the question would.
                    let mut packet = with(query, Rcode::NOERROR, &["evil.example.com"]);
                    packet[0] ^= 1;
                    vec![packet]
                },
                "no answer to the question",
            ),
            (
                |query| {
                    // To another question.
                    let mut other = MessageBuilder::new_vec();
                    other.header_mut().set_id(query.header().id());
                    other.header_mut().set_qr(true);
                    let mut other = other.question();
                    let name: Name<Vec<u8>> = "other.example.com".parse().unwrap();
                    other.push((name, Rtype::SRV)).unwrap();
                    vec![other.finish()]
                },
                "no answer to the question",
            ),
        ];
        for (reply, why) in fails {
            let error = ask(&[server(*reply)]).unwrap_err();
            assert!(error.contains(why) && error.contains("name server 127.0.0.1"), "{why}: {error}");
        }
        for reply in [fails[0].0, fails[1].0, fails[2].0] {
            assert_eq!(ask(&[server(reply), server(found)]), Ok(1));
        }
        let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        assert_eq!(ask(&[nobody, server(found)]), Ok(1));
        assert!(ask(&[nobody]).unwrap_err().contains("no name server listens"));
    }

    #[test]
    fn what_is_said_beside_the_answer_does_not_count() {
        let beside: Reply = |query| {
            let mut early = with(query, Rcode::NXDOMAIN, &[]);
            early[1] ^= 1;
            vec![b"garbage".to_vec(), early, with(query, Rcode::NOERROR, &["dc1.example.com"])]
        };
        assert_eq!(ask(&[server(beside)]), Ok(1));
    }

    #[test]
    fn an_answer_too_long_for_a_packet_is_fetched_over_tcp() {
        let cut: Reply = |query| {
            let mut packet = with(query, Rcode::NOERROR, &[]);
            packet[2] |= 2;
            vec![packet]
        };
        let udp = server(cut);
        let Ok(tcp) = TcpListener::bind(udp) else { return assert!(ask(&[udp]).is_err()) };
        thread::spawn(move || {
            let (mut stream, _) = tcp.accept().unwrap();
            let mut len = [0; 2];
            stream.read_exact(&mut len).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut query).unwrap();
            let many: Vec<String> = (0..300).map(|n| format!("dc{n}.example.com")).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).collect();
            let answer = with(&Message::from_octets(query).unwrap(), Rcode::NOERROR, &many);
            let len = u16::try_from(answer.len()).unwrap().to_be_bytes();
            // In pieces, as it may come.
            stream.write_all(&len[..1]).unwrap();
            stream.write_all(&len[1..]).unwrap();
            for piece in answer.chunks(4096) {
                stream.write_all(piece).unwrap();
            }
        });
        assert_eq!(ask(&[udp]), Ok(300));
    }
}
