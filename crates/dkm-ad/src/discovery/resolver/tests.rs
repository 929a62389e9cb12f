//! Name servers that answer, fail, and lie.

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
