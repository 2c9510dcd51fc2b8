//! `ratatosk demo`.

use std::process::ExitCode;

use ratatosk::Addresses;

use super::source::SourceArgs;

/// Run the gateway with a sensor fleet and a page that shows it in four stock clients
///
/// Runs the gateway with its defaults, a simulated sensor fleet that publishes over MQTT, and a page that shows it live in
/// four stock browser clients: EventSource, pusher-js, cometd and mqtt.js. A default port that is taken is replaced.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ratatosk demo\n  ratatosk demo --set http.listen=127.0.0.1:9000")]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut sources = args.source.sources();
    let resolved = ratatosk::demo::load(&mut sources)?;
    ratatosk::logging::start(&resolved.log)?;
    super::serve::runtime()?.block_on(ratatosk::demo::run(resolved, sources, |addresses| welcome(&addresses)))
}

/// Where to look.
fn welcome(addresses: &Addresses) {
    let mut text = String::from("\n  The demo is running. Ctrl+C ends it.\n\n");
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<9}{value}\n"));
    if let Some(http) = addresses.http {
        line("Page", format!("http://{http}/"));
    }
    if let Some(mqtt) = addresses.mqtt {
        line("MQTT", format!("mqtt://{mqtt}"));
        line("Try", format!("mosquitto_pub -p {} -t demo/hello -m hello", mqtt.port()));
    }
    if let (Some(http), None) = (addresses.http, addresses.mqtt) {
        line("Try", format!("curl -d hello 'http://{http}/publish?channel=demo/hello'"));
    }
    if let Some(admin) = addresses.admin {
        line("Console", format!("http://{admin}/"));
    }
    text.push('\n');
    // Standard output may be closed: the log says where everything listens, too.
    let _ = super::print(&text);
}
