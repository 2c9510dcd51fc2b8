//! How the API says no: `application/problem+json`.

use http::StatusCode;
use ratatosk_connector::http::Problem;

use crate::Refused;

pub(crate) fn not_found(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", format!("there is no {what}"))
}

pub(crate) fn bad(detail: impl Into<String>) -> Problem {
    Problem::bad_request("bad-request", "The request cannot be understood", detail)
}

pub(crate) fn engine(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "engine", "The engine cannot answer", error.to_string())
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => not_found("upstream of that name"),
            Refused::Conflict(detail) => Self::new(StatusCode::CONFLICT, "conflict", "The name is taken", detail),
            Refused::Invalid(detail) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-upstream",
                "The upstream's description is wrong",
                detail,
            ),
        }
    }
}
