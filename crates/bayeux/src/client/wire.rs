//! The two ways to a server: POSTs, some of them held, or one WebSocket.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use http::{HeaderMap, StatusCode, header};
use ratatosk_connector::upstream::tls::client_config;
use reqwest::cookie::CookieStore;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        protocol::{WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::settings::Settings;

/// Why nothing more comes over the wire.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("the server answers {0}")]
    Status(StatusCode),
    #[error("{0}")]
    Http(String),
    #[error("the server's answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the server's answer is no text")]
    NotText,
    #[error("the WebSocket failed: {0}")]
    Socket(String),
    #[error("the server closed the WebSocket")]
    Closed,
    #[error("the server takes no WebSocket message as large as ours")]
    Oversize,
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("no answer in time")]
    Timeout,
}

impl WireError {
    /// Whether what we sent may be the cause: not a server that is slow, busy or ill.
    pub(super) fn is_about_us(&self) -> bool {
        match self {
            Self::Status(status) => {
                let passes = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_client_error() && !passes.contains(status)
            }
            Self::Http(_) | Self::Socket(_) | Self::Closed | Self::Oversize => true,
            Self::TooLarge(_) | Self::NotText | Self::Tls(_) | Self::Timeout => false,
        }
    }

    /// Whether the server says that something we sent is too large.
    pub(super) fn says_too_large(&self) -> bool {
        matches!(self, Self::Status(StatusCode::PAYLOAD_TOO_LARGE) | Self::Oversize)
    }
}

type Answer = Result<String, WireError>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The way in use.
pub(super) enum Wire {
    Polling(Polling),
    Socket(Box<Socket>),
}

/// Requests under way.
pub(super) struct Polling {
    http: reqwest::Client,
    settings: Arc<Settings>,
    headers: HeaderMap,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
}

impl Wire {
    pub(super) fn polling(http: reqwest::Client, settings: Arc<Settings>, headers: HeaderMap) -> Self {
        Self::Polling(Polling { http, settings, headers, answers: FuturesUnordered::new() })
    }

    pub(super) async fn socket(settings: &Settings, headers: &HeaderMap) -> Result<Self, WireError> {
        let failed = |error: tungstenite::Error| match error {
            tungstenite::Error::Http(response) => WireError::Status(response.status()),
            other => WireError::Socket(other.to_string()),
        };
        let mut request = settings.socket_url.as_str().into_client_request().map_err(failed)?;
        request.headers_mut().extend(headers.clone());
        if let Some(cookies) = settings.cookies.cookies(&settings.url) {
            request.headers_mut().insert(header::COOKIE, cookies);
        }
        let tls = client_config(&settings.config.tls, &[]).map_err(|error| WireError::Tls(error.to_string()))?;
        let limits = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .max_message_size(Some(settings.max_answer))
            .max_frame_size(Some(settings.max_answer));
        let connecting = connect_async_tls_with_config(request, Some(limits), true, Some(Connector::Rustls(tls)));
        let connected = tokio::time::timeout(settings.timeout, Box::pin(connecting)).await;
        let (socket, _) = connected.map_err(|_| WireError::Timeout)?.map_err(failed)?;
        Ok(Self::Socket(Box::new(socket)))
    }

    /// The connection type that this is.
    pub(super) fn connection_type(&self) -> &'static str {
        match self {
            Self::Polling(_) => "long-polling",
            Self::Socket(_) => "websocket",
        }
    }

    /// Whether requests may overtake each other: then one publication is under way at a time.
    pub(super) fn is_polling(&self) -> bool {
        matches!(self, Self::Polling(_))
    }

    /// Sends an array of messages. `held` is how long the server may hold its answer.
    pub(super) async fn send(&mut self, array: String, held: Duration) -> Result<(), WireError> {
        match self {
            Self::Polling(polling) => {
                polling.answers.push(polling.post(array, held));
                Ok(())
            }
            Self::Socket(socket) => {
                socket.send(Message::text(array)).await.map_err(|error| WireError::Socket(error.to_string()))
            }
        }
    }

    /// The next array that the server sends. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Answer {
        match self {
            Self::Polling(polling) => match polling.answers.next().await {
                Some(answer) => answer,
                None => std::future::pending().await,
            },
            Self::Socket(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
                    Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Size => {
                        return Err(WireError::Oversize);
                    }
                    Some(Ok(Message::Close(_))) | None => return Err(WireError::Closed),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(WireError::Socket(error.to_string())),
                }
            },
        }
    }

    /// Ends it in good order.
    pub(super) async fn close(self) {
        if let Self::Socket(mut socket) = self {
            let _ = SinkExt::close(&mut socket).await; // whatever the server makes of it, we are gone
        }
    }
}

impl Polling {
    fn post(&self, body: String, held: Duration) -> BoxFuture<'static, Answer> {
        let request = self
            .http
            .post(self.settings.url.clone())
            .headers(self.headers.clone())
            .header(header::CONTENT_TYPE, "application/json;charset=UTF-8")
            .timeout(self.settings.timeout + held)
            .body(body);
        let limit = self.settings.max_answer;
        Box::pin(async move {
            let failed = |error: reqwest::Error| {
                if error.is_timeout() { WireError::Timeout } else { WireError::Http(chain(&error.without_url())) }
            };
            let mut response = request.send().await.map_err(failed)?;
            if response.status() != StatusCode::OK {
                return Err(WireError::Status(response.status()));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > limit {
                    return Err(WireError::TooLarge(limit));
                }
                body.extend_from_slice(&chunk);
            }
            String::from_utf8(body).map_err(|_| WireError::NotText)
        })
    }
}

/// An error with what caused it: reqwest's own text says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
