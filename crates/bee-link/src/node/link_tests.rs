//! The conversation, as a node leads it.

use bee_wire::core::TotpRequest;
use bee_wire::node::NodeType;
use bee_wire::{Micros, StreamId};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;
use crate::backoff::BackoffConfig;
use crate::node::{BatchRequest, CommandPhase};

const UNIX_MS: i64 = 1_800_000_000_000;
const KEY: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

struct Node {
    link: NodeLink,
    rng: ChaCha8Rng,
    mono_ms: u64,
}

impl Node {
    fn new(credentials: Credentials, memories: Vec<CommandMemory>) -> Self {
        let identity = Identity {
            node_id: NodeId(7),
            node_name: "a".into(),
            address: String::new(),
            port: 0,
            node_type: NodeType::Full,
            software: None,
            os: None,
            arch: None,
            hostname: None,
            boot_id: None,
        };
        let config = LinkConfig {
            backoff: BackoffConfig { base_ms: 100, cap_ms: 1_000 },
            window_batches_max: 2,
            ..LinkConfig::default()
        };
        let link = NodeLink::new(identity, credentials, config, memories);
        Node { link, rng: ChaCha8Rng::seed_from_u64(1), mono_ms: 0 }
    }

    fn joining() -> Self {
        let credentials = Credentials { enrollment_token: Some("token".into()), ..Credentials::default() };
        Node::new(credentials, Vec::new())
    }

    fn enrolled() -> Self {
        let totp_key = Some(TotpKey::from_base32(KEY).unwrap());
        Node::new(Credentials { totp_key, ..Credentials::default() }, Vec::new())
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        let now = Now::new(self.mono_ms, UNIX_MS + self.mono_ms as i64);
        self.link.handle(now, &mut self.rng, input);
        std::iter::from_fn(|| self.link.poll_output()).collect()
    }

    /// Lets time pass to the next deadline.
    fn wait(&mut self) -> Vec<Output> {
        self.mono_ms = self.link.next_deadline().expect("something to wait for");
        self.feed(Input::Tick)
    }

    fn connect(&mut self) -> NodeRegistration {
        self.feed(Input::Start);
        self.register()
    }

    fn register(&mut self) -> NodeRegistration {
        let outputs = self.feed(Input::Connected);
        let [Output::Send(NodeMessage::NodeRegistration(registration))] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        registration.as_ref().clone()
    }

    fn accept(&mut self, ack: RegistrationAck) -> Vec<Output> {
        self.feed(Input::Message(CoreMessage::RegistrationAck(Box::new(ack))))
    }

    fn live() -> Self {
        let mut node = Node::enrolled();
        node.connect();
        node.accept(ack());
        node
    }

    fn spool(&mut self, first_seq: u64, next_seq: u64) -> Vec<Output> {
        self.feed(Input::SpoolAdvanced { stream: stream("s"), first_seq, next_seq })
    }

    fn ack(&mut self, next_seq: u64) -> Vec<Output> {
        self.feed(Input::Message(CoreMessage::EventAck(EventAck { stream: stream("s"), next_seq })))
    }

    fn command(&mut self, command: Command, id: u128, deadline_ms: i64) -> Vec<Output> {
        self.feed(Input::Message(CoreMessage::NodeCommand(NodeCommand {
            node_id: NodeId(7),
            command,
            command_id: Some(command_id(id)),
            deadline: Some(Micros::from_unix_ms(UNIX_MS + deadline_ms)),
        })))
    }
}

fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

fn command_id(id: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(id))
}

fn ack() -> RegistrationAck {
    RegistrationAck {
        node_id: Some(NodeId(9)),
        accepted: true,
        features: feature::ALL.iter().map(|name| (*name).to_owned()).collect(),
        ..RegistrationAck::default()
    }
}

fn batches(outputs: &[Output]) -> Vec<u64> {
    let first_seq = |output: &Output| match output {
        Output::SendBatch(BatchRequest { first_seq, .. }) => Some(*first_seq),
        _ => None,
    };
    outputs.iter().filter_map(first_seq).collect()
}

fn results(outputs: &[Output]) -> Vec<bool> {
    let ok = |output: &Output| match output {
        Output::Send(NodeMessage::CommandResult(result)) => Some(result.ok),
        _ => None,
    };
    outputs.iter().filter_map(ok).collect()
}

#[test]
fn a_join_brings_a_key_that_is_saved_before_anything_else_and_ends_the_token() {
    let mut node = Node::joining();
    let first = node.connect();
    assert_eq!((first.enrollment_token, first.totp_code), (Some("token".into()), None));
    let outputs = node.accept(RegistrationAck { totp_key: Some(KEY.into()), ..ack() });
    assert!(
        matches!(&outputs[0], Output::Save(Save::Credentials { node_id: NodeId(9), totp_key: Some(_), .. })),
        "{outputs:?}"
    );
    node.feed(Input::Closed);
    node.wait();
    let again = node.register();
    assert_eq!((again.node_id, again.enrollment_token), (NodeId(9), None));
    assert_eq!(again.totp_code.unwrap().expose().len(), 6);
}

