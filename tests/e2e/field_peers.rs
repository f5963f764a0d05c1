//! Peers that are in the field already, written by hand to do exactly what PROTOCOL.md says they do.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bee_link::totp::{TotpKey, step_at};
use bee_tests::core::Core;
use bee_tests::module::WebModule;
use bee_tests::node::Node;
use bee_tests::peer::{Heard, Peer};
use bee_tests::wait::until;
use bee_tests::{Value, json};

const OPEN: &str = "[enrollment]\nmode = \"open\"\n";

async fn field_core(dir: &Path, more: &str) -> Core {
    Core::start(&dir.join("core"), &format!("{OPEN}{more}")).await
}

fn registration(id: u64, name: &str) -> Value {
    json!({"NodeRegistration": {"node_id": id, "node_name": name, "address": "0.0.0.0", "port": 8080, "node_type": "Full"}})
}

/// Registers a node as the field's do: no features, no certificate. Gives the connection and the answer.
async fn register(core: &Core, id: u64, name: &str) -> (Peer, Value) {
    let mut peer = Peer::plain(core.nodes).await;
    assert!(peer.send(&registration(id, name)).await);
    let ack = peer.recv_named("RegistrationAck").await;
    assert_eq!(ack["accepted"], true, "{ack}");
    (peer, ack)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_back_to_back_without_line_breaks_and_cut_anywhere_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let mut peer = Peer::plain(core.nodes).await;
    let envelope = |message: Value| json!({"version": 2, "message": message}).to_string();
    let talk = [
        envelope(registration(4711, "no-newline")),
        envelope(json!({"NodeEvent": "Started"})),
        envelope(json!({"NodeStatusUpdate": {"node_id": "4711", "status": "Running"}})),
        envelope(
            json!({"PotEvent": {"node_id": 4711, "pot_id": "p", "event_type": "a}{\"b", "timestamp": 1767323045, "data": {"text": "}{"}}}),
        ),
    ];
    let bytes = talk.concat().into_bytes();
    // Three bytes at a time, so that every boundary of a message is inside a read once.
    for piece in bytes.chunks(3) {
        assert!(peer.send_raw(piece).await);
    }
    let ack = peer.recv_named("RegistrationAck").await;
    assert_eq!((&ack["accepted"], &ack["node_id"]), (&json!(true), &json!(4711)), "{ack}");
    core.rest.wait_node("no-newline", "Running").await;
    let event = core.rest.wait_events("node=4711", 1).await.remove(0);
    assert_eq!((&event["event_type"], &event["data"]["text"]), (&json!("a}{\"b"), &json!("}{")));

    // The bare name of a message without fields, as the seeds write it.
    assert!(peer.send_raw(br#"{"version":2,"message":"NodeDrop"}"#).await);
    peer.wait_closed(Duration::from_secs(20)).await;
    core.rest.wait_node("no-newline", "Stopped").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_every_form_of_the_field_are_kept_with_their_time_and_fields() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let (mut peer, _) = register(&core, 21, "forms").await;
    let at = "2026-01-02T03:04:05";
    let forms = [
        ("t.rfc3339", json!({"timestamp": "2026-01-02T03:04:05Z", "data": {"src_ip": "192.0.2.1"}})),
        ("t.seconds", json!({"timestamp": 1767323045, "data": {"src_ip": "192.0.2.1"}})),
        ("t.millis", json!({"timestamp": 1767323045000_u64, "data": {"src_ip": "192.0.2.1"}})),
        ("t.text.seconds", json!({"timestamp": "1767323045", "data": {"src_ip": "192.0.2.1"}})),
        ("t.text.millis", json!({"timestamp": "1767323045000", "data": {"src_ip": "192.0.2.1"}})),
        (
            "t.metadata",
            json!({"timestamp": "2026-01-02T03:04:05Z", "message": "login", "metadata": {"src_ip": "192.0.2.1", "port": "22"}}),
        ),
    ];
    for (name, form) in &forms {
        let mut fields = json!({"node_id": 21, "pot_id": "pot-1"});
        // Half of them under the other name of the type.
        let key = if name.starts_with("t.text") { "event" } else { "event_type" };
        fields[key] = json!(name);
        fields.as_object_mut().unwrap().extend(form.as_object().unwrap().clone());
        assert!(peer.send(&json!({"PotEvent": fields})).await);
    }
    let events = core.rest.wait_events("node=21", forms.len()).await;
    for (name, _) in &forms {
        let event = events
            .iter()
            .find(|event| event["event_type"] == *name)
            .unwrap_or_else(|| panic!("{name} in {events:?}"));
        assert!(event["time"].as_str().unwrap().starts_with(at), "{event}");
        assert_eq!((&event["src_ip"], &event["pot_id"]), (&json!("192.0.2.1"), &json!("pot-1")), "{event}");
    }

    // An attack squeezed into a status message, with an empty status.
    assert!(
        peer.send(
            &json!({"PotStatusUpdate": {"node_id": 21, "pot_id": "cowrie", "pot_type": "ssh", "status": "",
        "message": "login attempt from 192.0.2.9"}})
        )
        .await
    );
    let squeezed = core.rest.wait_events("node=21&pot=cowrie", 1).await;
    assert!(squeezed[0]["data"].to_string().contains("login attempt from 192.0.2.9"), "{squeezed:?}");

    // Both forms of a node's own events; alarms and errors are evidence.
    for form in [
        json!({"NodeEvent": {"type": "Started"}}),
        json!({"NodeEvent": {"Alarm": {"description": "enum alarm"}}}),
        json!({"NodeEvent": {"type": "Alarm", "description": "object alarm"}}),
        json!({"NodeEvent": {"Error": {"message": "enum error"}}}),
        json!({"NodeEvent": {"type": "Error", "message": "object error"}}),
    ] {
        assert!(peer.send(&form).await);
    }
    let own = core.rest.wait_events("node=21&type=honeybee.node.*", 4).await;
    for text in ["enum alarm", "object alarm", "enum error", "object error"] {
        assert!(own.iter().any(|event| event["data"].to_string().contains(text)), "{text} in {own:?}");
    }
    // A status of a pot is a status.
    assert!(peer.send(&json!({"PotStatusUpdate": {"node_id": 21, "pot_id": "web", "pot_type": "http", "status": "Running"}})).await);
    core.rest.wait_pot("forms", "web", "Running").await;
    assert_eq!(
        peer.hear(Duration::from_millis(1)).await,
        Heard::Nothing,
        "a node without features hears nothing but what it knows"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_messages_of_a_registered_node_cost_a_counter_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let (mut peer, _) = register(&core, 31, "clumsy").await;
    for bad in [
        &b"not json at all\n"[..],
        b"{\"version\":2,\"message\":{\"NoSuchMessage\":{}}}\n",
        b"{\"version\":2,\"message\":{\"PotEvent\":{\"node_id\":\"x\"}}}\n",
        b"{\"version\":2,\"message\":{\"NodeStatusUpdate\":{\"node_id\":31,\"status\":\"Dancing\"}}}\n",
        b"\xff\xfe\x00\x01\n",
        b"{\"version\":2,\"message\":{\"PotEvent\":17}}\n",
    ] {
        assert!(peer.send_raw(bad).await);
    }
    assert!(
        peer.send(&json!({"PotEvent": {"node_id": 31, "pot_id": "p", "event_type": "after", "data": {}}}))
            .await
    );
    core.rest.wait_events("node=31&type=after", 1).await;
    assert!(core.rest.counter("frames_garbage_total").await >= 1);
    assert_eq!(core.rest.counter("frames_unknown_total").await, 1);
    assert!(core.rest.counter("frames_malformed_total").await >= 2);
    assert_eq!(core.rest.node("clumsy").await.unwrap()["connected"], true);

    // A node that lists the feature is told, by code.
    let mut peer = Peer::plain(core.nodes).await;
    let mut asked = registration(32, "curious");
    asked["NodeRegistration"]["features"] = json!(["errors"]);
    assert!(peer.send(&asked).await);
    peer.recv_named("RegistrationAck").await;
    assert!(peer.send(&json!({"NoSuchMessage": {}})).await);
    let error = peer.recv_named("Error").await;
    assert_eq!(error["code"], "INVALID_MESSAGE_FORMAT", "{error}");
    assert!(peer.send_raw(b"}{\n").await);
    let error = peer.recv_named("Error").await;
    assert_eq!(error["code"], "MESSAGE_PARSE_FAILED", "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_mints_a_new_id_at_each_start_is_known_by_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let (peer, ack) = register(&core, 1001, "restless").await;
    let key = TotpKey::from_base32(ack["totp_key"].as_str().unwrap()).unwrap();
    peer.close().await;
    core.rest.wait_node("restless", "Stopped").await;

    let mut again = registration(1002, "restless");
    let code = current_code(&key);
    again["NodeRegistration"]["totp_code"] = json!(code);
    let mut peer = Peer::plain(core.nodes).await;
    assert!(peer.send(&again).await);
    let ack = peer.recv_named("RegistrationAck").await;
    assert_eq!(ack["accepted"], true, "{ack}");
    assert!(ack["totp_key"].is_null(), "the key is given once: {ack}");
    assert!(
        peer.send(
            &json!({"PotEvent": {"node_id": 1002, "pot_id": "p", "event_type": "under.new.id", "data": {}}})
        )
        .await
    );
    let event = core.rest.wait_events("type=under.new.id", 1).await.remove(0);
    assert_eq!(event["node_name"], "restless");
    let nodes = core.rest.nodes().await;
    assert_eq!((nodes.len(), &nodes[0]["node_id"]), (1, &event["node_id"]), "one node, not two: {nodes:?}");

    // The same code a second time is a replay, whoever sends it.
    let mut thief = Peer::plain_from([127, 0, 0, 21], core.nodes).await;
    assert!(thief.send(&again).await);
    let refused = thief.recv_named("RegistrationAck").await;
    assert_eq!(refused["accepted"], false, "{refused}");
    assert!(refused["message"].as_str().unwrap().starts_with("AUTHENTICATION_FAILED"), "{refused}");
    assert_eq!(core.rest.counter("node_auth_failures_total").await, 1);
    assert_eq!(core.rest.node("restless").await.unwrap()["connected"], true, "the real one stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_of_a_node_replaces_the_older_one_which_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let (mut old, ack) = register(&core, 77, "twice").await;
    let key = TotpKey::from_base32(ack["totp_key"].as_str().unwrap()).unwrap();
    let mut again = registration(77, "twice");
    again["NodeRegistration"]["totp_code"] = json!(current_code(&key));
    let mut new = Peer::plain(core.nodes).await;
    assert!(new.send(&again).await);
    assert_eq!(new.recv_named("RegistrationAck").await["accepted"], true);
    let told = old.recv_named("RegistrationAck").await;
    assert!(told["message"].as_str().unwrap().starts_with("NODE_ALREADY_REGISTERED"), "{told}");
    old.wait_closed(Duration::from_secs(20)).await;
    assert!(
        new.send(
            &json!({"PotEvent": {"node_id": 77, "pot_id": "p", "event_type": "of.the.newer", "data": {}}})
        )
        .await
    );
    core.rest.wait_events("node=77&type=of.the.newer", 1).await;
    assert_eq!(core.rest.node("twice").await.unwrap()["connected"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_1_is_refused_with_both_versions_in_the_text() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let mut peer = Peer::plain(core.nodes).await;
    let old = json!({"version": 1, "message": registration(5, "ancient")});
    assert!(peer.send_line(&old).await);
    let ack = peer.recv_named("RegistrationAck").await;
    assert_eq!(ack["accepted"], false, "{ack}");
    let text = ack["message"].as_str().unwrap();
    assert!(
        text.starts_with("PROTOCOL_VERSION_MISMATCH") && text.contains('1') && text.contains('2'),
        "{text}"
    );
    peer.wait_closed(Duration::from_secs(20)).await;
    assert_eq!(core.rest.counter("frames_wrong_version_total").await, 1);
    assert!(core.rest.nodes().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_node_is_pending_until_an_operator_approves_it() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "[enrollment]\nmode = \"approve\"\n").await;
    let ask = async || {
        let mut peer = Peer::plain(core.nodes).await;
        assert!(peer.send(&registration(900, "waiting")).await);
        let ack = peer.recv_named("RegistrationAck").await;
        (peer, ack)
    };
    let (mut peer, ack) = ask().await;
    assert_eq!(ack["accepted"], false);
    assert!(ack["message"].as_str().unwrap().starts_with("NODE_PENDING"), "{ack}");
    peer.wait_closed(Duration::from_secs(20)).await;
    let pending = core.rest.json("/api/v1/pending").await;
    assert_eq!(pending["pending"][0]["node_name"], "waiting", "{pending}");
    let approved = bee_tests::shell::honeybee(core.data(), &["nodes", "approve", "waiting"]).await;
    assert_eq!(approved.code, Some(0), "{}", approved.all());
    let (_peer, ack) = ask().await;
    assert_eq!(ack["accepted"], true, "{ack}");
    core.rest.wait_node("waiting", "Connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backend_speaks_bare_json_over_tcp_on_the_api_port() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "[modules]\nallow_anonymous_loopback = true\n").await;
    let (mut node, _) = register(&core, 50, "field-node").await;
    assert!(node.send(&json!({"NodeStatusUpdate": {"node_id": 50, "status": "Running"}})).await);
    core.rest.wait_node("field-node", "Running").await;

    let mut module = Peer::plain(core.api).await;
    // White space first and no line break after: the first byte and the framing still tell.
    let hello = json!({"version": 2, "message": {"BackendRegistration": {"backend_name": "old-cli", "backend_type": "Cli"}}});
    assert!(module.send_raw(format!(" \r\n{hello}").as_bytes()).await);
    let answer = module.recv_named("BackendResponse").await;
    assert!(answer["Success"]["data"]["backend_id"].is_u64(), "{answer}");

    let nodes = ask(&mut module, json!("GetNodes")).await;
    assert_eq!(nodes["nodes"], json!([50]), "{nodes}");
    assert_eq!(ask(&mut module, json!({"GetNodes": {}})).await["nodes"], json!([50]));
    let by_status = ask(&mut module, json!({"GetNodesByStatus": {"status": "Running"}})).await;
    assert!(by_status.to_string().contains("50"), "{by_status}");
    assert!(
        !ask(&mut module, json!({"GetNodesByStatus": {"status": "Failed"}})).await.to_string().contains("50")
    );
    assert!(ask(&mut module, json!({"GetNode": {"node_id": 50}})).await.to_string().contains("field-node"));
    assert!(ask(&mut module, json!("GetNodeCount")).await.to_string().contains('1'));
    assert!(ask(&mut module, json!("GetActiveConnections")).await.to_string().contains('1'));

    // Commands reach the node in the words it knows, and without fields that it does not.
    ask(&mut module, json!({"NodeCommand": {"node_id": 50, "command": "GetInstalledPots"}})).await;
    let command = node.recv_named("NodeCommand").await;
    assert!(
        command["command"] == "GetInstalledPots" || command["command"]["GetInstalledPots"] == json!({}),
        "{command}"
    );
    assert!(command.get("command_id").is_none(), "{command}");
    ask(&mut module, json!({"BroadcastCommand": {"command": {"DeployPot": "cowrie"}}})).await;
    assert_eq!(node.recv_named("NodeCommand").await["command"], json!({"DeployPot": "cowrie"}));

    // A failure is an answer, not the end.
    assert!(module.send(&json!({"BackendCommand": {"GetNode": {"node_id": 51}}})).await);
    let answer = module.recv_named("BackendResponse").await;
    assert!(answer["Failure"].as_str().unwrap().starts_with("NODE_NOT_FOUND"), "{answer}");
    assert!(module.send_raw(b"{\"version\":2,\"message\":{\"BackendCommand\":{\"Dance\":{}}}}").await);
    let answer = module.recv_named("BackendResponse").await;
    assert!(answer["Failure"].is_string(), "{answer}");
    assert_eq!(ask(&mut module, json!("GetNodes")).await["nodes"], json!([50]), "and it goes on");

    ask(&mut module, json!({"RemoveNode": {"node_id": 50}})).await;
    node.wait_closed(Duration::from_secs(20)).await;
    assert_eq!(ask(&mut module, json!("GetNodes")).await["nodes"], json!([]));
    assert!(module.send_raw(br#"{"version":2,"message":"BackendDrop"}"#).await);
    module.wait_closed(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_need_a_token_with_the_scope_on_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let core = field_core(dir.path(), "").await;
    let (_node, _) = register(&core, 60, "n").await;
    let mut nobody = Peer::plain(core.api).await;
    let hello = |token: Option<&str>| json!({"BackendRegistration": {"backend_name": "m", "backend_type": {"Custom": "x"}, "token": token}});
    assert!(nobody.send(&hello(None)).await);
    let answer = nobody.recv_named("BackendResponse").await;
    assert!(answer["Failure"].as_str().unwrap().starts_with("AUTHENTICATION_FAILED"), "{answer}");

    let reader = core.api_token(&["nodes:read"]).await;
    let mut module = Peer::plain(core.api).await;
    assert!(module.send(&hello(Some(&reader))).await);
    assert!(module.recv_named("BackendResponse").await["Success"].is_object());
    assert_eq!(ask(&mut module, json!("GetNodes")).await["nodes"], json!([60]));
    assert!(
        module.send(&json!({"BackendCommand": {"NodeCommand": {"node_id": 60, "command": "restart"}}})).await
    );
    let answer = module.recv_named("BackendResponse").await;
    assert!(answer["Failure"].is_string(), "nodes:read may not command: {answer}");

    let doors: [(SocketAddr, &str); 3] = [(core.ws, "/"), (core.ws, "/ws"), (core.api, "/ws")];
    for (address, path) in doors {
        let mut module = WebModule::register(address, path, &reader).await;
        let request =
            json!({"version": 2, "message": {"BackendCommand": "GetNodeCount"}, "request_id": "r-1"});
        module.send_text(request.to_string()).await;
        assert!(module.recv().await["BackendResponse"]["Success"].is_object(), "{address}{path}");
        module.send(json!({"Subscribe": {"topics": ["events"]}})).await;
        let answer = module.recv().await;
        assert!(answer["BackendResponse"]["Failure"].is_string(), "nodes:read sees no events: {answer}");
        let mut stranger = WebModule::connect(address, path).await;
        stranger.send(hello(Some("hbt_wrong"))).await;
        assert!(stranger.recv().await["BackendResponse"]["Failure"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honeypots_of_the_field_send_their_own_lines_and_a_bad_one_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "").await;
    let node = Node::join(&core, &dir.path().join("node"), "collector", core.nodes, "").await;
    let mut pot = Peer::plain(node.intake().await).await;
    let lines: [&[u8]; 8] = [
        br#"{"eventid":"cowrie.login.failed","sensor":"sensor-7","src_ip":"192.0.2.7","session":"abc","username":"root","password":"x","timestamp":"2026-01-02T03:04:05.678Z"}"#,
        br#"{"pot_id":"own","pot_type":"ssh","event_type":"own.shape","timestamp":1767323045,"data":{"src_ip":"192.0.2.8"}}"#,
        b"this is no JSON",
        b"{\"cut\": ",
        b"[1, 2, 3]",
        b"\xff\x00\xfe",
        br#"{"logtype":4002,"src_host":"192.0.2.9","logdata":{"USERNAME":"u"}}"#,
        br#"{"eventid":"last","sensor":"sensor-7"}"#,
    ];
    for line in lines {
        assert!(pot.send_raw(line).await && pot.send_raw(b"\n").await);
    }
    let last = core.rest.wait_events("type=last", 1).await;
    assert_eq!(last[0]["pot_id"], "sensor-7");
    let failed = core.rest.wait_events("type=cowrie.login.failed", 1).await.remove(0);
    let facts = ["pot_id", "src_ip", "session", "username", "password"]
        .map(|name| failed[name].as_str().unwrap().to_owned());
    assert_eq!(facts, ["sensor-7", "192.0.2.7", "abc", "root", "x"]);
    assert!(failed["time"].as_str().unwrap().starts_with("2026-01-02T03:04:05.678"), "{failed}");
    assert_eq!(core.rest.wait_events("pot=own", 1).await[0]["src_ip"], "192.0.2.8");
    let all = core.rest.all_events("node=collector").await;
    assert_eq!(all.len(), 4, "four of the lines were events: {all:?}");
    until("the bad lines are kept", async || {
        let files = std::fs::read_dir(node.dir().join("state/dead-letter")).ok()?.flatten();
        let text: String = files
            .map(|file| String::from_utf8_lossy(&std::fs::read(file.path()).unwrap()).into_owned())
            .collect();
        text.contains("this is no JSON").then_some(())
    })
    .await;
}

/// Sends a command and gives the data of the answer, which must be a success.
async fn ask(module: &mut Peer, command: Value) -> Value {
    assert!(module.send(&json!({"BackendCommand": command})).await);
    let answer = module.recv_named("BackendResponse").await;
    assert!(answer["Success"].is_object(), "{command}: {answer}");
    answer["Success"]["data"].clone()
}

/// The code of this moment. Core takes the neighbouring steps too, so it stays right for half a minute.
fn current_code(key: &TotpKey) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let unix_ms = i64::try_from(now.as_millis()).unwrap();
    key.code(step_at(unix_ms))
}
