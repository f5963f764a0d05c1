//! A client of Core's REST API, over hyper: one connection a request.

use std::path::Path;
use std::time::Duration;

use bee_daemon::stream::MaybeTls;
use bee_daemon::tls::{ClientTls, Trust, client};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::wait::{PATIENCE, until_within};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Where Core's API is, and what lets us in.
#[derive(Clone)]
pub struct Rest {
    authority: String,
    tls: Option<ClientTls>,
    token: Option<String>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body, as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The body of an answer that must be a success.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "HTTP {}: {}", self.status, self.text);
        self.json()
    }
}

impl Rest {
    /// From the `operator.json` that Core wrote; `None` while there is none.
    pub fn from_operator_file(path: &Path) -> Option<Self> {
        let file: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let (scheme, authority) = file["url"].as_str()?.split_once("://")?;
        let tls = (scheme == "https").then(|| {
            let pin = file["ca_fingerprint"].as_str().unwrap().parse().unwrap();
            ClientTls::new(&Trust::PinnedCa(pin), None, None).unwrap()
        });
        Some(Self { authority: authority.to_owned(), tls, token: Some(file["token"].as_str()?.to_owned()) })
    }

    /// The same Core with another token, or none.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The token it shows.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// GET; `None` when Core cannot be reached.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        self.exchange("GET", path, None).await.ok()
    }

    /// GET, whatever the status.
    pub async fn get(&self, path: &str) -> Answer {
        self.exchange("GET", path, None).await.unwrap_or_else(|cause| panic!("GET {path}: {cause}"))
    }

    /// GET that must succeed.
    pub async fn json(&self, path: &str) -> Value {
        self.get(path).await.ok()
    }

    /// POST of a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.exchange("POST", path, Some(body)).await.unwrap_or_else(|cause| panic!("POST {path}: {cause}"))
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.exchange("DELETE", path, None).await.unwrap_or_else(|cause| panic!("DELETE {path}: {cause}"))
    }

    async fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let work = async {
            let stream: MaybeTls = client::connect(&self.authority, self.tls.as_ref(), ANSWER_WITHIN)
                .await
                .map_err(|cause| cause.to_string())?;
            let text = |cause: hyper::Error| cause.to_string();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
            let driver = tokio::spawn(connection);
            let mut request =
                hyper::Request::builder().method(method).uri(path).header("host", &self.authority);
            if let Some(token) = &self.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if body.is_some() {
                request = request.header("content-type", "application/json");
            }
            let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
            let answer = sender.send_request(request.body(Full::new(bytes)).unwrap()).await.map_err(text)?;
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.map_err(text)?.to_bytes();
            driver.abort();
            Ok(Answer { status, text: String::from_utf8_lossy(&bytes).into_owned() })
        };
        tokio::time::timeout(ANSWER_WITHIN, work)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    /// One page of events, newest first; `query` is what stands behind the `?`.
    pub async fn events(&self, query: &str) -> Vec<Value> {
        let page = self.json(&format!("/api/v1/events?limit=1000&{query}")).await;
        page["events"].as_array().unwrap().clone()
    }

    /// Every event that fits, page by page.
    pub async fn all_events(&self, query: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut before = String::new();
        loop {
            let page = self.json(&format!("/api/v1/events?limit=1000{before}&{query}")).await;
            found.extend(page["events"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page.get("next_cursor").filter(|cursor| !cursor.is_null()) else {
                return found;
            };
            before = format!("&before={}", cursor.as_str().map_or_else(|| cursor.to_string(), str::to_owned));
        }
    }

    /// Waits until that many events fit, and gives them.
    pub async fn wait_events(&self, query: &str, at_least: usize) -> Vec<Value> {
        self.wait_events_within(query, at_least, PATIENCE).await
    }

    /// The same with a deadline of its own.
    pub async fn wait_events_within(&self, query: &str, at_least: usize, within: Duration) -> Vec<Value> {
        let what = format!("{at_least} events with {query}");
        until_within(&what, within, async || {
            let events = self.events(query).await;
            (events.len() >= at_least).then_some(events)
        })
        .await
    }

    /// One of the counters of `GET /api/v1/status`.
    pub async fn counter(&self, name: &str) -> u64 {
        let status = self.json("/api/v1/status").await;
        status["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name} in {status}"))
    }

    /// Waits until a counter has grown to `at_least`.
    pub async fn wait_counter(&self, name: &str, at_least: u64) -> u64 {
        let mut last = 0;
        let what = format!("the counter {name} reaches {at_least}");
        let wait = until_within(&what, Duration::from_secs(60), async || {
            last = self.counter(name).await;
            (last >= at_least).then_some(last)
        });
        wait.await
    }

    /// All nodes.
    pub async fn nodes(&self) -> Vec<Value> {
        self.json("/api/v1/nodes").await["nodes"].as_array().unwrap().clone()
    }

    /// The node of that name, if Core knows it.
    pub async fn node(&self, name: &str) -> Option<Value> {
        self.nodes().await.into_iter().find(|node| node["node_name"] == name)
    }

    /// Waits until the node of that name is in that state, and gives it.
    pub async fn wait_node(&self, name: &str, status: &str) -> Value {
        let what = format!("node {name} is {status}");
        until_within(&what, Duration::from_secs(60), async || {
            self.node(name).await.filter(|node| node["status"] == status)
        })
        .await
    }

    /// Waits until the honeypot is in that state, and gives it.
    pub async fn wait_pot(&self, node: &str, pot: &str, status: &str) -> Value {
        let what = format!("pot {pot} of {node} is {status}");
        until_within(&what, Duration::from_secs(60), async || {
            let node_id = self.node(node).await?["node_id"].clone();
            let pots = self.json("/api/v1/honeypots").await;
            let pots = pots["honeypots"].as_array().unwrap().clone();
            pots.into_iter().find(|found| {
                found["node_id"] == node_id && found["pot_id"] == pot && found["status"] == status
            })
        })
        .await
    }
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rest").field("authority", &self.authority).finish_non_exhaustive()
    }
}
