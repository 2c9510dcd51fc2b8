//! Who a handshake comes from: what it shows itself, or what its request has shown.

use ratatosk_connector::access::{Credentials, Refusal, Rights, Visitor};

use crate::{
    proto::{credentials::Shown, inbound::Inbound},
    server::mount::Mount,
};

/// What the sender of a batch may do. Only a handshake has its credentials checked: other messages have their session's
/// rights.
pub(crate) async fn judge(mount: &Mount, visitor: &Visitor, batch: &[Inbound<'_>]) -> Result<Rights, Refusal> {
    let Some(handshake) = batch.iter().find(|message| message.channel().as_deref() == Some("/meta/handshake")) else {
        return Ok(Rights::unrestricted());
    };
    if let Some(limit) = visitor.limited {
        return Err(Refusal::Limited(limit));
    }
    // Before credentials are checked: any number of handshakes can come by one connection.
    mount.access.limits().begin(mount.connector, visitor.address)?;
    let ext = handshake.ext();
    let Some(shown) = Shown::of(&ext) else {
        // A kept connection was judged with its first request.
        return visitor
            .judged
            .clone()
            .and_then(|rights| if rights.have_expired() { Err(Refusal::Expired) } else { Ok(rights) });
    };
    let credentials = match &shown {
        Shown::Token(token) => Credentials::Token(token),
        Shown::Password { user, password } => Credentials::Password { user, password: password.as_bytes() },
        Shown::Nonsense => return Err(Refusal::Bad),
    };
    Box::pin(mount.access.authenticate(mount.connector, visitor.address, credentials)).await
}
