//! A server that judges: a long list of rules, and a token of its own for every connection.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Signs the tokens; the server is started by the generator and ends with it, so that it need not be kept.
const SECRET: &str = "of the load generator and of the server it starts";

/// Configuration with so many rules that never fit, before the one that allows everything.
pub(crate) fn config(rules: usize) -> String {
    // Pusher's applications sign for their clients, who have no tokens.
    let mut text = format!("[auth]\nanonymous = \"allow\"\n[auth.jwt]\nsecret = \"{SECRET}\"\n");
    for number in 0..rules {
        let _ = write!(
            text,
            "[[auth.rules]]\nwho = {{ users = [\"nobody-{number}\"] }}\nmay = [\"publish\", \"subscribe\"]\non = [\"none/{number}/#\"]\n"
        );
    }
    text + "[[auth.rules]]\nmay = [\"publish\", \"subscribe\", \"presence\"]\non = [\"#\"]\n"
}

/// Makes tokens, each for another user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens(Arc<AtomicU32>);

impl Tokens {
    /// A token that is good for a day (RFC 7519, HS256).
    pub(crate) fn next(&self) -> String {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = format!(r#"{{"sub":"bench-{number}","exp":{}}}"#, now + 86_400);
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(&claims));
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { return signed };
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_a_token_of_its_own() {
        let tokens = Tokens::default();
        let (one, other) = (tokens.next(), tokens.clone().next());
        assert_eq!((one.split('.').count(), one == other), (3, false));
    }

    #[test]
    fn the_last_rule_allows() {
        let text = config(3);
        assert_eq!(text.matches("[[auth.rules]]").count(), 4);
        assert!(text.ends_with("on = [\"#\"]\n"));
    }
}
