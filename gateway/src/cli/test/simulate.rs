//! What a gateway would do with messages, by its rules alone: no server is asked, and no time passes within a case.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ratatosk::{
    config::Resolved,
    connector::{
        rules::{Direction, Failure, Rule, RuleSet, Scene, Treatment, Verdict},
        upstream::{Lost, is_letter, letter},
    },
    core::{Channel, Origin, Publication, Qos, channel::has_wildcard},
};
use ratatosk_jq::wait_for;

use super::file::{Case, Given, payload};

/// Where a message came out.
#[derive(Debug, Clone)]
pub(super) struct Came {
    /// The upstream's name, or `local`.
    pub(super) at: String,
    pub(super) publication: Publication,
}

/// Our own channels, in the place of an upstream's name.
pub(super) const LOCAL: &str = "local";
/// Between two cases: rates begin anew.
const BETWEEN: Duration = Duration::from_secs(24 * 3600);

/// The upstreams of a configuration.
pub(super) struct Simulation {
    upstreams: Vec<Upstream>,
    begin: Instant,
}

#[derive(Clone)]
struct Upstream {
    name: Arc<str>,
    inbound: RuleSet,
    outbound: RuleSet,
}

impl Simulation {
    pub(super) fn new(resolved: &Resolved) -> Self {
        let upstreams = resolved.upstreams.iter().map(|upstream| Upstream {
            name: upstream.name.clone(),
            inbound: upstream.inbound.clone(),
            outbound: upstream.outbound.clone(),
        });
        Self { upstreams: upstreams.collect(), begin: Instant::now() }
    }

    /// All that comes of a case's messages, in order.
    pub(super) fn run(&self, case: &Case, number: usize) -> Result<Vec<Came>, String> {
        let mut given = Vec::new();
        for message in &case.given {
            if message.from != LOCAL && !self.upstreams.iter().any(|upstream| *upstream.name == *message.from) {
                return Err(format!("`from = {:?}` is no upstream of the configuration, nor `local`", message.from));
            }
            given.push((message.from.clone(), publication(message)?));
        }
        for expected in &case.expect {
            if expected.at != LOCAL && !self.upstreams.iter().any(|upstream| *upstream.name == *expected.at) {
                return Err(format!("`at = {:?}` is no upstream of the configuration, nor `local`", expected.at));
            }
            payload(expected.payload.as_ref(), expected.base64.as_deref())?;
        }
        let now = self.begin + BETWEEN * u32::try_from(number).unwrap_or(u32::MAX);
        let mut run = Run { upstreams: &self.upstreams, now, came: Vec::new() };
        for (from, publication) in given {
            run.give(&from, publication);
        }
        Ok(run.came)
    }
}

fn publication(given: &Given) -> Result<Publication, String> {
    let channel = Channel::new(&*given.channel).map_err(|error| format!("`channel = {:?}`: {error}", given.channel))?;
    if has_wildcard(channel.as_str()) {
        return Err(format!("`channel = {:?}` is a filter: a message has one channel", given.channel));
    }
    let bytes = payload(given.payload.as_ref(), given.base64.as_deref())?.unwrap_or_default();
    let mut origin = Origin::gateway();
    origin.user = given.user.as_deref().map(Arc::from);
    origin.client_id = given.client_id.as_deref().map(Arc::from);
    let mut publication = Publication::new(channel, bytes, origin).retained(given.retained);
    if let Some(qos) = given.qos {
        publication.qos = Qos::try_from(qos).map_err(|qos| format!("`qos = {qos}`: 0, 1 or 2"))?;
    }
    if given.event.is_some() || given.content_type.is_some() || !given.properties.is_empty() {
        let extras = publication.extras_mut();
        extras.event = given.event.as_deref().map(Arc::from);
        extras.content_type = given.content_type.as_deref().map(Arc::from);
        let properties = given.properties.iter();
        extras.properties = properties.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
    }
    Ok(publication)
}

