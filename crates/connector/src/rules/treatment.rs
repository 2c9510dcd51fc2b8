//! What a rule does with what it carries, besides naming it anew.
//!
//! In this order: `when` decides whether the message crosses, `max_rate` whether it may now, `transform` makes its payload anew
//! (nothing, one or several), then event, properties, quality of service and retain are set. Programs need a thread of
//! their own ([`ratatosk_jq::Worker`]); the rest is done wherever the message is.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use ratatosk_core::{Channel, Publication, Qos, message::Kind};
use ratatosk_jq::{CompileError, Input, Limits, Output, Program, RunError, Worker};
use serde_json::json;

use super::{
    counts::Counts,
    rate::Bucket,
    template::{Template, TemplateError},
};
use crate::config_types::Rate;

/// What programs see besides the payload, by name.
const VARIABLES: [&str; 8] = ["$channel", "$to", "$upstream", "$event", "$properties", "$retained", "$qos", "$user"];
/// The one of them that costs something to make.
const PROPERTIES: &str = "$properties";

/// What a treatment is made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreatmentBuilder {
    /// A condition in jq.
    pub when: Option<String>,
    /// A program in jq.
    pub transform: Option<String>,
    /// Properties to set, with placeholders.
    pub properties: Vec<(String, String)>,
    /// The event to set, with placeholders.
    pub event: Option<String>,
    /// The quality of service to set.
    pub qos: Option<Qos>,
    /// The retain flag to set.
    pub retain: Option<bool>,
    /// How many may cross.
    pub max_rate: Option<Rate>,
    /// Where messages go that it fails on.
    pub dead_letter: Option<Channel>,
}

/// What is wrong with a treatment; the key is that of the rule's table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreatmentError {
    /// A program does not compile.
    #[error("{error}")]
    Program {
        /// `when` or `transform`.
        key: &'static str,
        /// What is wrong with it.
        error: CompileError,
    },
    /// A placeholder stands for nothing.
    #[error("{error}")]
    Template {
        /// `event`, or a name in `properties`.
        key: String,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// Dead letters may not go there.
    #[error("clients and bridges publish below `$monitor` never")]
    Reserved,
}

impl TreatmentError {
    /// The key that is wrong, below the rule.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Program { key, .. } => key,
            Self::Template { key, .. } => key,
            Self::Reserved => "dead_letter",
        }
    }
}

/// A message on its way through a rule: named as it will be, under the name it came by.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The upstream's name.
    pub upstream: &'a str,
    /// The channel it came by.
    pub channel: &'a Channel,
    /// The rest of it; its channel is the one it goes to.
    pub publication: &'a Publication,
}

/// What becomes of a message.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// These cross in its place; there may be none.
    Crosses(Vec<Publication>),
    /// The condition does not hold.
    Filtered,
    /// Too many crossed already.
    RateLimited,
    /// A program failed on it.
    Failed(Failure),
}

/// Why a program has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `when`, `transform`, or what else refused the message.
    pub reason: &'static str,
    /// What it says; at most a few hundred bytes.
    pub detail: String,
}

/// What is done to messages. See the module's description.
#[derive(Debug)]
pub struct Treatment {
    when: Option<Condition>,
    transform: Option<Condition>,
    properties: Vec<(Arc<str>, Template)>,
    event: Option<Template>,
    qos: Option<Qos>,
    retain: Option<bool>,
    rate: Option<Bucket>,
    dead_letter: Option<Channel>,
    counts: Counts,
}

/// A program, and whether it asks for what is costly.
#[derive(Debug)]
struct Condition {
    program: Program,
    reads_properties: bool,
}

impl Condition {
    fn new(key: &'static str, code: Option<&String>) -> Result<Option<Self>, TreatmentError> {
        let Some(code) = code else { return Ok(None) };
        let program = Program::compile(code, &VARIABLES, Limits::default());
        let program = program.map_err(|error| TreatmentError::Program { key, error })?;
        Ok(Some(Self { program, reads_properties: code.contains(PROPERTIES) }))
    }

