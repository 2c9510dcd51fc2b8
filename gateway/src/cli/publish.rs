//! `ratatosk pub`.

mod input;
mod progress;

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use ratatosk::{
    config::Upstream,
    core::{Channel, Connector, Origin, Publication, Qos, channel::has_wildcard, stats::DropReason},
};
use serde_json::{Map, json};
use tokio::time::Instant;

use self::{input::Input, progress::Progress};
use super::{
    client::{self, Client, ClientArgs, News, Teller},
    upstream_url::UpstreamUrl,
};

/// Messages that may be on their way at a time, and bytes of them.
const WINDOW: (u64, usize) = (4096, 16 << 20);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Publish on a channel of a server, in any protocol
///
/// Publishes on a channel of a server. It ends with status 0 when the server has taken every message: acknowledged it, where
/// the protocol can.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk pub mqtt://127.0.0.1:1883 sensors/kitchen/temp '{\"c\":21.5}' --retain\n  seq 10000 | ratatosk pub bayeux+http://127.0.0.1:8080 numbers -\n  ratatosk pub sse+http://127.0.0.1:8080 notes --whole < README.md\n  ratatosk pub pusher+ws://demo:demo-secret@127.0.0.1:8080/app/demo-key room hello --event greeting\n\nExit status: 0 when all was taken; 1 when something was not, with the cause; 2 for wrong usage."
)]
pub(super) struct Args {
    /// The server: mqtt://, mqtt+ws://, sse+http://, bayeux+http://, bayeux+ws://, pusher+ws://APP_ID:SECRET@HOST/app/KEY
    /// and their TLS forms; a user and password may stand in it
    #[arg(value_name = "URL")]
    url: UpstreamUrl,
    /// The channel in canonical form (a/b/c)
    #[arg(value_name = "CHANNEL", value_parser = channel)]
    channel: String,
    /// The payload; without it, or with `-`, each line of standard input is one
    #[arg(value_name = "PAYLOAD")]
    payload: Option<String>,
    /// Publish the whole of standard input as one message
    #[arg(long, conflicts_with = "payload")]
    whole: bool,
    /// Quality of service (MQTT)
    #[arg(long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=2))]
    qos: u8,
    /// Keep the message as the channel's last value; an empty one clears it
    #[arg(short, long)]
    retain: bool,
    /// Name the event
    #[arg(short, long, value_name = "NAME")]
    event: Option<String>,
    /// Say what the payload is, such as image/png
    #[arg(long, value_name = "MIME")]
    content_type: Option<String>,
    /// Give up when the server has taken nothing for this long
    #[arg(short = 't', long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    client: ClientArgs,
}

