//! Whether a request was signed by the application (Pusher, "HTTP API", "Authentication").

use crate::proto::{policy::Policy, query::Query, sign, text::clip};

/// How far `auth_timestamp` may be from the gateway's clock, in seconds.
const WINDOW_S: u64 = 600;

/// Why a request is not believed; all of them are a 401.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// A parameter is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The key is not the application's.
    #[error("Unknown auth_key")]
    Key,
    /// Another version of the signature.
    #[error("Invalid auth_version: it must be 1.0")]
    Version,
    /// The timestamp is no number.
    #[error("Invalid auth_timestamp: it must be a Unix time in seconds")]
    Timestamp,
    /// The timestamp is too old or too new.
    #[error("Timestamp expired: Given timestamp ({given}) not within {WINDOW_S}s of server time ({now})")]
    Expired {
        /// What was sent.
        given: u64,
        /// The gateway's time.
        now: u64,
    },
    /// `body_md5` is not the body's.
    #[error("Invalid body_md5: the body's is {0}")]
    BodyMd5(String),
    /// The signature is wrong.
    #[error(
        "Invalid signature: you should have sent HmacSHA256Hex({signed:?}, your_secret_key), but you sent {given:?}"
    )]
    Signature {
        /// The string the gateway signs.
        signed: String,
        /// What was sent.
        given: String,
    },
}

/// Checks the signature of a request at the time `now_s` (Unix).
///
/// SDKs differ: a `body_md5` of no body is taken on any method, a request without a body needs none, and values may
/// have been sent without percent-encoding.
///
/// # Errors
/// See [`AuthFault`].
pub fn authenticate(
    policy: &Policy,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
    now_s: u64,
) -> Result<(), AuthFault> {
    let pairs = Query::parse(query);
    let get = |key: &'static str| pairs.get(key).ok_or(AuthFault::Missing(key));
    if get("auth_key")? != policy.key {
        return Err(AuthFault::Key);
    }
    if get("auth_version")? != "1.0" {
        return Err(AuthFault::Version);
    }
    let given: u64 = get("auth_timestamp")?.parse().map_err(|_| AuthFault::Timestamp)?;
    let signature = get("auth_signature")?;
    let signed = format!("{method}\n{path}\n{}", pairs.canonical());
    if !sign::verify(&policy.secret, signed.as_bytes(), signature) {
        let raw = format!("{method}\n{path}\n{}", Query::raw(query).canonical());
        if !sign::verify(&policy.secret, raw.as_bytes(), signature) {
            let (signed, given) = (clip(&signed, 1024).to_owned(), clip(signature, 128).to_owned());
            return Err(AuthFault::Signature { signed, given });
        }
    }
    match pairs.get("body_md5") {
        None if body.is_empty() => {}
        None => return Err(AuthFault::Missing("body_md5")),
        Some(md5) => {
            let expected = sign::body_md5(body);
            if !md5.eq_ignore_ascii_case(&expected) {
                return Err(AuthFault::BodyMd5(expected));
            }
        }
    }
    if given.abs_diff(now_s) > WINDOW_S {
        return Err(AuthFault::Expired { given, now: now_s });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;

    fn documented() -> Policy {
        Policy::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
    }

    fn check(query: &str, body: &[u8], now: u64) -> Result<(), AuthFault> {
        authenticate(&documented(), "POST", "/apps/3/events", query, body, now)
    }

    const GOOD: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&\
        body_md5=ec365a775a4cd0599faeb73354201b6f&\
        auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

    #[test]
    fn the_documented_request_is_believed() {
        assert_eq!(check(GOOD, BODY, 1_353_088_179), Ok(()));
        assert_eq!(check(GOOD, BODY, 1_353_088_179 + 600), Ok(()));
        assert!(matches!(check(GOOD, BODY, 1_353_088_179 + 601), Err(AuthFault::Expired { .. })));
        assert!(matches!(check(GOOD, BODY, 1_353_088_179 - 601), Err(AuthFault::Expired { .. })));
        assert!(matches!(check(GOOD, b"{}", 1_353_088_179), Err(AuthFault::BodyMd5(_))));
        assert!(matches!(check(&GOOD.replace("da45", "da46"), BODY, 1_353_088_179), Err(AuthFault::Signature { .. })));
        assert!(matches!(check(&GOOD.replace("278d", "278e"), BODY, 1_353_088_179), Err(AuthFault::Key)));
        assert!(matches!(check(&GOOD.replace("1.0", "2.0"), BODY, 1_353_088_179), Err(AuthFault::Version)));
        assert_eq!(check("", BODY, 0), Err(AuthFault::Missing("auth_key")));
    }

    /// Signs as the application `demo` does, with values as they are.
    fn signed(method: &str, path: &str, params: &[(&str, &str)], encode: bool) -> String {
        let mut pairs = vec![("auth_key", "k"), ("auth_timestamp", "1000"), ("auth_version", "1.0")];
        pairs.extend(params);
        pairs.sort_unstable();
        let plain: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let signature = sign::sign("s", format!("{method}\n{path}\n{}", plain.join("&")).as_bytes());
        let mut query = form_urlencoded::Serializer::new(String::new());
        pairs.iter().for_each(|(k, v)| {
            query.append_pair(k, v);
        });
        let query = if encode { query.finish() } else { plain.join("&") };
        format!("{query}&auth_signature={signature}")
    }

    fn demo(method: &str, query: &str, body: &[u8]) -> Result<(), AuthFault> {
        authenticate(&Policy::new("demo", "k", "s"), method, "/apps/demo/channels", query, body, 1000)
    }

    #[test]
    fn habits_of_sdks_are_taken() {
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        let info = ("info", "user_count,subscription_count");
        assert_eq!(demo("GET", &signed("GET", "/apps/demo/channels", &[("body_md5", empty)], true), b""), Ok(()));
        assert_eq!(demo("GET", &signed("GET", "/apps/demo/channels", &[info], true), b""), Ok(()));
        assert_eq!(demo("GET", &signed("GET", "/apps/demo/channels", &[info], false), b""), Ok(()));
        assert_eq!(
            demo("GET", &signed("GET", "/apps/demo/channels", &[("filter_by_prefix", "a+b")], false), b""),
            Ok(())
        );
        assert_eq!(demo("POST", &signed("POST", "/apps/demo/channels", &[], true), b""), Ok(()));
        let unsigned_body = demo("POST", &signed("POST", "/apps/demo/channels", &[], true), b"{}");
        assert_eq!(unsigned_body, Err(AuthFault::Missing("body_md5")));
    }

    proptest! {
        #[test]
        fn no_request_makes_it_panic(query in "(auth_key=k&)?(auth_version=1.0&)?(auth_timestamp=.{0,4}&)?\\PC{0,60}", body in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(demo("POST", &query, &body).is_err());
        }
    }
}
