//! The module protocol over bare TCP, spoken by hand.

use bee_wire::api::Scope;
use bee_wire::{CoreMessage, NodeMessage};
use serde_json::{Value, json};

use super::client::{Served, serve, token};
use crate::harness::{OPEN, batch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_backend_speaks_without_newlines_and_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), &format!("{OPEN}[modules]\nallow_anonymous_loopback = true\n")).await;
    let (mut node, _) = core.core.node(7, "edge").await;
    let mut backend = core.module().await;
    // White space first, objects back to back, forms mixed, all in one write.
    let mut bytes = String::from(" \r\n");
    for message in [
        json!({ "BackendRegistration": { "backend_name": "old", "backend_type": { "Custom": "php" } } }),
        json!({ "BackendCommand": "GetNodes" }),
        json!({ "BackendCommand": { "GetNodeCount": {} } }),
        json!({ "BackendCommand": { "GetActiveConnections": null } }),
        json!({ "BackendCommand": { "GetNode": { "node_id": "7" } } }),
        json!({ "BackendCommand": { "GetNodesByStatus": { "status": "Connected" } } }),
        json!({ "BackendCommand": { "GetNodesByStatus": { "status": "Failed" } } }),
        json!({ "BackendCommand": { "NodeCommand": { "node_id": 7, "command": "GetInstalledPots" } } }),
        json!({ "BackendCommand": { "NodeCommand": { "node_id": 7, "command": { "DeployPot": "ssh-1" } } } }),
        json!({ "BackendCommand": { "NodeCommand": { "node_id": 8, "command": "stop" } } }),
        json!({ "BackendCommand": { "BroadcastCommand": { "command": "status" } } }),
    ] {
        bytes.push_str(&json!({ "message": message, "version": 2 }).to_string());
    }
    backend.raw(bytes.as_bytes()).await;

    assert!(backend.success().await["backend_id"].is_u64());
    let nodes = backend.success().await;
    assert_eq!(nodes["nodes"], json!([7]));
    assert_eq!(nodes["details"][0]["node_name"], "edge");
    assert_eq!(backend.success().await["count"], 1);
    assert_eq!(backend.success().await["count"], 1);
    assert_eq!(backend.success().await["node_name"], "edge");
    assert_eq!(backend.success().await["nodes"], json!([7]));
    assert_eq!(backend.success().await["nodes"], json!([]));
    backend.success().await;
    assert_eq!(backend.success().await["command"], json!({ "DeployPot": "ssh-1" }));
    assert!(backend.failure().await.starts_with("NODE_NOT_FOUND: "));
    assert_eq!(backend.success().await["nodes"], json!([7]));
    for _ in 0..3 {
        assert!(matches!(node.recv().await, Some(CoreMessage::NodeCommand(_))));
    }
    backend.send(json!({ "BackendCommand": { "RemoveNode": { "node_id": 7 } } })).await;
    backend.response().await;
    backend.send(json!({ "BackendCommand": "GetNodeCount" })).await;
    assert_eq!(backend.success().await["count"], 0);
    backend.send(json!("BackendDrop")).await;
    backend.closed().await;
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_refused_in_words_and_closed() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut anonymous = core.module().await;
    let refused = anonymous.register(None).await;
    assert!(refused["Failure"].as_str().unwrap().starts_with("AUTHENTICATION_FAILED: "), "{refused}");
    anonymous.closed().await;

    let mut wrong = core.module().await;
    let refused = wrong.register(Some("hbt_wrong")).await;
    assert!(refused["Failure"].as_str().unwrap().starts_with("AUTHENTICATION_FAILED: "), "{refused}");
    wrong.closed().await;

    let mut old = core.module().await;
    old.raw(br#"{"version":1,"message":{"BackendRegistration":{"backend_name":"x","backend_type":"Web"}}}"#)
        .await;
    let refused = old.failure().await;
    assert!(refused.starts_with("PROTOCOL_VERSION_MISMATCH: "), "{refused}");
    assert!(refused.contains('1') && refused.contains('2'), "names both versions: {refused}");
    old.closed().await;

    // Three messages that are no registration, each answered, then the end.
    let mut impatient = core.module().await;
    for _ in 0..3 {
        impatient.send(json!({ "BackendCommand": "GetNodes" })).await;
        assert!(impatient.failure().await.contains("BackendRegistration"));
    }
    impatient.closed().await;
    assert_eq!(core.core.counter("module_registrations_refused_total"), 2);
    assert_eq!(core.core.counter("module_registrations_total"), 0);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_answered_once_in_order_with_its_mark() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut module = core.registered().await;
    let mut bytes = Vec::new();
    for n in 0..200 {
        let message = match n % 5 {
            0 => json!({ "BackendCommand": "GetNodeCount" }),
            1 => json!({ "Query": { "limit": 1 } }),
            2 => json!({ "BackendCommand": "Explode" }),
            3 => json!({ "NoSuchMessage": {} }),
            _ => json!({ "Ping": {} }),
        };
        let request_id = if n % 2 == 0 { json!(n) } else { json!(format!("r{n}")) };
        bytes.extend(
            json!({ "version": 2, "request_id": request_id, "message": message }).to_string().bytes(),
        );
    }
    module.raw(&bytes).await;
    for n in 0..200 {
        let envelope = module.envelope().await.unwrap();
        let expect = if n % 2 == 0 { json!(n) } else { json!(format!("r{n}")) };
        assert_eq!(envelope["request_id"], expect, "{envelope}");
        let message = &envelope["message"];
        let failure = message["BackendResponse"]["Failure"].as_str().unwrap_or_default();
        match n % 5 {
            0 | 1 => assert!(message["BackendResponse"]["Success"].is_object(), "{envelope}"),
            2 => {
                assert!(failure.starts_with("INVALID_COMMAND: ") && failure.contains("Explode"), "{envelope}")
            }
            3 => assert!(
                failure.starts_with("INVALID_MESSAGE_FORMAT: ") && failure.contains("NoSuchMessage"),
                "{envelope}"
            ),
            _ => assert!(message.get("Pong").is_some(), "{envelope}"),
        }
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_decide_what_a_module_may_do() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let requests = [
        (Scope::NodesRead, json!({ "BackendCommand": "GetNodes" })),
        (Scope::NodesAdmin, json!({ "BackendCommand": { "RemoveNode": { "node_id": 1 } } })),
        (
            Scope::NodesCommand,
            json!({ "BackendCommand": { "NodeCommand": { "node_id": 1, "command": "stop" } } }),
        ),
        (Scope::NodesCommand, json!({ "BackendCommand": { "BroadcastCommand": { "command": "status" } } })),
        (Scope::EventsRead, json!({ "Query": {} })),
        (Scope::EventsRead, json!({ "Subscribe": { "topics": ["events"] } })),
        (Scope::NodesRead, json!({ "Subscribe": { "topics": ["nodes", "pots"] } })),
        (Scope::EventsWrite, json!({ "PublishEvent": { "event_type": "x", "data": {} } })),
        (Scope::AlertsWrite, json!({ "RaiseAlert": { "title": "x", "severity": "low" } })),
    ];
    for scope in Scope::ALL {
        let secret = token(&core.core.handle, &[*scope]).await;
        let mut module = core.module().await;
        module.register(Some(&secret)).await;
        for (needed, request) in &requests {
            module.send(request.clone()).await;
            let response = module.response().await;
            let refused =
                response["Failure"].as_str().is_some_and(|text| text.starts_with("AUTHENTICATION_FAILED"));
            assert_eq!(!refused, scope == needed || *scope == Scope::Admin, "{scope} {request}: {response}");
            if request.get("Subscribe").is_some() && !refused {
                module.send(json!({ "Unsubscribe": {} })).await;
                module.response().await;
            }
        }
    }
    core.core.stop().await;
}

/// The `n` of the next events, and the cursor behind the last.
async fn pushed(
    module: &mut super::client::Module<tokio::net::TcpStream>,
    count: usize,
) -> (Vec<u64>, Value) {
    let (mut numbers, mut cursor) = (Vec::new(), Value::Null);
    while numbers.len() < count {
        let envelope = module.envelope().await.unwrap();
        let push = &envelope["message"]["Event"];
        numbers
            .push(push["event"]["data"]["n"].as_u64().unwrap_or_else(|| panic!("not an event: {envelope}")));
        cursor = push["cursor"].clone();
    }
    (numbers, cursor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_resumes_from_its_cursor_without_a_gap_while_events_stream_in() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "n").await;
    let mut module = core.registered().await;
    module.send(json!({ "Subscribe": { "topics": ["events"] } })).await;
    assert!(module.success().await["cursor"].is_string());
    node.send(&batch(1, "s", 0, 40)).await;
    let (numbers, cursor) = pushed(&mut module, 40).await;
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    module.send(json!({ "BackendDrop": {} })).await;
    module.closed().await;

    // Away while more is stored; back while still more comes.
    node.send(&batch(1, "s", 40, 500)).await;
    node.acked("s", 540).await;
    let sender = tokio::spawn(async move {
        for first in (540..2_540).step_by(50) {
            node.send(&batch(1, "s", first, 50)).await;
            tokio::task::yield_now().await;
        }
        node
    });
    let mut module = core.registered().await;
    module.send(json!({ "Subscribe": { "topics": ["events"], "from": cursor } })).await;
    module.success().await;
    let (numbers, _) = pushed(&mut module, 2_500).await;
    assert_eq!(numbers, (40..2_540).collect::<Vec<_>>());
    drop(sender.await.unwrap());
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_lets_through_what_rest_would_list() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "edge").await;
    let mut module = core.registered().await;
    let filter =
        "node:edge pot:ssh-1 pot_type:ssh type:cowrie.* src_ip:203.0.113.0/24 session:s2 text:\"p25\"";
    module.send(json!({ "Subscribe": { "filter": filter } })).await;
    module.success().await;
    node.send(&batch(1, "s", 0, 60)).await;
    node.acked("s", 60).await;
    assert_eq!(pushed(&mut module, 1).await.0, [25]);
    module.send(json!({ "Subscribe": { "filter": "colour:red" } })).await;
    let failure = module.failure().await;
    assert!(failure.contains("colour:red") && failure.contains("src_ip"), "{failure}");
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_nodes_and_pots_are_pushed() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let mut module = core.registered().await;
    module.send(json!({ "Subscribe": { "topics": ["nodes", "pots"] } })).await;
    module.success().await;
    let (mut node, _) = core.core.node(9, "new").await;
    let envelope = module.envelope().await.unwrap();
    assert_eq!(envelope["message"]["NodeChanged"]["node"]["node_name"], "new", "{envelope}");
    node.raw(br#"{"version":2,"message":{"PotStatusUpdate":{"node_id":9,"pot_id":"p","pot_type":"ssh","status":"Running"}}}"#).await;
    let envelope = loop {
        let envelope = module.envelope().await.unwrap();
        if envelope["message"].get("PotChanged").is_some() {
            break envelope;
        }
    };
    assert_eq!(envelope["message"]["PotChanged"]["pot"]["status"], "Running");
    core.delete("/api/v1/nodes/9").await;
    loop {
        let envelope = module.envelope().await.unwrap();
        if envelope["message"]["NodeChanged"]["removed"] == true {
            break;
        }
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_publishes_events_and_raises_alerts_that_others_hear() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut listener = core.registered().await;
    listener.send(json!({ "Subscribe": { "topics": ["events", "alerts"] } })).await;
    listener.success().await;
    let mut module = core.registered().await;
    module.send(json!({ "PublishEvent": { "event_type": "sandbox.verdict", "pot_id": "cuckoo", "data": { "n": 5, "src_ip": "203.0.113.9" } } })).await;
    let id = module.success().await["id"].as_str().unwrap().to_owned();
    let stored = core.get(&format!("/api/v1/events/{id}")).await;
    assert_eq!(
        json!([stored["event_type"], stored["pot_id"], stored["data"]["n"]]),
        json!(["sandbox.verdict", "cuckoo", 5])
    );
    assert_eq!(pushed(&mut listener, 1).await.0, [5]);

    let alert = json!({ "RaiseAlert": { "title": "somebody got in", "severity": "high", "events": [id], "dedup_key": "k" } });
    module.send(alert.clone()).await;
    let first = module.success().await;
    assert_eq!(first["repeated"], false);
    let envelope = listener.envelope().await.unwrap();
    assert_eq!(envelope["message"]["AlertRaised"]["alert"]["title"], "somebody got in", "{envelope}");
    module.send(alert).await;
    let again = module.success().await;
    assert_eq!((&again["repeated"], &again["id"]), (&json!(true), &first["id"]));
    let alerts = core.get("/api/v1/alerts").await;
    assert_eq!(alerts["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(alerts["alerts"][0]["source"], "test");

    module.send(json!({ "Query": { "type": "sandbox.*" } })).await;
    assert_eq!(module.success().await["events"][0]["id"], json!(id));
    for wrong in [
        json!({ "PublishEvent": { "event_type": "", "data": {} } }),
        json!({ "PublishEvent": { "event_type": "x", "data": [] } }),
        json!({ "RaiseAlert": { "title": " ", "severity": "low" } }),
        json!({ "RaiseAlert": { "title": "x", "severity": "loud" } }),
    ] {
        module.send(wrong).await;
        module.failure().await;
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_talks_too_much_into_the_log_is_braked() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut module = core.registered().await;
    for _ in 0..400 {
        module.send(json!({ "Log": { "level": "debug", "message": "\u{1b}[31mred\n" } })).await;
    }
    let mut refused = 0;
    for _ in 0..400 {
        refused += u32::from(module.response().await.get("Failure").is_some());
    }
    assert!((1..=200).contains(&refused), "{refused}");
    assert_eq!(core.core.counter("module_log_lines_dropped_total"), u64::from(refused));
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_never_reads_holds_up_nobody_and_is_told_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "n").await;
    let mut lazy = core.registered().await;
    lazy.send(json!({ "Subscribe": {} })).await;
    lazy.success().await;
    // Far more than the socket's buffers and the queue behind them hold.
    let count = 60_000;
    let mut next = 0;
    while next < count {
        for _ in 0..4 {
            node.send(&batch(1, "s", next, 1_000)).await;
            next += 1_000;
        }
        node.acked("s", next).await;
    }
    let mut brisk = core.registered().await;
    brisk.send(json!({ "BackendCommand": "GetNodeCount" })).await;
    assert_eq!(brisk.success().await["count"], 1);

    // Everything has come to its queue, which is full by now.
    core.core
        .until("all events were offered", |handle| {
            handle.counters().live_events.get() + handle.counters().live_missed.get() >= count
        })
        .await;
    let (mut heard, mut missed) = (0_u64, 0_u64);
    let mut last = None;
    while heard + missed < count {
        let envelope = lazy.envelope().await.unwrap();
        let message = &envelope["message"];
        if let Some(lagged) = message.get("Lagged") {
            missed += lagged["missed"].as_u64().unwrap();
        } else {
            let n = message["Event"]["event"]["data"]["n"].as_u64().unwrap();
            assert!(last.is_none_or(|last| n > last));
            last = Some(n);
            heard += 1;
        }
    }
    assert_eq!(heard + missed, count, "what was not heard was counted");
    assert!(missed > 0, "the queue is bounded");
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_log_no_longer_has_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let settings = format!(
        "{OPEN}[limits]\nmax_frame_bytes = 65536\n[log]\nbytes_max = 4194304\nsegment_bytes = 2097152\n"
    );
    let core: Served = serve(dir.path(), &settings).await;
    let (mut node, _) = core.core.node(1, "n").await;
    let mut next = 0;
    while core.core.counter("events_expired_total") == 0 {
        assert!(next < 2_000_000, "nothing ever expires");
        // Incompressible, so that the log fills soon.
        let events: Vec<Value> = (0..100).map(|n| json!({
            "pot_id": "p", "event_type": "x", "timestamp": 1_767_225_600, "data": { "n": next + n, "noise": noise() },
        })).collect();
        let message = json!({ "version": 2, "message": { "PotEventBatch": { "node_id": 1, "stream": "s", "first_seq": next, "events": events } } });
        node.raw(message.to_string().as_bytes()).await;
        next += 100;
        node.acked("s", next).await;
    }
    let mut module = core.registered().await;
    module.send(json!({ "Subscribe": { "from": "1" } })).await;
    module.success().await;
    let envelope = module.envelope().await.unwrap();
    let lagged = &envelope["message"]["Lagged"];
    assert_eq!(lagged["cursor"], "1", "{envelope}");
    let missed = lagged["missed"].as_u64().unwrap();
    assert!(missed > 0);
    let envelope = module.envelope().await.unwrap();
    assert_eq!(
        envelope["message"]["Event"]["event"]["id"],
        json!((1 + missed).to_string()),
        "goes on right behind"
    );
    core.core.stop().await;
}

fn noise() -> String {
    (0..300)
        .map(|_| char::from(b'!' + rand::random::<u8>() % 90))
        .filter(|c| *c != '"' && *c != '\\')
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_message_of_a_node_is_no_module_message() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut module = core.registered().await;
    module.raw(&bee_wire::encode_node(&NodeMessage::NodeDrop)).await;
    assert!(module.failure().await.starts_with("INVALID_MESSAGE_FORMAT"));
    core.core.stop().await;
}
