//! From an address to a connection that the broker has accepted.

use std::num::NonZeroU32;

use bytes::BytesMut;
use ratatosk_connector::upstream::{Ended, hops};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    options::{Address, Options},
    transport::{self, Stream, TransportError},
};
use crate::proto::codec::{Connack, Connect, ConnectProperties, Decoder, Packet, ReasonCode, Version, encode};

/// The highest topic alias that we let the broker use.
pub(super) const ALIASES: u16 = 64;

/// An accepted connection.
pub(super) struct Greeted {
    pub(super) stream: Box<dyn Stream>,
    pub(super) connack: Connack,
    pub(super) decoder: Decoder,
    /// What came after CONNACK already.
    pub(super) rest: BytesMut,
}

pub(super) async fn greet(options: &Options, address: &Address, gateway_id: &str) -> Result<Greeted, Ended> {
    let mut stream =
        transport::open(address, &options.tls, options.max_packet).await.map_err(|error| no_transport(&error))?;
    let mut out = BytesMut::new();
    encode(&Packet::Connect(Box::new(connect(options, gateway_id))), options.version, &mut out)
        .map_err(Ended::refused)?;
    let lost = |error: std::io::Error| Ended::lost(format!("connection lost before CONNACK: {error}"));
    stream.write_all(&out).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let mut decoder = Decoder::client(options.version, options.max_packet);
    let mut rest = BytesMut::with_capacity(4096);
    let connack = loop {
        if stream.read_buf(&mut rest).await.map_err(lost)? == 0 {
            return Err(Ended::lost("the server closed the connection instead of answering CONNECT"));
        }
        if refuses_version_5(options.version, &rest) {
            return Err(refused(ReasonCode::UNSUPPORTED_VERSION, "; write version = \"3.1.1\""));
        }
        match decoder.decode(&mut rest) {
            Ok(Some(Packet::Connack(connack))) => break *connack,
            Ok(Some(other)) => {
                return Err(Ended::lost(format!("the server answered CONNECT with {:?}", other.packet_type())));
            }
            Ok(None) => {}
            Err(error) => return Err(Ended::lost(format!("the server does not speak MQTT as agreed: {error}"))),
        }
    };
    if connack.reason.is_failure() {
        return Err(not_let_in(&connack));
    }
    Ok(Greeted { stream, connack, decoder, rest })
}

fn connect(options: &Options, gateway_id: &str) -> Connect {
    let mut properties = ConnectProperties::default();
    if options.version.is_v5() {
        properties.session_expiry = Some(options.session_expiry).filter(|_| !options.clean);
        properties.receive_maximum = Options::receive_maximum();
        properties.max_packet_size = NonZeroU32::new(options.max_packet);
        properties.topic_alias_maximum = Some(ALIASES);
        properties.user_properties = vec![(hops::NAME.into(), gateway_id.into())];
    }
    Connect {
        version: options.version,
        bridge: false,
        clean_start: options.clean,
        keep_alive: u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX),
        client_id: options.client_id.clone(),
        username: options.username.clone(),
        password: options.password.clone(),
        will: options.will.clone(),
        properties,
    }
}

/// A broker that knows only 3.1.1 answers in its own form, which is malformed in MQTT 5.
fn refuses_version_5(version: Version, bytes: &[u8]) -> bool {
    version.is_v5() && matches!(bytes, [0x20, 2, _, 1, ..])
}

/// A wrong certificate can be put right over there at any time, a wrong file only here; but that too happens without us
/// being told. So all of these are tried again.
fn no_transport(error: &TransportError) -> Ended {
    match error {
        TransportError::ServerName(_) => Ended::refused(error),
        _ => Ended::lost(error),
    }
}

fn not_let_in(connack: &Connack) -> Ended {
    let text = connack.properties.reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    match &connack.properties.server_reference {
        Some(elsewhere) => refused(connack.reason, &format!(" ({elsewhere}){text}")),
        None => refused(connack.reason, &text),
    }
}

/// Which refusals stay the same however often we try.
pub(super) fn is_permanent(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::UNSUPPORTED_VERSION
            | ReasonCode::CLIENT_ID_INVALID
            | ReasonCode::BAD_CREDENTIALS
            | ReasonCode::NOT_AUTHORIZED
            | ReasonCode::BANNED
            | ReasonCode::BAD_AUTH_METHOD
            | ReasonCode::TOPIC_INVALID
            | ReasonCode::RETAIN_NOT_SUPPORTED
            | ReasonCode::QOS_NOT_SUPPORTED
            | ReasonCode::SERVER_MOVED
    )
}

fn refused(reason: ReasonCode, more: &str) -> Ended {
    let text = format!("the server refused us: {}{more}", reason.text());
    if is_permanent(reason) { Ended::refused(text) } else { Ended::lost(text) }
}
