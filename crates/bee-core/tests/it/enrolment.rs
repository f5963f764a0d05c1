//! Who gets in: tokens, approval, codes, certificates, and who does not.

use bee_wire::api::JoinTokenRequest;
use bee_wire::node::TotpResponse;
use bee_wire::{CoreMessage, ErrorCode, JoinCode, NodeId, NodeMessage, Secret};

use crate::harness::{OPEN, identity, node_key, registration, start};

async fn join_secret(core: &crate::harness::TestCore, request: JoinTokenRequest) -> (String, Secret) {
    let made = core.handle.create_join_token(request).await.unwrap();
    let code: JoinCode = made.code.expose().parse().unwrap();
    assert_eq!(code.addresses, [core.handle.addresses().nodes.to_string()]);
    (made.token.id, code.secret)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_token_enrols_over_tls_and_certificate_and_code_bring_the_node_back() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), "[tls]\nmode = \"required\"\n").await;
    let (_, secret) = join_secret(&core, JoinTokenRequest::default()).await;

    let key = node_key();
    let mut first = registration(0, "edge-1");
    first.enrollment_token = Some(secret.clone());
    first.csr = Some(key.csr_pem.clone());
    let mut peer = core.tls(None).await;
    let ack = peer.register(first.clone()).await;
    assert!(ack.accepted, "{ack:?}");
    let node_id = ack.node_id.unwrap();
    assert!(node_id.0 > 0 && node_id.0 < NodeId::MINTED_BELOW);
    let totp = ack.totp_key.unwrap().expose().to_owned();
    let certificate = ack.certificate.unwrap();
    drop(peer);

    // The token had one use.
    let mut thief = core.tls(None).await;
    let mut other = first.clone();
    other.node_name = "thief".into();
    let refused = thief.register(other).await;
    assert_eq!((refused.accepted, refused.refusal_code()), (false, Some(ErrorCode::AuthenticationFailed)));

    // Back with the certificate and a fresh code; the record survives a restart.
    let clock = core.stop().await;
    let core = crate::harness::start_at(dir.path(), "[tls]\nmode = \"required\"\n", clock).await;
    core.clock.advance_ms(31_000);
    let mut again = registration(node_id.0, "edge-1");
    again.totp_code = Some(Secret::new(core.code(&totp)));
    let mut peer = core.tls(Some(identity(&key, &certificate, dir.path()))).await;
    let ack = peer.register(again).await;
    assert!(ack.accepted && ack.totp_key.is_none(), "{ack:?}");
    let detail = core.handle.node(node_id).unwrap();
    assert!(detail.tls && detail.node.connected && detail.certificate_sha256.is_some());

    // The same certificate cannot speak for another node.
    let mut forged = core.tls(Some(identity(&key, &certificate, dir.path()))).await;
    let refused = forged.register(registration(node_id.0 + 1, "other")).await;
    assert!(!refused.accepted, "{refused:?}");
    assert!(core.counter("node_registrations_refused_total") >= 1);
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_good_once_and_core_asks_for_a_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (peer, ack) = core.node(7, "n").await;
    let totp = ack.totp_key.unwrap().expose().to_owned();
    drop(peer);

    core.clock.advance_ms(31_000);
    let code = core.code(&totp);
    let mut with_code = registration(7, "n");
    with_code.totp_code = Some(Secret::new(code.clone()));
    let mut peer = core.plain().await;
    assert!(peer.register(with_code.clone()).await.accepted);
    drop(peer);
    let mut replay = core.plain().await;
    let refused = replay.register(with_code).await;
    assert_eq!(refused.refusal_code(), Some(ErrorCode::AuthenticationFailed), "{refused:?}");
    replay.closed().await;
    core.until("the failure is counted", |core| core.counters().node_auth_failures.get() == 1).await;

    core.clock.advance_ms(31_000);
    let mut asked = core.plain().await;
    asked.send(&NodeMessage::NodeRegistration(Box::new(registration(7, "n")))).await;
    assert!(matches!(asked.recv().await, Some(CoreMessage::TotpRequest(_))));
    let response = TotpResponse { node_id: NodeId(7), totp_code: Secret::new(core.code(&totp)) };
    asked.send(&NodeMessage::TotpResponse(response)).await;
    assert!(matches!(asked.recv().await, Some(CoreMessage::RegistrationAck(ack)) if ack.accepted));
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_node_waits_until_an_operator_approves_it() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), "[enrollment]\nmode = \"approve\"\n").await;
    for _ in 0..2 {
        let refused = core.plain().await.register(registration(11, "new")).await;
        assert_eq!(refused.refusal_code(), Some(ErrorCode::NodePending), "{refused:?}");
    }
    let pending = core.handle.pending();
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].node_name.as_str(), pending[0].attempts), ("new", 2));
    // Pending nodes survive a restart.
    let clock = core.stop().await;
    let core = crate::harness::start_at(dir.path(), "[enrollment]\nmode = \"approve\"\n", clock).await;
    core.handle.approve(NodeId(11)).await.unwrap();
    assert!(core.handle.pending().is_empty());
    let (_peer, ack) = core.node(11, "new").await;
    assert!(ack.totp_key.is_some());

    let refused = core.plain().await.register(registration(12, "bad")).await;
    assert_eq!(refused.refusal_code(), Some(ErrorCode::NodePending));
    core.handle.refuse(NodeId(12)).await.unwrap();
    let refused = core.plain().await.register(registration(12, "bad")).await;
    assert!(!refused.accepted);
    assert!(core.handle.pending().is_empty());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_and_revoked_join_tokens_let_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), "").await;
    let (_, expired) =
        join_secret(&core, JoinTokenRequest { expires_in_s: Some(60), ..Default::default() }).await;
    let (id, revoked) = join_secret(&core, JoinTokenRequest { uses: Some(5), ..Default::default() }).await;
    core.handle.revoke_join_token(&id).await.unwrap();
    core.clock.advance_ms(61_000);
    for (secret, name) in [(expired, "a"), (revoked, "b")] {
        let mut request = registration(0, name);
        request.enrollment_token = Some(secret);
        let refused = core.plain().await.register(request).await;
        assert!(!refused.accepted && refused.message.is_some(), "{refused:?}");
    }
    let refused = core.plain().await.register(registration(0, "c")).await;
    assert!(!refused.accepted, "without a token nobody gets in");
    assert!(core.handle.nodes().is_empty());
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_told_and_has_to_enrol_again() {
    let dir = tempfile::tempdir().unwrap();
    let core = start(dir.path(), OPEN).await;
    let (mut peer, _) = core.node(5, "gone").await;
    core.handle.remove_node(NodeId(5)).await.unwrap();
    peer.closed().await;
    assert!(core.handle.nodes().is_empty());
    assert!(core.handle.remove_node(NodeId(5)).await.is_err());
    core.stop().await;
}