/// A name without wildcards.
fn channel(text: &str) -> Result<String, String> {
    Channel::new(text).map_err(|error| error.to_string())?;
    if has_wildcard(text) {
        return Err("a message is published on one channel: write no wildcards".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(problem) = args.unsendable() {
        client::complain(&format!("error: {problem}"));
        return Ok(ExitCode::from(super::MISUSED));
    }
    let Some(upstream) = resolve(args)? else { return Ok(ExitCode::FAILURE) };
    args.client.log()?;
    let runtime = client::runtime()?;
    let done = runtime.block_on(publish(args, &upstream));
    // Standard input may be a terminal that nobody types at: its reader is not waited for.
    runtime.shutdown_background();
    done
}

impl Args {
    /// What can be said at once about a Pusher channel: only client events go without the HTTP API.
    fn unsendable(&self) -> Option<&'static str> {
        let needs_api = self.url.kind == "pusher" && !self.client.has_api(&self.url) && !self.is_member();
        needs_api.then_some(
            "publishing on this channel takes Pusher's HTTP API: give --app-id and --secret, or APP_ID:SECRET@ in the URL",
        )
    }

    /// Whether the channel is one where clients may trigger events.
    fn is_member(&self) -> bool {
        self.channel.starts_with("private-") || self.channel.starts_with("presence-")
    }
}

fn resolve(args: &Args) -> anyhow::Result<Option<Upstream>> {
    let mut rules = Map::from_iter([("out".to_owned(), client::send(&args.channel))]);
    if args.url.kind == "pusher" && !args.client.has_api(&args.url) {
        rules.insert("in".to_owned(), client::bring([args.channel.as_str()]));
    }
    // The window below bounds what waits; the queue must not drop any of it.
    rules.insert("buffer".to_owned(), json!({ "messages": WINDOW.0 * 2, "bytes": "1 GiB", "policy": "drop_newest" }));
    Ok(client::resolve(&args.client.sources(&args.url, rules))?)
}

/// What has been published, and what became of it.
struct Books {
    connector: Connector,
    sent: u64,
    sent_bytes: usize,
    taken: u64,
    dropped: u64,
    taken_bytes: usize,
    moved: Instant,
}

impl Books {
    fn settled(&self) -> u64 {
        self.taken + self.dropped
    }

    fn has_room(&self) -> bool {
        self.sent - self.settled() < WINDOW.0 && self.sent_bytes.saturating_sub(self.taken_bytes) < WINDOW.1
    }

    /// Reads the counters of the bus.
    fn look(&mut self, client: &Client) {
        let before = self.settled();
        let totals = client.bus.stats().totals(self.connector);
        self.taken = totals.delivered;
        self.taken_bytes = usize::try_from(totals.delivered_bytes).unwrap_or(usize::MAX);
        self.dropped = DropReason::ALL.iter().map(|reason| client.bus.stats().drops(self.connector, *reason)).sum();
        if self.settled() != before {
            self.moved = Instant::now();
        }
    }

    /// Why messages were not taken.
    fn reasons(&self, client: &Client) -> String {
        let count = |reason: &DropReason| (client.bus.stats().drops(self.connector, *reason), reason.label());
        let reasons = DropReason::ALL.iter().map(count).filter(|(count, _)| *count > 0);
        reasons.map(|(count, label)| format!("{count} {label}")).collect::<Vec<_>>().join(", ")
    }
}

async fn publish(args: &Args, upstream: &Upstream) -> anyhow::Result<ExitCode> {
    let (mut client, ()) = Client::join(upstream, |_| ())?;
    let mut teller = Teller::new(args.url.shown(), args.client.quiet() || args.payload.is_some());
    let ended = work(args, upstream, &mut client, &mut teller).await;
    client.leave().await;
    ended.map(|()| ExitCode::SUCCESS)
}

async fn work(args: &Args, upstream: &Upstream, client: &mut Client, teller: &mut Teller) -> anyhow::Result<()> {
    let mut input = Input::open(args.payload.as_deref(), args.whole);
    let mut progress = Progress::new(input.size(), args.client.quiet());
    let (connector, moved) = (Connector::register(upstream.options.kind()), Instant::now());
    let mut books = Books { connector, sent: 0, sent_bytes: 0, taken: 0, dropped: 0, taken_bytes: 0, moved };
    // A client event goes out on a channel that we are subscribed to, and not before.
    let mut open = upstream.inbound.is_empty();
    let mut ended = false;
    let mut clock = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            biased;
            Some(news) = client.news.recv() => {
                teller.tell(&news);
                open |= matches!(news, News::Subscribed(_));
                match news {
                    News::Down(reason) if books.settled() == 0 => {
                        anyhow::bail!("nothing was published on {}: {reason}", args.url.shown());
                    }
                    News::Unsubscribed(channel, reason) if !open => anyhow::bail!("{channel}: {reason}"),
                    _ => {}
                }
            }
            reason = client::refusal(&client.handle) => {
                anyhow::bail!("{} of {} messages were taken: {reason}", books.taken, books.sent);
            }
            line = input.next(), if open && !ended && books.has_room() => match line? {
                Some(payload) => {
                    books.sent += 1;
                    books.sent_bytes += payload.len();
                    if books.sent == books.settled() + 1 {
                        books.moved = Instant::now();
                    }
                    client.bus.publish(args.publication(payload)?)?;
                }
                None => ended = true,
            },
            _ = clock.tick() => {}
        }
        books.look(client);
        progress.show(books.sent, books.taken, books.sent_bytes);
        if ended && books.settled() == books.sent {
            break;
        }
        if (books.settled() < books.sent || !open) && books.moved.elapsed() > args.timeout {
            let (taken, sent) = (books.taken, books.sent);
            anyhow::bail!(
                "{taken} of {sent} messages were taken, and none for {}",
                humantime::format_duration(args.timeout)
            );
        }
    }
    progress.finish(books.taken);
    if books.dropped > 0 {
        anyhow::bail!("{} of {} messages were not taken: {}", books.dropped, books.sent, books.reasons(client));
    }
    Ok(())
}

impl Args {
    fn publication(&self, payload: Bytes) -> anyhow::Result<Publication> {
        let mut publication = Publication::new(client::outlet()?, payload, Origin::gateway()).retained(self.retain);
        publication.qos = Qos::try_from(self.qos).unwrap_or_default();
        if let Some(event) = &self.event {
            publication.extras_mut().event = Some(event.as_str().into());
        }
        if let Some(kind) = &self.content_type {
            publication.extras_mut().content_type = Some(kind.as_str().into());
        }
        Ok(publication)
    }
}
