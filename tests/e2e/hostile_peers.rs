//! Peers that mean harm: each ends in an error that has a name and a count, Core's memory stays flat, and an honest node
//! next to them notices nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bee_daemon::secret_file;
use bee_daemon::tls::{NodeKey, ServerIdentity, Trust};
use bee_link::totp::{TotpKey, step_at};
use bee_tests::core::Core;
use bee_tests::intake::NumberedProducer;
use bee_tests::node::Node;
use bee_tests::peer::Peer;
use bee_tests::procfs;
use bee_tests::wait::{until, until_within};
use bee_tests::{Value, json};
use bee_wire::limits::{FRAME_BYTES_BEFORE_REGISTRATION_MAX, FRAME_BYTES_MAX, POT_LINE_BYTES_MAX};
use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// What Core may grow by under attack; a leak or a buffer a peer would pass it at once.
const GROWTH_BYTES_MAX: u64 = 128 << 20;
const NESTED: usize = 100_000;
const IDLE_NODES: usize = 5_000;
const IDLE_ELSEWHERE: usize = 500;
const NEIGHBOUR: &str = "neighbour";

/// An honest node beside the attack, and somebody who watches it and Core's memory all the time.
struct Siege {
    core: Core,
    node: Node,
    producer: Arc<NumberedProducer>,
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    watch: JoinHandle<Watched>,
    feed: JoinHandle<()>,
    base_bytes: u64,
}

struct Watched {
    peak_bytes: u64,
    looks: u64,
    wrong: Vec<Value>,
}

