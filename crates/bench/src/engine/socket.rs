//! Non-blocking connections from loopback addresses of choice.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections one source address is used for: fewer than the kernel's default range of ephemeral ports.
const PER_SOURCE: usize = 20_000;

/// Begins to connect; writability tells the end. On loopback the source address changes every 20,000 connections,
/// because a pair of addresses has fewer than 30,000 ports by default.
pub(crate) fn connect(address: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // Thousands of connections are dropped at the end of each run; none shall linger in TIME_WAIT and hold its port.
    socket.set_linger(Some(Duration::ZERO))?;
    if let Some(source) = source(address, index) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        Err(e) => return Err(e),
    }
    Ok(socket.into())
}

fn source(address: SocketAddr, index: usize) -> Option<IpAddr> {
    let group = u8::try_from(index / PER_SOURCE).ok()?;
    (group > 0 && address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST)).then(|| IpAddr::V4(Ipv4Addr::new(127, 0, 1, group)))
}
