//! One session with a server, from the handshake to its end.

mod publish;

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    time::{Duration, Instant},
};

use ratatosk_connector::upstream::{Ended, Port, Token as QueueToken};
use ratatosk_core::{Filter, stats::DropReason};
use serde_json::Value;

use self::publish::something_to_send;
use super::{
    BayeuxClient,
    begin::{End, begin, judged, refused},
    compose,
    memory::{Kept, Memory},
    receive,
    settings::Settings,
    wire::{Wire, WireError},
};
use crate::proto::answer::{self, Answer, ServerAdvice};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a request was, so that its reply is understood.
#[derive(Debug)]
enum Asked {
    Connect { at: Instant, held: Duration },
    Subscribe { filter: Filter, replayed: bool },
    Unsubscribe,
    Publish { token: QueueToken, size: usize },
}

/// The session at work.
struct Attempt<'a> {
    settings: &'a Settings,
    memory: &'a mut Memory,
    port: &'a mut Port,
    wire: Wire,
    kept: Kept,
    asked: HashMap<String, Asked>,
    /// What is subscribed to, or asked for.
    filters: Vec<Filter>,
    publishing: usize,
    /// What is to be sent before more is taken from the queue.
    again: VecDeque<QueueToken>,
    advice: ServerAdvice,
    /// When the next connect is due, unless one is under way.
    connect_at: Option<Instant>,
    /// When the one under way must have been answered.
    answer_by: Option<Instant>,
    first: bool,
    resumed: bool,
}

pub(super) async fn run(client: &mut BayeuxClient, port: &mut Port) -> Ended {
    let mut leave = pin!(port.leave());
    let began = tokio::select! {
        began = begin(client) => began,
        () = &mut leave => return Ended::asked(),
    };
    let (wire, kept, resumed) = match began {
        Ok(began) => began,
        Err(ended) => return judged(client, ended),
    };
    let mut attempt = Attempt {
        settings: &client.settings,
        memory: &mut client.memory,
        port,
        wire,
        kept,
        asked: HashMap::new(),
        filters: Vec::new(),
        publishing: 0,
        again: VecDeque::new(),
        advice: ServerAdvice::default(),
        connect_at: Some(Instant::now()),
        answer_by: None,
        first: true,
        resumed,
    };
    let ended = tokio::select! {
        ended = attempt.serve() => {
            attempt.look_for_poison(&ended);
            ended
        }
        () = &mut leave => {
            attempt.goodbye().await;
            client.memory.session = None;
            return Ended::asked();
        }
    };
    judged(client, ended)
}

