//! What happens to the connection, and telling it on standard error.

use std::{collections::HashSet, io::Write as _, sync::Arc};

use ratatosk::core::{Monitor, MonitorEvent, MonitorHandler, monitor::Monitored};
use tokio::sync::mpsc;

/// Events that may wait to be told; further ones are dropped, because nobody could read them.
const WAITING: usize = 1024;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum News {
    /// The far server let us in.
    Up,
    /// The connection ended, or could not be made.
    Down(Arc<str>),
    /// A subscription is live.
    Subscribed(Arc<str>),
    /// A subscription was refused or lost.
    Unsubscribed(Arc<str>, Arc<str>),
}

/// Follows the events of a bus from now on.
pub(super) fn listen(monitor: &Monitor) -> mpsc::Receiver<News> {
    let (sender, receiver) = mpsc::channel(WAITING);
    monitor.add(Arc::new(Listener(sender)));
    receiver
}

struct Listener(mpsc::Sender<News>);

impl MonitorHandler for Listener {
    fn handle(&self, event: &Monitored) {
        let news = match &event.event {
            MonitorEvent::UpstreamStatus { up: true, .. } => News::Up,
            MonitorEvent::UpstreamStatus { up: false, reason, .. } => News::Down(reason.clone()),
            MonitorEvent::SubscriptionConnected { filter, .. } => News::Subscribed(filter.clone()),
            MonitorEvent::SubscriptionDisconnected { filter, reason, .. } => {
                News::Unsubscribed(filter.clone(), reason.clone())
            }
            _ => return,
        };
        // A full queue holds more than anybody reads.
        let _ = self.0.try_send(news);
    }
}

/// Tells news to a person, and keeps in mind what was told.
#[derive(Debug)]
pub(in crate::cli) struct Teller {
    quiet: bool,
    server: String,
    was_up: bool,
    live: HashSet<Arc<str>>,
    refused: HashSet<Arc<str>>,
}

impl Teller {
    /// For a server by that name.
    pub(in crate::cli) fn new(server: String, quiet: bool) -> Self {
        Self { quiet, server, was_up: false, live: HashSet::new(), refused: HashSet::new() }
    }

    /// Whether the far server has ever let us in.
    pub(in crate::cli) fn was_up(&self) -> bool {
        self.was_up
    }

    /// The subscriptions that were refused.
    pub(in crate::cli) fn refused(&self) -> &HashSet<Arc<str>> {
        &self.refused
    }

    /// The subscriptions that are live.
    pub(in crate::cli) fn live(&self) -> usize {
        self.live.len()
    }

    /// Takes one.
    pub(in crate::cli) fn tell(&mut self, news: &News) {
        match news {
            News::Up => {
                self.say(&format!("{}connected to {}", if self.was_up { "re" } else { "" }, self.server));
                self.was_up = true;
            }
            News::Down(reason) if self.was_up => self.say(&format!("connection lost: {reason}; trying again")),
            News::Down(_) => {}
            News::Subscribed(filter) => {
                self.refused.remove(filter);
                if self.live.insert(filter.clone()) {
                    self.say(&format!("subscribed to {filter}"));
                }
            }
            News::Unsubscribed(filter, reason) => {
                // One that was live goes down with its connection, which is told by itself.
                if !self.live.remove(filter) && self.refused.insert(filter.clone()) {
                    complain(&format!("not subscribed to {filter}: {reason}"));
                }
            }
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            complain(text);
        }
    }
}

/// One line on standard error. It may be closed, which is no reason to fail.
pub(in crate::cli) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
