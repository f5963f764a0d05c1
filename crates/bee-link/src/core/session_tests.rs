//! The conversation, as Core leads it.

use bee_wire::NodeId;
use bee_wire::node::{NodeType, TotpResponse};

use super::*;

const ALL: &[&str] = feature::ALL;

fn at(mono_ms: u64) -> Now {
    Now::new(mono_ms, 1_800_000_000_000)
}

fn registration(features: &[&str]) -> NodeMessage {
    NodeMessage::NodeRegistration(Box::new(NodeRegistration {
        features: features.iter().map(|name| (*name).to_owned()).collect(),
        ..NodeRegistration::new(NodeId(7), "a", NodeType::Full)
    }))
}

fn accepted() -> Verdict {
    Verdict::Accept(Box::new(Accepted {
        node_id: NodeId(9),
        totp_key: Some("KEY".into()),
        sign: None,
        certificate: None,
        resume: Some(EventAck { stream: StreamId::new("s").unwrap(), next_seq: 4 }),
    }))
}

fn session() -> Session {
    Session::new(SessionConfig::default(), at(0))
}

fn feed(session: &mut Session, mono_ms: u64, input: Input) -> Vec<Output> {
    session.handle(at(mono_ms), input);
    std::iter::from_fn(|| session.poll_output()).collect()
}

fn live(features: &[&str]) -> (Session, RegistrationAck) {
    let mut session = session();
    feed(&mut session, 0, Input::Message(registration(features)));
    let outputs = feed(&mut session, 0, Input::Verdict(accepted()));
    let [Output::Send(CoreMessage::RegistrationAck(ack)), Output::Registered { .. }, Output::Status { .. }] =
        &outputs[..]
    else {
        panic!("{outputs:?}");
    };
    (session, ack.as_ref().clone())
}

fn heartbeat(id: u64, status: NodeStatus) -> NodeMessage {
    NodeMessage::NodeStatusUpdate(NodeStatusUpdate { node_id: NodeId(id), status, health: None })
}

fn malformed() -> DecodeError {
    DecodeError::Malformed { text: "no".into() }
}

fn closed_with(outputs: &[Output]) -> Option<ErrorCode> {
    match outputs.last() {
        Some(Output::Close { code, .. }) => *code,
        other => panic!("not closed: {other:?}"),
    }
}

#[test]
fn a_plain_peer_gets_a_plain_answer_and_ours_gets_the_rest() {
    let (_, plain) = live(&[]);
    assert_eq!((plain.heartbeat_interval_s, plain.resume, plain.features), (None, None, vec![]));
    assert_eq!(plain.totp_key, Some("KEY".into()));
    let (_, ours) = live(&["batch", "from_the_future"]);
    assert_eq!((ours.heartbeat_interval_s, ours.features), (Some(30), vec!["batch".to_owned()]));
    assert_eq!(ours.resume.unwrap().next_seq, 4);
}

