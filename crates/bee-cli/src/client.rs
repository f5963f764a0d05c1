//! Speaks Core's public API: HTTP requests, and the module protocol for what arrives live.
//!
//! One connection a request: the CLI makes a handful, and a fresh connection has no state to go stale.

use crate::context::Context;
use crate::error::{CliError, Exit};
use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::{ClientError, ClientTls, Trust};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Longest answer that is read: 10,000 events of 4 KiB fit.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A Core in reach answers a connection at once.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Core answers at once or is in trouble; a query's own deadline is shorter.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A Core that answers.
#[derive(Clone)]
pub(crate) struct Client {
    context: Context,
    tls: Option<ClientTls>,
}

impl Client {
    /// # Errors
    /// HB0001 when a TLS Core is named without the fingerprint of its CA.
    pub(crate) fn new(context: Context) -> Result<Self, CliError> {
        let tls = match (context.tls, &context.ca_fingerprint) {
            (false, _) => None,
            (true, Some(fingerprint)) => Some(pinned(fingerprint)?),
            (true, None) => {
                let what = "a Core behind https:// needs the fingerprint of its CA";
                let help = "`honeybee doctor` on Core's machine prints it; give it with --ca or HONEYBEE_CA.";
                return Err(CliError::new("HB0001", what).exit(Exit::Usage).help(help));
            }
        };
        Ok(Self { context, tls })
    }

    /// The token this client shows.
    pub(crate) fn token(&self) -> &str {
        &self.context.token
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call("GET", path, Bytes::new()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let body = serde_json::to_vec(body)
            .map_err(|cause| CliError::new("HB0001", format!("cannot write the request: {cause}")))?;
        self.call("POST", path, body.into()).await
    }

    /// Where the answer has nothing to say.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), CliError> {
        self.exchange("DELETE", path, Bytes::new()).await.map(|_| ())
    }

    async fn call<T: DeserializeOwned>(&self, method: &str, path: &str, body: Bytes) -> Result<T, CliError> {
        let answer = self.exchange(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|cause| {
            CliError::new("HB0206", format!("Core's answer to {method} {path} cannot be read: {cause}"))
        })
    }

    /// One request, one answer; a refusal becomes an error with Core's own words.
    async fn exchange(&self, method: &str, path: &str, body: Bytes) -> Result<Vec<u8>, CliError> {
        let work = async {
            let stream = self.connect().await?;
            let unreachable = |cause: hyper::Error| self.unreachable(&cause.to_string());
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
            let driver = tokio::spawn(connection);
            let request = hyper::Request::builder()
                .method(method)
                .uri(path)
                .header("host", &self.context.authority)
                .header("authorization", format!("Bearer {}", self.context.token))
                .header("content-type", "application/json")
                .body(http_body_util::Full::new(body))
                .map_err(|cause| {
                    CliError::new("HB0001", format!("cannot ask for {path}: {cause}")).exit(Exit::Usage)
                })?;
            let response = sender.send_request(request).await.map_err(unreachable)?;
            let status = response.status();
            let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            let answer = http_body_util::BodyExt::collect(limited)
                .await
                .map_err(|cause| self.unreachable(&cause.to_string()))?
                .to_bytes();
            driver.abort();
            if status.is_success() {
                Ok(answer.to_vec())
            } else {
                Err(refusal(status.as_u16(), path, &answer))
            }
        };
        match tokio::time::timeout(ANSWER_WITHIN, work).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable("no answer within 30 s")),
        }
    }

    /// A connection to Core's API port, over TLS where the URL says so.
    pub(crate) async fn connect(&self) -> Result<MaybeTls, CliError> {
        let connected =
            bee_daemon::tls::client::connect(&self.context.authority, self.tls.as_ref(), CONNECT_WITHIN)
                .await;
        connected.map_err(|failure| match &failure {
            ClientError::WrongCa { .. } | ClientError::Handshake(_) => {
                CliError::new("HB0207", chain(&failure)).exit(Exit::NeedsHuman)
            }
            _ => self.unreachable(&chain(&failure)),
        })
    }

    fn unreachable(&self, cause: &str) -> CliError {
        CliError::new("HB0201", format!("no Core answers at {}", self.context.authority)).detail(cause)
    }
}

fn pinned(fingerprint: &str) -> Result<ClientTls, CliError> {
    let wrong =
        |cause: String| CliError::new("HB0001", format!("`{fingerprint}`: {cause}")).exit(Exit::Usage);
    let fingerprint = fingerprint
        .parse()
        .map_err(|cause: bee_daemon::tls::identity::FingerprintError| wrong(cause.to_string()))?;
    ClientTls::new(&Trust::PinnedCa(fingerprint), None, None).map_err(|cause| wrong(chain(&cause)))
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

/// A problem document (RFC 9457) as an error; other bodies are quoted in short.
fn refusal(status: u16, path: &str, body: &[u8]) -> CliError {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| problem.get(key).and_then(serde_json::Value::as_str);
    let (code, exit) = match status {
        401 => ("HB0203", Exit::NeedsHuman),
        403 => ("HB0204", Exit::NeedsHuman),
        404 => ("HB0205", Exit::Failed),
        _ => ("HB0206", Exit::Failed),
    };
    let what = text("detail")
        .or_else(|| text("title"))
        .map_or_else(|| format!("{path}: HTTP {status}"), str::to_owned);
    let error = CliError::new(code, what).exit(exit);
    match text("code") {
        Some(core_code) => error.detail(core_code),
        None => error,
    }
}

/// A query string from the parameters that are there.
pub(crate) fn query(parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value)));
    let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", percent(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Percent-encoding of everything but RFC 3986's unreserved characters.
pub(crate) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_holds_what_was_given_and_nothing_raw() {
        let text =
            query(&[("q", Some("a b&c=\u{e9}".to_owned())), ("src", None), ("n", Some("1".to_owned()))]);
        assert_eq!(text, "?q=a%20b%26c%3D%C3%A9&n=1");
        assert_eq!(query(&[("src", None)]), "");
    }

    #[test]
    fn a_refusal_speaks_with_cores_words() {
        let error =
            refusal(404, "/x", br#"{"title":"Not found","detail":"no node 7","code":"NODE_NOT_FOUND"}"#);
        assert_eq!(
            (error.code, error.what.as_str(), error.details.as_slice()),
            ("HB0205", "no node 7", &["NODE_NOT_FOUND".to_owned()][..])
        );
        assert_eq!(refusal(502, "/x", b"<html>").what, "/x: HTTP 502");
    }
}
