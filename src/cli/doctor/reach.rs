//! Whether a host has an address, and whether somebody listens there.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// The addresses of a host, by whatever this machine goes by.
pub(super) async fn resolve(host: &str, port: u16, patience: Duration) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = timeout(patience, tokio::net::lookup_host((host, port))).await??.collect();
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

/// The first address at which somebody listens; else, what was met at the last.
pub(super) async fn connect(addresses: &[SocketAddr], patience: Duration) -> io::Result<SocketAddr> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(error)) => last = error,
            Err(late) => last = late.into(),
        }
    }
    Err(last)
}

/// The addresses, for a person.
pub(super) fn listed(addresses: &[SocketAddr]) -> String {
    let mut hosts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    hosts.dedup();
    hosts.join(", ")
}
