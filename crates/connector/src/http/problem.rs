//! Errors over HTTP: `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::limits::{Limit, TooFast};

/// An error with a stable type, a title, and the detail of this case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The last part of the type URI: stable, for programs.
    pub kind: &'static str,
    /// The same for every case of the type, for people.
    pub title: &'static str,
    /// What was wrong this time.
    pub detail: String,
    /// When it is worth to come again.
    pub retry_after: Option<Duration>,
    /// The methods there are instead (RFC 9110, section 15.5.6).
    pub allow: Option<&'static str>,
}

impl Problem {
    /// A problem of a type.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, title, detail: detail.into(), retry_after: None, allow: None }
    }

    /// A limit stands before the request: 503 where all clients meet it, and 429 (RFC 6585) where this one does.
    #[must_use]
    pub fn limited(limit: Limit) -> Self {
        let (status, kind, title) = if limit.is_general() {
            (StatusCode::SERVICE_UNAVAILABLE, "busy", "The gateway is busy")
        } else {
            (StatusCode::TOO_MANY_REQUESTS, "limit", "A limit is reached")
        };
        Self { retry_after: Some(limit.retry_after()), ..Self::new(status, kind, title, limit.to_string()) }
    }

    /// The path knows other methods: `allow` lists them.
    #[must_use]
    pub fn bad_method(allow: &'static str, detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "bad-method", "The method is not allowed", detail);
        Self { allow: Some(allow), ..problem }
    }

    /// The request cannot be understood.
    pub fn bad_request(kind: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, title, detail)
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "type": format!("urn:ratatosk:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
        .to_string()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)], self.to_json()).into_response();
        if let Some(time) = self.retry_after {
            let seconds = time.as_millis().div_ceil(1000).max(1);
            response
                .headers_mut()
                .extend(HeaderValue::from_str(&seconds.to_string()).map(|it| (header::RETRY_AFTER, it)));
        }
        if let Some(methods) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

impl From<TooFast> for Problem {
    fn from(early: TooFast) -> Self {
        Self { retry_after: Some(early.wait), ..Self::limited(Limit::PublishRate) }
    }
}
