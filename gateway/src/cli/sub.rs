//! `ratatosk sub`.

pub(super) mod paint;
mod printer;
mod show;

use std::{process::ExitCode, sync::Arc, time::Duration};

use ratatosk::{
    config::Upstream,
    core::{Connector, Filter, Qos, SessionConfig, SubscribeOptions},
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    paint::ColorChoice,
    printer::Printer,
    show::{Shape, Show},
};
use super::{
    client::{self, Client, ClientArgs, Teller},
    upstream_url::UpstreamUrl,
};

/// Subscribe to channels of a server, in any protocol, and print what comes
///
/// Subscribes to channels of a server and prints what comes, until Ctrl+C. It connects again by itself after a broken
/// connection; only the first one has to succeed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk sub mqtt://127.0.0.1:1883 'sensors/#'\n  ratatosk sub sse+http://127.0.0.1:8080 'sensors/#' --json | jq .data\n  ratatosk sub pusher+ws://127.0.0.1:8080/app/demo-key private-room --secret demo-secret\n  ratatosk sub bayeux+http://127.0.0.1:8080 alarms --count 1 --timeout 30s --raw\n\nExit status: 0 when done or interrupted; 1 when there is no connection, all subscriptions are refused, or --timeout\npassed before --count messages; 2 for wrong usage."
)]
pub(super) struct Args {
    /// The server: mqtt://, mqtt+ws://, sse+http://, bayeux+http://, bayeux+ws://, pusher+ws://HOST/app/KEY and their TLS
    /// forms; a user and password may stand in it
    #[arg(value_name = "URL")]
    url: UpstreamUrl,
    /// Channels in canonical form (a/b/c), with + and # where the protocol has wildcards
    #[arg(value_name = "CHANNEL", required = true, value_parser = filter)]
    channels: Vec<String>,
    /// End after this many messages
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time: 30s, 5m
    #[arg(short = 't', long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Print payloads alone, byte for byte, each followed by a line feed
    #[arg(short, long, conflicts_with_all = ["json", "pretty"])]
    raw: bool,
    /// Print one JSON object per message: channel, time, data and all that came with it
    #[arg(short, long, conflicts_with = "pretty")]
    json: bool,
    /// Print JSON over several lines, as on a terminal
    #[arg(short, long)]
    pretty: bool,
    /// Highest quality of service to ask for (MQTT)
    #[arg(long, value_name = "QOS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(..=2))]
    qos: u8,
    /// Colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorChoice,
    #[command(flatten)]
    client: ClientArgs,
}

fn filter(text: &str) -> Result<String, String> {
    Filter::new(text).map(|filter| filter.as_str().to_owned()).map_err(|error| error.to_string())
}

/// Ctrl+C, or a supervisor's SIGTERM.
fn interruption() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = term.recv() => {}
        }
    })
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(upstream) = resolve(args)? else { return Ok(ExitCode::FAILURE) };
    args.client.log()?;
    client::runtime()?.block_on(follow(args, &upstream))
}

fn resolve(args: &Args) -> anyhow::Result<Option<Upstream>> {
    let mut rules = client::bring(args.channels.iter().map(String::as_str));
    for rule in rules.as_array_mut().into_iter().flatten() {
        rule["qos"] = json!(args.qos);
    }
    let rules = serde_json::Map::from_iter([("in".to_owned(), rules)]);
    Ok(client::resolve(&args.client.sources(&args.url, rules))?)
}

async fn follow(args: &Args, upstream: &Upstream) -> anyhow::Result<ExitCode> {
    let (printer, mut done) = Printer::new(args.show(), args.count);
    let (mut client, session) = Client::join(upstream, |bus| {
        let session = bus.open_session(SessionConfig::client("sub", Connector::GATEWAY), Arc::new(printer));
        let options = SubscribeOptions { qos: Qos::ExactlyOnce, retain_as_published: true, ..Default::default() };
        if let Some(all) = client::brought() {
            session.subscribe(all, options);
        }
        session
    })?;
    let mut teller = Teller::new(args.url.shown(), args.client.quiet());
    let filters = wanted(upstream);
    let mut interrupted = std::pin::pin!(interruption()?);
    let mut late = std::pin::pin!(sleep_for(args.timeout));
    let ended = loop {
        tokio::select! {
            Some(news) = client.news.recv() => {
                teller.tell(&news);
                if let client::News::Down(reason) = &news && !teller.was_up() {
                    break Err(anyhow::anyhow!("no connection to {}: {reason}", args.url.shown()));
                }
                if filters > 0 && teller.live() == 0 && teller.refused().len() == filters {
                    break Err(anyhow::anyhow!("every subscription was refused"));
                }
            }
            reason = client::refusal(&client.handle) => {
                break Err(anyhow::anyhow!("{} will not have us: {reason}", args.url.shown()));
            }
            end = &mut done => break end.unwrap_or(Ok(())).map_err(Into::into),
            () = &mut interrupted => break Ok(()),
            () = &mut late => break match args.count {
                Some(count) => Err(anyhow::anyhow!("time is up before {count} messages had come")),
                None => Ok(()),
            },
        }
    };
    drop(session);
    client.leave().await;
    ended.map(|()| ExitCode::SUCCESS)
}

/// How many subscriptions the far server is asked for: a filter that another covers is not.
fn wanted(upstream: &Upstream) -> usize {
    let filters: Vec<Filter> = upstream.inbound.iter().map(|rule| rule.from().clone()).collect();
    ratatosk::connector::rules::cover(filters).len()
}

async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

impl Args {
    fn show(&self) -> Show {
        let shape = match (self.raw, self.json) {
            (true, _) => Shape::Raw,
            (_, true) => Shape::Json,
            _ if self.pretty || std::io::IsTerminal::is_terminal(&std::io::stdout()) => Shape::Pretty,
            _ => Shape::Line,
        };
        Show { shape, colour: self.color.is_on() }
    }
}
