//! Joining over TLS, and what can go wrong with it.

use bee_node::{JoinError, JoinOptions, JoinStep, join};
use bee_wire::ErrorCode;

use crate::{
    core::{Core, TOTP_KEY},
    harness::{free_port, line, send_plain, start_in},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_joins_step_by_step_and_its_node_comes_up_over_mutual_tls() {
    let core = Core::tls().await;
    let dir = tempfile::tempdir().unwrap();
    let options = JoinOptions::new("edge-1", dir.path().join("node"));
    let mut steps = Vec::new();
    let joined =
        join(&core.join_code("a-secret-of-some-length"), &options, |step| steps.push(step)).await.unwrap();
    assert!(joined.heartbeat_acknowledged);
    assert!(
        matches!(
            steps.as_slice(),
            [
                JoinStep::Reached { .. },
                JoinStep::Verified { .. },
                JoinStep::Enrolled { .. },
                JoinStep::HeartbeatAcknowledged
            ]
        ),
        "{steps:?}"
    );
    core.seen(|seen| {
        let registration = &seen.registrations[0];
        assert_eq!(registration.enrollment_token.as_ref().unwrap().expose(), "a-secret-of-some-length");
        assert!(registration.csr.is_some());
    });
    let secret = dir.path().join("node").join(bee_node::state::TOTP_SECRET_FILE);
    assert_eq!(std::fs::read_to_string(secret).unwrap(), TOTP_KEY);
    let again = join(&core.join_code("a-secret-of-some-length"), &options, |_| {}).await.unwrap_err();
    assert!(matches!(again, JoinError::AlreadyJoined(_)), "{again}");

    let node = start_in(dir, &core.address, |_| {}).await;
    send_plain(node.port, line(1).as_bytes()).await;
    core.until("an event over TLS", |seen| seen.events.len() == 1).await;
    core.seen(|seen| {
        let registration = &seen.registrations[1];
        assert_eq!(registration.node_id, joined.node_id);
        assert!(registration.enrollment_token.is_none() && registration.csr.is_none());
        assert!(registration.totp_code.is_some());
    });
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_by_a_code_in_its_config_too() {
    let core = Core::tls().await;
    let dir = tempfile::tempdir().unwrap();
    let code = core.join_code("a-secret-of-some-length").parse().unwrap();
    let node = start_in(dir, &core.address, |config| config.join_code = Some(code)).await;
    core.until("the registration", |seen| seen.registrations.len() == 1 && seen.live == 1).await;
    crate::harness::eventually("the kept CA and certificate", || {
        node.state().join("ca.pem").exists() && node.state().join("client.pem").exists()
    })
    .await;
    let dir = node.stop().await;
    // Without the code: everything needed was kept.
    let node = start_in(dir, &core.address, |_| {}).await;
    core.until("the second registration", |seen| seen.registrations.len() == 2).await;
    core.seen(|seen| assert!(seen.registrations[1].enrollment_token.is_none()));
    node.stop().await;
}

async fn failure(core: &Core, code: &str) -> JoinError {
    let dir = tempfile::tempdir().unwrap();
    let options = JoinOptions::new("edge-1", dir.path().join("node"));
    let error = join(code, &options, |_| {}).await.unwrap_err();
    assert!(!dir.path().join("node/ca.pem").exists(), "nothing is kept of a Core that was not joined");
    let _ = core;
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_fail_is_told_apart() {
    let core = Core::tls().await;
    let other = Core::tls().await;
    let secret = "a-secret-of-some-length";
    // The other Core's pin with this Core's address.
    let mut code: bee_wire::JoinCode = other.join_code(secret).parse().unwrap();
    code.addresses = vec![core.address.clone()];
    let error = failure(&core, code.encode().unwrap().expose()).await;
    assert!(matches!(error, JoinError::WrongCore { .. }), "{error}");
    code.addresses = vec![format!("127.0.0.1:{}", free_port().await)];
    let error = failure(&core, code.encode().unwrap().expose()).await;
    assert!(matches!(error, JoinError::Unreachable { .. }), "{error}");
    for (text, is) in [
        ("this join token has expired; ask", "expired"),
        ("this join token is used up; ask", "used up"),
        ("this join token was revoked; ask", "revoked"),
        ("no such token", "refused this node"),
    ] {
        core.behave(|manners| manners.refusal = Some((ErrorCode::AuthenticationFailed, text.into())));
        let error = failure(&core, &core.join_code(secret)).await;
        assert!(error.to_string().contains(is), "{error}");
    }
    core.behave(|manners| manners.refusal = Some((ErrorCode::NodePending, "wait".into())));
    assert!(matches!(failure(&core, &core.join_code(secret)).await, JoinError::Pending));
}
