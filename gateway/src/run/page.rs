//! The page at `/`: a live view of channels, without any external resource.

use axum::{Router, response::Html, routing::get};

/// The page, in the binary.
const PAGE: &str = include_str!("../../assets/index.html");

pub(super) fn router() -> Router {
    at("/")
}

/// The same page at another path.
pub(crate) fn at(path: &str) -> Router {
    Router::new().route(path, get(|| async { Html(PAGE) }))
}
