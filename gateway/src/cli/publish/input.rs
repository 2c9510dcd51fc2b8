//! Where payloads come from.

use std::io::{self, BufRead, IsTerminal as _, Read as _};

use bytes::Bytes;
use tokio::sync::mpsc;

/// The largest payload: the largest that MQTT can carry.
const LARGEST: u64 = 256 << 20;
/// Lines that may wait.
const WAITING: usize = 256;

/// Payloads, one after the other.
#[derive(Debug)]
pub(super) struct Input {
    lines: mpsc::Receiver<io::Result<Bytes>>,
    size: Option<u64>,
}

impl Input {
    /// One given payload, or standard input by lines or as a whole.
    pub(super) fn open(given: Option<&str>, whole: bool) -> Self {
        let (sender, lines) = mpsc::channel(WAITING);
        let size = match given.filter(|text| *text != "-") {
            Some(text) => {
                let payload = Bytes::copy_from_slice(text.as_bytes());
                tokio::spawn(async move { sender.send(Ok(payload)).await });
                None
            }
            None => {
                if io::stdin().is_terminal() {
                    crate::cli::client::complain("reading from the keyboard; Ctrl+D ends");
                }
                // A thread of its own, not the runtime's: reading from a terminal cannot be called off.
                std::thread::spawn(move || read(&sender, whole));
                file_size()
            }
        };
        Self { lines, size }
    }

    /// How many bytes there are, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next payload; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.lines.recv().await.transpose()
    }
}

fn read(sender: &mpsc::Sender<io::Result<Bytes>>, whole: bool) {
    let mut input = io::stdin().lock();
    loop {
        let payload = if whole { all(&mut input) } else { line(&mut input) };
        let Some(payload) = payload.transpose() else { return };
        let last = whole || payload.is_err();
        // An error means that the command is over.
        if sender.blocking_send(payload).is_err() || last {
            return;
        }
    }
}

fn all(input: &mut impl BufRead) -> io::Result<Option<Bytes>> {
    let mut payload = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut payload)?;
    bounded(payload).map(Some)
}

/// A line without its end. The last one needs none.
fn line(input: &mut impl BufRead) -> io::Result<Option<Bytes>> {
    let mut payload = Vec::new();
    if input.take(LARGEST + 1).read_until(b'\n', &mut payload)? == 0 {
        return Ok(None);
    }
    if payload.last() == Some(&b'\n') {
        payload.pop();
    }
    bounded(payload).map(Some)
}

fn bounded(payload: Vec<u8>) -> io::Result<Bytes> {
    if payload.len() as u64 > LARGEST {
        return Err(io::Error::other("standard input: a message of more than 256 MiB cannot be published"));
    }
    Ok(payload.into())
}

/// The size of standard input, if it is a file.
fn file_size() -> Option<u64> {
    use std::os::fd::AsFd as _;
    let file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn lines_are_bytes_without_their_end() {
        let mut input = &b"a\n\n\xff\r\nlast"[..];
        let lines: Vec<Bytes> = std::iter::from_fn(|| line(&mut input).unwrap()).collect();
        assert_eq!(lines, [&b"a"[..], b"", b"\xff\r", b"last"]);
        assert_eq!(all(&mut &b"a\nb\n"[..]).unwrap().unwrap(), "a\nb\n");
    }
}
