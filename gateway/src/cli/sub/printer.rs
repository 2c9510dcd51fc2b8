//! Standard output as a peer of the bus.

use std::io::{self, BufWriter, Stdout, Write as _};

use parking_lot::Mutex;
use ratatosk::core::{Delivered, EndReason, Peer, Run};
use tokio::sync::oneshot;

use super::show::Show;

/// How printing ends: nothing more is wanted, or standard output takes no more.
pub(super) type Done = oneshot::Receiver<io::Result<()>>;

/// Prints messages, up to a count.
///
/// Writing blocks the lane that delivers, on purpose: this bus has one lane and one subscriber, and while standard output
/// takes no more, nothing more is to be read from the network. So a slow reader behind a pipe loses nothing.
#[derive(Debug)]
pub(super) struct Printer(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    out: BufWriter<Stdout>,
    show: Show,
    left: Option<u64>,
    done: Option<oneshot::Sender<io::Result<()>>>,
}

impl Printer {
    pub(super) fn new(show: Show, count: Option<u64>) -> (Self, Done) {
        let (sender, done) = oneshot::channel();
        let inner = Inner { out: BufWriter::new(io::stdout()), show, left: count, done: Some(sender) };
        (Self(Mutex::new(inner)), done)
    }
}

impl Inner {
    fn print(&mut self, run: &Run<'_>) -> Delivered {
        let mut delivered = Delivered::default();
        for (message, _) in run.iter() {
            if self.done.is_none() {
                break;
            }
            if let Err(error) = self.show.write(&mut self.out, message) {
                self.end(Err(error));
                break;
            }
            delivered.messages += 1;
            delivered.bytes += message.payload.len() as u64;
            self.left = self.left.map(|left| left.saturating_sub(1));
            if self.left == Some(0) {
                let flushed = self.out.flush();
                self.end(flushed);
            }
        }
        if self.done.is_some()
            && let Err(error) = self.out.flush()
        {
            self.end(Err(error));
        }
        delivered
    }

    fn end(&mut self, how: io::Result<()>) {
        // A reader that has seen enough (`| head`) is no failure.
        let how = how.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) });
        if let Some(done) = self.done.take() {
            // Nobody waits any more when the command is on its way out.
            let _ = done.send(how);
        }
    }
}

impl Peer for Printer {
    fn deliver(&self, run: &mut Run<'_>) -> Delivered {
        tokio::task::block_in_place(|| self.0.lock().print(run))
    }

    fn end(&self, _reason: EndReason) {
        self.0.lock().end(Ok(()));
    }
}