#[test]
fn the_code_is_asked_for_and_the_answer_goes_to_the_registry() {
    let mut session = session();
    feed(&mut session, 0, Input::Message(registration(ALL)));
    assert!(!session.wants_message(), "nothing is read while the registry decides");
    let outputs = feed(&mut session, 0, Input::Verdict(Verdict::NeedCode));
    assert!(matches!(&outputs[..], [Output::Send(CoreMessage::TotpRequest(_))]), "{outputs:?}");
    let answer = TotpResponse { node_id: NodeId(7), totp_code: "123456".into() };
    let outputs = feed(&mut session, 0, Input::Message(NodeMessage::TotpResponse(answer)));
    let [Output::Decide(request)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(request.code(), Some("123456"));
}

#[test]
fn a_refused_peer_is_told_its_code_and_closed() {
    let mut session = session();
    feed(&mut session, 0, Input::Message(registration(&[])));
    let refuse = Verdict::Refuse { code: ErrorCode::NodePending, message: "wait".into() };
    let outputs = feed(&mut session, 0, Input::Verdict(refuse));
    let [Output::Send(CoreMessage::RegistrationAck(ack)), Output::Close { .. }] = &outputs[..] else {
        panic!("{outputs:?}");
    };
    assert_eq!((ack.accepted, ack.refusal_code()), (false, Some(ErrorCode::NodePending)));
    assert!(feed(&mut session, 0, Input::Message(registration(&[]))).is_empty(), "nothing after the end");
}

#[test]
fn messages_that_came_during_the_decision_are_handled_after_it() {
    let mut session = session();
    feed(&mut session, 0, Input::Message(registration(&[])));
    for _ in 0..40 {
        feed(&mut session, 0, Input::Message(heartbeat(7, NodeStatus::Running)));
    }
    let outputs = feed(&mut session, 0, Input::Verdict(accepted()));
    let running = Output::Status { status: NodeStatus::Running, health: None };
    assert_eq!(outputs.iter().filter(|output| **output == running).count(), HELD_MAX);
    assert_eq!(session.counters().held_refused, 40 - HELD_MAX as u64);
}

#[test]
fn three_unreadable_frames_in_a_row_end_an_unregistered_peer() {
    let mut peer = session();
    for _ in 0..5 {
        assert!(feed(&mut peer, 0, Input::Undecodable(malformed())).is_empty());
        assert!(feed(&mut peer, 0, Input::Garbage).is_empty());
        // A frame that can be read, even one that makes no sense yet, starts the count anew.
        assert!(feed(&mut peer, 0, Input::Message(heartbeat(7, NodeStatus::Running))).is_empty());
    }
    feed(&mut peer, 0, Input::Garbage);
    feed(&mut peer, 0, Input::Garbage);
    let outputs = feed(&mut peer, 0, Input::Undecodable(malformed()));
    assert_eq!(closed_with(&outputs), Some(ErrorCode::InvalidMessageFormat));
    assert_eq!((peer.counters().undecodable, peer.counters().misplaced), (13, 5));
}

#[test]
fn a_registered_peer_keeps_its_connection_whatever_it_sends() {
    let (mut ours, _) = live(ALL);
    let (mut plain, _) = live(&[]);
    for _ in 0..1_000 {
        let told = feed(&mut ours, 0, Input::Undecodable(malformed()));
        assert!(matches!(&told[..], [Output::Send(CoreMessage::Error(_))]), "{told:?}");
        assert!(feed(&mut plain, 0, Input::Garbage).is_empty(), "a plain peer knows no Error");
    }
    assert!(!ours.is_closed() && !plain.is_closed());
}

#[test]
fn another_version_is_answered_with_both_versions_and_closed() {
    let mut session = session();
    let outputs = feed(&mut session, 0, Input::Undecodable(DecodeError::VersionMismatch { peer: 1 }));
    let Output::Send(CoreMessage::RegistrationAck(ack)) = &outputs[0] else { panic!("{outputs:?}") };
    assert_eq!(ack.refusal_code(), Some(ErrorCode::ProtocolVersionMismatch));
    let text = ack.message.clone().unwrap();
    assert!(text.contains("version 2") && text.contains("version 1"), "{text}");
    assert_eq!(closed_with(&outputs), Some(ErrorCode::ProtocolVersionMismatch));
}

#[test]
fn a_peer_that_never_registers_and_one_over_the_limit_are_closed() {
    let mut slow = session();
    assert_eq!(slow.next_deadline(), Some(30_000));
    assert!(feed(&mut slow, 29_999, Input::Tick).is_empty());
    assert_eq!(closed_with(&feed(&mut slow, 30_000, Input::Tick)), Some(ErrorCode::AuthenticationFailed));
    assert_eq!(closed_with(&feed(&mut session(), 0, Input::FrameTooLarge)), Some(ErrorCode::MessageTooLarge));
}

#[test]
fn a_node_is_unknown_after_three_missed_heartbeats_and_back_with_the_next() {
    let (mut node, _) = live(ALL);
    feed(&mut node, 1_000, Input::Message(heartbeat(9, NodeStatus::Running)));
    assert!(feed(&mut node, 1_000 + 90_000, Input::Tick).is_empty(), "the third may be on its way");
    let due = node.next_deadline().unwrap();
    let silent = feed(&mut node, due, Input::Tick);
    assert_eq!(silent, [Output::Status { status: NodeStatus::Unknown, health: None }]);
    assert!(feed(&mut node, due + 1, Input::Tick).is_empty(), "said once");
    assert!(!node.is_closed());
    let head =
        BatchHead { node_id: NodeId(9), stream: StreamId::new("s").unwrap(), first_seq: 0, events_count: 1 };
    assert!(node.batch(at(due + 2), &head));
    assert_eq!(node.poll_output(), Some(Output::Status { status: NodeStatus::Running, health: None }));
}

#[test]
fn an_event_is_acknowledged_only_to_a_peer_that_numbers_them() {
    let stored = || Input::Stored { stream: StreamId::new("s").unwrap(), next_seq: 10 };
    let (mut ours, _) = live(ALL);
    let outputs = feed(&mut ours, 0, stored());
    assert!(matches!(&outputs[..], [Output::Send(CoreMessage::EventAck(EventAck { next_seq: 10, .. }))]));
    let (mut plain, _) = live(&[]);
    assert!(feed(&mut plain, 0, stored()).is_empty());
}

#[test]
fn a_batch_before_the_registration_is_not_ingested() {
    let mut session = session();
    let head =
        BatchHead { node_id: NodeId(9), stream: StreamId::new("s").unwrap(), first_seq: 0, events_count: 1 };
    assert!(!session.batch(at(0), &head));
    assert_eq!(session.counters().misplaced, 1);
}

#[test]
fn a_replaced_connection_is_told_why_in_words_it_knows() {
    let (mut ours, _) = live(ALL);
    let outputs = feed(&mut ours, 0, Input::Replaced);
    assert!(
        matches!(&outputs[0], Output::Send(CoreMessage::Error(e)) if e.code == ErrorCode::NodeAlreadyRegistered)
    );
    assert!(matches!(outputs[1], Output::Gone { clean: false }), "{outputs:?}");
    assert_eq!(closed_with(&outputs), Some(ErrorCode::NodeAlreadyRegistered));
    let (mut plain, _) = live(&[]);
    let outputs = feed(&mut plain, 0, Input::Replaced);
    assert!(matches!(&outputs[0], Output::Send(CoreMessage::RegistrationAck(ack)) if !ack.accepted));
}

#[test]
fn a_goodbye_is_clean_and_a_lost_connection_is_not() {
    let (mut leaves, _) = live(ALL);
    assert_eq!(feed(&mut leaves, 0, Input::Message(NodeMessage::NodeDrop))[0], Output::Gone { clean: true });
    let (mut lost, _) = live(ALL);
    assert_eq!(feed(&mut lost, 0, Input::Closed)[0], Output::Gone { clean: false });
    let mut stranger = session();
    assert!(matches!(feed(&mut stranger, 0, Input::Closed)[..], [Output::Close { code: None, .. }]));
}

#[test]
fn a_message_that_names_another_node_counts_as_the_senders() {
    let (mut node, _) = live(&[]);
    for id in [7, 9, 1_234] {
        feed(&mut node, 0, Input::Message(heartbeat(id, NodeStatus::Running)));
    }
    assert_eq!(node.counters().foreign_node_ids, 1, "its claimed id and its own are both its own");
    assert_eq!(node.node_id(), Some(NodeId(9)));
}

#[test]
fn a_command_has_an_id_only_for_a_peer_that_answers() {
    let outgoing = || Outgoing {
        command_id: bee_wire::CommandId(uuid::Uuid::from_u128(1)),
        command: bee_wire::Command::Stop,
        deadline_unix_ms: 5,
    };
    for (features, answered) in [(ALL, true), (&[] as &[&str], false)] {
        let (mut node, _) = live(features);
        let outputs = feed(&mut node, 0, Input::Command(outgoing()));
        let [Output::Send(CoreMessage::NodeCommand(sent)), Output::CommandSent { answered: said, .. }] =
            &outputs[..]
        else {
            panic!("{outputs:?}");
        };
        assert_eq!(
            (sent.command_id.is_some(), sent.deadline.is_some(), *said),
            (answered, answered, answered)
        );
    }
}
