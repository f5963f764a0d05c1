//! What Core says of a node that falls silent, leaves, and comes back.

use bee_tests::core::Core;
use bee_tests::node::Node;
use bee_tests::shell;
use rustix::process::Signal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_is_unknown_a_leaving_one_stopped_and_both_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "[limits]\nheartbeat_interval_s = 1\n").await;
    let config = "server:\n  reconnect_delay: 1\n  reconnect_delay_max: 1\n";
    let mut node = Node::join(&core, &dir.path().join("node"), "quiet", core.nodes, config).await;
    core.rest.wait_node("quiet", "Running").await;

    node.process.signal(Signal::STOP);
    let silent = core.rest.wait_node("quiet", "Unknown").await;
    assert_eq!(core.rest.counter("node_silent_total").await, 1);
    let doctor = shell::honeybee(core.data(), &["doctor"]).await;
    assert!(doctor.stdout.contains("HB0604"), "the doctor names the silent node: {}", doctor.all());
    node.process.signal(Signal::CONT);
    let back = core.rest.wait_node("quiet", "Running").await;
    assert_eq!(back["id"], silent["id"]);

    assert!(node.process.stop().await.success(), "{}", node.process.stderr());
    let left = core.rest.wait_node("quiet", "Stopped").await;
    assert_eq!(left["connected"], false);
    node.start_again();
    core.rest.wait_node("quiet", "Running").await;

    node.process.kill9();
    let dead = core.rest.wait_node("quiet", "Stopped").await;
    assert_eq!(dead["connected"], false);
    node.start_again();
    let alive = core.rest.wait_node("quiet", "Running").await;
    assert_eq!(alive["id"], silent["id"], "through all of this it is one node");
    assert_eq!(core.rest.nodes().await.len(), 1);
}
