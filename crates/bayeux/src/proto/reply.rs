//! What the server answers: one reply per request message, written as JSON.

use crate::proto::{VERSION, advice::Advice, fault::Fault, timesync::Answer as TimesyncAnswer};

/// A reply to one message. Strings named "raw" are JSON already.
#[derive(Debug, Default)]
pub struct Reply<'a> {
    /// The request's channel.
    pub channel: &'a str,
    /// The request's id, raw.
    pub id: Option<&'a str>,
    /// The session's id.
    pub client_id: Option<&'a str>,
    /// Why it failed; `None` for success.
    pub fault: Option<&'a Fault>,
    /// The request's subscription, raw, in the shape it came.
    pub subscription: Option<&'a str>,
    /// The connection types on offer: they mark a handshake's reply.
    pub connection_types: Option<&'a [&'static str]>,
    /// What to do next.
    pub advice: Option<Advice>,
    /// Extensions.
    pub ext: Ext,
    /// The time, where the client asked for one.
    pub timestamp: Option<&'a str>,
}

/// The extension fields of a reply.
#[derive(Debug, Default, Clone, Copy)]
pub struct Ext {
    /// The acknowledgement extension is on (handshake).
    pub ack_on: bool,
    /// The number of the batch that this connect's reply ends.
    pub ack: Option<u64>,
    /// The replay extension is on (handshake).
    pub replay_on: bool,
    /// Clock synchronisation.
    pub timesync: Option<TimesyncAnswer>,
}

/// Replies of one request, joined as the inside of a JSON array.
#[derive(Debug, Default)]
pub struct Replies {
    joined: Vec<u8>,
    count: usize,
}

impl Replies {
    /// Adds one.
    pub fn push(&mut self, reply: &Reply<'_>) {
        self.push_with(|out| reply.write(out));
    }

    /// Adds one message that `write` appends.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.count > 0 {
            self.joined.push(b',');
        }
        self.count += 1;
        write(&mut self.joined);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The inside of the array.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.joined
    }
}

impl Reply<'_> {
    /// Appends the JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"channel\":");
        string(self.channel, out);
        raw_field("id", self.id, out);
        if let Some(id) = self.client_id {
            out.extend_from_slice(b",\"clientId\":");
            string(id, out);
        }
        raw_field("subscription", self.subscription, out);
        match self.fault {
            None => out.extend_from_slice(b",\"successful\":true"),
            Some(fault) => {
                out.extend_from_slice(b",\"successful\":false,\"error\":");
                string(&fault.to_string(), out);
            }
        }
        self.write_handshake(out);
        if let Some(advice) = &self.advice {
            out.extend_from_slice(b",\"advice\":");
            advice.write(out);
        }
        self.ext.write(out);
        if let Some(timestamp) = self.timestamp {
            out.extend_from_slice(b",\"timestamp\":");
            string(timestamp, out);
        }
        out.push(b'}');
    }

    fn write_handshake(&self, out: &mut Vec<u8>) {
        let Some(types) = self.connection_types else { return };
        out.extend_from_slice(b",\"version\":");
        string(VERSION, out);
        out.extend_from_slice(b",\"supportedConnectionTypes\":[");
        for (index, name) in types.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            string(name, out);
        }
        out.push(b']');
    }
}

impl Ext {
    fn write(&self, out: &mut Vec<u8>) {
        let mut fields: Vec<String> = Vec::new();
        if self.ack_on {
            fields.push("\"ack\":true".into());
        }
        if let Some(batch) = self.ack {
            fields.push(format!("\"ack\":{batch}"));
        }
        if self.replay_on {
            fields.push("\"replay\":true".into());
        }
        if let Some(TimesyncAnswer { tc, ts, p, a }) = self.timesync {
            fields.push(format!("\"timesync\":{{\"tc\":{tc},\"ts\":{ts},\"p\":{p},\"a\":{a}}}"));
        }
        if !fields.is_empty() {
            out.extend_from_slice(b",\"ext\":{");
            out.extend_from_slice(fields.join(",").as_bytes());
            out.push(b'}');
        }
    }
}

fn raw_field(name: &str, raw: Option<&str>, out: &mut Vec<u8>) {
    if let Some(raw) = raw {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(raw.as_bytes());
    }
}

/// Appends a JSON string.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}
