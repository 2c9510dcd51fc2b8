//! `/meta/connect`: held, answered at once, superseded, answered later (Bayeux 1.0, "Connect").

use crate::proto::{
    Millis,
    advice::{Advice, Reconnect},
    fault::Fault,
    handshake::spans,
    inbound::Inbound,
    machine::{Context, Effects},
    queue::Item,
    reply::{Ext, Replies, Reply},
    session::{Hold, Session},
    timestamp, timesync,
};

/// What goes out for a connect: the messages first, then the reply.
#[derive(Debug)]
pub struct Answer<M> {
    /// What waited.
    pub messages: Vec<M>,
    /// The reply, as the inside of a JSON array.
    pub reply: Vec<u8>,
}

impl<M: Item> Session<M> {
    pub(super) fn connect(
        &mut self,
        message: &Inbound<'_>,
        context: &Context,
        replies: &mut Replies,
        effects: &mut Effects<M>,
    ) {
        let now = context.now;
        let connection_type = message.connection_type();
        let was_event_source = self.event_source;
        self.event_source = connection_type.as_deref() == Some("eventsource");
        let first = !self.connected || was_event_source != self.event_source;
        self.connected = true;
        effects.superseded |= self.hold.take().is_some();
        let ext = message.ext();
        let acked = ext.ack.and_then(|raw| raw.get().parse().ok()).filter(|_| self.agreed.ack);
        let again = acked.is_some_and(|batch| self.queue.acknowledge(batch));
        let advised = message.advice();
        let (timeout, interval) = spans(advised, &self.terms);
        let hold = Hold {
            id: message.id().map(Into::into),
            received: now,
            deadline: now.saturating_add(timeout.unwrap_or_else(|| self.timeout())),
            timesync: timesync::Request::read(ext.timesync, context.wall),
            advice: first || advised.is_some() || !context.may_hold,
            timestamp: message.has_timestamp() || self.terms.timestamp,
            interval,
        };
        let held = context.alone && context.may_hold && !first && !self.event_source && !again;
        let carries = self.queue_goes_with_connect(context) && !self.queue.is_empty();
        if held && hold.deadline > now && !carries {
            self.hold = Some(Box::new(hold));
            effects.held = true;
            return;
        }
        let Answer { messages, reply } = self.answer_to(&hold, context.may_hold, context);
        effects.messages.extend(messages);
        replies.push_with(|out| out.extend_from_slice(&reply));
    }

    /// Over a socket what waits is written by itself, unless it must be acknowledged.
    fn queue_goes_with_connect(&self, context: &Context) -> bool {
        self.agreed.ack || context.carrier == crate::proto::Carrier::Poll
    }

    /// Answers the held connect; `None` if none is held.
    pub fn answer(&mut self, now: Millis, wall: Millis) -> Option<Answer<M>> {
        let hold = self.hold.take()?;
        let context = Context { now, wall, ..Context::default() };
        Some(self.answer_to(&hold, true, &context))
    }

    fn answer_to(&mut self, hold: &Hold, may_hold: bool, context: &Context) -> Answer<M> {
        let (ack, messages) = if self.agreed.ack {
            let (batch, messages) = self.queue.take_batch();
            (Some(batch), messages)
        } else {
            (None, self.queue.take())
        };
        let processed = context.now.saturating_sub(hold.received);
        let timesync = hold.timesync.and_then(|request| request.answer(processed));
        let stamp = hold.timestamp.then(|| timestamp::format(context.wall));
        let advice = match self.ended {
            Some(reason) => Some(Advice::farewell(reason, &self.id)),
            None => hold.advice.then(|| self.advice(may_hold)),
        };
        // A client shakes hands again after a connect that failed only: CometD's takes no other advice with a success.
        let over = advice.is_some_and(|advice| advice.reconnect == Reconnect::Handshake);
        let mut reply = Vec::with_capacity(128);
        Reply {
            channel: "/meta/connect",
            fault: over.then_some(&Fault::SessionUnknown),
            id: hold.id.as_deref(),
            client_id: Some(&self.id),
            advice,
            ext: Ext { ack, timesync, ..Ext::default() },
            timestamp: stamp.as_deref(),
            ..Reply::default()
        }
        .write(&mut reply);
        self.extend_by(context.now, hold.interval.unwrap_or_else(|| self.interval()));
        Answer { messages, reply }
    }

    /// What a client of this session is to do.
    #[must_use]
    pub fn advice(&self, may_hold: bool) -> Advice {
        let timeout = if self.event_source { 0 } else { self.timeout() };
        let interval =
            if may_hold { self.interval() } else { self.terms.multiple_clients_interval.max(self.interval()) };
        Advice {
            reconnect: Reconnect::Retry,
            interval: Some(interval),
            timeout: Some(timeout),
            multiple_clients: !may_hold,
        }
    }
}
