//! Three gateways and four scripts. `near` is the one under test; its upstreams bring from `source` and send to `sink`, one of each
//! kind both ways. A script is one protocol's stock clients: subscribed at `near` and at `sink`, publishing at `near` and at `source`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ratatosk_tests::{Gateway, Script};
use serde_json::{Value, json};

use super::cases::{FIELDS, Name};

const NO_PUSHER_NAME: &str = "longer than 164 characters, or with a level that is `+` or `#`: no Pusher name";
const REFUSED_BY_HTTP: &str = "with a level that is `+` or `#`: refused (400)";

/// A protocol, by its number in [`PROTOCOLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol(usize);

const PROTOCOLS: [Protocol; 4] = [Protocol(0), Protocol(1), Protocol(2), Protocol(3)];

impl Protocol {
    /// As the kind of an upstream.
    pub(super) fn name(self) -> &'static str {
        ["mqtt", "sse", "bayeux", "pusher"][self.0]
    }

    fn title(self) -> &'static str {
        ["MQTT", "SSE", "Bayeux", "Pusher"][self.0]
    }

    /// A name as this protocol writes it, below a prefix if there is one.
    fn spell(self, name: &Name, prefix: Option<char>) -> Option<String> {
        let below = |separator: char, name: &str| match prefix {
            Some(prefix) => format!("{prefix}-{}{separator}{name}", self.name()),
            None => name.to_owned(),
        };
        Some(match self.name() {
            "mqtt" => below('/', &name.mqtt),
            "sse" => below('/', &name.canonical),
            "bayeux" => match prefix {
                // Only the first level must not read as the protocol's own.
                Some(_) => format!("/{}", below('/', &name.bayeux[1..]))
                    .replace("/~6Deta", "/meta")
                    .replace("/~73ervice", "/service"),
                None => name.bayeux.clone(),
            },
            _ => below('.', name.pusher.as_deref()?),
        })
    }
}

/// Where messages enter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Door {
    pub(super) protocol: Protocol,
    /// By way of a far server, whose messages an upstream brings.
    upstream: bool,
}

pub(super) const DOORS: [Door; 8] = [
    Door { protocol: Protocol(0), upstream: false },
    Door { protocol: Protocol(1), upstream: false },
    Door { protocol: Protocol(2), upstream: false },
    Door { protocol: Protocol(3), upstream: false },
    Door { protocol: Protocol(0), upstream: true },
    Door { protocol: Protocol(1), upstream: true },
    Door { protocol: Protocol(2), upstream: true },
    Door { protocol: Protocol(3), upstream: true },
];

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol.name(), self.upstream) {
            ("sse", false) => f.write_str("HTTP `/publish`"),
            ("pusher", false) => f.write_str("Pusher API"),
            (_, false) => f.write_str(self.protocol.title()),
            (_, true) => write!(f, "{} upstream", self.protocol.title()),
        }
    }
}

impl Door {
    /// `from` in `ratatosk_mapping_loss_total`.
    pub(super) fn connector(self) -> &'static str {
        if self.protocol.name() == "sse" && !self.upstream { "http" } else { self.protocol.name() }
    }

    /// All that it can say of a message beside channel and payload.
    pub(super) fn said(self) -> Value {
        if self.protocol.name() == "pusher" {
            return json!({"event": "alarm"});
        }
        let answers = Name::plain("answers/7", "/answers/7", "answers.7");
        json!({
            "event": "alarm",
            "properties": [["unit", "C"], ["unit", "K"]],
            "content_type": "application/json",
            "reply_to": self.protocol.spell(&answers, self.upstream.then_some('u')),
            "correlation": "AAE=",
            "expiry": 60,
        })
    }

    fn at(self) -> &'static str {
        if self.upstream { "source" } else { "near" }
    }
}

/// Where messages are heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    protocol: Protocol,
    /// The event by which the script tells of it.
    pub(super) heard: &'static str,
}

const fn column(title: &'static str, protocol: usize, heard: &'static str) -> Column {
    Column { title, protocol: Protocol(protocol), heard }
}

pub(super) const COLUMNS: [Column; 10] = [
    column("MQTT 5", 0, "near"),
    column("MQTT 3.1.1", 0, "near3"),
    column("SSE", 1, "near"),
    column("SSE raw", 1, "raw"),
    column("Bayeux", 2, "near"),
    column("Pusher", 3, "near"),
    column("MQTT upstream", 0, "sink"),
    column("SSE upstream", 1, "sink"),
    column("Bayeux upstream", 2, "sink"),
    column("Pusher upstream", 3, "sink"),
];

impl Column {
    pub(super) fn is(self, protocol: &str, heard: &str) -> bool {
        self.protocol.name() == protocol && self.heard == heard
    }

