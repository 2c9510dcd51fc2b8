//! What the publish authorizer says of a request's messages: asked before the request is processed, because a session is locked
//! while it speaks.

use ratatosk_connector::access::Disapproved;
use ratatosk_core::Publication;

use crate::{
    mapping::{self, Name},
    proto::{inbound::Inbound, payload::Payload},
    server::{host, mount::Mount},
};

/// A message as it may be published, or why not.
pub(crate) type Said = Result<Publication, Disapproved>;

/// By the place in the batch; empty where nobody is asked.
#[derive(Debug, Default)]
pub(crate) struct Judged(Vec<(usize, Said)>);

impl Judged {
    /// What was said of a message, if anybody was asked about it.
    pub(crate) fn of(&self, index: usize) -> Option<&Said> {
        self.0.iter().find(|(at, _)| *at == index).map(|(_, said)| said)
    }

    /// Asks about those messages that need it, one after the other: the answers are in the order of the messages.
    pub(crate) async fn ask(mount: &Mount, batch: &[Inbound<'_>]) -> Self {
        let mut judged = Vec::new();
        if !mount.access.judges_publications() {
            return Self(judged);
        }
        for (index, message) in batch.iter().enumerate() {
            if let Some((rights, publication)) = question(mount, message) {
                judged.push((index, Box::pin(rights.approve(publication)).await));
            }
        }
        Self(judged)
    }
}

/// A publication that has to be asked about, and whose rights it is published with.
fn question(mount: &Mount, message: &Inbound<'_>) -> Option<(ratatosk_connector::access::Rights, Publication)> {
    let live = mount.directory.get(&message.client_id()?)?;
    let Ok(Name::Channel(channel)) = mapping::read(&message.channel()?) else { return None };
    if !live.rights.need_approval(&channel) || !live.rights.may_publish(&channel) {
        return None;
    }
    let payload = Payload::of(message).filter(|_| message.data().is_some())?;
    let origin = host::origin(&live, live.lock().bus.as_ref()?);
    Some((live.rights.clone(), host::publication(channel, payload, message, origin).ok()?))
}
