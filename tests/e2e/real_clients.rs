//! The local node of `honeybee up` under attack by real clients.

use bee_tests::module::WebModule;
use bee_tests::up::Up;

use crate::attacks::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_shows_in_the_cli_over_rest_and_live_with_all_its_facts() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path()).await;
    let live = WebModule::register(up.address("ws"), "/ws", up.rest.token()).await.record().await;
    let tools = dir.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let node = up.rest.nodes().await[0]["id"].as_str().unwrap().to_owned();
    let scene = Scene {
        dir: &tools,
        data: up.data(),
        rest: &up.rest,
        live: &live,
        node,
        ssh: up.trap("ssh"),
        telnet: up.trap("telnet"),
        http: up.trap("http"),
    };
    scene.play().await;
}