#[test]
fn a_node_without_a_certificate_waits_for_a_fresh_code_and_one_with_does_not() {
    for (has_certificate, waits) in [(false, true), (true, false)] {
        let mut node = Node::enrolled();
        node.link.credentials.has_certificate = has_certificate;
        let code = node.connect().totp_code;
        node.feed(Input::Closed);
        while !node.wait().contains(&Output::Connect) {}
        assert_eq!(node.register().totp_code != code, waits);
        assert_eq!(node.mono_ms >= 30_000, waits, "at {} ms", node.mono_ms);
    }
}

#[test]
fn a_code_is_given_when_it_is_asked_for_and_an_empty_one_where_there_is_no_key() {
    for (mut node, length) in [(Node::enrolled(), 6), (Node::joining(), 0)] {
        node.connect();
        let outputs = node.feed(Input::Message(CoreMessage::TotpRequest(TotpRequest { node_id: NodeId(7) })));
        let [Output::Send(NodeMessage::TotpResponse(response))] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!(response.totp_code.expose().len(), length);
    }
}

#[test]
fn heartbeats_keep_the_interval_that_core_names() {
    let mut node = Node::enrolled();
    node.connect();
    node.accept(RegistrationAck { heartbeat_interval_s: Some(5), ..ack() });
    for n in 1..=3 {
        let outputs = node.wait();
        assert!(matches!(&outputs[..], [Output::Send(NodeMessage::NodeStatusUpdate(_))]), "{outputs:?}");
        assert_eq!(node.mono_ms, n * 5_000);
    }
}

#[test]
fn the_window_holds_batches_back_until_they_are_acknowledged() {
    let mut node = Node::live();
    assert_eq!(batches(&node.spool(0, 100)), [0]);
    assert_eq!(batches(&node.spool(0, 120)), [] as [u64; 0], "one request at a time");
    assert_eq!(batches(&node.feed(Input::BatchSent { next_seq: 50, bytes: 10 })), [50]);
    assert_eq!(batches(&node.feed(Input::BatchSent { next_seq: 60, bytes: 10 })), [] as [u64; 0]);
    let outputs = node.ack(50);
    assert_eq!(outputs[0], Output::TruncateSpool { stream: stream("s"), below: 50 });
    assert_eq!(batches(&outputs), [60]);
}

#[test]
fn after_a_reconnect_only_what_is_not_durable_is_sent_again() {
    let mut node = Node::live();
    node.spool(0, 100);
    node.feed(Input::BatchSent { next_seq: 80, bytes: 10 });
    node.feed(Input::Closed);
    while !node.wait().contains(&Output::Connect) {}
    node.register();
    let resume = Some(EventAck { stream: stream("s"), next_seq: 30 });
    let outputs = node.accept(RegistrationAck { resume, ..ack() });
    assert!(outputs.contains(&Output::TruncateSpool { stream: stream("s"), below: 30 }));
    assert_eq!(batches(&outputs), [30]);
}

#[test]
fn a_spool_that_dropped_its_oldest_goes_on_behind_them() {
    let mut node = Node::live();
    node.spool(0, 0);
    assert_eq!(batches(&node.spool(40, 100)), [40]);
    // Nothing could be read there: no busy loop, but another try once the spool moves.
    assert_eq!(batches(&node.feed(Input::BatchSent { next_seq: 40, bytes: 0 })), [] as [u64; 0]);
    assert_eq!(batches(&node.spool(60, 101)), [60]);
}

#[test]
fn an_old_copy_of_a_spool_is_given_up_before_anything_is_sent() {
    let mut node = Node::enrolled();
    node.spool(0, 100);
    node.connect();
    let resume = Some(EventAck { stream: stream("s"), next_seq: 150 });
    let outputs = node.accept(RegistrationAck { resume, ..ack() });
    assert_eq!(outputs.last(), Some(&Output::RenewStream { stream: stream("s"), core_next_seq: 150 }));
    assert_eq!(batches(&node.spool(0, 110)), [] as [u64; 0]);
    let renewed = Input::SpoolAdvanced { stream: stream("t"), first_seq: 0, next_seq: 3 };
    assert_eq!(batches(&node.feed(renewed)), [0]);
}

#[test]
fn a_core_without_batches_gets_single_events_once() {
    let mut node = Node::enrolled();
    node.spool(0, 10);
    node.connect();
    let outputs = node.accept(RegistrationAck { features: Vec::new(), ..ack() });
    assert!(outputs.iter().any(|output| matches!(output, Output::SendBatch(b) if !b.numbered)));
    let outputs = node.feed(Input::BatchSent { next_seq: 10, bytes: 1 });
    assert_eq!(outputs, [Output::TruncateSpool { stream: stream("s"), below: 10 }]);
    node.feed(Input::Closed);
    while !node.wait().contains(&Output::Connect) {}
    node.register();
    let outputs = node.accept(RegistrationAck { features: Vec::new(), ..ack() });
    assert_eq!(batches(&outputs), [] as [u64; 0], "the spool keeps whole segments, but these were sent");
}

