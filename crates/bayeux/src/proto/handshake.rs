//! The handshake: versions, connection types and extensions are agreed on (Bayeux 1.0, "Handshake").

use crate::proto::{
    Millis,
    fault::{Fault, argument},
    inbound::{ClientAdvice, Inbound},
    replay,
    session::Terms,
};

/// What client and server agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreed {
    /// The client acknowledges batches.
    pub ack: bool,
    /// Messages tell their position, and subscriptions may begin in the past.
    pub replay: bool,
    /// The far end is a gateway of this kind: messages tell which gateways they passed.
    pub gateway: bool,
    /// How long the client wants its connects held.
    pub timeout: Option<Millis>,
    /// How long the client waits between two connects.
    pub interval: Option<Millis>,
}

/// Reads a handshake request.
///
/// # Errors
/// A missing field, another version, or no connection type in common.
pub fn negotiate(message: &Inbound<'_>, terms: &Terms) -> Result<Agreed, Fault> {
    check_version(message)?;
    let types = message.supported_connection_types().ok_or(Fault::ParameterMissing("supportedConnectionTypes"))?;
    if !types.iter().any(|name| terms.offers(name)) {
        let wanted: Vec<String> = types.iter().take(8).map(|name| argument(name)).collect();
        return Err(Fault::ConnectionTypes(wanted.join(",")));
    }
    let ext = message.ext();
    let (timeout, interval) = spans(message.advice(), terms);
    Ok(Agreed {
        ack: terms.ack && ext.ack.is_some_and(|raw| raw.get() == "true" || raw.get().starts_with('{')),
        replay: terms.replay && replay::is_on(ext.replay),
        gateway: ext.hops.is_some(),
        timeout,
        interval,
    })
}

fn check_version(message: &Inbound<'_>) -> Result<(), Fault> {
    let version = message.version().ok_or(Fault::ParameterMissing("version"))?;
    let mismatch = |text: &str| Err(Fault::VersionMismatch(argument(text)));
    if major_minor(&version).is_none_or(|(major, _)| major != 1) {
        return mismatch(&version);
    }
    match message.minimum_version() {
        Some(least) if major_minor(&least).is_none_or(|least| least > (1, 0)) => mismatch(&least),
        _ => Ok(()),
    }
}

/// Versions are digits, dots and letters (`1.0`, `1.0beta`): `integer *( "." element )`.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let digits: String = parts.next().unwrap_or("0").chars().take_while(char::is_ascii_digit).collect();
    Some((major, digits.parse().unwrap_or(0)))
}

/// A client's spans in milliseconds, within what the server grants at most.
pub(super) fn spans(advice: Option<ClientAdvice>, terms: &Terms) -> (Option<Millis>, Option<Millis>) {
    let ClientAdvice { timeout, interval } = advice.unwrap_or_default();
    let span = |value: Option<f64>| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is not negative, and the cast saturates"
        )]
        let millis = value.filter(|value| *value >= 0.0).map(|value| value as Millis);
        millis.map(|millis| millis.min(terms.max_client_span))
    };
    (span(timeout), span(interval))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;
    use crate::proto::inbound::parse;

    fn shake(message: &str) -> Result<Agreed, Fault> {
        negotiate(&parse(message, 9).unwrap()[0], &Terms::default())
    }

    #[test]
    fn versions_and_types_are_negotiated() {
        let ok = r#"{"version":"1.0","supportedConnectionTypes":["long-polling"]}"#;
        assert_eq!(shake(ok), Ok(Agreed::default()));
        for (message, error) in [
            (r#"{"supportedConnectionTypes":["long-polling"]}"#, "402:version:Missing required parameter"),
            (r#"{"version":1,"supportedConnectionTypes":[]}"#, "402:version:Missing required parameter"),
            (r#"{"version":"1.0"}"#, "402:supportedConnectionTypes:Missing required parameter"),
            (r#"{"version":"2.0","supportedConnectionTypes":["long-polling"]}"#, "300:2.0:Version mismatch"),
            (r#"{"version":"x","supportedConnectionTypes":["long-polling"]}"#, "300:x:Version mismatch"),
            (
                r#"{"version":"1.0","minimumVersion":"1.1","supportedConnectionTypes":["long-polling"]}"#,
                "300:1.1:Version mismatch",
            ),
            (
                r#"{"version":"1.0","supportedConnectionTypes":["flash","x"]}"#,
                "301:flash,x:Connection types not supported",
            ),
            (r#"{"version":"1.0","supportedConnectionTypes":[]}"#, "301::Connection types not supported"),
        ] {
            assert_eq!(shake(message).unwrap_err().to_string(), error, "{message}");
        }
        for version in ["1.0", "1.0beta", "1", "1.0.7"] {
            let message = format!(
                r#"{{"version":"{version}","minimumVersion":"0.9","supportedConnectionTypes":["flash","websocket"]}}"#
            );
            assert!(shake(&message).is_ok(), "{version}");
        }
    }

    #[test]
    fn extensions_and_advice_are_agreed_on() {
        let agreed = shake(
            r#"{"version":"1.0","supportedConnectionTypes":["websocket"],"ext":{"ack":true,"replay":true},
                "advice":{"timeout":60000,"interval":-5}}"#,
        );
        assert_eq!(agreed, Ok(Agreed { ack: true, replay: true, timeout: Some(60_000), ..Agreed::default() }));
        let agreed = shake(r#"{"version":"1.0","supportedConnectionTypes":["websocket"],"ext":{"ack":false}}"#);
        assert_eq!(agreed, Ok(Agreed::default()));
        let absurd = shake(r#"{"version":"1.0","supportedConnectionTypes":["websocket"],"advice":{"timeout":1e300}}"#);
        assert_eq!(absurd.unwrap().timeout, Some(Terms::default().max_client_span));
    }
}
