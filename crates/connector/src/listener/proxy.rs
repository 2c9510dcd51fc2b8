//! The header by which a proxy tells where a connection truly comes from (HAProxy, "The PROXY protocol", versions 1 and 2).

use std::{io, net::SocketAddr};

use ppp::{v1, v2};
use tokio::net::TcpStream;

use crate::access::Cidr;

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with (section 2.1), and the longest line.
const TEXT: &[u8] = b"PROXY ";
const LONGEST_LINE: usize = 107;
/// The fixed part of version 2, and the longest of the rest that is read: addresses and some extensions.
const FIXED: usize = 16;
const LONGEST_REST: usize = 4096;

/// Why a header is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    #[error("the connection does not come from a trusted proxy")]
    Stranger,
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header is longer than it may be")]
    TooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header, and not a byte more. The source that it names, or the far address where the proxy speaks for itself.
pub(super) async fn source(stream: &TcpStream, remote: SocketAddr, proxies: &[Cidr]) -> Result<SocketAddr, ProxyFault> {
    if !proxies.is_empty() && !proxies.iter().any(|block| block.contains(remote.ip())) {
        return Err(ProxyFault::Stranger);
    }
    let mut header = Vec::with_capacity(FIXED * 4);
    read(stream, &mut header, SIGNATURE.len()).await?;
    let named = if header == SIGNATURE {
        binary(stream, &mut header).await?
    } else if header.starts_with(TEXT) {
        text(stream, &mut header).await?
    } else {
        return Err(ProxyFault::Missing);
    };
    Ok(named.unwrap_or(remote))
}

async fn binary(stream: &TcpStream, header: &mut Vec<u8>) -> Result<Option<SocketAddr>, ProxyFault> {
    read(stream, header, FIXED - SIGNATURE.len()).await?;
    let rest = match header.get(FIXED - 2..FIXED) {
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
        _ => return Err(ProxyFault::Malformed),
    };
    if rest > LONGEST_REST {
        return Err(ProxyFault::TooLong);
    }
    read(stream, header, rest).await?;
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| ProxyFault::Malformed)?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(pair) => Some((pair.source_address, pair.source_port).into()),
        v2::Addresses::IPv6(pair) => Some((pair.source_address, pair.source_port).into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    })
}

async fn text(stream: &TcpStream, header: &mut Vec<u8>) -> Result<Option<SocketAddr>, ProxyFault> {
    while !header.ends_with(b"\n") {
        let room = LONGEST_LINE.checked_sub(header.len()).filter(|room| *room > 0).ok_or(ProxyFault::TooLong)?;
        let mut seen = [0; LONGEST_LINE];
        let seen_now = stream.peek(seen.get_mut(..room).unwrap_or_default()).await?;
        let seen = seen.get(..seen_now).unwrap_or_default();
        // What follows the line is the client's.
        let line = seen.iter().position(|byte| *byte == b'\n').map_or(seen.len(), |end| end + 1);
        if line == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        read(stream, header, line).await?;
    }
    let line = std::str::from_utf8(header).map_err(|_| ProxyFault::Malformed)?;
    let header = v1::Header::try_from(line).map_err(|_| ProxyFault::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
        v1::Addresses::Unknown => None,
    })
}

/// Reads so many bytes more.
async fn read(stream: &TcpStream, into: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let from = into.len();
    into.resize(from + count, 0);
    read_exact(stream, into.get_mut(from..).unwrap_or_default()).await
}

async fn read_exact(stream: &TcpStream, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        stream.readable().await?;
        match stream.try_read(into) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => into = into.get_mut(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// What is made of these bytes, and what is left after the header.
    async fn given(pieces: &[&[u8]], proxies: &[&str]) -> (Result<SocketAddr, ProxyFault>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, remote) = listener.accept().await.unwrap();
        proxy.set_nodelay(true).unwrap();
        let proxies: Vec<Cidr> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let write = async {
            for piece in pieces {
                proxy.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            proxy.shutdown().await.unwrap();
        };
        let (source, ()) = tokio::join!(source(&stream, remote, &proxies), write);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        (source, rest)
    }

    fn version_2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, body].concat()
    }

    #[tokio::test]
    async fn the_source_is_read_and_not_a_byte_of_the_client() {
        let line: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8080\r\nGET /";
        let (source, rest) = given(&[line], &[]).await;
        assert_eq!((source.unwrap().to_string().as_str(), &rest[..]), ("192.0.2.7:4711", &b"GET /"[..]));
        let (source, rest) = given(&[b"PROX", b"Y TCP6 2001:db8::7 ::1 4711", b" 8080\r", b"\nhello\n"], &[]).await;
        assert_eq!((source.unwrap().to_string().as_str(), &rest[..]), ("[2001:db8::7]:4711", &b"hello\n"[..]));
        let body = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x1f, 0x90];
        let (source, rest) = given(&[&version_2(1, 0x11, &body), b"\x10\x0e"], &["127.0.0.0/8"]).await;
        assert_eq!((source.unwrap().to_string().as_str(), &rest[..]), ("192.0.2.7:4711", &b"\x10\x0e"[..]));
        // Health checks of the proxy itself, and families that have no address here.
        for header in [version_2(0, 0, &[]), version_2(1, 0, &[]), b"PROXY UNKNOWN\r\n".to_vec()] {
            assert!(given(&[&header], &[]).await.0.unwrap().ip().is_loopback());
        }
    }

    #[tokio::test]
    async fn a_header_that_is_none_is_refused() {
        let long = version_2(1, 0x11, &[0; 5000]);
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        let cut = version_2(1, 0x11, &[1, 2, 3]);
        for bad in [
            &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"PROXY TCP4 300.0.2.7 198.51.100.1 4711 8080\r\n",
            b"PROXY TCP4 192.0.2.7\r\n................",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 8080\r\n",
            b"PROXY \xff\xfe..............\r\n",
            b"PROX",
            b"",
            &long,
            &endless,
            &cut,
        ] {
            assert!(given(&[bad], &[]).await.0.is_err(), "{bad:?}");
        }
        let (source, _) = given(&[b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8080\r\n"], &["10.0.0.0/8"]).await;
        assert!(matches!(source, Err(ProxyFault::Stranger)));
    }
}