    /// `to` in `ratatosk_mapping_loss_total`.
    pub(super) fn connector(self) -> &'static str {
        self.protocol.name()
    }

    fn prefix(self) -> Option<char> {
        (self.heard == "sink").then_some('o')
    }

    /// Whether the message came under its name; raw streams do not tell it.
    pub(super) fn names(self, message: &Value, name: &Name) -> bool {
        self.heard == "raw" || message["channel"].as_str() == self.protocol.spell(name, self.prefix()).as_deref()
    }

    /// Why a name cannot be heard here, if it cannot.
    pub(super) fn has_no(self, name: &Name) -> Option<&'static str> {
        match self.protocol.name() {
            "pusher" if name.pusher.is_none() => Some(NO_PUSHER_NAME),
            "sse" if self.heard == "sink" && name.has_wild_level() => Some(REFUSED_BY_HTTP),
            _ => None,
        }
    }

    /// The fields that a message told rightly.
    pub(super) fn told(self, message: &Value) -> BTreeSet<&'static str> {
        let said = &message["said"];
        let answers = Name::plain("answers/7", "/answers/7", "answers.7");
        // MQTT has no event of its own: there it is a property, which others pass on.
        let properties: Vec<&Value> =
            said["properties"].as_array().into_iter().flatten().filter(|pair| pair[0] != "event").collect();
        let is_told = |field: &&str| {
            let value = &said[*field];
            match *field {
                "event" => value == "alarm",
                "properties" => properties == [&json!(["unit", "C"]), &json!(["unit", "K"])],
                "content_type" => value == "application/json",
                "reply_to" => value.as_str() == self.protocol.spell(&answers, self.prefix()).as_deref(),
                "correlation" => value == "AAE=",
                _ => value.as_f64().is_some_and(|left| left > 0.0 && left <= 60.0),
            }
        };
        let present = |field: &&str| match *field {
            "properties" => !properties.is_empty(),
            field => !said[field].is_null(),
        };
        let told: BTreeSet<_> = FIELDS.into_iter().filter(is_told).collect();
        let wrong: Vec<_> = FIELDS.into_iter().filter(|field| present(field) && !told.contains(field)).collect();
        assert!(wrong.is_empty(), "{wrong:?} are told wrongly to {}: {message}", self.title);
        told
    }
}

/// What became of a message.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Why it was not taken.
    pub(super) refused: Option<String>,
    /// What came, by column.
    pub(super) seen: Vec<Vec<Value>>,
}

/// `ratatosk_mapping_loss_total` by its labels.
pub(super) type Losses = BTreeMap<(String, String, String), u64>;

pub(super) struct World {
    near: Gateway,
    sink: Gateway,
    _source: Gateway,
    scripts: Vec<Script>,
    marks: u64,
}

impl World {
    /// Starts everything, and waits until every upstream brings and sends.
    pub(super) async fn build(names: &[Name]) -> Self {
        let limits =
            "[http]\nmax_body = \"4 MiB\"\n[mqtt]\nmax_packet_size = \"4 MiB\"\n[bayeux.limits]\nbody = \"4 MiB\"\n";
        let (source, sink) = tokio::join!(Gateway::with(limits), Gateway::with(limits));
        let mut all: Vec<Name> = names.to_vec();
        all.extend((0..DOORS.len()).map(Name::cached));
        all.push(mark());
        all.push(Name::plain("matrix/room 1", "/matrix/room~201", "matrix.room=201"));
        all.push(Name::plain("matrix/said", "/matrix/said", "matrix.said"));
        let mut config = limits.to_owned();
        for protocol in PROTOCOLS {
            config.push_str(&upstreams(protocol, &source, &sink, &all).await);
        }
        let near = Gateway::with(&config).await;
        let places = json!({"near": place(&near).await, "source": place(&source).await, "sink": place(&sink).await});
        let spelled = |prefix| all.iter().filter_map(|name| Protocol(3).spell(name, prefix)).collect::<Vec<_>>();
        let scripts = PROTOCOLS.map(|protocol| {
            let mut args = places.clone();
            args["protocol"] = json!(protocol.name());
            args["names"] = json!({"near": spelled(None), "sink": spelled(Some('o'))});
            Script::node("matrix.mjs", &args)
        });
        let mut world = Self { near, sink, _source: source, scripts: scripts.into(), marks: 0 };
        for script in &mut world.scripts {
            script.expect("open").await;
        }
        for protocol in PROTOCOLS {
            let brings = format!("in-{}", protocol.name());
            let wanted =
                if protocol.name() == "pusher" { all.iter().filter(|name| name.pusher.is_some()).count() } else { 1 };
            let wanted = f64::from(u32::try_from(wanted).expect("few"));
            world
                .near
                .metric("ratatosk_upstream_subscriptions", &[("upstream", &brings)], |live| live > wanted - 0.5)
                .await;
            let sends = format!("out-{}", protocol.name());
            world.near.metric("ratatosk_upstream_up", &[("upstream", &sends)], |up| up > 0.5).await;
        }
        world
    }

