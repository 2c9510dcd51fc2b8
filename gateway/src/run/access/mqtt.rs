//! CONNECT: a user name and a password, or a token in the password's place.

use ratatosk_connector::{
    access::{self, Access, Refusal, Rights, Watch},
    limits::Limits,
};
use ratatosk_core::Connector;
use ratatosk_mqtt::{
    proto::codec::ReasonCode,
    server::{AuthFuture, Authenticate, Credentials, End},
};

/// Judges MQTT clients.
pub(in crate::run) struct MqttDoor(pub(in crate::run) Access);

impl Authenticate for MqttDoor {
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> AuthFuture<'a> {
        Box::pin(async move {
            let shown = match (credentials.username, credentials.password, credentials.certificate) {
                // A name alone proves nothing, and many devices send one beside their certificate.
                (_, None, Some(certificate)) => access::Credentials::Certificate(certificate),
                (None, None, None) => access::Credentials::Nothing,
                (user, password, _) => access::Credentials::Password {
                    user: user.unwrap_or_default(),
                    password: password.unwrap_or_default(),
                },
            };
            let address = Some(credentials.remote.ip());
            self.0.authenticate(Connector::register("mqtt"), address, shown).await.map_err(reason)
        })
    }

    fn limits(&self) -> Limits {
        self.0.limits().clone()
    }

    fn watch(&self, rights: &Rights, end: End) -> Option<Watch> {
        self.0.watch(rights, end)
    }
}

/// MQTT 5, section 3.2.2.2; before version 5 they become 3, 4 and 5.
fn reason(refusal: Refusal) -> ReasonCode {
    match refusal {
        Refusal::Bad | Refusal::Foreign | Refusal::Immature => ReasonCode::BAD_CREDENTIALS,
        Refusal::Missing | Refusal::Expired => ReasonCode::NOT_AUTHORIZED,
        Refusal::Unavailable => ReasonCode::SERVER_UNAVAILABLE,
        Refusal::Limited(_) => ReasonCode::SERVER_BUSY,
    }
}