#[test]
fn a_command_runs_once_and_a_repeat_is_answered_from_memory() {
    let mut node = Node::live();
    let outputs = node.command(Command::GetInstalledPots, 1, 60_000);
    assert!(matches!(&outputs[..], [Output::Save(Save::Command(_)), Output::Run { .. }]), "{outputs:?}");
    assert!(node.command(Command::GetInstalledPots, 1, 60_000).is_empty());
    let done =
        || Input::CommandFinished { command_id: Some(command_id(1)), outcome: CommandOutcome::ok(None) };
    let outputs = node.feed(done());
    assert!(matches!(outputs[0], Output::Save(Save::Command(_))), "saved before it is told");
    assert_eq!(results(&outputs), [true]);
    assert_eq!(results(&node.command(Command::GetInstalledPots, 1, 60_000)), [true]);
    assert!(node.feed(done()).is_empty());
}

#[test]
fn a_result_that_came_while_the_link_was_down_is_told_at_the_next_registration() {
    let mut node = Node::live();
    node.command(Command::GetInstalledPots, 1, 60_000);
    node.feed(Input::Closed);
    let outcome = CommandOutcome::ok(None);
    assert_eq!(
        results(&node.feed(Input::CommandFinished { command_id: Some(command_id(1)), outcome })),
        [] as [bool; 0]
    );
    while !node.wait().contains(&Output::Connect) {}
    node.register();
    assert_eq!(results(&node.accept(ack())), [true]);
}

#[test]
fn a_command_cut_short_by_a_restart_ends_as_failed_and_does_not_run_again() {
    let memory =
        CommandMemory { command_id: command_id(1), received_unix_ms: 0, phase: CommandPhase::Running };
    let mut node = Node::new(Credentials::default(), vec![memory]);
    assert!(matches!(&node.feed(Input::Start)[..], [Output::Save(_), Output::Connect]));
    node.register();
    assert_eq!(results(&node.accept(ack())), [false]);
    assert_eq!(results(&node.command(Command::GetInstalledPots, 1, 60_000)), [false]);
}

#[test]
fn a_command_past_its_deadline_is_refused_and_one_that_takes_too_long_is_given_up() {
    let mut node = Node::live();
    assert_eq!(results(&node.command(Command::GetInstalledPots, 1, -100_000)), [false]);
    node.command(Command::GetInstalledPots, 2, 5_000);
    let mut outputs = Vec::new();
    while results(&outputs).is_empty() {
        outputs = node.wait();
    }
    assert_eq!(outputs[0], Output::Abandon { command_id: command_id(2) });
    assert_eq!(results(&outputs), [false]);
}

#[test]
fn leaving_says_goodbye_in_the_order_of_the_protocol() {
    let mut node = Node::live();
    let outputs = node.feed(Input::Leave);
    assert!(
        matches!(
            &outputs[..],
            [
                Output::Send(NodeMessage::NodeStatusUpdate(NodeStatusUpdate {
                    status: NodeStatus::Stopped,
                    ..
                })),
                Output::Send(NodeMessage::NodeEvent(NodeEvent { kind: NodeEventKind::Stopped, .. })),
                Output::Send(NodeMessage::NodeDrop),
                Output::Close { .. },
                Output::Left,
            ]
        ),
        "{outputs:?}"
    );
    assert!(node.feed(Input::Start).is_empty());
    assert_eq!(node.link.next_deadline(), None);
}

#[test]
fn a_core_that_says_nothing_or_nonsense_or_acknowledges_nothing_is_left() {
    let mut silent = Node::enrolled();
    silent.connect();
    assert!(matches!(&silent.wait()[..], [Output::Close { .. }]));
    let mut babbling = Node::enrolled();
    babbling.connect();
    assert!(babbling.feed(Input::Garbage).is_empty() && babbling.feed(Input::Garbage).is_empty());
    assert!(matches!(&babbling.feed(Input::Garbage)[..], [Output::Close { .. }]));
    let mut stuck = Node::live();
    stuck.spool(0, 1);
    stuck.feed(Input::BatchSent { next_seq: 1, bytes: 1 });
    while !stuck.wait().iter().any(|output| matches!(output, Output::Close { .. })) {}
    assert_eq!(stuck.mono_ms, 120_000);
}

#[test]
fn a_node_that_waits_for_approval_keeps_asking_at_a_steady_pace() {
    let mut node = Node::joining();
    node.connect();
    for _ in 0..20 {
        let pending = RegistrationAck::refused(None, ErrorCode::NodePending, "wait");
        let outputs = node.accept(pending);
        assert!(matches!(outputs[0], Output::Refused { code: Some(ErrorCode::NodePending), .. }));
        let before = node.mono_ms;
        assert!(node.wait().contains(&Output::Connect));
        assert!((5_000..=10_000).contains(&(node.mono_ms - before)));
        node.register();
    }
}
