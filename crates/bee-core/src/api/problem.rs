//! Refusals of the REST API as problem documents (RFC 9457), and the one place where Core's errors get HTTP statuses.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bee_wire::ErrorCode;
use bee_wire::api::Problem;

use crate::error::CoreError;

/// A refusal on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: BTreeMap<String, String>,
    retry_after_s: Option<u64>,
}

impl Refusal {
    /// A refusal whose code is HTTP's own name of the status, e.g. `NOT_FOUND`.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: name_of(status),
            detail: detail.into(),
            errors: BTreeMap::new(),
            retry_after_s: None,
        }
    }

    /// A refusal with a code of the protocol.
    pub(crate) fn coded(status: StatusCode, code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code: code.as_str(), ..Self::new(status, detail) }
    }

    /// Parameters that are wrong, each with what would be right.
    pub(crate) fn parameters(errors: BTreeMap<String, String>) -> Self {
        let told: Vec<String> = errors.iter().map(|(name, problem)| format!("{name}: {problem}")).collect();
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, told.join("; ")) }
    }

    /// Says when it is worth to try again.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }
}

impl From<CoreError> for Refusal {
    fn from(error: CoreError) -> Self {
        let detail = error.to_string();
        match error {
            CoreError::NoSuchNode(_) => Self::coded(StatusCode::NOT_FOUND, ErrorCode::NodeNotFound, detail),
            CoreError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, detail),
            CoreError::Invalid { parameter, problem } => {
                Self::parameters(BTreeMap::from([(parameter, problem)]))
            }
            CoreError::TooMany(_) => Self::new(StatusCode::TOO_MANY_REQUESTS, detail),
            CoreError::State(_) | CoreError::Log(_) => {
                tracing::error!(error = detail, "a request failed inside Core");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
            CoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("urn:honeybee:error:{}", self.code.to_ascii_lowercase()),
            title: self.code.to_ascii_lowercase().replace('_', " "),
            status: self.status.as_u16(),
            detail: Some(self.detail),
            instance: None,
            code: self.code.to_owned(),
            errors: self.errors,
        };
        // A struct of texts and numbers cannot fail to serialise.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"honeybee\""));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The name of a status in the form of a code.
fn name_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BAD_REQUEST",
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "FORBIDDEN",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        StatusCode::REQUEST_TIMEOUT => "REQUEST_TIMEOUT",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UNSUPPORTED_MEDIA_TYPE",
        StatusCode::UPGRADE_REQUIRED => "UPGRADE_REQUIRED",
        StatusCode::TOO_MANY_REQUESTS => "TOO_MANY_REQUESTS",
        StatusCode::SERVICE_UNAVAILABLE => "SERVICE_UNAVAILABLE",
        _ => "INTERNAL_SERVER_ERROR",
    }
}

#[cfg(test)]
mod tests {
    use bee_wire::NodeId;

    use super::*;

    #[test]
    fn errors_of_core_get_a_status_and_a_stable_code() {
        for (error, status, code) in [
            (CoreError::NoSuchNode(NodeId(7)), 404, "NODE_NOT_FOUND"),
            (CoreError::NotFound { what: "token", id: "x".into() }, 404, "NOT_FOUND"),
            (
                CoreError::Invalid { parameter: "uses".into(), problem: "must be 1 or more".into() },
                400,
                "BAD_REQUEST",
            ),
            (CoreError::TooMany("full".into()), 429, "TOO_MANY_REQUESTS"),
            (CoreError::Closed, 503, "SERVICE_UNAVAILABLE"),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status.as_u16(), refusal.code), (status, code));
        }
    }
}