impl Siege {
    async fn start(dir: &Path, core_config: &str, node_config: &str) -> Self {
        let limits = "[limits]\nheartbeat_interval_s = 1\n";
        let core = Core::start(&dir.join("core"), &format!("{limits}{core_config}")).await;
        let fast = "server:\n  reconnect_delay: 1\n  reconnect_delay_max: 1\n";
        let node =
            Node::join(&core, &dir.join("node"), NEIGHBOUR, core.nodes, &format!("{fast}{node_config}"))
                .await;
        core.rest.wait_node(NEIGHBOUR, "Running").await;
        let producer = Arc::new(NumberedProducer::start(NEIGHBOUR));
        producer.connect_to(Some(node.intake().await));
        let over = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let feed = tokio::spawn({
            let (producer, over, sent) = (Arc::clone(&producer), Arc::clone(&over), Arc::clone(&sent));
            async move {
                while !over.load(Ordering::Relaxed) {
                    producer.allow(sent.fetch_add(1, Ordering::Relaxed) + 1);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        let pid = core.process.pid();
        let watch = tokio::spawn(watch(core.rest.clone(), pid, Arc::clone(&over)));
        Self { base_bytes: procfs::rss_bytes(pid), core, node, producer, over, sent, watch, feed }
    }

    /// The neighbour noticed nothing, and Core is as small as before.
    async fn end(self, what: &str) {
        self.over.store(true, Ordering::Relaxed);
        self.feed.await.unwrap();
        let watched = self.watch.await.unwrap();
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(watched.wrong.is_empty(), "the neighbour was seen like this: {:?}", watched.wrong);
        assert_eq!(self.core.rest.counter("node_silent_total").await, 0, "no heartbeat came late");
        until_within("all of the neighbour's events are stored", Duration::from_secs(60), async || {
            let newest =
                self.core.rest.events(&format!("pot={NEIGHBOUR}")).await.first()?["data"]["n"].as_u64()?;
            (self.producer.durable() == sent && newest + 1 == sent).then_some(())
        })
        .await;
        let stored = self.core.rest.all_events(&format!("pot={NEIGHBOUR}")).await;
        let mut numbers: Vec<u64> = stored.iter().map(|event| event["data"]["n"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..sent).collect::<Vec<_>>(), "each of its events, once");
        let grown = watched.peak_bytes.saturating_sub(self.base_bytes);
        eprintln!(
            "{what}: Core had {} MiB before and {} MiB at the most; the neighbour sent {sent} events and was looked at {} times",
            self.base_bytes >> 20,
            watched.peak_bytes >> 20,
            watched.looks
        );
        assert!(grown < GROWTH_BYTES_MAX, "Core grew by {} MiB", grown >> 20);
    }

    /// Registers a hand-written node with a join token of its own.
    async fn registered(&self, name: &str) -> (Peer, u64) {
        let mut peer = self.connect().await;
        let ack = self.enrol(&mut peer, name, json!({})).await;
        (peer, ack["node_id"].as_u64().unwrap())
    }

    async fn connect(&self) -> Peer {
        Peer::tls(self.core.nodes, &self.trust(), None).await.unwrap()
    }

    fn trust(&self) -> Trust {
        Trust::CaFile(self.core.data().join("core/ca.pem"))
    }

    /// Sends a registration with a fresh token and gives the answer, which must be a yes.
    async fn enrol(&self, peer: &mut Peer, name: &str, more: Value) -> Value {
        let mut asked = registration(0, name);
        let fields = asked["NodeRegistration"].as_object_mut().unwrap();
        fields.insert("enrollment_token".into(), json!(self.core.enrollment_token().await));
        fields.extend(more.as_object().unwrap().clone());
        assert!(peer.send(&asked).await);
        let ack = peer.recv_named("RegistrationAck").await;
        assert_eq!(ack["accepted"], true, "{ack}");
        ack
    }

    /// Waits until a counter says so, and checks that `/metrics` knows it too.
    async fn counted(&self, name: &str, at_least: u64) {
        let count = self.core.rest.wait_counter(name, at_least).await;
        eprintln!("  {name} = {count}");
        let metrics = self.core.rest.get("/metrics").await;
        assert!(metrics.text.contains(name), "{name} is missing in /metrics");
    }
}

async fn watch(rest: bee_tests::rest::Rest, pid: u32, over: Arc<AtomicBool>) -> Watched {
    let mut watched = Watched { peak_bytes: 0, looks: 0, wrong: Vec::new() };
    while !over.load(Ordering::Relaxed) {
        watched.peak_bytes = watched.peak_bytes.max(procfs::rss_bytes(pid));
        if let Some(node) = rest.node(NEIGHBOUR).await {
            watched.looks += 1;
            if node["connected"] != true || node["status"] != "Running" {
                watched.wrong.push(node);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watched
}

fn registration(id: u64, name: &str) -> Value {
    json!({"NodeRegistration": {"node_id": id, "node_name": name, "node_type": "Full"}})
}

fn module_hello(token: &str) -> Value {
    json!({"BackendRegistration": {"backend_name": "m", "backend_type": "Api", "token": token}})
}

/// A message of exactly that many bytes, as a registered node could send it.
fn message_of(bytes: usize) -> Vec<u8> {
    let (head, tail) = (
        br#"{"version":2,"message":{"PotEvent":{"node_id":1,"pot_id":"p","event_type":"big","data":{"x":""#,
        br#""}}}}"#,
    );
    let mut message = head.to_vec();
    message.resize(bytes - tail.len(), b'x');
    message.extend_from_slice(tail);
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_too_large_too_deep_and_full_of_rubbish() {
    let dir = tempfile::tempdir().unwrap();
    let siege = Siege::start(dir.path(), "", "").await;
    let core = &siege.core;
    let closes = Duration::from_secs(20);

    // 10 MiB is a message, one byte more is the end.
    let (mut peer, _) = siege.registered("large").await;
    assert!(peer.send_raw(&message_of(FRAME_BYTES_MAX)).await);
    core.rest.wait_events_within("pot=p&type=big", 1, Duration::from_secs(60)).await;
    for round in 0..6 {
        let (mut peer, _) = siege.registered(&format!("too-large-{round}")).await;
        peer.send_raw(&message_of(FRAME_BYTES_MAX + 1)).await;
        peer.wait_closed(closes).await;
    }
    siege.counted("frames_too_large_total", 6).await;
    let mut stranger = siege.connect().await;
    stranger.send_raw(&message_of(FRAME_BYTES_BEFORE_REGISTRATION_MAX + 1)).await;
    stranger.wait_closed(closes).await;
    siege.counted("frames_too_large_total", 7).await;

    // 100,000 brackets: a stranger's, a node's, a module's, a honeypot's.
    let nested = [vec![b'['; NESTED], vec![b']'; NESTED]].concat();
    let deep = [
        &br#"{"version":2,"message":{"PotEvent":{"node_id":1,"pot_id":"p","event_type":"deep","data":{"x":"#
            [..],
        &nested,
        b"}}}}\n",
    ]
    .concat();
    let objects = [b"{\"a\":".repeat(NESTED), b"1".to_vec(), b"}".repeat(NESTED), b"\n".to_vec()].concat();
    let (mut peer, _) = siege.registered("deep").await;
    assert!(peer.send_raw(&deep).await && peer.send_raw(&objects).await && peer.send_raw(&nested).await);
    assert!(peer.send_raw(b"\n").await);
    assert!(
        peer.send(
            &json!({"PotEvent": {"node_id": 1, "pot_id": "p", "event_type": "after.deep", "data": {}}})
        )
        .await
    );
    core.rest.wait_events("type=after.deep", 1).await;
    assert!(core.rest.events("type=deep").await.is_empty());
    siege.counted("frames_garbage_total", 1).await;
    let mut stranger = siege.connect().await;
    stranger.send_raw(&deep).await;
    stranger.wait_closed(Duration::from_secs(40)).await;

    let token = core.api_token(&["nodes:read"]).await;
    let mut module = Peer::plain(core.api).await;
    assert!(module.send(&module_hello(&token)).await);
    module.recv_named("BackendResponse").await;
    assert!(module.send_raw(&objects).await && module.send_raw(b"\xff\x00\xfe\n").await);
    assert!(module.send(&json!({"BackendCommand": "GetNodeCount"})).await);
    until("the module gets its answer after the rubbish", async || {
        let answer = module.recv_named("BackendResponse").await;
        answer["Success"].is_object().then_some(())
    })
    .await;
    siege.counted("module_messages_bad_total", 1).await;
    let mut module = Peer::plain(core.api).await;
    module.send_raw(&message_of(FRAME_BYTES_BEFORE_REGISTRATION_MAX + 1)).await;
    module.wait_closed(closes).await;
    siege.counted("module_frames_too_large_total", 1).await;

    let mut pot = Peer::plain(siege.node.intake().await).await;
    let long =
        [&br#"{"eventid":"long","sensor":"s","x":""#[..], &vec![b'x'; POT_LINE_BYTES_MAX], b"\"}\n"].concat();
    assert!(pot.send_raw(&long).await && pot.send_raw(&objects).await && pot.send_raw(b"\0\xff\n").await);
    assert!(pot.send_line(&json!({"eventid": "after.long", "sensor": "s"})).await);
    core.rest.wait_events("type=after.long", 1).await;
    assert!(core.rest.events("type=long").await.is_empty());

    // NUL and broken UTF-8 in every text there is; what can be read is kept, and shown as JSON.
    let (mut peer, _) = siege.registered("nul\u{0}name").await;
    let odd = "a\u{0}b\u{1b}[31m\u{7f}\u{202e}";
    assert!(peer.send(&json!({"PotEvent": {"node_id": 1, "pot_id": odd, "pot_type": odd, "event_type": odd, "data": {odd: odd, "username": odd, "src_ip": odd}}})).await);
    for at in ["pot_id", "event_type"] {
        let broken = [
            br#"{"version":2,"message":{"PotEvent":{"node_id":1,""#.as_slice(),
            at.as_bytes(),
            b"\":\"\xff\xc0\x80\xed\xa0\x80\",\"data\":{}}}}\n",
        ]
        .concat();
        assert!(peer.send_raw(&broken).await);
    }
    assert!(peer.send(&json!({"PotStatusUpdate": {"node_id": 1, "pot_id": odd, "pot_type": odd, "status": "Running", "message": odd}})).await);
    assert!(
        peer.send(&json!({"PotEvent": {"node_id": 1, "pot_id": "p", "event_type": "after.odd", "data": {}}}))
            .await
    );
    core.rest.wait_events("type=after.odd", 1).await;
    let shown = bee_tests::shell::honeybee(core.data(), &["events", "ls", "-n", "50"]).await.ok();
    assert!(
        !shown.contains(['\0', '\u{1b}', '\u{202e}']),
        "no control byte of an attacker reaches the terminal"
    );
    siege.counted("frames_malformed_total", 1).await;
    siege.end("frames").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_who_say_nothing_and_some_who_say_it_slowly() {
    let limit = bee_daemon::limits::raise_nofile(20_000).unwrap();
    assert!(
        limit.allows(9_000),
        "this test opens 8,000 connections: raise the limit of open files (ulimit -n 20000)"
    );
    let dir = tempfile::tempdir().unwrap();
    let traps: String = ["ssh", "telnet", "http"]
        .iter()
        .map(|kind| format!("  - id: {kind}\n    type: {kind}\n    listen: 127.0.0.1:0\n    config: {{ session_secs_max: 8 }}\n"))
        .collect();
    let node_config = format!("pots:\n{traps}");
    let siege = Siege::start(dir.path(), "", &node_config).await;
    let core = &siege.core;
    let intake = siege.node.intake().await;
    let mut pots = Vec::new();
    for kind in ["ssh", "telnet", "http"] {
        let pot = core.rest.wait_pot(NEIGHBOUR, kind, "Running").await;
        let address: SocketAddr = pot["detail"]["listening"][0].as_str().unwrap().parse().unwrap();
        pots.push((kind, address));
    }

    // One byte at a time, for ever.
    let doors: [(&str, SocketAddr, &[u8]); 9] = [
        ("9001", core.nodes, b"{\"version\":2,"),
        ("9001 TLS", core.nodes, b"\x16\x03\x01\x02\x00\x01\x00\x01"),
        ("9002 HTTP", core.api, b"GET / HTTP/1.1\r\nX-Slow: "),
        ("9002 module", core.api, b"{\"version\":2,"),
        ("9003", core.ws, b"GET /ws HTTP/1.1\r\nX-Slow: "),
        ("9100", intake, b"{\"eventid\":\""),
        ("ssh", pots[0].1, b"SSH-2.0-slow"),
        ("telnet", pots[1].1, b"root"),
        ("http", pots[2].1, b"POST / HTTP/1.1\r\nX-Slow: "),
    ];
    let slow = doors.map(|(name, address, begin)| async move {
        let mut peer = tokio::net::TcpStream::connect(address).await.unwrap();
        until_within(
            &format!("the slow client on {name} is shown the door"),
            Duration::from_secs(90),
            async || drip(&mut peer, begin).await.then_some(()),
        )
        .await;
    });
    join_all(slow).await;
    for (name, at_least) in
        [("node_registration_timeouts_total", 2), ("api_timeouts_total", 2), ("module_timeouts_total", 1)]
    {
        siege.counted(name, at_least).await;
    }

    let idle = |address: SocketAddr, count: usize| async move {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            open.extend(TcpStream::connect(address).await);
        }
        open
    };
    let mut held = idle(core.nodes, IDLE_NODES).await;
    siege.counted("node_connections_refused_total", 1).await;
    for address in [core.api, core.ws, intake].into_iter().chain(pots.iter().map(|(_, address)| *address)) {
        held.extend(idle(address, IDLE_ELSEWHERE).await);
    }
    eprintln!("  {} idle connections are open", held.len());
    assert!(held.len() > IDLE_NODES, "{}", held.len());
    siege.counted("node_registration_timeouts_total", 1_000).await;
    siege.counted("api_timeouts_total", 900).await;

    // Everybody is served again.
    drop(held);
    let (mut peer, _) = siege.registered("after-the-flood").await;
    assert!(
        peer.send(
            &json!({"PotEvent": {"node_id": 1, "pot_id": "p", "event_type": "after.flood", "data": {}}})
        )
        .await
    );
    core.rest.wait_events("type=after.flood", 1).await;
    for (kind, address) in pots {
        until(&format!("the {kind} trap answers"), async || answers(kind, address).await.then_some(())).await;
    }

    // Noise that begins like TLS.
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..20 {
        let mut noise = vec![0x16, 0x03, 0x01, 0x01, 0x00];
        noise.resize(600, 0);
        rng.fill_bytes(&mut noise[5..]);
        for address in [core.nodes, core.api] {
            let mut peer = Peer::plain(address).await;
            peer.send_raw(&noise).await;
            drop(peer);
        }
    }
    siege.counted("node_tls_failures_total", 20).await;
    siege.counted("api_tls_failures_total", 20).await;
    siege.end("idle and slow").await;
}

/// One byte of `begin`, later of anything; whether the other side has closed.
async fn drip(stream: &mut TcpStream, begin: &[u8]) -> bool {
    use tokio::io::AsyncReadExt as _;
    let mut sink = [0; 4096];
    // The first bytes at once: they decide which protocol this is.
    if stream.try_write(begin).is_err() {
        return true;
    }
    for _ in 0..200 {
        match tokio::time::timeout(Duration::from_millis(400), stream.read(&mut sink)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => {
                if stream.try_write(b"a").is_err_and(|cause| cause.kind() != std::io::ErrorKind::WouldBlock) {
                    return true;
                }
            }
        }
    }
    false
}

async fn answers(kind: &str, address: SocketAddr) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Ok(mut stream) = TcpStream::connect(address).await else { return false };
    if kind == "http" && stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.is_err() {
        return false;
    }
    let mut byte = [0; 1];
    matches!(tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte)).await, Ok(Ok(1)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_in_as_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let siege = Siege::start(dir.path(), "[tls]\nmode = \"required\"\n", "").await;
    let trust = siege.trust();
    let neighbour = siege.core.rest.node(NEIGHBOUR).await.unwrap()["node_id"].as_u64().unwrap();
    let nodes = siege.core.nodes;

    // Plain text where TLS is required.
    for address in [nodes, siege.core.api] {
        let mut peer = Peer::plain(address).await;
        peer.send(&registration(1, "plain")).await;
        drop(peer);
    }
    siege.counted("node_wrong_transport_total", 1).await;
    siege.counted("api_wrong_transport_total", 1).await;

    // A token that was revoked, one whose time is over, one that never was.
    let (revoked, id) = siege.core.invite(json!({})).await;
    assert_eq!(siege.core.rest.delete(&format!("/api/v1/join-tokens/{id}")).await.status / 100, 2);
    let expired = siege.core.expired_code().await;
    let unknown =
        bee_wire::JoinCode { secret: bee_wire::Secret::new("x".repeat(32)), ..expired.parse().unwrap() };
    let unknown = unknown.encode().unwrap().expose().to_owned();
    for (code, word) in [(revoked, "revoked"), (expired, "expired"), (unknown, "token")] {
        let secret = code.parse::<bee_wire::JoinCode>().unwrap().secret.expose().to_owned();
        let mut asked = registration(0, "guest");
        asked["NodeRegistration"]["enrollment_token"] = json!(secret);
        let mut peer = Peer::tls_from([127, 0, 0, 41], nodes, &trust).await.unwrap();
        assert!(peer.send(&asked).await);
        let ack = peer.recv_named("RegistrationAck").await;
        let message = ack["message"].as_str().unwrap();
        assert!(ack["accepted"] == false && message.starts_with("AUTHENTICATION_FAILED"), "{ack}");
        assert!(message.contains(word), "{word}: {ack}");
    }
    siege.counted("node_auth_failures_total", 3).await;

    // A node of its own key and certificate claims the neighbour's id: at the door, and in its messages.
    let key = NodeKey::generate("forger").unwrap();
    let mut peer = siege.connect().await;
    let ack = siege.enrol(&mut peer, "forger", json!({"csr": key.csr_pem, "features": ["errors"]})).await;
    let forged =
        json!({"PotEvent": {"node_id": neighbour, "pot_id": "p", "event_type": "forged", "data": {}}});
    assert!(peer.send(&forged).await);
    let event = siege.core.rest.wait_events("type=forged", 1).await.remove(0);
    assert_eq!(
        (&event["node_id"], &event["node_name"]),
        (&ack["node_id"], &json!("forger")),
        "kept as the sender's own"
    );
    siege.counted("node_id_forged_total", 1).await;
    let files = dir.path().join("forger");
    std::fs::create_dir(&files).unwrap();
    secret_file::write_public(&files.join("client.pem"), ack["certificate"].as_str().unwrap().as_bytes())
        .unwrap();
    secret_file::write(&files.join("client.key"), key.key_pem.as_bytes()).unwrap();
    let identity = ServerIdentity::load(&files.join("client.pem"), &files.join("client.key")).unwrap();
    let mut peer = Peer::tls(nodes, &trust, Some(identity)).await.unwrap();
    assert!(peer.send(&registration(neighbour, NEIGHBOUR)).await);
    let refused = peer.recv_named("RegistrationAck").await;
    assert_eq!(refused["accepted"], false, "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("certificate"), "{refused}");
    peer.wait_closed(Duration::from_secs(20)).await;

    // A code is good once.
    let mut peer = siege.connect().await;
    let ack = siege.enrol(&mut peer, "replayed", json!({})).await;
    let totp = TotpKey::from_base32(ack["totp_key"].as_str().unwrap()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut asked = registration(ack["node_id"].as_u64().unwrap(), "replayed");
    asked["NodeRegistration"]["totp_code"] =
        json!(totp.code(step_at(i64::try_from(now.as_millis()).unwrap())));
    for (expected, source) in [(true, [127, 0, 0, 1]), (false, [127, 0, 0, 42]), (false, [127, 0, 0, 1])] {
        let mut peer = Peer::tls_from(source, nodes, &trust).await.unwrap();
        assert!(peer.send(&asked).await);
        let ack = peer.recv_named("RegistrationAck").await;
        assert_eq!(ack["accepted"], expected, "{ack}");
        assert!(expected || ack["message"].as_str().unwrap().contains("used before"), "{ack}");
    }

    // Guessing at the neighbour's code, until even a right one would not be looked at.
    let mut limited = false;
    for guess in 0..60 {
        let mut asked = registration(neighbour, NEIGHBOUR);
        asked["NodeRegistration"]["totp_code"] = json!(format!("{:06}", guess * 7919));
        let mut peer = Peer::tls_from([127, 0, 0, 43], nodes, &trust).await.unwrap();
        assert!(peer.send(&asked).await);
        let ack = peer.recv_named("RegistrationAck").await;
        assert_eq!(ack["accepted"], false, "{ack}");
        limited |= ack["message"].as_str().unwrap().contains("too many");
    }
    assert!(limited, "after some guesses there are too many");
    siege.counted("node_auth_failures_total", 50).await;
    siege.end("identity").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_under_a_flood_of_guesses_still_gets_in_itself() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "").await;
    let config = "server:\n  reconnect_delay: 1\n  reconnect_delay_max: 1\n";
    let mut node = Node::join(&core, &dir.path().join("node"), "target", core.nodes, config).await;
    let id = core.rest.wait_node("target", "Running").await["node_id"].as_u64().unwrap();
    // From its own address, which is the worst case: they share what is counted by source.
    for guess in 0..60 {
        let mut asked = registration(id, "target");
        asked["NodeRegistration"]["totp_code"] = json!(format!("{:06}", guess * 7919));
        let mut peer = Peer::plain(core.nodes).await;
        assert!(peer.send(&asked).await);
        assert_eq!(peer.recv_named("RegistrationAck").await["accepted"], false);
    }
    assert!(node.process.stop().await.success());
    core.rest.wait_node("target", "Stopped").await;
    node.start_again();
    core.rest.wait_node("target", "Running").await;
}
