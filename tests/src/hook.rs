//! A receiver of webhooks: a real HTTP server that answers as it is told and keeps what it was sent.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Mutex, mpsc},
};

use crate::wait::within;

/// A request that came.
#[derive(Debug)]
pub struct Hooked {
    /// The request line.
    pub line: String,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Hooked {
    /// A header field's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// What is answered: a status and a body; without one, nothing is answered at all.
type Answers = Arc<Mutex<VecDeque<Option<(u16, String)>>>>;

/// The receiver.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    answers: Answers,
    requests: mpsc::Receiver<Hooked>,
}

impl Receiver {
    /// Starts one that answers 200 to whatever it is not told to answer otherwise.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, requests) = mpsc::channel(4096);
        let answers = Answers::default();
        let shared = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone(), sender.clone()));
            }
        });
        Self { address, answers, requests }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers the next requests with these statuses.
    pub async fn will_answer(&self, statuses: &[u16]) {
        self.answers.lock().await.extend(statuses.iter().map(|status| Some((*status, String::new()))));
    }

    /// Answers the next request with this status and body.
    pub async fn will_say(&self, status: u16, body: impl Into<String>) {
        self.answers.lock().await.push_back(Some((status, body.into())));
    }

    /// Does not answer the next request at all.
    pub async fn will_be_silent(&self) {
        self.answers.lock().await.push_back(None);
    }

    /// The next request.
    ///
    /// # Panics
    /// When none comes.
    pub async fn next(&mut self) -> Hooked {
        within("a request to the receiver", self.requests.recv()).await.expect("it serves")
    }

    /// A request that has come already.
    pub fn came(&mut self) -> Option<Hooked> {
        self.requests.try_recv().ok()
    }
}

async fn serve(stream: TcpStream, answers: Answers, requests: mpsc::Sender<Hooked>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let answer = answers.lock().await.pop_front().unwrap_or(Some((200, String::new())));
        let told = requests.send(request).await.is_ok();
        let Some((status, body)) = answer.filter(|_| told) else {
            // Nothing is said until the other side has had enough.
            let _ = stream.read_u8().await;
            return;
        };
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Hooked> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut field = String::new();
        stream.read_line(&mut field).await.ok()?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.flatten().unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Hooked { line: line.trim_end().to_owned(), headers, body })
}