struct Run<'a> {
    upstreams: &'a [Upstream],
    now: Instant,
    came: Vec<Came>,
}

impl Run<'_> {
    fn give(&mut self, from: &str, publication: Publication) {
        let upstreams = self.upstreams;
        let Some(upstream) = upstreams.iter().find(|upstream| &*upstream.name == from) else {
            return self.send(&publication, None);
        };
        let crossing = upstream.inbound.apply(&publication.channel).map(|(rule, to)| (rule.clone(), to));
        let Some((rule, to)) = crossing else { return };
        for made in self.cross(upstream, &rule, Direction::In, &publication, to) {
            self.arrive(made, Some(upstream));
        }
    }

    /// A message is on our own channels, and goes on to those upstreams that it did not come from.
    fn arrive(&mut self, publication: Publication, from: Option<&Upstream>) {
        self.came.push(Came { at: LOCAL.to_owned(), publication: publication.clone() });
        self.send(&publication, from);
    }

    fn send(&mut self, publication: &Publication, from: Option<&Upstream>) {
        let upstreams = self.upstreams;
        for upstream in upstreams.iter().filter(|upstream| from.is_none_or(|from| from.name != upstream.name)) {
            let Some((rule, to)) = upstream.outbound.apply(&publication.channel) else { continue };
            for made in self.cross(upstream, &rule.clone(), Direction::Out, publication, to) {
                self.came.push(Came { at: upstream.name.to_string(), publication: made });
            }
        }
    }

    /// What a rule makes of a message. What it fails on arrives as a dead letter.
    fn cross(
        &mut self,
        upstream: &Upstream,
        rule: &Rule,
        direction: Direction,
        came: &Publication,
        to: Channel,
    ) -> Vec<Publication> {
        let (qos, retain) = rule.options().apply(came.qos, came.retain);
        let publication = Publication { channel: to, qos, retain, ..came.clone() };
        let Some(treatment) = rule.treatment() else { return vec![publication] };
        match judge(upstream, rule, treatment, (&came.channel, &publication), self.now) {
            Verdict::Crosses(made) => made,
            Verdict::Filtered | Verdict::RateLimited => Vec::new(),
            Verdict::Failed(failure) => {
                self.lose(upstream, rule, direction, came, &publication.channel, &failure);
                Vec::new()
            }
        }
    }

    fn lose(
        &mut self,
        upstream: &Upstream,
        rule: &Rule,
        direction: Direction,
        came: &Publication,
        to: &Channel,
        failure: &Failure,
    ) {
        let extras = came.extras.as_deref();
        if is_letter(&came.origin, extras.and_then(|extras| extras.event.as_deref())) {
            return;
        }
        let lost = Lost {
            direction,
            channel: &came.channel,
            to,
            payload: &came.payload,
            content_type: extras.and_then(|extras| extras.content_type.as_deref()),
            hops: &came.origin.hops,
        };
        if let Some(letter) = letter(&upstream.name, rule, &lost, failure) {
            self.arrive(letter, None);
        }
    }
}

/// A program is run as the gateway runs it: what does not end fails its message.
fn judge(
    upstream: &Upstream,
    rule: &Rule,
    treatment: &Treatment,
    (channel, publication): (&Channel, &Publication),
    now: Instant,
) -> Verdict {
    if !treatment.has_programs() {
        return treatment.judge(&Scene { upstream: &upstream.name, channel, publication }, None, now);
    }
    let (upstream, rule, channel) = (upstream.name.clone(), rule.clone(), channel.clone());
    let publication = publication.clone();
    let judged = wait_for(move |worker| {
        let scene = Scene { upstream: &upstream, channel: &channel, publication: &publication };
        rule.treatment().map(|treatment| treatment.judge(&scene, Some(worker), now))
    });
    match judged {
        Ok(verdict) => verdict.unwrap_or(Verdict::Filtered),
        Err(not_done) => Verdict::Failed(treatment.fail(not_done.to_string())),
    }
}
