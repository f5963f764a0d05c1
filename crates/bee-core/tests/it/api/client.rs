//! A Core that serves its API, and hand-written peers of it.

use std::net::SocketAddr;
use std::path::Path;

use bee_core::CoreHandle;
use bee_wire::Secret;
use bee_wire::api::{ApiTokenRequest, Scope};
use bee_wire::{Frame, FrameDecoder};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{DEADLINE, TestCore, start};

pub(super) struct Served {
    pub(super) core: TestCore,
    pub(super) token: String,
}

/// A Core in `dir` whose API is served, and a token that may do everything.
pub(super) async fn serve(dir: &Path, settings: &str) -> Served {
    let mut core = start(dir, settings).await;
    let (api, ws) = core.core.take_listeners().unwrap();
    bee_core::api::serve(core.handle.clone(), api, ws, &core.shutdown);
    let token = token(&core.handle, &[Scope::Admin]).await;
    Served { core, token }
}

pub(super) async fn token(handle: &CoreHandle, scopes: &[Scope]) -> String {
    let request = ApiTokenRequest { name: "test".into(), scopes: scopes.to_vec(), expires_in_s: None };
    let secret: Secret = handle.create_api_token(request).await.unwrap().secret;
    secret.expose().to_owned()
}

impl Served {
    pub(super) fn address(&self) -> SocketAddr {
        self.core.handle.addresses().api
    }

    pub(super) async fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Response {
        let mut headers = String::new();
        if let Some(token) = token {
            headers.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            headers.push_str("Content-Type: application/json\r\n");
        }
        self.raw(method, path, &headers, body.as_bytes()).await
    }

    /// A request whose headers are given line by line.
    pub(super) async fn raw(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        exchange(stream, method, path, headers, body).await
    }

    /// With all rights; the answer must be a success.
    pub(super) async fn get(&self, path: &str) -> Value {
        let response = self.request("GET", path, Some(&self.token), None).await;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Response {
        self.request("POST", path, Some(&self.token), Some(&body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, Some(&self.token), None).await
    }

    /// A bare TCP connection to 9002.
    pub(super) async fn module(&self) -> Module<TcpStream> {
        Module::new(TcpStream::connect(self.address()).await.unwrap())
    }

    /// The same, registered with all rights.
    pub(super) async fn registered(&self) -> Module<TcpStream> {
        let mut module = self.module().await;
        let answer = module.register(Some(&self.token)).await;
        assert!(answer["Success"]["data"]["backend_id"].is_u64(), "{answer}");
        module
    }
}

pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Response {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let talk = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that refuses early may close while the body is still on its way.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Response::read(&answer)
    };
    tokio::time::timeout(DEADLINE, talk).await.expect("no answer in time")
}

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("an HTTP head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// The code of a problem document of that status.
    pub(super) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], json!(status));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert!(problem["type"].as_str().unwrap().starts_with("urn:honeybee:error:"), "{problem}");
        problem
    }
}

/// A module that speaks JSON over a byte stream.
pub(super) struct Module<S> {
    stream: S,
    decoder: FrameDecoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Module<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, decoder: FrameDecoder::new(64 << 20) }
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        tokio::time::timeout(DEADLINE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// What may fail because Core has closed.
    pub(super) async fn raw_lossy(&mut self, bytes: &[u8]) {
        let _ = tokio::time::timeout(DEADLINE, self.stream.write_all(bytes)).await.unwrap();
    }

    pub(super) async fn send(&mut self, message: Value) {
        self.raw(json!({ "version": 2, "message": message }).to_string().as_bytes()).await;
    }

    /// The next envelope; `None` when Core has closed.
    pub(super) async fn envelope(&mut self) -> Option<Value> {
        let read = async {
            loop {
                match self.decoder.next_frame().unwrap() {
                    Some(Frame::Object(bytes)) => {
                        return Some(serde_json::from_slice::<Value>(&bytes).unwrap());
                    }
                    Some(Frame::Garbage(garbage)) => panic!("Core sent garbage: {garbage:?}"),
                    None => {}
                }
                let mut buffer = vec![0; 65_536];
                match self.stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => self.decoder.push(&buffer[..count]),
                }
            }
        };
        let envelope = tokio::time::timeout(DEADLINE, read).await.expect("Core said nothing in time")?;
        assert_eq!(envelope["version"], 2);
        Some(envelope)
    }

    /// The next message, which must be the answer to a request.
    pub(super) async fn response(&mut self) -> Value {
        let envelope = self.envelope().await.expect("an answer, not the end");
        envelope["message"]["BackendResponse"].clone()
    }

    /// The text of the next answer, which must be a failure.
    pub(super) async fn failure(&mut self) -> String {
        let response = self.response().await;
        response["Failure"].as_str().unwrap_or_else(|| panic!("not a failure: {response}")).to_owned()
    }

    /// The data of the next answer, which must be a success.
    pub(super) async fn success(&mut self) -> Value {
        let response = self.response().await;
        assert!(response["Success"]["message"].is_string(), "{response}");
        response["Success"]["data"].clone()
    }

    pub(super) async fn register(&mut self, token: Option<&str>) -> Value {
        let mut registration = json!({ "backend_name": "test", "backend_type": "Cli" });
        if let Some(token) = token {
            registration["token"] = json!(token);
        }
        self.send(json!({ "BackendRegistration": registration })).await;
        self.response().await
    }

    pub(super) async fn closed(&mut self) {
        while self.envelope().await.is_some() {}
    }
}
