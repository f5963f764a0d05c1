//! The simulated fleet against a real Core.
#![expect(clippy::unwrap_used, reason = "what a test sets up fails by panicking")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bee_bench::fleet::{Fleet, FleetConfig};
use bee_bench::mix::Mix;
use bee_core::{Config, Core, CoreHandle, RawConfig};
use bee_daemon::shutdown::{Reason, Shutdown};
use bee_link::backoff::BackoffConfig;
use bee_wire::api::JoinTokenRequest;

/// Longest wait for anything; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(30);

struct Running {
    core: Core,
    handle: CoreHandle,
    shutdown: Shutdown,
}

async fn start(dir: &Path, nodes: SocketAddr) -> Running {
    let text = format!(
        "data_dir = {dir:?}\n[server]\nnode_port = {}\nbackend_port = 0\n[proxy]\nport = 0\n[tls]\nmode = \"required\"\n",
        nodes.port()
    );
    let raw: RawConfig = toml::from_str(&text).unwrap();
    let shutdown = Shutdown::new();
    let core = Core::start(Config::check(raw).unwrap(), shutdown.clone()).await.unwrap();
    Running { handle: core.handle(), core, shutdown }
}

async fn stop(running: Running) {
    let Running { core, handle, shutdown } = running;
    shutdown.trigger(Reason::Requested("the test is over".into()));
    shutdown.finish(DEADLINE).await;
    drop(handle);
    core.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulated_nodes_enrol_deliver_each_event_once_and_come_back_to_a_restarted_core() {
    const NODES: u64 = 3;
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let core = start(dir.path(), port).await;
    let request = JoinTokenRequest {
        uses: Some(NODES),
        addresses: vec![port.to_string()],
        ..JoinTokenRequest::default()
    };
    let code = core.handle.create_join_token(request).await.unwrap().code;
    let mut config = FleetConfig::new(code.expose().parse().unwrap(), Arc::new(Mix::new(1, 150)));
    config.link.backoff = BackoffConfig { base_ms: 20, cap_ms: 200 };
    config.link.batch_events_max = 40;
    let mut fleet = Fleet::new(config);
    fleet.add(NODES).unwrap();
    fleet.wait("enrolled", DEADLINE, |state| state.registered == NODES).await.unwrap();

    fleet.offer(400);
    fleet.wait("delivered", DEADLINE, |state| state.events_acknowledged == NODES * 400).await.unwrap();
    assert_eq!(core.handle.status().await.events_stored, NODES * 400);
    let names: Vec<String> = core.handle.nodes().into_iter().map(|node| node.node_name).collect();
    assert_eq!(names.len(), 3, "{names:?}");

    stop(core).await;
    let core = start(dir.path(), port).await;
    fleet.offer(700);
    fleet
        .wait("delivered the rest", DEADLINE, |state| state.events_acknowledged == NODES * 700)
        .await
        .unwrap();
    let status = core.handle.status().await;
    assert_eq!(
        (status.events_stored, status.nodes_count),
        (NODES * 700, NODES),
        "the same nodes, each event once"
    );
    assert_eq!(fleet.snapshot().refused, 0);
    fleet.leave(DEADLINE).await;
    stop(core).await;
}
