//! Loopback addresses, one a domain, so that several test processes can run domains at once.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context as _, Result};

/// An address that is ours until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Address {
    ip: Ipv4Addr,
    /// An abstract socket: the kernel forgets it with the process.
    _claim: UnixListener,
}

impl Address {
    /// Finds a free one.
    pub(crate) fn claim() -> Result<Self> {
        (20..=250).find_map(Self::try_claim).context("no address of 127.0.0.20 to 127.0.0.250 is free")
    }

    fn try_claim(last: u8) -> Option<Self> {
        let ip = Ipv4Addr::new(127, 0, 0, last);
        let name = SocketAddr::from_abstract_name(format!("dkm-testbed/{ip}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        // A server that is not ours, or the last breath of one that was.
        let free = [88, 389, 636].iter().all(|port| TcpListener::bind((ip, *port)).is_ok());
        free.then_some(Self { ip, _claim: claim })
    }

    /// The address.
    pub(crate) const fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}
