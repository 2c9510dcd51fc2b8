//! Reading a body that is wanted whole.

use axum::body::Body;
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;

/// Reads a body of at most so many bytes. Most come in one piece, which is then all there is to do.
///
/// # Errors
/// It is longer, or the connection broke off.
pub async fn read_body(mut body: Body, most: usize) -> Result<Bytes, axum::Error> {
    let first = match body.frame().await {
        None => return Ok(Bytes::new()),
        Some(frame) => frame?.into_data().unwrap_or_default(),
    };
    if first.len() <= most && body.is_end_stream() {
        return Ok(first);
    }
    let left = most.checked_sub(first.len()).ok_or_else(|| axum::Error::new("the body is too long"))?;
    let rest = axum::body::to_bytes(body, left).await?;
    Ok(if rest.is_empty() { first } else { [first, rest].concat().into() })
}