    fn with<T>(&self, scene: &Scene<'_>, run: impl FnOnce(&Program, Input<'_>, &[Input<'_>]) -> T) -> T {
        let publication = scene.publication;
        let extras = publication.extras.as_deref();
        let properties = if self.reads_properties { properties(publication) } else { String::new() };
        let text = |text: Option<&'_ Arc<str>>| text.cloned();
        let (event, user) =
            (text(extras.and_then(|extras| extras.event.as_ref())), text(publication.origin.user.as_ref()));
        let word = |truth: bool| if truth { Input::Json(b"true") } else { Input::Json(b"false") };
        let qos = [b'0' + publication.qos as u8];
        let variables = [
            Input::Text(scene.channel.as_str()),
            Input::Text(publication.channel.as_str()),
            Input::Text(scene.upstream),
            event.as_deref().map_or(Input::Null, Input::Text),
            if self.reads_properties { Input::Json(properties.as_bytes()) } else { Input::Null },
            word(publication.retain),
            Input::Json(&qos),
            user.as_deref().map_or(Input::Null, Input::Text),
        ];
        run(&self.program, input(publication), &variables)
    }
}

/// The payload as programs see it.
fn input(publication: &Publication) -> Input<'_> {
    let content_type = publication.extras.as_deref().and_then(|extras| extras.content_type.as_deref());
    match (Kind::of(&publication.payload, content_type), std::str::from_utf8(&publication.payload)) {
        (Kind::Json, _) => Input::Json(&publication.payload),
        (Kind::Text, Ok(text)) => Input::Text(text),
        _ => Input::Bytes(&publication.payload),
    }
}

/// An object; of properties with the same name, the first.
fn properties(publication: &Publication) -> String {
    let mut object = serde_json::Map::new();
    for (name, value) in publication.extras.iter().flat_map(|extras| &extras.properties) {
        object.entry(&**name).or_insert_with(|| json!(value));
    }
    serde_json::Value::Object(object).to_string()
}

impl TreatmentBuilder {
    /// Whether it does nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Compiles programs and templates.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(self) -> Result<Treatment, Vec<TreatmentError>> {
        let mut errors = Vec::new();
        let mut program = |key, code| {
            Condition::new(key, code).unwrap_or_else(|error| {
                errors.push(error);
                None
            })
        };
        let (when, transform) = (program("when", self.when.as_ref()), program("transform", self.transform.as_ref()));
        let mut template = |key: &str, text: &str| {
            Template::new(text)
                .map_err(|error| errors.push(TreatmentError::Template { key: key.to_owned(), error }))
                .ok()
        };
        let event = self.event.as_deref().and_then(|text| template("event", text));
        let properties = self.properties.iter();
        let properties = properties.filter_map(|(name, text)| {
            let template = template(&format!("properties.{name}"), text)?;
            Some((Arc::from(name.as_str()), template))
        });
        let properties = properties.collect();
        if self.dead_letter.as_ref().is_some_and(|channel| channel.as_str().starts_with("$monitor")) {
            errors.push(TreatmentError::Reserved);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Treatment {
            when,
            transform,
            properties,
            event,
            qos: self.qos,
            retain: self.retain,
            rate: self.max_rate.map(Bucket::new),
            dead_letter: self.dead_letter,
            counts: Counts::default(),
        })
    }
}

impl Treatment {
    /// Whether it runs programs: then [`Treatment::judge`] needs a worker.
    #[must_use]
    pub fn has_programs(&self) -> bool {
        self.when.is_some() || self.transform.is_some()
    }

    /// Whether it does anything to messages that cross; if not, it only says where those go that do not.
    #[must_use]
    pub fn changes_messages(&self) -> bool {
        self.has_programs()
            || self.rate.is_some()
            || self.event.is_some()
            || self.qos.is_some()
            || self.retain.is_some()
            || !self.properties.is_empty()
    }

