//! A second machine joins with a code: TLS, TOTP and a certificate of its own, and every way a code can fail.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;

use bee_tests::core::Core;
use bee_tests::module::WebModule;
use bee_tests::process::{self, Process};
use bee_tests::shell::{self, Finished};
use bee_tests::{Value, from_str, json};
use bee_wire::JoinCode;

use crate::attacks::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_over_tls_shows_the_same_attacks() {
    let dir = tempfile::tempdir().unwrap();
    let core =
        Core::start(&dir.path().join("core"), "[tls]\nmode = \"required\"\n[api]\ntls = \"optional\"\n")
            .await;
    let invite = shell::honeybee(core.data(), &["invite", "--no-wait"]).await.ok();
    let code = invite.split_whitespace().find(|word| word.starts_with("hb1_")).unwrap();

    let folder = dir.path().join("edge");
    let mut command = process::command("honeybee");
    command.args([
        "join",
        code,
        "--name",
        "edge-1",
        "--event-port",
        "0",
        "--ssh",
        "0",
        "--telnet",
        "0",
        "--http",
        "0",
    ]);
    command.arg("--dir").arg(&folder).current_dir(dir.path());
    let output = dir.path().join("output");
    let mut node = Process::start(command, &output, "join");
    let joined = core.rest.wait_node("edge-1", "Running").await;
    let said = node.stderr();
    for step in [
        "Reached 127.0.0.1:",
        "It is the Core named in the code",
        "Enrolled as edge-1",
        "First heartbeat acknowledged",
    ] {
        assert!(said.contains(step), "`{step}` is missing in:\n{said}");
    }
    let id = joined["id"].as_str().unwrap().to_owned();
    let detail = core.rest.json(&format!("/api/v1/nodes/{id}")).await;
    assert_eq!(detail["tls"], true, "{detail}");
    assert!(detail["certificate_sha256"].is_string(), "{detail}");
    for secret in ["client.key", ".honeybee_totp_secret"] {
        let mode = std::fs::metadata(folder.join("state").join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }

    // What it was given at the door lets it in again: TOTP and certificate instead of the code.
    assert!(node.stop().await.success(), "{}", node.stderr());
    core.rest.wait_node("edge-1", "Stopped").await;
    let mut command = process::command("honeybee");
    command.args(["node", "--config"]).arg(folder.join("config.yaml")).current_dir(dir.path());
    let node = Process::start(command, &output, "node");
    core.rest.wait_node("edge-1", "Running").await;
    assert_eq!(core.rest.nodes().await.len(), 1, "it is the same node");

    let live = WebModule::register(core.ws, "/", core.rest.token()).await.record().await;
    let tools = dir.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let scene = Scene {
        dir: &tools,
        data: core.data(),
        rest: &core.rest,
        live: &live,
        node: id.clone(),
        ssh: trap(&core, "ssh").await,
        telnet: trap(&core, "telnet").await,
        http: trap(&core, "http").await,
    };
    scene.play().await;
    let by_name = core.rest.events("node=edge-1").await;
    assert!(
        !by_name.is_empty()
            && by_name.iter().all(|event| event["node"] == id && event["node_name"] == "edge-1")
    );
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_a_code_can_fail_has_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(&dir.path().join("core"), "").await;
    let other = Core::start(&dir.path().join("other"), "").await;
    let join = async |name: &str, code: &str| {
        let folder = dir.path().join(name);
        let args = ["join", code, "--enroll-only", "--name", name, "--dir", folder.to_str().unwrap()];
        shell::honeybee(dir.path(), &args).await
    };

    let expired = core.expired_code().await;
    refused(&join("expired", &expired).await, "HB0312", 3);

    let used = core.join_code(core.nodes).await;
    join("first", &used).await.ok();
    refused(&join("second", &used).await, "HB0313", 3);
    refused(&join("first", &core.join_code(core.nodes).await).await, "HB0317", 3);

    let (revoked, id) = core.invite(json!({})).await;
    assert_eq!(core.rest.delete(&format!("/api/v1/join-tokens/{id}")).await.status / 100, 2);
    refused(&join("revoked", &revoked).await, "HB0314", 3);

    let good = core.join_code(core.nodes).await;
    refused(&join("cut", &good[..good.len() - 7]).await, "HB0301", 2);
    refused(&join("nonsense", "hb1_nonsense").await, "HB0301", 2);

    let mut moved: JoinCode = good.parse().unwrap();
    moved.addresses = vec![other.nodes.to_string()];
    refused(&join("wrong-core", moved.encode().unwrap().expose()).await, "HB0311", 3);
    assert!(other.rest.nodes().await.is_empty(), "the other Core was told nothing");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = core.join_code(nobody).await;
    let finished = join("unreachable", &unreachable).await;
    refused(&finished, "HB0302", 1);
    assert!(finished.stderr.contains(&nobody.to_string()), "the address is named: {}", finished.all());

    assert_eq!(core.rest.nodes().await.len(), 1, "only one of them got in");
    assert!(core.rest.counter("node_auth_failures_total").await >= 3);
    let json = shell::honeybee(dir.path(), &["--json", "join", "hb1_nonsense"]).await;
    let said: Value = from_str(&json.stderr).unwrap();
    assert_eq!(said["error"]["code"], "HB0301", "{said}");
}

fn refused(finished: &Finished, code: &str, exit: i32) {
    assert_eq!(finished.code, Some(exit), "{}", finished.all());
    assert!(finished.stderr.contains(&format!("Error: {code}")), "{code} was expected: {}", finished.all());
    assert!(finished.stderr.contains("help"), "{}", finished.all());
}

async fn trap(core: &Core, kind: &str) -> SocketAddr {
    let pot = core.rest.wait_pot("edge-1", kind, "Running").await;
    pot["detail"]["listening"][0].as_str().unwrap_or_else(|| panic!("{pot}")).parse().unwrap()
}
