//! In front of the HTTP routes: credentials in a header, a cookie or a ticket become a visitor.

use std::{
    convert::Infallible,
    future::ready,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::future::{BoxFuture, Either};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::PathAndQuery};
use ratatosk_connector::{
    access::{Access, Credentials, HttpCredentials, Refusal, Rights, Subject, Visitor},
    http::{Origins, Problem, Requester},
};
use ratatosk_core::Connector;
use tower::{Layer, Service, ServiceExt as _};

use crate::config::Resolved;

/// What the guard goes by.
#[derive(Clone)]
pub(in crate::run) struct Guard(Arc<Inner>);

struct Inner {
    access: Access,
    origins: Origins,
    sse: String,
    bayeux: Vec<String>,
    bayeux_key: Option<String>,
    pusher: [String; 4],
    /// Asked for by name once: each request is somebody's.
    connectors: Connectors,
}

struct Connectors {
    sse: Connector,
    bayeux: Connector,
    http: Connector,
}

impl Default for Connectors {
    fn default() -> Self {
        let [sse, bayeux, http] = ["sse", "bayeux", "http"].map(Connector::register);
        Self { sse, bayeux, http }
    }
}

/// Whose path a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Keys and signatures of its own.
    Pusher,
    /// Tokens of its own, and error strings of its own.
    Mercure,
    /// Error strings of its own.
    Bayeux,
    Sse,
    Http,
}

/// Whose rights a request has.
type Judged = Result<Rights, Refusal>;

/// What a request shows that has to be checked.
enum Shown {
    Credentials(HttpCredentials),
    Certificate(Arc<Subject>),
}

impl Guard {
    pub(in crate::run) fn new(resolved: &Resolved, access: Access, origins: Origins) -> Self {
        let prefix = &resolved.pusher.prefix;
        let pusher = ["/app/", "/apps/", "/users/", "/pusher/app/"].map(|path| format!("{prefix}{path}"));
        Self(Arc::new(Inner {
            access,
            origins,
            sse: resolved.sse.path.clone(),
            bayeux: resolved.bayeux.paths().collect(),
            bayeux_key: resolved.bayeux.publish_key.as_ref().map(|key| key.expose().to_owned()),
            pusher,
            connectors: Connectors::default(),
        }))
    }