    /// Whether a door can publish to a name at all, or why not.
    pub(super) fn can_say(&self, door: Door, name: &Name) -> Result<(), &'static str> {
        match door.protocol.name() {
            "pusher" if name.pusher.is_none() => Err(NO_PUSHER_NAME),
            "sse" if name.has_wild_level() => Err(REFUSED_BY_HTTP),
            _ => Ok(()),
        }
    }

    /// Publishes by a door, and after that a mark: what every column heard before the mark is what came of it.
    pub(super) async fn exchange(&mut self, door: Door, name: &Name, payload: &Value, said: &Value) -> Exchange {
        let refused = self.publish(door, name, payload, said).await.err();
        self.marks += 1;
        let number = json!({"mark": self.marks});
        self.publish(door, &mark(), &json!({ "json": number }), &json!({})).await.expect("a mark is taken");
        let mut seen = Vec::new();
        for column in COLUMNS {
            let mut before = Vec::new();
            loop {
                let message = self.scripts[column.protocol.0].expect(column.heard).await;
                if is_mark(&message, &number) {
                    break;
                }
                before.push(message);
            }
            seen.push(before);
        }
        Exchange { refused, seen }
    }

    async fn publish(&mut self, door: Door, name: &Name, payload: &Value, said: &Value) -> Result<(), String> {
        let spelled = door.protocol.spell(name, door.upstream.then_some('u')).expect("a name to publish to");
        let mut command = json!({"do": "publish", "at": door.at(), "name": spelled, "payload": payload});
        command.as_object_mut().expect("an object").extend(said.as_object().expect("an object").clone());
        let published = self.scripts[door.protocol.0].ask(&command, "published").await;
        if published["ok"] == true { Ok(()) } else { Err(published["why"].as_str().unwrap_or_default().to_owned()) }
    }

    /// Whether a new subscriber in a column is shown a kept value, before the next live message.
    pub(super) async fn shown(&mut self, column: Column, name: &Name) -> bool {
        let gateway = if column.heard == "sink" { &self.sink } else { &self.near };
        let script = &mut self.scripts[column.protocol.0];
        let spelled = column.protocol.spell(name, column.prefix()).expect("a name to listen to");
        script.ask(&json!({"do": "fresh", "at": column.heard, "name": spelled}), "ready").await;
        let canonical = match column.prefix() {
            Some(prefix) => format!("{prefix}-{}/{}", column.protocol.name(), name.canonical),
            None => name.canonical.clone(),
        };
        self.marks += 1;
        let number = json!({"mark": self.marks});
        gateway.publish(&canonical, number.to_string()).await;
        let mut shown = false;
        loop {
            let message = self.scripts[column.protocol.0].expect("fresh").await;
            // Those who came before hear the marks, too.
            if is_mark(&message, &number) {
                return shown;
            }
            shown |= message["text"] == "kept" || message["bytes"] == "a2VwdA==";
        }
    }

    pub(super) async fn losses(&self) -> Losses {
        let scrape = self.near.metrics().await;
        let of = |sample: &ratatosk_tests::metrics::Sample| {
            let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
            ((label("from"), label("to"), label("field")), sample.value as u64)
        };
        scrape.samples.iter().filter(|sample| sample.name == "ratatosk_mapping_loss_total").map(of).collect()
    }

    pub(super) async fn dropped(&self, connector: &str, reason: &str) -> f64 {
        let labels = [("connector", connector), ("reason", reason)];
        self.near.metrics().await.sum("ratatosk_messages_dropped_total", &labels).unwrap_or_default()
    }
}

fn mark() -> Name {
    Name::plain("mark", "/mark", "mark")
}

fn is_mark(message: &Value, number: &Value) -> bool {
    let payload = super::Payload { title: "mark", published: json!({ "json": number }) };
    payload.is(message)
}

async fn place(gateway: &Gateway) -> Value {
    json!({"http": format!("http://{}", gateway.http), "mqtt": format!("mqtt://{}", gateway.mqtt().await)})
}

/// One upstream that brings, and one that sends.
async fn upstreams(protocol: Protocol, source: &Gateway, sink: &Gateway, names: &[Name]) -> String {
    let kind = protocol.name();
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let rule = |from: &str, to: &str| format!("{{ from = {}, to = {} }}", quoted(from), quoted(to));
    let brings = match kind {
        // Pusher has no wildcards: every channel by its name.
        "pusher" => {
            let named = names.iter().filter(|name| name.pusher.is_some());
            named
                .map(|name| rule(&format!("u-{kind}/{}", name.canonical), &name.canonical))
                .collect::<Vec<_>>()
                .join(", ")
        }
        _ => rule(&format!("u-{kind}/#"), "#"),
    };
    let sends = rule("#", &format!("o-{kind}/#"));
    let mut text = String::new();
    for (way, rules, far) in [("in", brings, source), ("out", sends, sink)] {
        let (http, mqtt) = (far.http, far.mqtt().await);
        let (url, options) = match kind {
            "mqtt" => (format!("mqtt://{mqtt}"), ""),
            "sse" => (format!("http://{http}/sse"), "format = \"envelope\""),
            "bayeux" => (format!("bayeux+ws://{http}/bayeux"), ""),
            _ => (format!("pusher+ws://{http}/app/demo-key"), "app_id = \"demo\"\nsecret = \"demo-secret\""),
        };
        text.push_str(&format!(
            "[[upstreams]]\nname = \"{way}-{kind}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n{options}\n{way} = [{rules}]\n"
        ));
    }
    text
}
