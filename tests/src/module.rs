//! A module over WebSocket, and a recorder of what arrives live.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::wait::{PATIENCE, until};

/// A module's WebSocket connection.
#[derive(Debug)]
pub struct WebModule {
    socket: WebSocketStream<TcpStream>,
}

impl WebModule {
    /// Connects to `ws://address/path` and registers.
    pub async fn register(address: SocketAddr, path: &str, token: &str) -> Self {
        let mut module = Self::connect(address, path).await;
        module
            .send(json!({"BackendRegistration":
            {"backend_name": "e2e", "backend_type": {"Custom": "test"}, "token": token}}))
            .await;
        let answer = module.recv().await;
        assert!(answer["BackendResponse"]["Success"].is_object(), "{answer}");
        module
    }

    /// Connects without registering.
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}{path}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        Self { socket }
    }

    /// Sends one message in its envelope.
    pub async fn send(&mut self, message: Value) {
        self.send_text(json!({"version": 2, "message": message}).to_string()).await;
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The payload of the next message.
    pub async fn recv(&mut self) -> Value {
        let received = tokio::time::timeout(PATIENCE, self.next()).await;
        received.expect("Core answers a module").expect("the connection stays open")
    }

    /// The payload of the next message; `None` when the connection ends.
    async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => {
                    let mut envelope: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(envelope["version"], 2, "{envelope}");
                    return Some(envelope["message"].take());
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Records every event from now on.
    pub async fn record(mut self) -> Recorder {
        self.send(json!({"Subscribe": {"topics": ["events"]}})).await;
        let answer = self.recv().await;
        assert!(answer["BackendResponse"]["Success"].is_object(), "{answer}");
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let kept = Arc::clone(&events);
        let task = tokio::spawn(async move {
            while let Some(mut message) = self.next().await {
                if let Some(push) = message.get_mut("Event") {
                    kept.lock().unwrap().push(push["event"].take());
                } else if message == json!("Ping") || message.get("Ping").is_some() {
                    self.send(json!({"Pong": {}})).await;
                }
            }
        });
        Recorder { events, task }
    }
}

/// What arrived live.
#[derive(Debug)]
pub struct Recorder {
    events: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// What arrived so far.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }

    /// Waits until an event with that id has arrived, and gives it.
    pub async fn wait_id(&self, id: &Value) -> Value {
        until(&format!("event {id} arrives over WebSocket"), async || {
            self.events.lock().unwrap().iter().find(|event| event["id"] == *id).cloned()
        })
        .await
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
