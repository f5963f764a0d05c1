//! What handlers take from a request beside its query: path segments and JSON bodies, refused in problem documents.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bee_wire::{ErrorCode, NodeId};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::limits;
use super::problem::Refusal;
use crate::text;

/// The one variable segment of a path.
pub(crate) struct Segment(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        path.map(|Path(segment)| Self(segment))
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))
    }
}

impl Segment {
    /// The segment as a node's id.
    pub(crate) fn node_id(&self) -> Result<NodeId, Refusal> {
        self.0.parse().map_err(|_| {
            let detail = format!(
                "\"{}\" is not a node id, which is a whole number; `GET /api/v1/nodes` lists them",
                text::cut(&self.0, 64)
            );
            Refusal::coded(StatusCode::BAD_REQUEST, ErrorCode::InvalidNodeId, detail)
        })
    }

    /// The segment as something that is read from text; `what` names it for people.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, what: &str) -> Result<T, Refusal> {
        let wrong = || format!("\"{}\" is not {what}", text::cut(&self.0, 80));
        self.0.parse().map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, wrong()))
    }
}

/// A JSON body, read within limits of size and time.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "send the body as JSON with `Content-Type: application/json`";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let body = read(request.into_body()).await?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Self(value)),
            Err(error) => {
                let code = if error.is_data() {
                    ErrorCode::InvalidMessageFormat
                } else {
                    ErrorCode::MessageParseFailed
                };
                let detail = format!("the body: {}", text::cut(&error.to_string(), 300));
                Err(Refusal::coded(StatusCode::BAD_REQUEST, code, detail))
            }
        }
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut pieces = body.into_data_stream();
    let reading = async {
        let (mut bytes, mut thrown_away) = (Vec::new(), 0_usize);
        while let Some(piece) = pieces.next().await {
            let piece =
                piece.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the body did not arrive whole"))?;
            if thrown_away == 0 && bytes.len().saturating_add(piece.len()) <= limits::BODY_BYTES_MAX {
                bytes.extend_from_slice(&piece);
                continue;
            }
            // Read on for a while: a client that is cut while it writes never sees our answer.
            thrown_away = thrown_away.saturating_add(piece.len());
            if thrown_away > limits::LINGER_BYTES_MAX {
                break;
            }
        }
        if thrown_away > 0 {
            let detail = format!("the body has more than {} bytes", limits::BODY_BYTES_MAX);
            return Err(Refusal::coded(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::MessageTooLarge, detail));
        }
        Ok(bytes)
    };
    tokio::time::timeout(limits::BODY_MAX, reading).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} seconds", limits::BODY_MAX.as_secs());
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, detail))
    })
}

/// An answer in JSON.
pub(crate) type Answer<T> = Result<Json<T>, Refusal>;
