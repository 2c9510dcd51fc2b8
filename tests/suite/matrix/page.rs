//! `docs/protocols/matrix.md`.

use std::fmt::Write as _;

use super::cases::Name;
use super::world::{COLUMNS, Door};

/// A cell: a few words, and what there is to say about them below the table.
#[derive(Default)]
pub(super) struct Cell {
    words: String,
    notes: Vec<String>,
}

impl Cell {
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn with(mut self, words: &str) -> Self {
        self.words = words.to_owned();
        self
    }
}

#[derive(Default)]
pub(super) struct Table {
    rows: Vec<(Door, Vec<Cell>)>,
}

impl Table {
    pub(super) fn row(&mut self, door: Door, cells: Vec<Cell>) {
        self.rows.push((door, cells));
    }

    fn to_markdown(&self) -> String {
        let titles: Vec<&str> = COLUMNS.iter().map(|column| column.title).collect();
        let mut text = format!("| from \\ to | {} |\n|{}\n", titles.join(" | "), " --- |".repeat(titles.len() + 1));
        let mut notes: Vec<&str> = Vec::new();
        for (door, cells) in &self.rows {
            let _ = write!(text, "| **{door}** |");
            for cell in cells {
                let numbers = cell.notes.iter().map(|note| {
                    let known = notes.iter().position(|known| *known == note);
                    let at = known.unwrap_or_else(|| {
                        notes.push(note);
                        notes.len() - 1
                    });
                    format!("<sup>{}</sup>", at + 1)
                });
                let numbers: String = numbers.collect::<Vec<_>>().join("");
                let _ = write!(text, " {}{numbers} |", cell.words);
            }
            text.push('\n');
        }
        for (index, note) in notes.iter().enumerate() {
            let _ = write!(text, "\n{}. {note}", index + 1);
        }
        if notes.is_empty() { text } else { text + "\n" }
    }
}

pub(super) struct Page {
    pub(super) payloads: Table,
    pub(super) names: Table,
    pub(super) fields: Table,
    pub(super) retained: Table,
}

impl Page {
    pub(super) fn to_markdown(&self, names: &[Name]) -> String {
        let shown = |name: &Name| match name.canonical.len() {
            0..=40 => {
                format!("`{}`", name.canonical.escape_debug().to_string().replace("\\\"", "\"").replace("\\\\", "\\"))
            }
            length => format!("one of {length} characters"),
        };
        let listed: Vec<String> = names.iter().map(shown).collect();
        format!(
            "{HEAD}\n## Payloads\n\n{PAYLOADS}\n{}\n## Names\n\n{} names: {}.\n\n{NAMES}\n{}\n## What else a message says\n\n{FIELDS}\n{}\n## Retained\n\n{RETAINED}\n{}",
            self.payloads.to_markdown(),
            names.len(),
            listed.join(", "),
            self.names.to_markdown(),
            self.fields.to_markdown(),
            self.retained.to_markdown(),
        )
    }
}

const HEAD: &str = "# The matrix

<!-- Made by a test from what it saw: RATATOSK_BLESS=1 cargo test -p ratatosk-tests matrix -->

What enters by one protocol leaves by every other. A test runs every pair below against the binary with stock clients: MQTT.js, `fetch` and
the npm `eventsource`, CometD, pusher-js and Pusher's server SDK. A *from* that is an upstream is published at a far server in that protocol, and brought by
an upstream of that kind; a *to* that is an upstream is sent by one, and heard at another far server in that protocol.

What a protocol cannot carry is counted in `ratatosk_mapping_loss_total{from,to,field}`, once per message, and listed for a channel by `ratatosk explain CHANNEL`. What it
does not take at all is refused, or counted in `ratatosk_messages_dropped_total{reason}`.
";

const PAYLOADS: &str = "A JSON object, a JSON number, text, bytes that are no text, the empty payload, and 1 MiB of text (the listeners' limits were raised to take it with what is around it:
`http.max_body`, `mqtt.max_packet_size`, `bayeux.limits.body`). ✓: all of them came as they were. JSON clients publish and see bytes as `{\"$b64\": \"...\"}`.
";

const NAMES: &str = "How many of them came, each under its own spelling.
";

const FIELDS: &str = "A message with an event name, two properties of one name, a content type, a channel for the answer, correlation data and an expiry, as far as its
door can say them (Pusher: the event alone). ✓: all that was said was told; otherwise what was.
How each is said: MQTT 5 has properties for all of them (`event` is a user property), HTTP takes them in the query (`event`, `property.NAME`, `reply_to`, `correlation`, `expiry`) and
`Content-Type`, an SSE envelope and a Bayeux message's `ext.ratatosk` have fields of these names.
";

const RETAINED: &str = "Published to be kept (MQTT's RETAIN flag, `retain=true` over HTTP, `ext.ratatosk.retain` in Bayeux, a `cache-` channel of Pusher). ✓: a new subscriber is shown it first. With
`last_value = \"always\"` in a channel's rule every last message is.
";
