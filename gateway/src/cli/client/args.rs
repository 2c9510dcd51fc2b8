//! The options that say how to reach a far server.

use std::path::PathBuf;

use ratatosk::config::Sources;
use serde_json::{Map, Value, json};
use url::Url;

use crate::cli::{source::SettingArgs, upstream_url::UpstreamUrl};

/// How to reach the far server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(in crate::cli) struct ClientArgs {
    /// Bearer token; over MQTT it is the password
    #[arg(long, value_name = "TOKEN", env = "RATATOSK_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// MQTT client id; made up when not given
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// MQTT version: 5 or 3.1.1
    #[arg(long, value_name = "VERSION", value_parser = ["5", "3.1.1"])]
    mqtt_version: Option<String>,
    /// Pusher application id, for the HTTP API
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Pusher application secret: signs private channels and HTTP API calls
    #[arg(long, value_name = "SECRET", env = "RATATOSK_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// PEM file of the certificate authorities to trust instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of our certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Log what the connection does
    #[arg(short, long)]
    verbose: bool,
    /// Say nothing on standard error but what is wrong
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

impl ClientArgs {
    pub(in crate::cli) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Starts the log, if it is wanted.
    pub(in crate::cli) fn log(&self) -> anyhow::Result<()> {
        if self.verbose {
            let level = "debug,hyper=info,rustls=info,h2=info,reqwest=info,tungstenite=info".to_owned();
            ratatosk::logging::start(&ratatosk::config::raw::LogSection { level, ..Default::default() })?;
        }
        Ok(())
    }

    /// Whether messages can be published by Pusher's HTTP API.
    pub(in crate::cli) fn has_api(&self, url: &UpstreamUrl) -> bool {
        self.app_id.is_some() || credentials(&url.text).is_some()
    }

    /// A configuration of nothing but this upstream and its rules. Of the environment only what is about upstreams
    /// counts: how a gateway on this machine listens is no business of a client's.
    pub(in crate::cli) fn sources(&self, url: &UpstreamUrl, rules: Map<String, Value>) -> Sources {
        let mut upstream = self.options(url);
        upstream.insert("name".to_owned(), json!("far"));
        upstream.insert("kind".to_owned(), json!(url.kind));
        upstream.extend(rules);
        let mut sources = self.settings.sources();
        sources.env.retain(|(key, _)| key.starts_with("RATATOSK__UPSTREAMS__"));
        sources.given.push(("upstreams".to_owned(), json!([upstream]), "command line".to_owned()));
        sources
    }

    /// The keys of the upstream's own protocol.
    fn options(&self, url: &UpstreamUrl) -> Map<String, Value> {
        let mut options = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                options.insert(key.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
        let file = |value: &Option<PathBuf>| value.as_ref().map(|path| json!(path.display().to_string()));
        put("url", Some(json!(with_usual_path(url))));
        match url.kind {
            "mqtt" => {
                put("client_id", text(&self.client_id));
                put("version", text(&self.mqtt_version));
                put("password", text(&self.token));
                // A bridge may wait long for a slow peer; a person at a terminal would not.
                put("connect_timeout", Some(json!("10s")));
            }
            "pusher" => {
                let (user, password) = credentials(&url.text).unzip();
                put("app_id", text(&self.app_id).or(user.map(Value::from)));
                put("secret", text(&self.secret).or(password.map(Value::from)));
            }
            "sse" => {
                put("token", text(&self.token));
                put("format", Some(json!(sse_format(&url.text))));
                if url.text.ends_with("/.well-known/mercure") {
                    put("publish", Some(json!({ "preset": "mercure" })));
                }
            }
            _ => put("token", text(&self.token)),
        }
        let tls: Map<String, Value> = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), file(value)?)))
            .collect();
        put("tls", (!tls.is_empty()).then_some(Value::Object(tls)));
        options
    }
}

/// User and password of a URL.
fn credentials(text: &str) -> Option<(String, String)> {
    let url = Url::parse(text).ok()?;
    Some((url.username().to_owned(), url.password()?.to_owned()))
}

/// The URL with the path that our own gateway uses, if it has none.
fn with_usual_path(given: &UpstreamUrl) -> String {
    let usual = match given.kind {
        "sse" => "/sse",
        "bayeux" => "/bayeux",
        _ => return given.text.clone(),
    };
    match Url::parse(&given.text) {
        Ok(mut url) if matches!(url.path(), "" | "/") => {
            url.set_path(usual);
            url.into()
        }
        _ => given.text.clone(),
    }
}

/// Our own streams name the channel of each message in an envelope; of a stranger's we know the event names.
fn sse_format(text: &str) -> &'static str {
    let path = Url::parse(text).map(|url| url.path().to_owned()).unwrap_or_default();
    if matches!(path.as_str(), "" | "/") || path.ends_with("/sse") { "envelope" } else { "event" }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_url_without_a_path_gets_the_usual_one() {
        for (text, full, format) in [
            ("sse+http://h:1", "sse+http://h:1/sse", "envelope"),
            ("sse+https://h/sse?x=1", "sse+https://h/sse?x=1", "envelope"),
            ("sse+https://h/v2/stream", "sse+https://h/v2/stream", "event"),
            ("bayeux+ws://h/", "bayeux+ws://h/bayeux", "event"),
            ("mqtt://h", "mqtt://h", "event"),
        ] {
            let url: UpstreamUrl = text.parse().unwrap();
            assert_eq!(with_usual_path(&url), full);
            if url.kind == "sse" {
                assert_eq!(sse_format(text), format, "{text}");
            }
        }
    }

    #[test]
    fn pusher_takes_its_application_from_the_user_part() {
        assert_eq!(credentials("pusher+ws://1:s@h/app/k"), Some(("1".to_owned(), "s".to_owned())));
        assert_eq!(credentials("pusher+ws://h/app/k"), None);
    }
}
