//! `honeybee up` in an empty folder.

use std::os::unix::fs::PermissionsExt as _;

use bee_tests::process::{self, Process};
use bee_tests::rest::Rest;
use bee_tests::up::{FREE_PORTS, Up};
use bee_tests::wait::until;
use bee_tests::{procfs, shell};

/// Our target is 2 s; a loaded machine that builds this in debug mode must still pass.
const READY_MS_MAX: u64 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_says_what_to_do_next_listens_on_loopback_alone_and_keeps_its_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = process::command("honeybee");
    command.arg("up").args(FREE_PORTS).current_dir(dir.path());
    let mut up = Process::start(command, &dir.path().join("output"), "up");
    let text = until("`honeybee up` says that it is ready", async || {
        Some(up.stderr()).filter(|text| text.contains("honeybee invite"))
    })
    .await;
    for needed in [
        "Ready in",
        "new installation",
        "honeybee poke",
        "honeybee events tail",
        "loopback only",
        "ssh",
        "telnet",
        "http",
    ] {
        assert!(text.contains(needed), "`{needed}` is missing in:\n{text}");
    }

    let listening = up.all_listeners();
    // Three of Core, the intake, three traps.
    assert_eq!(listening.len(), 7, "{listening:?}");
    assert!(listening.iter().all(|address| address.ip().is_loopback()), "{listening:?}");

    let data = dir.path().join("honeybee-data");
    let operator = data.join("core/operator.json");
    assert_eq!(std::fs::metadata(&operator).unwrap().permissions().mode() & 0o777, 0o600);
    let rest = Rest::from_operator_file(&operator).unwrap();
    assert_eq!(rest.json("/health").await["status"], "ok");
    let stranger = rest.with_token(None);
    assert_eq!(stranger.get("/health").await.status, 200);
    for path in ["/api/v1/status", "/api/v1/nodes", "/api/v1/events", "/api/v1/tokens", "/metrics"] {
        let answer = stranger.get(path).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text);
        assert_eq!(answer.json()["status"], 401, "{path} answers with a problem document: {}", answer.text);
    }
    assert_eq!(rest.with_token(Some("hbt_wrong")).get("/api/v1/status").await.status, 401);

    let poke = shell::honeybee(&data, &["poke"]).await;
    assert_eq!(poke.code, Some(0), "{}", poke.all());
    assert!(poke.stderr.contains("events reached Core"), "{}", poke.all());
    let doctor = shell::honeybee(&data, &["doctor"]).await;
    assert_eq!(doctor.code, Some(0), "{}", doctor.all());

    let mut args = vec!["up"];
    args.extend(FREE_PORTS);
    let second = shell::honeybee(&data, &args).await;
    assert_eq!(second.code, Some(1), "{}", second.all());
    assert!(second.stderr.contains("HB0104"), "{}", second.all());
    assert!(up.is_running(), "the first one does not mind");

    let children = procfs::descendants(up.pid());
    assert_eq!(children.len(), 3, "three traps are processes of their own");
    let ended = up.stop().await;
    assert_eq!(ended.code(), Some(0), "{}", up.stderr());
    until("the traps end with the node", async || {
        (!children.iter().any(|child| procfs::is_alive(*child))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_is_ready_at_once_and_finds_its_installation_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path()).await;
    let ready_ms = up.said["ready_ms"].as_u64().unwrap();
    eprintln!("first `honeybee up`: ready after {ready_ms} ms (debug build)");
    assert!(ready_ms < READY_MS_MAX, "{ready_ms} ms");
    for kind in ["ssh", "telnet", "http"] {
        assert!(up.trap(kind).ip().is_loopback());
    }
    shell::honeybee(up.data(), &["poke"]).await.ok();
    let before = up.rest.all_events("").await;
    assert!(!before.is_empty());
    let node = up.rest.nodes().await[0]["id"].clone();
    assert!(up.process.stop().await.success());

    std::fs::remove_dir_all(dir.path().join("output")).unwrap();
    let again = Up::start(dir.path()).await;
    eprintln!("second `honeybee up` on the same folder: ready after {} ms", again.said["ready_ms"]);
    let nodes = again.rest.nodes().await;
    assert_eq!((nodes.len(), &nodes[0]["id"]), (1, &node), "the node is the same one: {nodes:?}");
    let after = again.rest.all_events("").await;
    assert!(before.iter().all(|event| after.contains(event)), "every event is still there, unchanged");
}
