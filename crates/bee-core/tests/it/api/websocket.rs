//! The module protocol over WebSocket, on both ports.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Served, serve};
use crate::harness::{DEADLINE, OPEN, batch};

type Socket = WebSocketStream<TcpStream>;

async fn open(address: SocketAddr, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match tokio::time::timeout(DEADLINE, tokio_tungstenite::client_async(request, stream)).await.unwrap() {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(json!({ "version": 2, "message": message }).to_string())).await.unwrap();
}

async fn receive(socket: &mut Socket) -> Option<Value> {
    loop {
        match tokio::time::timeout(DEADLINE, socket.next()).await.expect("Core said nothing in time") {
            Some(Ok(Message::Text(text))) => {
                assert!(!text.ends_with('\n'));
                return Some(serde_json::from_str(&text).unwrap());
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            other => panic!("{other:?}"),
        }
    }
}

async fn failure(socket: &mut Socket) -> String {
    let envelope = receive(socket).await.unwrap();
    envelope["message"]["BackendResponse"]["Failure"]
        .as_str()
        .unwrap_or_else(|| panic!("{envelope}"))
        .to_owned()
}

async fn registered(core: &Served, address: SocketAddr, path: &str) -> Socket {
    let mut socket = open(address, path, &[]).await.unwrap();
    let registration = json!({ "backend_name": "ws", "backend_type": "Web", "token": core.token });
    send(&mut socket, json!({ "BackendRegistration": registration })).await;
    let envelope = receive(&mut socket).await.unwrap();
    assert!(envelope["message"]["BackendResponse"]["Success"].is_object(), "{envelope}");
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ports_speak_the_module_protocol_and_push_events() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "n").await;
    let addresses = core.core.handle.addresses();
    let mut sockets = Vec::new();
    for (address, path) in
        [(addresses.api, "/ws"), (addresses.ws.unwrap(), "/"), (addresses.ws.unwrap(), "/ws")]
    {
        let mut socket = registered(&core, address, path).await;
        send(&mut socket, json!({ "BackendCommand": "GetNodes" })).await;
        let envelope = receive(&mut socket).await.unwrap();
        assert_eq!(envelope["message"]["BackendResponse"]["Success"]["data"]["nodes"], json!([1]));
        send(&mut socket, json!({ "Subscribe": {} })).await;
        receive(&mut socket).await.unwrap();
        sockets.push(socket);
    }
    node.send(&batch(1, "s", 0, 3)).await;
    for socket in &mut sockets {
        for n in 0..3 {
            let envelope = receive(socket).await.unwrap();
            assert_eq!(envelope["message"]["Event"]["event"]["data"]["n"], n, "{envelope}");
        }
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_may_come_in_the_header_and_a_wrong_one_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let bearer = format!("Bearer {}", core.token);
    let mut socket = open(core.address(), "/ws", &[("authorization", &bearer)]).await.unwrap();
    send(&mut socket, json!({ "BackendRegistration": { "backend_name": "ws", "backend_type": "Api" } }))
        .await;
    let envelope = receive(&mut socket).await.unwrap();
    assert!(envelope["message"]["BackendResponse"]["Success"].is_object(), "{envelope}");

    assert_eq!(open(core.address(), "/ws", &[("authorization", "Bearer hbt_wrong")]).await.unwrap_err(), 401);
    let mut socket = open(core.address(), "/ws", &[]).await.unwrap();
    send(&mut socket, json!({ "BackendRegistration": { "backend_name": "ws", "backend_type": "Api" } }))
        .await;
    assert!(failure(&mut socket).await.starts_with("AUTHENTICATION_FAILED"));
    assert_eq!(receive(&mut socket).await, None);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_foreign_origin_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(
        dir.path(),
        "[api]\norigins = [\"https://soc.example.org\"]\n[modules]\nallow_anonymous_loopback = true\n",
    )
    .await;
    let ws = core.core.handle.addresses().ws.unwrap();
    for address in [core.address(), ws] {
        for (origin, expect) in [
            ("https://evil.example", Some(403)),
            ("null", Some(403)),
            ("https://soc.example.org", None),
            (&*format!("http://{address}"), None),
        ] {
            let opened = open(address, "/ws", &[("origin", origin)]).await;
            assert_eq!(opened.err(), expect, "{origin}");
        }
        // A page whose name was pointed at this machine has an origin that fits its host, and is still no local module.
        let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
        let mut socket = open(address, "/ws", &rebound).await.unwrap();
        send(&mut socket, json!({ "BackendRegistration": { "backend_name": "x", "backend_type": "Web" } }))
            .await;
        assert!(failure(&mut socket).await.starts_with("AUTHENTICATION_FAILED"));
    }
    assert_eq!(core.core.counter("ws_origin_refused_total"), 4);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_frames_are_answered_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut socket = registered(&core, core.address(), "/ws").await;
    socket.send(Message::binary(vec![0_u8, 159, 146, 150])).await.unwrap();
    assert!(failure(&mut socket).await.contains("binary"));
    socket.send(Message::text("not json")).await.unwrap();
    assert!(failure(&mut socket).await.starts_with("MESSAGE_PARSE_FAILED"));
    socket.send(Message::text(format!("{{\"a\":{}", "[".repeat(100_000)))).await.unwrap();
    assert!(failure(&mut socket).await.contains("nested"));
    socket.send(Message::Ping(vec![1, 2, 3].into())).await.unwrap();
    send(&mut socket, json!({ "BackendCommand": "GetNodeCount" })).await;
    let envelope = receive(&mut socket).await.unwrap();
    assert_eq!(envelope["message"]["BackendResponse"]["Success"]["data"]["count"], 0, "the connection lives");
    core.core.stop().await;
}

/// A client's frame with a mask of zeros, which leaves the bytes as they are.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode, 0x80 | 127];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Everything Core sends after raw bytes, as text with its odd bytes replaced.
async fn after(core: &Served, register: bool, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(core.address()).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    if register {
        let registration = json!({ "backend_name": "raw", "backend_type": "Web", "token": core.token });
        let message = json!({ "version": 2, "message": { "BackendRegistration": registration } });
        stream.write_all(&frame(1, message.to_string().as_bytes())).await.unwrap();
    }
    let (mut reading, mut writing) = stream.into_split();
    let bytes = bytes.to_vec();
    let writer = tokio::spawn(async move {
        // Core may close before everything is written.
        let _ = writing.write_all(&bytes).await;
        writing
    });
    let mut answer = Vec::new();
    let _ =
        tokio::time::timeout(DEADLINE, reading.read_to_end(&mut answer)).await.expect("Core did not close");
    drop(writer.await.unwrap());
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_answered_as_rfc_6455_says() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let answer = after(&core, false, &frame(8, &1000_u16.to_be_bytes())).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{answer}"
    );
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_utf8_and_oversized_frames_end_in_a_named_error() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let answer = after(&core, true, &frame(1, b"{\"version\":2,\"message\":\"\xff\xfe\"}")).await;
    assert!(answer.contains("MESSAGE_PARSE_FAILED") && answer.contains("UTF-8"), "{answer}");
    let answer = after(&core, true, &frame(1, &vec![b' '; 10 * 1024 * 1024 + 1])).await;
    assert!(answer.contains("MESSAGE_TOO_LARGE") && answer.contains("10485760"), "{answer}");
    let answer = after(&core, false, &frame(1, &vec![b' '; 1024 * 1024])).await;
    assert!(answer.contains("MESSAGE_TOO_LARGE") && answer.contains("65536"), "{answer}");
    assert_eq!(core.core.counter("module_frames_too_large_total"), 2);
    core.core.stop().await;
}
