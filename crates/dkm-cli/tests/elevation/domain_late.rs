//! A server whose domain is not there: it serves its own groups, and says so.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::world::World;

/// What anybody is told.
fn health(world: &World) -> String {
    let socket = world.server.socket();
    let mut stream = UnixStream::connect(socket.strip_prefix("unix:").unwrap()).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_server_whose_domain_is_not_there_serves_its_own_groups() {
    let mut world = World::new();
    assert!(!health(&world).contains("\"domain\""));
    let blob = world.blob("17.dkm", "17", "his");
    // Names that end so are nobody's (RFC 2606).
    world.server.configure("[directory]\nrepository = \"ad://corp.invalid\"\n");
    let told = health(&world);
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("\"domain\":\"failing\""), "{told}");
    let request = world.granted(&[]);
    assert_eq!(world.open(&request, &blob, "17").succeeded().text(), "his");
    world.person("dave", &["elevate", "revoke", &request]).succeeded();
    // Whether another group lies in the domain can't be said: neither yes nor no.
    let other = "0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b";
    let ask =
        ["elevate", "request", "--group", other, "--reason", "x", "-c", "account=17", "--duration", "10m"];
    world.person("alice", &ask).exits(6).says("corp.invalid");
}
