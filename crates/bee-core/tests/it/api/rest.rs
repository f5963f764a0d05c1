//! The REST routes, as clients of the seeds and of ours use them.

use bee_daemon::tls::client::{ClientTls, Trust, connect};
use bee_wire::api::Scope;
use bee_wire::node::{PotStatus, PotStatusUpdate};
use bee_wire::{CoreMessage, NodeId, NodeMessage};
use serde_json::{Value, json};

use super::client::{Module, exchange, serve, token};
use crate::harness::{DEADLINE, OPEN, batch};

fn ids(page: &Value) -> Vec<u64> {
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_seeds_find_their_shapes() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(7, "edge").await;
    node.send(&NodeMessage::PotStatusUpdate(PotStatusUpdate {
        node_id: NodeId(7),
        pot_id: "ssh-1".into(),
        pot_type: "ssh".into(),
        status: PotStatus::Running,
        message: None,
        detail: None,
    }))
    .await;
    core.core.until("the pot is known", |handle| !handle.pots().is_empty()).await;

    let health = core.request("GET", "/health", None, None).await;
    assert_eq!(health.json(), json!({ "status": "ok" }));
    let nodes = core.get("/api/v1/nodes").await;
    let first = &nodes["nodes"][0];
    assert_eq!(
        json!([first["node_id"], first["id"], first["node_name"], first["status"], first["node_type"]]),
        json!([7, "7", "edge", "Connected", "Full"])
    );
    let detail = core.get("/api/v1/nodes/7").await;
    let pot = &detail["honeypots"][0];
    assert_eq!(
        json!([detail["node_name"], pot["pot_id"], pot["pot_type"], pot["status"]]),
        json!(["edge", "ssh-1", "ssh", "Running"])
    );
    let pots = core.get("/api/v1/honeypots").await;
    assert_eq!(json!([pots["honeypots"][0]["node_id"], pots["honeypots"][0]["pot_id"]]), json!([7, "ssh-1"]));

    assert_eq!(
        core.request("GET", "/api/v1/nodes/8", Some(&core.token), None).await.problem(404)["code"],
        "NODE_NOT_FOUND"
    );
    assert_eq!(
        core.request("GET", "/api/v1/nodes/edge", Some(&core.token), None).await.problem(400)["code"],
        "INVALID_NODE_ID"
    );
    assert_eq!(core.delete("/api/v1/nodes/7").await.status, 204);
    assert_eq!(core.get("/api/v1/nodes").await, json!({ "nodes": [] }));
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_events_are_stable_while_events_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "n").await;
    node.send(&batch(1, "s", 0, 50)).await;
    node.acked("s", 50).await;

    let mut seen = Vec::new();
    let mut path = "/api/v1/events?limit=20".to_owned();
    for round in 0..3_u64 {
        let page = core.get(&path).await;
        seen.extend(ids(&page));
        // New ones come in front of the page and move nothing.
        node.send(&batch(1, "s", 50 + round * 5, 5)).await;
        node.acked("s", 55 + round * 5).await;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/events?limit=20&before={cursor}"),
            None => assert_eq!(round, 2),
        }
    }
    let expect: Vec<u64> = (0..50).map(|n| seen[0] - n).collect();
    assert_eq!(seen, expect, "newest first, nothing twice, nothing left out");

    let one = core.get(&format!("/api/v1/events/{}", seen[10])).await;
    assert_eq!(one["id"], json!(seen[10].to_string()));
    assert_eq!(one["data"]["username"], "root");
    let missing = core.request("GET", "/api/v1/events/999999", Some(&core.token), None).await;
    missing.problem(404);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_filtered_by_every_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "edge").await;
    node.send(&batch(1, "s", 0, 50)).await;
    node.acked("s", 50).await;
    for (query, count) in [
        ("", 50),
        ("node=edge", 50),
        ("node=1&pot=ssh-1&pot_type=ssh", 50),
        ("node=2", 0),
        ("pot=other", 0),
        ("type=cowrie.login.failed", 50),
        ("type=cowrie.*", 50),
        ("type=cowrie.login", 0),
        ("category=auth", 50),
        ("category=file", 0),
        ("src_ip=203.0.113.7", 1),
        ("src_ip=203.0.113.0%2F29", 8),
        ("session=s3", 10),
        ("text=P49", 1),
        // The clock of the test stands where the events begin, and they are a millisecond apart.
        ("since=now-1h", 50),
        ("until=now", 0),
        ("since=2026-01-01T00:00:00.040Z", 10),
        ("until=2026-01-01T00:00:00.010Z", 10),
        ("session=s3&src_ip=203.0.113.31", 1),
    ] {
        let page = core
            .get(format!("/api/v1/events?limit=1000&{query}").replace("&&", "&").trim_end_matches('&'))
            .await;
        assert_eq!(ids(&page).len(), count, "{query}");
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_parameter_is_named_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    for (query, parameter, remedy) in [
        ("limit=0", "limit", "from 1 to 1000"),
        ("limit=1001", "limit", "from 1 to 1000"),
        ("since=yesterday", "since", "now-15m"),
        ("sinc=now", "sinc", "did you mean since?"),
        ("src_ip=300.1.1.1", "src_ip", "203.0.113.0/24"),
        ("category=login", "category", "auth"),
        ("before=x", "before", "next_cursor"),
        ("node=a&node=b", "node", "once"),
        ("since=now&until=now-1h", "until", "swap"),
    ] {
        let response = core.request("GET", &format!("/api/v1/events?{query}"), Some(&core.token), None).await;
        let problem = response.problem(400);
        assert!(
            problem["errors"][parameter].as_str().is_some_and(|text| text.contains(remedy)),
            "{query}: {problem}"
        );
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_reach_their_node_and_show_where_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(3, "n").await;
    for command in [json!("GetInstalledPots"), json!({ "DeployPot": "ssh-1" })] {
        let given =
            core.post("/api/v1/nodes/3/commands", json!({ "command": command, "timeout_s": 60 })).await;
        assert_eq!(given.status, 202, "{}", given.text());
        let id = given.json()["command_id"].as_str().unwrap().to_owned();
        let Some(CoreMessage::NodeCommand(sent)) = node.recv().await else { panic!("no command") };
        assert_eq!(sent.command_id.unwrap().to_string(), id);
        assert_eq!(core.get(&format!("/api/v1/commands/{id}")).await["command_id"], json!(id));
    }
    let all = core.get("/api/v1/commands?node=n").await;
    let all: Vec<&str> = all["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command["command_id"].as_str().unwrap())
        .collect();
    assert_eq!(all.len(), 2);
    let older = core.get(&format!("/api/v1/commands?before={}", all[0])).await;
    assert_eq!(older["commands"][0]["command_id"], all[1]);
    assert_eq!(older["commands"].as_array().unwrap().len(), 1);

    let unknown = core.post("/api/v1/nodes/3/commands", json!({ "command": "Explode" })).await.problem(400);
    assert!(unknown["detail"].as_str().unwrap().contains("Explode"), "{unknown}");
    core.post("/api/v1/nodes/4/commands", json!({ "command": "Restart" })).await.problem(404);
    core.request("GET", "/api/v1/commands?node=nobody", Some(&core.token), None).await.problem(400);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_shown_once_and_end_when_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let made = core.post("/api/v1/tokens", json!({ "name": "grafana", "scopes": ["nodes:read"] })).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert_eq!(core.request("GET", "/api/v1/nodes", Some(&secret), None).await.status, 200);
    assert!(!core.get("/api/v1/tokens").await.to_string().contains(&secret));
    assert_eq!(core.delete(&format!("/api/v1/tokens/{}", made["id"].as_str().unwrap())).await.status, 204);
    core.request("GET", "/api/v1/nodes", Some(&secret), None).await.problem(401);

    let made = core.post("/api/v1/join-tokens", json!({ "uses": 2, "note": "rack 4" })).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    assert!(made["code"].as_str().unwrap().starts_with("hb1_"));
    assert_eq!(made["uses_left"], 2);
    let id = made["id"].as_str().unwrap();
    assert_eq!(core.delete(&format!("/api/v1/join-tokens/{id}")).await.status, 204);
    assert_eq!(core.get("/api/v1/join-tokens").await["tokens"][0]["revoked"], true);
    core.post("/api/v1/join-tokens", json!({ "uses": 0 })).await.problem(400);
    core.delete("/api/v1/join-tokens/none").await.problem(404);
    assert_eq!(core.get("/api/v1/artifacts").await, json!({ "artifacts": [] }));
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_braked_and_locks_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut statuses = Vec::new();
    for n in 0..40 {
        statuses.push(core.request("GET", "/api/v1/nodes", Some(&format!("hbt_{n}")), None).await.status);
    }
    assert_eq!(statuses[0], 401);
    let braked = core.request("GET", "/api/v1/nodes", Some("hbt_wrong"), None).await;
    braked.problem(429);
    assert!(braked.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    core.get("/api/v1/nodes").await;
    assert_eq!(core.core.counter("api_auth_failures_total"), 41);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_nodes_are_approved_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "[enrollment]\nmode = \"approve\"\n").await;
    for (id, name) in [(5, "wanted"), (6, "unwanted")] {
        let mut node = core.core.plain().await;
        let ack = node.register(crate::harness::registration(id, name)).await;
        assert!(!ack.accepted);
    }
    let pending = core.get("/api/v1/pending").await;
    assert_eq!(pending["pending"].as_array().unwrap().len(), 2);
    let problems = core.get("/api/v1/status").await["problems"].to_string();
    assert!(problems.contains("NODES_PENDING"), "{problems}");
    assert_eq!(core.post("/api/v1/pending/5/approve", json!({})).await.status, 200);
    assert_eq!(core.post("/api/v1/pending/6/refuse", json!({})).await.json(), json!({ "pending": [] }));
    core.post("/api/v1/pending/9/approve", json!({})).await.problem(404);
    let (_node, ack) = core.core.node(5, "wanted").await;
    assert!(ack.accepted);
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_prometheus_text_and_status_has_the_same_counters() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), OPEN).await;
    let (mut node, _) = core.core.node(1, "n").await;
    node.send(&batch(1, "s", 0, 12)).await;
    node.acked("s", 12).await;
    let metrics = core.request("GET", "/metrics", Some(&core.token), None).await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    assert!(
        text.contains("# TYPE honeybee_events_stored_total counter\nhoneybee_events_stored_total 12\n"),
        "{text}"
    );
    assert!(text.contains("# TYPE honeybee_nodes_connected gauge\nhoneybee_nodes_connected 1\n"), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("honeybee_") && value.parse::<f64>().is_ok(), "{line}");
    }
    let status = core.get("/api/v1/status").await;
    assert_eq!(status["counters"]["events_stored_total"], 12);
    assert_eq!(status["nodes_connected"], 1);
    assert_eq!(status["http_listen"], json!(core.address().to_string()));
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_page_obeys_its_own_policy_and_missing_files_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let page = core.request("GET", "/", None, None).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-security-policy"),
        Some(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
             font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        )
    );
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let html = page.text();
    assert!(html.contains("not built into this binary") && html.contains("/api/openapi.json"));
    assert!(!html.contains("<script") && !html.contains("<style") && !html.contains("style="));
    for path in ["/assets/x.js", "/favicon.ico", "/api/v1/nothing", "/api/v1/nodes/1/2/3"] {
        assert_eq!(core.request("GET", path, None, None).await.problem(404)["code"], "NOT_FOUND");
    }
    assert_eq!(
        core.request("PUT", "/api/v1/nodes", Some(&core.token), None).await.problem(405)["code"],
        "METHOD_NOT_ALLOWED"
    );
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_takes_plain_and_tls_http_and_modules() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let trust = Trust::CaPem(core.core.handle.ca_pem().as_bytes().to_vec());
    let tls = ClientTls::new(&trust, None, None).unwrap();
    let secure = || connect_to(core.address().to_string(), &tls);
    let auth = format!("Authorization: Bearer {}\r\n", core.token);
    assert_eq!(exchange(secure().await, "GET", "/api/v1/nodes", &auth, b"").await.status, 200);
    core.get("/api/v1/nodes").await;
    let mut module = Module::new(secure().await);
    module.register(Some(&core.token)).await;
    module.send(json!({ "BackendCommand": "GetNodeCount" })).await;
    assert_eq!(module.success().await["count"], 0);
    core.registered().await;
    core.core.stop().await;
}