    /// Where messages go that fail.
    #[must_use]
    pub fn dead_letter(&self) -> Option<&Channel> {
        self.dead_letter.as_ref()
    }

    /// What became of messages so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a message needs none of the programs: an empty retained message says that a value is gone, whatever
    /// was to be done to the value.
    #[must_use]
    pub fn passes_programs(publication: &Publication) -> bool {
        publication.retain && publication.payload.is_empty()
    }

    /// What becomes of a message, counted. Without a worker, no program is run.
    #[must_use]
    pub fn judge(&self, scene: &Scene<'_>, worker: Option<&Worker>, now: Instant) -> Verdict {
        let worker = worker.filter(|_| !Self::passes_programs(scene.publication));
        let verdict = self.decide(scene, worker, now);
        self.counts.count(&verdict);
        verdict
    }

    /// Counts a message that a program could not even be run on.
    #[must_use]
    pub fn fail(&self, detail: impl Into<String>) -> Failure {
        let reason = if self.transform.is_some() { "transform" } else { "when" };
        let failure = Failure { reason, detail: detail.into() };
        self.counts.count_failed();
        failure
    }

    fn decide(&self, scene: &Scene<'_>, worker: Option<&Worker>, now: Instant) -> Verdict {
        let failed = |reason| move |error: RunError| Verdict::Failed(Failure { reason, detail: error.to_string() });
        if let (Some(when), Some(worker)) = (&self.when, worker) {
            match when.with(scene, |program, input, variables| program.holds(worker, input, variables)) {
                Ok(true) => {}
                Ok(false) => return Verdict::Filtered,
                Err(error) => return failed("when")(error),
            }
        }
        if self.rate.as_ref().is_some_and(|rate| !rate.take(now)) {
            return Verdict::RateLimited;
        }
        let (Some(transform), Some(worker)) = (&self.transform, worker) else {
            return Verdict::Crosses(vec![self.finish(scene, scene.publication.clone())]);
        };
        match transform.with(scene, |program, input, variables| program.run(worker, input, variables)) {
            Ok(outputs) if outputs.is_empty() => Verdict::Filtered,
            Ok(outputs) => {
                let made = outputs.into_iter().map(|output| self.finish(scene, replace(scene.publication, output)));
                Verdict::Crosses(made.collect())
            }
            Err(error) => failed("transform")(error),
        }
    }

    /// Sets what is to be set.
    fn finish(&self, scene: &Scene<'_>, mut publication: Publication) -> Publication {
        if let Some(qos) = self.qos {
            publication.qos = qos;
        }
        if let Some(retain) = self.retain {
            publication.retain = retain;
        }
        if let Some(event) = &self.event {
            let event = event.fill(scene);
            publication.extras_mut().event = (!event.is_empty()).then(|| event.into());
        }
        for (name, template) in &self.properties {
            let value = template.fill(scene);
            let properties = &mut publication.extras_mut().properties;
            properties.retain(|(known, _)| known != name);
            if !value.is_empty() {
                properties.push((name.clone(), value.into()));
            }
        }
        publication
    }
}

/// The message with another payload. What was said about the old one is said about the new one, or not at all.
fn replace(publication: &Publication, output: Output) -> Publication {
    let (content_type, utf8) = match &output {
        Output::Json(_) => ("application/json", true),
        Output::Text(_) => ("text/plain; charset=utf-8", true),
        Output::Bytes(_) => ("application/octet-stream", false),
    };
    let mut publication = Publication { payload: Bytes::from(output.into_bytes()), ..publication.clone() };
    if let Some(extras) = publication.extras.as_deref_mut() {
        extras.content_type = extras.content_type.take().map(|_| content_type.into());
        extras.utf8 = extras.utf8 && utf8;
    }
    publication
}

#[cfg(test)]
#[path = "treatment_tests.rs"]
mod tests;
