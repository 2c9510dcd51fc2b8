#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

const KEY: &str = "a key that is long enough for HMAC";

fn verifier(algorithm: JwtAlgorithm, key: &str) -> Verifier {
    Verifier::new(algorithm, &Secret::new(key), "key").unwrap()
}

/// A token signed with HS256 whatever its header says.
pub(in super::super) fn token_with(header: &str, claims: &str, key: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    let tag = ring::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn token(claims: &str) -> String {
    token_with(r#"{"alg":"HS256","typ":"JWT"}"#, claims, KEY)
}

#[test]
fn a_token_grants_what_it_says() {
    let verifier = verifier(JwtAlgorithm::HS256, KEY);
    let full =
        r#"{"mercure":{"publish":["*"],"subscribe":["a/{id}","b"],"payload":{"x":1}},"sub":"ann","exp":99999999999}"#;
    let grant = verifier.verify(&token(full)).unwrap();
    assert!(grant.publish.unwrap().iter().any(|selector| selector.selects("anything")));
    assert!(grant.subscribe.iter().any(|selector| selector.selects("a/7")));
    assert_eq!(
        (grant.user.as_deref(), grant.expires, grant.payload),
        (Some("ann"), Some(99_999_999_999), Some(serde_json::json!({"x": 1})))
    );
    let grant = verifier.verify(&token("{}")).unwrap();
    assert!(grant.publish.is_none() && grant.subscribe.is_empty(), "a token without claims grants nothing");
    assert!(verifier.verify(&token(r#"{"mercure":{"publish":[]}}"#)).unwrap().publish.unwrap().is_empty());
}

#[test]
fn public_keys_of_every_family_verify() {
    let key =
        |name: &str| std::fs::read_to_string(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (algorithm, pem, jwt) in [
        (JwtAlgorithm::RS256, "rsa.pem", "rs256.jwt"),
        (JwtAlgorithm::PS384, "rsa.pem", "ps384.jwt"),
        (JwtAlgorithm::ES256, "ec.pem", "es256.jwt"),
        (JwtAlgorithm::EdDSA, "ed.pem", "eddsa.jwt"),
    ] {
        let verifier = verifier(algorithm, &key(pem));
        assert_eq!(verifier.verify(&key(jwt)).unwrap().user.as_deref(), Some("ann"), "{jwt}");
        let mut forged = key(jwt);
        let flipped = if forged.ends_with('A') { 'B' } else { 'A' };
        let at = forged.rfind('.').unwrap() + 5;
        forged.replace_range(at..=at, &flipped.to_string());
        assert!(verifier.verify(&forged).is_err(), "{jwt}");
        // Key confusion: the public key taken as an HMAC secret.
        let confused = token_with(r#"{"alg":"HS256"}"#, r#"{"mercure":{"publish":["*"]}}"#, &key(pem));
        assert_eq!(verifier.verify(&confused).unwrap_err(), TokenError::Algorithm);
    }
}

#[test]
fn forged_and_stale_tokens_are_refused() {
    let verifier = verifier(JwtAlgorithm::HS256, KEY);
    let header = r#"{"alg":"HS256"}"#;
    for (token, error) in [
        (token_with(header, "{}", "another key"), TokenError::Signature),
        (token(r#"{"exp":1000}"#), TokenError::Expired),
        (token(r#"{"nbf":99999999999}"#), TokenError::Immature),
        (token_with(r#"{"alg":"HS384"}"#, "{}", KEY), TokenError::Algorithm),
        (token_with(r#"{"alg":"none"}"#, "{}", KEY), TokenError::Malformed),
        (token(r#"{"mercure":{"publish":"*"}}"#), TokenError::Malformed),
        (token(r#"{"exp":"never"}"#), TokenError::Malformed),
        (token("not json"), TokenError::Malformed),
        ("a.b".to_owned(), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        (
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}")),
            TokenError::Malformed,
        ),
    ] {
        assert_eq!(verifier.verify(&token).unwrap_err(), error, "{token}");
    }
    let many = serde_json::json!({"mercure": {"subscribe": vec!["a"; MAX_SELECTORS + 1]}}).to_string();
    assert_eq!(verifier.verify(&token(&many)).unwrap_err(), TokenError::Selectors);
}

#[test]
fn unusable_keys_are_refused_at_the_start() {
    assert!(matches!(Verifier::new(JwtAlgorithm::HS256, &Secret::new(""), "k"), Err(KeyError::Empty("k"))));
    for algorithm in [JwtAlgorithm::RS256, JwtAlgorithm::ES256, JwtAlgorithm::EdDSA] {
        assert!(matches!(Verifier::new(algorithm, &Secret::new("no pem"), "k"), Err(KeyError::Pem("k"))));
    }
}

#[test]
fn tokens_are_found_in_header_query_and_cookie() {
    let mut headers = HeaderMap::new();
    assert_eq!(find(&headers, "topic=a", "c"), Found::Nothing);
    headers.insert(header::COOKIE, HeaderValue::from_static("x=y; c=from-cookie"));
    assert_eq!(find(&headers, "", "c"), Found::Cookie("from-cookie".to_owned()));
    assert_eq!(find(&headers, "authorization=from-query", "c"), Found::Given("from-query".to_owned()));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer from-header"));
    assert_eq!(find(&headers, "authorization=from-query", "c"), Found::Given("from-header".to_owned()));
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic xyz"));
    headers.insert(header::COOKIE, HeaderValue::from_static("__Secure-mercure_access_token=new"));
    assert_eq!(find(&headers, "", "c"), Found::Cookie("new".to_owned()));
}
