//! One attempt: connecting, being let in, and what the end of it means.

use std::time::Duration;

use futures_util::StreamExt;
use ratatosk_connector::upstream::{EndKind, Ended, Port};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Message,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use super::{PusherClient, facts::ClientState, link::Link};
use crate::proto::{
    close::Reaction,
    follow::{self, Said},
};

/// A WebSocket connection to the server.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Bytes of a message that is taken.
const MAX_MESSAGE: usize = 4 << 20;
/// What 4100-4199 asks for.
const BACK_OFF: Duration = Duration::from_secs(1);

/// Why a connection ended, as far as the server said.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// The code of the close, or of the error before it.
    pub(super) code: Option<u16>,
    /// The text.
    pub(super) reason: String,
}

impl Farewell {
    /// From a close frame and the last `pusher:error`.
    pub(super) fn new(frame: Option<&CloseFrame>, error: Option<&(Option<u16>, String)>) -> Self {
        let code = frame.map(|frame| u16::from(frame.code)).filter(|code| *code != 1006).or(error.and_then(|e| e.0));
        let said = frame.map(|frame| frame.reason.as_str()).filter(|reason| !reason.is_empty());
        let text = said.or(error.map(|error| error.1.as_str())).unwrap_or("the server closed the connection");
        let reason = match code {
            Some(code) => format!("{text} ({code})"),
            None => text.to_owned(),
        };
        Self { code, reason }
    }

    /// What the supervisor should make of it.
    fn ended(self) -> Ended {
        match self.code.map_or(Reaction::Retry, Reaction::to) {
            Reaction::Stop => Ended::refused(self.reason),
            Reaction::BackOff => Ended::lost(self.reason).after(BACK_OFF),
            Reaction::UseTls | Reaction::Now | Reaction::Retry => Ended::lost(self.reason),
        }
    }
}

/// How serving a connection ends.
#[derive(Debug)]
pub(super) enum Over {
    /// As this says.
    Ended(Ended),
    /// The server closed.
    Closed(Farewell),
}

impl From<Ended> for Over {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// Connects, serves the connection until it ends, and says why it ended.
pub(super) async fn run(client: &mut PusherClient, port: &mut Port) -> Ended {
    client.facts.state(ClientState::Connecting);
    let mut leave = Box::pin(port.leave());
    let opened = tokio::select! {
        () = &mut leave => Err(Over::Ended(Ended::asked())),
        opened = open(client, port.gateway_id()) => opened,
    };
    let over = match opened {
        Ok((socket, socket_id, activity)) => {
            Box::pin(Link::new(client, port, socket, socket_id, activity).serve(leave)).await
        }
        Err(over) => over,
    };
    let ended = match over {
        Over::Ended(ended) => ended,
        Over::Closed(farewell) => {
            client.needs_tls |= farewell.code.is_some_and(|code| Reaction::to(code) == Reaction::UseTls);
            farewell.ended()
        }
    };
    client.facts.state(match ended.kind() {
        EndKind::Asked => ClientState::Disconnected,
        EndKind::Lost => ClientState::Connecting,
        EndKind::Refused => ClientState::Failed,
    });
    ended
}

/// A connection that was let in: its socket id, and the silence the server wants to see a ping after, in seconds.
async fn open(client: &PusherClient, gateway_id: &str) -> Result<(Socket, String, u64), Over> {
    let settings = &client.settings;
    let late = |_| Over::Ended(Ended::lost("the server did not answer in time"));
    let url = settings.socket_url(settings.tls || client.needs_tls, gateway_id);
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let tls = Connector::Rustls(settings.tls_config.clone());
    let connecting = Box::pin(connect_async_tls_with_config(url, Some(config), true, Some(tls)));
    let connected = tokio::time::timeout(settings.timeout, connecting).await.map_err(late)?;
    let (socket, _) = connected.map_err(|error| Over::Ended(Ended::lost(format!("cannot connect: {error}"))))?;
    tokio::time::timeout(settings.timeout, established(socket)).await.map_err(late)?
}

async fn established(mut socket: Socket) -> Result<(Socket, String, u64), Over> {
    let mut error = None;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match follow::read(&text) {
                Some(Said::Established { socket_id, activity_timeout_s }) => {
                    return Ok((socket, socket_id, activity_timeout_s));
                }
                Some(Said::Error { code, message, .. }) => error = Some((code, message)),
                _ => {}
            },
            Some(Ok(Message::Close(frame))) => {
                return Err(Over::Closed(Farewell::new(frame.as_ref(), error.as_ref())));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(Over::Closed(Farewell::new(None, error.as_ref()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_decide_what_follows() {
        for (code, kind) in [
            (Some(4001), EndKind::Refused),
            (Some(4009), EndKind::Refused),
            (Some(4000), EndKind::Lost),
            (Some(4100), EndKind::Lost),
            (Some(4200), EndKind::Lost),
            (Some(4301), EndKind::Lost),
            (Some(1001), EndKind::Lost),
            (None, EndKind::Lost),
        ] {
            let ended = Farewell { code, reason: "x".into() }.ended();
            assert_eq!(ended.kind(), kind, "{code:?}");
        }
        let error = (Some(4001), "Application does not exist".to_owned());
        let farewell = Farewell::new(None, Some(&error));
        assert_eq!(farewell.reason, "Application does not exist (4001)");
        assert_eq!(farewell.ended().kind(), EndKind::Refused);
    }
}