async fn connect_to(address: String, tls: &ClientTls) -> bee_daemon::stream::MaybeTls {
    connect(&address, Some(tls), DEADLINE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_reads_are_for_this_machine_alone_and_only_if_switched_on() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "[api]\nallow_anonymous_loopback = true\n").await;
    assert_eq!(core.raw("GET", "/api/v1/nodes", "", b"").await.status, 200);
    core.request("GET", "/api/v1/tokens", None, None).await.problem(403);
    core.request("DELETE", "/api/v1/nodes/1", None, None).await.problem(403);
    // A page in a browser, a proxy for others, a name that was pointed at this machine.
    core.raw("GET", "/api/v1/nodes", "Origin: https://evil.example\r\n", b"").await.problem(401);
    core.raw("GET", "/api/v1/nodes", "X-Forwarded-For: 203.0.113.9\r\n", b"").await.problem(401);
    let stream = tokio::net::TcpStream::connect(core.address()).await.unwrap();
    let rebound =
        raw_head(stream, "GET /api/v1/nodes HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            .await;
    assert!(rebound.starts_with("HTTP/1.1 401"), "{rebound}");
    core.core.stop().await;
}

async fn raw_head(mut stream: tokio::net::TcpStream, head: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_the_scope_is_told_which_one_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let reader = token(&core.core.handle, &[Scope::EventsRead]).await;
    assert_eq!(core.request("GET", "/api/v1/events", Some(&reader), None).await.status, 200);
    let problem = core.request("GET", "/api/v1/nodes", Some(&reader), None).await.problem(403);
    assert!(problem["detail"].as_str().unwrap().contains("nodes:read"), "{problem}");
    core.core.stop().await;
}