impl Attempt<'_> {
    async fn serve(&mut self) -> End {
        match self.work().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, End> {
        let mut wanted = self.port.wanted();
        // A resumed session is only known to be there once a connect has succeeded.
        if !self.resumed {
            self.port.up();
            self.hold(&wanted.now()).await?;
        }
        loop {
            self.connect().await?;
            let room = self.may_publish();
            let wake = [self.connect_at, self.answer_by].into_iter().flatten().min();
            tokio::select! {
                body = self.wire.next() => match body {
                    Ok(body) => self.take(&body).await?,
                    Err(error) => self.failed(error)?,
                },
                () = something_to_send(&self.again, self.port), if room => self.publish().await?,
                () = wanted.changed(), if !self.resumed => self.hold(&wanted.now()).await?,
                () = sleep_until(wake) => {}
            }
            if self.answer_by.is_some_and(|by| by <= Instant::now()) {
                return Err(WireError::Timeout.into());
            }
            if self.resumed && !self.first {
                self.resumed = false;
                self.port.up();
                self.filters.clone_from(&self.kept.filters);
                self.kept.filters.iter().for_each(|filter| self.port.subscribed(filter));
                self.hold(&wanted.now()).await?;
            }
        }
    }

    async fn send(&mut self, message: Value, held: Duration) -> Result<(), End> {
        Ok(self.wire.send(Value::from(vec![message]).to_string(), held).await?)
    }

    fn id(&mut self, asked: Asked) -> u64 {
        let id = self.memory.next_id();
        self.asked.insert(id.to_string(), asked);
        id
    }

    async fn connect(&mut self) -> Result<(), End> {
        if self.connect_at.is_none_or(|at| at > Instant::now()) {
            return Ok(());
        }
        let held = if self.first { Duration::ZERO } else { self.timeout() };
        let now = Instant::now();
        let id = self.id(Asked::Connect { at: now, held });
        let ack = self.kept.ack.then_some(self.memory.batch);
        let message = compose::connect(id, &self.kept.client_id, self.wire.connection_type(), ack, self.first);
        (self.connect_at, self.answer_by) = (None, Some(now + held + self.settings.timeout));
        self.send(message, held).await
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(answer::millis(self.advice.timeout).unwrap_or(60_000))
    }

    /// Subscribes to what is wanted now, and leaves the rest.
    async fn hold(&mut self, wanted: &std::collections::BTreeMap<Filter, ratatosk_core::Qos>) -> Result<(), End> {
        for filter in wanted.keys() {
            if !self.filters.contains(filter) {
                self.filters.push(filter.clone());
                self.subscribe(filter, None).await?;
            }
        }
        let unwanted: Vec<Filter> =
            self.filters.iter().filter(|filter| !wanted.contains_key(*filter)).cloned().collect();
        for filter in unwanted {
            self.filters.retain(|known| *known != filter);
            self.port.unsubscribed(&filter);
            self.memory.subscribed(&filter, false);
            let Some(names) = compose::names(&filter) else { continue };
            let id = self.id(Asked::Unsubscribe);
            let message = compose::subscription("/meta/unsubscribe", id, &self.kept.client_id, &names, None);
            self.send(message, Duration::ZERO).await?;
        }
        Ok(())
    }

    async fn subscribe(&mut self, filter: &Filter, from: Option<&str>) -> Result<(), End> {
        let Some(names) = compose::names(filter) else {
            self.port.refused(filter, "Bayeux has wildcards in the last segment only");
            return Ok(());
        };
        let place = match (&self.settings.replay, from) {
            (_, Some(from)) => Some(from.into()),
            (Some(config), None) if self.kept.replay => Some(self.memory.place(filter, config)),
            _ => None,
        };
        let id = self.id(Asked::Subscribe { filter: filter.clone(), replayed: place.is_some() });
        let message = compose::subscription("/meta/subscribe", id, &self.kept.client_id, &names, place.as_deref());
        self.send(message, Duration::ZERO).await
    }

    async fn take(&mut self, body: &str) -> Result<(), End> {
        let answers = answer::parse(body).map_err(|error| End::lost(format!("the server sends no Bayeux: {error}")))?;
        self.memory.heard();
        self.port.admission().await;
        let carried = answers.iter().any(|answer| answer.successful().is_none());
        for answer in &answers {
            match answer.successful() {
                None if answer.data().is_some() => {
                    receive::message(answer, self.port, self.memory, self.filters.iter()).await;
                }
                None => {}
                Some(_) => self.reply(answer, carried).await?,
            }
        }
        Ok(())
    }

    async fn reply(&mut self, reply: &Answer<'_>, carried: bool) -> Result<(), End> {
        if let Some(advice) = reply.advice() {
            let merge = |new: Option<f64>, old| new.or(old);
            self.advice.timeout = merge(advice.timeout, self.advice.timeout);
            self.advice.interval = merge(advice.interval, self.advice.interval);
        }
        if reply.says_unknown_session() {
            self.memory.session = None;
            return Err(refused(reply));
        }
        let Some(asked) = reply.id().and_then(|id| self.asked.remove(&*id)) else { return Ok(()) };
        let ok = reply.successful() == Some(true);
        match asked {
            Asked::Connect { at, held } => self.connected(reply, ok, (at, held), carried),
            Asked::Subscribe { filter, replayed } => {
                if ok {
                    self.port.subscribed(&filter);
                    self.memory.subscribed(&filter, true);
                    return Ok(());
                }
                self.not_subscribed(&filter, replayed, reply).await
            }
            Asked::Unsubscribe => Ok(()),
            Asked::Publish { token, size } => {
                self.publishing = self.publishing.saturating_sub(1);
                self.memory.poison.answered(token, size);
                if ok {
                    self.port.done(token);
                } else {
                    tracing::debug!(upstream = %self.port.upstream(), error = %reply.error(), "publication refused");
                    self.port.failed(token, DropReason::Denied);
                }
                Ok(())
            }
        }
    }

    fn connected(&mut self, reply: &Answer<'_>, ok: bool, sent: (Instant, Duration), carried: bool) -> Result<(), End> {
        let (at, held) = sent;
        self.answer_by = None;
        if !ok {
            return Err(refused(reply));
        }
        if let Some(batch) = reply.ext().ack.and_then(|raw| raw.get().parse().ok()) {
            self.memory.batch = batch;
        }
        let took = at.elapsed();
        // A connect that was held to its end, and one that was not held, tell the round trip.
        if !carried && took >= held {
            self.port.ping(took - held);
        }
        self.first = false;
        let advice = reply.advice().and_then(|advice| advice.reconnect);
        let interval = self.advice.interval.unwrap_or(0.0);
        if advice.as_deref() == Some("none") || interval < 0.0 {
            self.memory.session = None;
            return Err(End::Ended(Ended::refused("the server asks us to stay away")));
        }
        if advice.as_deref() == Some("handshake") {
            self.memory.session = None;
            return Err(End::lost("the server asks for a new session"));
        }
        self.connect_at = Some(Instant::now() + Duration::from_millis(answer::millis(Some(interval)).unwrap_or(0)));
        Ok(())
    }

    /// A place that has expired must not stall the subscription: the gap is told, and the policy says what follows.
    async fn not_subscribed(&mut self, filter: &Filter, replayed: bool, reply: &Answer<'_>) -> Result<(), End> {
        let error = reply.error().into_owned();
        self.port.refused(filter, &error);
        if reply.error_code() == Some(401) {
            return Err(End::Unauthorized(error));
        }
        let expired = replayed && error.to_ascii_lowercase().contains("replay");
        let Some(config) = self.settings.replay.as_ref().filter(|_| expired) else { return Ok(()) };
        let Some(from) = self.memory.expired(filter, config) else { return Ok(()) };
        tracing::warn!(
            upstream = %self.port.upstream(), %filter, from,
            "the server no longer knows the last message: some may be missing"
        );
        self.subscribe(filter, Some(from)).await
    }

    async fn goodbye(mut self) {
        let id = self.memory.next_id();
        let message = compose::disconnect(id, &self.kept.client_id);
        let farewell = async {
            self.send(message, Duration::ZERO).await.ok()?;
            loop {
                let body = self.wire.next().await.ok()?;
                let answers = answer::parse(&body).ok()?;
                if answers.iter().any(|answer| answer.channel().as_deref() == Some("/meta/disconnect")) {
                    return Some(());
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE, farewell).await; // a server that does not answer loses us all the same
        self.wire.close().await;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