    fn door(&self, path: &str) -> Door {
        let below = |base: &str| {
            path.strip_prefix(base.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match path {
            path if self.0.pusher.iter().any(|prefix| path.starts_with(prefix.as_str())) => Door::Pusher,
            path if path.starts_with("/.well-known/mercure") => Door::Mercure,
            _ if below(&self.0.sse) => Door::Sse,
            // A Bayeux mount at `/` is above everything.
            "/publish" => Door::Http,
            _ if self.0.bayeux.iter().any(|base| below(base)) => Door::Bayeux,
            _ => Door::Http,
        }
    }

    /// Whose doing it is that is counted.
    fn connector(&self, door: Door) -> Connector {
        let connectors = &self.0.connectors;
        match door {
            Door::Sse => connectors.sse,
            Door::Bayeux => connectors.bayeux,
            Door::Mercure => Connector::register("mercure"), // most gateways have no hub
            Door::Pusher | Door::Http => connectors.http,
        }
    }

    /// Whether a path of Pusher is of its HTTP API, which has no words of its own for a limit.
    fn is_pusher_api(&self, path: &str) -> bool {
        let [_, apps, users, _] = &self.0.pusher;
        path.starts_with(apps.as_str()) || path.starts_with(users.as_str())
    }

    /// What counts of what a request shows at a door.
    fn shown(&self, door: Door, method: &Method, headers: &HeaderMap) -> HttpCredentials {
        let is_script = door == Door::Bayeux && method == Method::GET && !headers.contains_key(header::UPGRADE);
        let is_trusted = |origins: &Origins| {
            if is_script { origins.is_trusted_script(headers) } else { origins.is_trusted_page(headers) }
        };
        match HttpCredentials::of(headers, self.0.access.cookie_name()) {
            // The hub checks tokens with keys of its own.
            HttpCredentials::Bearer(_) | HttpCredentials::Cookie(_) if door == Door::Mercure => {
                HttpCredentials::Nothing
            }
            // So does Bayeux with the key of its publishers.
            HttpCredentials::Bearer(key) if door == Door::Bayeux && self.0.bayeux_key.as_ref() == Some(&key) => {
                HttpCredentials::Nothing
            }
            // A cookie proves who the browser's user is, not which page asks.
            HttpCredentials::Cookie(_) if !is_trusted(&self.0.origins) => HttpCredentials::Nothing,
            shown => shown,
        }
    }

    /// Judges a request by what it shows, unless that takes a check that may wait: then says what to check.
    fn judge(&self, door: Door, request: &mut Request, address: Option<IpAddr>) -> Result<Judged, Shown> {
        let connector = self.connector(door);
        // A ticket opens a stream and nothing else: it buys no other ticket.
        if request.uri().path() == self.0.sse
            && let Some(ticket) = take_ticket(request.uri_mut())
        {
            return Ok(self.0.access.redeem(&ticket, connector, address));
        }
        let shown = self.shown(door, request.method(), request.headers());
        if shown != HttpCredentials::Nothing {
            return Err(Shown::Credentials(shown));
        }
        // The hub's own tokens say who its clients are.
        let requester = Requester::of(request.extensions()).filter(|_| door != Door::Mercure);
        match requester.and_then(|requester| requester.permit().certificate()) {
            Some(certificate) => Err(Shown::Certificate(certificate.clone())),
            None => Ok(self.0.access.anonymous(connector, address)),
        }
    }

    async fn check(&self, connector: Connector, address: Option<IpAddr>, shown: &Shown) -> Judged {
        let credentials = match shown {
            Shown::Credentials(shown) => shown.as_credentials(),
            Shown::Certificate(subject) => Credentials::Certificate(subject),
        };
        self.0.access.authenticate(connector, address, credentials).await
    }

    /// Tells a request what was found of it, or answers that it is refused. Protocols with their own words for a refusal say
    /// them themselves.
    fn settle(&self, request: &mut Request, door: Door, visitor: Visitor) -> Option<Response> {
        let is_refused_here = match door {
            Door::Sse | Door::Http => true,
            Door::Mercure => visitor.limited.is_some(),
            Door::Bayeux | Door::Pusher => false,
        };
        if let (Err(refusal), true) = (&visitor.judged, is_refused_here) {
            let mut answer = refuse(*refusal, door, request.headers());
            answer.headers_mut().extend(self.0.origins.answer(request.headers()));
            return Some(answer);
        }
        request.extensions_mut().insert(visitor);
        None
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// Lets HTTP requests in. Most show nothing that takes a check: they are not made to wait for one.
#[derive(Clone)]
pub(in crate::run) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let door = self.guard.door(request.uri().path());
        let requester = Requester::of(request.extensions());
        let (limited, address) = (
            requester.and_then(|requester| requester.permit().refused()),
            requester.map(|requester| requester.address().ip()),
        );
        if door == Door::Pusher {
            let refused = limited.filter(|_| self.guard.is_pusher_api(request.uri().path()));
            return match refused {
                Some(limit) => answer(let_go(Problem::limited(limit).into_response())),
                None => Either::Left(self.inner.call(request)),
            };
        }
        let judged = match limited {
            // Sessions that there are already may go on by a connection too many.
            Some(limit) if door != Door::Bayeux => Ok(Err(Refusal::Limited(limit))),
            _ => self.guard.judge(door, &mut request, address),
        };
        let (judged, limited) = match (judged, limited) {
            (Ok(judged), None) => {
                return match self.guard.settle(&mut request, door, Visitor { judged, address, limited }) {
                    None => Either::Left(self.inner.call(request)),
                    Some(refused) => answer(refused),
                };
            }
            other => other,
        };
        let Self { guard, inner } = self.clone();
        Either::Right(Box::pin(async move {
            let judged = match judged {
                Ok(judged) => judged,
                Err(shown) => guard.check(guard.connector(door), address, &shown).await,
            };
            let answer = match guard.settle(&mut request, door, Visitor { judged, address, limited }) {
                None => inner.oneshot(request).await?,
                Some(refused) => refused,
            };
            Ok(if limited.is_some() { let_go(answer) } else { answer })
        }))
    }
}

fn answer<F>(answer: Response) -> Either<F, BoxFuture<'static, Result<Response, Infallible>>> {
    Either::Right(Box::pin(ready(Ok(answer))))
}

/// Ends a connection that is one too many once it was answered: the next one may have a place.
fn let_go(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Whether a page's script asks. A browser would show a login of its own to the person before it, and the script would hear nothing.
fn by_script(headers: &HeaderMap) -> bool {
    let says = |name: HeaderName, text: &str| {
        headers.get(name).is_some_and(|value| value.as_bytes().windows(text.len()).any(|part| part == text.as_bytes()))
    };
    let mode = HeaderName::from_static("sec-fetch-mode");
    headers.contains_key(header::ORIGIN)
        || (headers.contains_key(&mode) && !says(mode, "navigate"))
        || says(header::ACCEPT, "text/event-stream")
}

fn refuse(refusal: Refusal, door: Door, request: &HeaderMap) -> Response {
    if let Refusal::Limited(limit) = refusal {
        let answer = match door {
            Door::Sse | Door::Mercure => ratatosk_sse::server::turn_away(request, limit),
            _ => Problem::limited(limit).into_response(),
        };
        return answer;
    }
    if refusal == Refusal::Unavailable {
        let title = "Credentials cannot be checked";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "auth-unavailable", title, refusal.to_string());
        return ([(header::RETRY_AFTER, HeaderValue::from_static("5"))], problem).into_response();
    }
    let detail = match refusal {
        Refusal::Missing => {
            "send a token (`Authorization: Bearer`, or the cookie of `auth.cookie`), or a name and a password by HTTP Basic \
             authentication"
                .to_owned()
        }
        refusal => refusal.to_string(),
    };
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "not-authorized", "Valid credentials are needed", detail);
    // RFC 6750, section 3: what was wrong with a token is said beside its scheme.
    let bearer = match refusal {
        Refusal::Missing => "Bearer realm=\"ratatosk\"",
        _ => "Bearer realm=\"ratatosk\", error=\"invalid_token\"",
    };
    let mut answer = problem.into_response();
    let basic = (!by_script(request)).then_some("Basic realm=\"ratatosk\"");
    for challenge in basic.into_iter().chain([bearer]) {
        answer.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    answer
}

/// Takes the ticket out of a request's query, so that nothing behind can write it to a log.
fn take_ticket(uri: &mut Uri) -> Option<String> {
    let query = uri.query()?;
    let is_ticket = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| name == "ticket");
    let pair = query.split('&').find(is_ticket)?;
    let ticket = form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())?;
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_ticket(pair)).collect();
    let target = PathAndQuery::try_from(format!("{}?{}", uri.path(), rest.join("&"))).ok()?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).unwrap_or_default();
    Some(ticket)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ratatosk_connector::access::AccessConfig;

    use super::*;

    #[test]
    fn a_script_brings_its_cookie_for_pages_that_are_known_only() {
        let config = AccessConfig { cookie: "token".into(), ..AccessConfig::default() };
        let guard = Guard(Arc::new(Inner {
            access: Access::inert(&config, ratatosk_core::Monitor::default()).unwrap(),
            origins: Origins::new(["*"]),
            sse: "/sse".into(),
            bayeux: vec!["/bayeux".into()],
            bayeux_key: None,
            pusher: Default::default(),
            connectors: Connectors::default(),
        }));
        let shown = |door, method, more: &[(&'static str, &'static str)]| {
            let own = [("host", "gateway.example"), ("cookie", "token=t")];
            let pairs = own.iter().chain(more).copied();
            let headers: HeaderMap =
                pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
            guard.shown(door, &method, &headers) != HttpCredentials::Nothing
        };
        let (own, evil) = (("referer", "https://gateway.example/p"), ("referer", "https://evil.example/"));
        assert!(shown(Door::Bayeux, Method::GET, &[own]));
        assert!(!shown(Door::Bayeux, Method::GET, &[evil]) && !shown(Door::Bayeux, Method::GET, &[]));
        assert!(shown(Door::Bayeux, Method::GET, &[("upgrade", "websocket")]));
        assert!(shown(Door::Bayeux, Method::POST, &[]) && shown(Door::Sse, Method::GET, &[]));
        assert!(!shown(Door::Sse, Method::GET, &[evil]));
    }

    #[test]
    fn only_a_person_is_asked_for_a_password() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
        };
        for script in [
            &[("origin", "https://app.example")][..],
            &[("sec-fetch-mode", "cors")],
            &[("accept", "text/event-stream")],
        ] {
            let answer = refuse(Refusal::Missing, Door::Sse, &headers(script));
            assert_eq!(answer.headers().get_all(header::WWW_AUTHENTICATE).iter().count(), 1, "{script:?}");
        }
        for person in [&[][..], &[("sec-fetch-mode", "navigate"), ("accept", "text/html")]] {
            let answer = refuse(Refusal::Missing, Door::Sse, &headers(person));
            assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Basic realm=\"ratatosk\"", "{person:?}");
        }
    }

    #[test]
    fn a_ticket_leaves_the_query() {
        let take = |text: &str| {
            let mut uri: Uri = text.parse().unwrap();
            (take_ticket(&mut uri), uri.to_string())
        };
        assert_eq!(take("/sse?channel=a%2Fb&ticket=x-_1&x=y"), (Some("x-_1".into()), "/sse?channel=a%2Fb&x=y".into()));
        assert_eq!(take("http://h/sse?ticket=a&ticket=b"), (Some("a".into()), "http://h/sse?".into()));
        assert_eq!(take("/sse?channel=ticket"), (None, "/sse?channel=ticket".into()));
        assert_eq!(take("/sse"), (None, "/sse".into()));
    }
}
