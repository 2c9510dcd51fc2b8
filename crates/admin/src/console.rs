//! The console: one page, its script, its style and a chart library, all in the binary.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;

/// By path: the content type and the bytes.
const ASSETS: &[(&str, &str, &[u8])] = &[
    ("/", "text/html; charset=utf-8", include_bytes!("../assets/index.html")),
    ("/console.js", "text/javascript; charset=utf-8", include_bytes!("../assets/console.js")),
    ("/pages.js", "text/javascript; charset=utf-8", include_bytes!("../assets/pages.js")),
    ("/try.js", "text/javascript; charset=utf-8", include_bytes!("../assets/try.js")),
    ("/console.css", "text/css; charset=utf-8", include_bytes!("../assets/console.css")),
    ("/uplot.js", "text/javascript; charset=utf-8", include_bytes!("../assets/uplot/uPlot.iife.min.js")),
    ("/uplot.css", "text/css; charset=utf-8", include_bytes!("../assets/uplot/uPlot.min.css")),
];

/// Nothing from elsewhere is loaded or run. The try-it page connects to the gateway's other listeners.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' http: https: ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router {
    ASSETS.iter().fold(Router::new(), |router, (path, kind, bytes)| {
        router.route(path, get(move || async move { asset(kind, bytes) }))
    })
}

fn asset(kind: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, bytes).into_response()
}
