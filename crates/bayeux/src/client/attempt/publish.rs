//! What the session publishes, and what becomes of it when the server breaks off.

use std::{collections::VecDeque, time::Duration};

use ratatosk_connector::upstream::{Outbound, Port, Token};
use ratatosk_core::stats::DropReason;

use super::{Asked, Attempt, End, WireError, compose};

/// Publications in one request.
const BATCH: usize = 32;
/// Bytes of them; one that is larger goes alone.
const BATCH_BYTES: usize = 64 << 10;
/// Publications under way on a socket.
const WINDOW: usize = 256;

impl Attempt<'_> {
    pub(super) fn may_publish(&self) -> bool {
        let singly = self.wire.is_polling() || self.memory.poison.is_careful();
        let limit = if singly { 0 } else { WINDOW };
        self.publishing <= limit && !self.resumed
    }

    pub(super) async fn publish(&mut self) -> Result<(), End> {
        let most = if self.memory.poison.is_careful() { 1 } else { BATCH };
        let mut array = vec![b'['];
        for count in 0..most {
            let Some(outbound) = self.next_to_send() else { break };
            let (before, id) = (array.len(), self.memory.next_id());
            if count > 0 {
                array.push(b',');
            }
            compose::publication(&outbound, id, &self.kept.client_id, self.port.gateway_id(), &mut array);
            if count > 0 && array.len() > BATCH_BYTES {
                array.truncate(before);
                self.again.push_front(outbound.token);
                break;
            }
            let size = array.len() - before;
            self.asked.insert(id.to_string(), Asked::Publish { token: outbound.token, size });
            self.publishing += 1;
        }
        if array.len() == 1 {
            return Ok(());
        }
        array.push(b']');
        let array = String::from_utf8(array).map_err(End::lost)?;
        Ok(self.wire.send(array, Duration::ZERO).await?)
    }

    fn next_to_send(&mut self) -> Option<Outbound> {
        while let Some(token) = self.again.pop_front() {
            if let Some(outbound) = self.port.in_flight(token) {
                return Some(outbound);
            }
        }
        self.port.take()
    }

    fn under_way(&self) -> Vec<(Token, usize)> {
        let publications = self.asked.values().filter_map(|asked| match asked {
            Asked::Publish { token, size } => Some((*token, *size)),
            _ => None,
        });
        publications.collect()
    }

    /// A server may refuse a request for its size, and the session goes on: what was in it is sent again, one by one.
    pub(super) fn failed(&mut self, error: WireError) -> Result<(), End> {
        let mut sent = self.under_way();
        if sent.is_empty() || !self.wire.is_polling() || !error.says_too_large() {
            return Err(error.into());
        }
        self.asked.retain(|_, asked| !matches!(asked, Asked::Publish { .. }));
        self.publishing = 0;
        if let Some(token) = self.memory.poison.too_large(sent.iter().copied()) {
            self.drop_poison(token, DropReason::TooLarge);
            return Ok(());
        }
        sent.sort_unstable();
        sent.into_iter().rev().for_each(|(token, _)| self.again.push_front(token));
        Ok(())
    }

    /// The session's connection has ended; perhaps for a publication that will end the next one too.
    pub(super) fn look_for_poison(&mut self, end: &End) {
        let End::Broken(error) = end else { return };
        let under_way = self.under_way();
        let poison = &mut self.memory.poison;
        let (found, reason) = match error.says_too_large() {
            true => (poison.too_large(under_way), DropReason::TooLarge),
            false => (poison.ended(under_way), DropReason::Denied),
        };
        if let Some(token) = found {
            self.drop_poison(token, reason);
        }
    }

    fn drop_poison(&self, token: Token, reason: DropReason) {
        let (upstream, reason_text) = (self.port.upstream(), reason.label());
        tracing::warn!(%upstream, reason = reason_text, "a publication is given up: the server takes no request with it");
        self.port.failed(token, reason);
    }
}

pub(super) async fn something_to_send(again: &VecDeque<Token>, port: &Port) {
    if again.is_empty() {
        port.ready().await;
    }
}
