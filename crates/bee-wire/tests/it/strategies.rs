//! Arbitrary messages.

use bee_wire::api::{Alert, Category, Event, EventQuery, Node, Pot, Severity};
use bee_wire::command::{Command, InstallPot, NodeSpec, PotSpec, UpdateConfig};
use bee_wire::core::{CoreMessage, ErrorReply, EventAck, NodeCommand, RegistrationAck, TotpRequest};
use bee_wire::event::{PotEvent, PotEventBatch};
use bee_wire::id::{ArtifactId, CommandId, Cursor, NodeId, RequestId, StreamId};
use bee_wire::module::*;
use bee_wire::node::*;
use bee_wire::{ErrorCode, Micros, Secret};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9.-]{1,12}", 1 => any::<String>()]
}

fn secret() -> impl Strategy<Value = Secret> {
    ".{1,20}".prop_map(Secret::new)
}

fn node_id() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn cursor() -> impl Strategy<Value = Cursor> {
    any::<u64>().prop_map(Cursor)
}

fn time() -> impl Strategy<Value = Micros> {
    any::<i64>().prop_map(|us| Micros::from_unix_us(us / 20))
}

fn stream() -> impl Strategy<Value = StreamId> {
    "[A-Za-z0-9._-]{1,80}".prop_map(|text| StreamId::new(text).unwrap())
}

fn artifact() -> impl Strategy<Value = ArtifactId> {
    any::<[u8; 32]>().prop_map(ArtifactId)
}

fn command_id() -> impl Strategy<Value = CommandId> {
    any::<u128>().prop_map(|bits| CommandId(uuid::Uuid::from_u128(bits)))
}

/// Never null, which reads as absent; floats only where text and bits agree.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(|n| Value::from(f64::from(n) / 8.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

fn data() -> impl Strategy<Value = Box<RawValue>> {
    (btree_map(text(), value(), 0..5), any::<bool>()).prop_map(|(map, spaced)| {
        let text = if spaced { serde_json::to_string_pretty(&map) } else { serde_json::to_string(&map) };
        RawValue::from_string(text.unwrap()).unwrap()
    })
}

fn event(node_id: impl Strategy<Value = Option<NodeId>>) -> impl Strategy<Value = PotEvent> {
    (node_id, text(), of("[a-z]{1,8}"), "[a-z.]{1,20}", of(time()), data()).prop_map(
        |(node_id, pot_id, pot_type, event_type, timestamp, data)| PotEvent {
            node_id,
            pot_id,
            pot_type,
            event_type,
            timestamp,
            data,
        },
    )
}

fn install() -> impl Strategy<Value = InstallPot> {
    (text(), text(), of(text()), of(text()), btree_map(text(), text(), 0..4), any::<bool>()).prop_map(
        |(pot_id, honeypot_type, git_url, git_branch, config, auto_start)| InstallPot {
            pot_id,
            honeypot_type,
            git_url,
            git_branch,
            config,
            auto_start,
        },
    )
}

fn pot_spec() -> impl Strategy<Value = PotSpec> {
    (text(), text(), of(text()), btree_map(text(), text(), 0..4), any::<bool>()).prop_map(
        |(pot_id, honeypot_type, version, config, running)| PotSpec {
            pot_id,
            honeypot_type,
            version,
            config,
            running,
        },
    )
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let about_a_pot: Vec<fn(String) -> Command> = vec![
        Command::DeployPot,
        Command::StopPot,
        Command::RestartPot,
        Command::GetPotStatus,
        Command::GetPotInfo,
        Command::GetPotLogs,
        Command::GetPotMetrics,
        Command::RemovePot,
    ];
    let bare = vec![Command::GetInstalledPots, Command::Restart, Command::Stop, Command::Status];
    prop_oneof![
        install().prop_map(Command::InstallPot),
        install().prop_map(Command::UpdatePot),
        (select(about_a_pot), text()).prop_map(|(command, id)| command(id)),
        select(bare),
        of(value()).prop_map(|config| Command::UpdateConfig(UpdateConfig { config })),
        (any::<u64>(), vec(pot_spec(), 0..3))
            .prop_map(|(revision, pots)| Command::ApplySpec(NodeSpec { revision, pots })),
    ]
}

fn registration() -> impl Strategy<Value = NodeRegistration> {
    let plain = (node_id(), text(), text(), any::<u16>(), select(NodeType::ALL), of("[0-9]{6}"));
    let ours = (
        vec(text(), 0..4),
        of(secret()),
        of(text()),
        of(text()),
        of(text()),
        of(text()),
        of(text()),
        of(text()),
    );
    (plain, ours).prop_map(|(plain, ours)| {
        let (node_id, node_name, address, port, node_type, totp_code) = plain;
        let (features, enrollment_token, software, os, arch, hostname, boot_id, csr) = ours;
        let totp_code = totp_code.map(Secret::new);
        NodeRegistration {
            node_id,
            node_name,
            address,
            port,
            node_type,
            totp_code,
            features,
            enrollment_token,
            software,
            os,
            arch,
            hostname,
            boot_id,
            csr,
        }
    })
}

fn health() -> impl Strategy<Value = Health> {
    (any::<u16>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<i64>()).prop_map(
        |(eighths, a, b, c, clock_ms)| Health {
            cpu_percent: f64::from(eighths) / 8.0,
            rss_bytes: a,
            disk_free_bytes: b,
            load1: f64::from(eighths) / 16.0,
            spool_events: c,
            spool_bytes: a,
            uptime_s: b,
            clock_ms,
        },
    )
}

pub(crate) fn node_message() -> impl Strategy<Value = NodeMessage> {
    prop_oneof![
        registration().prop_map(|message| NodeMessage::NodeRegistration(Box::new(message))),
        (node_id(), secret())
            .prop_map(|(node_id, totp_code)| NodeMessage::TotpResponse(TotpResponse { node_id, totp_code })),
        (node_id(), select(NodeStatus::ALL), of(health())).prop_map(|(node_id, status, health)| {
            NodeMessage::NodeStatusUpdate(NodeStatusUpdate { node_id, status, health })
        }),
        (select(NodeEventKind::ALL), of(text()), of(text())).prop_map(|(kind, message, description)| {
            NodeMessage::NodeEvent(NodeEvent { kind, message, description })
        }),
        (node_id(), text(), text(), select(PotStatus::ALL), of(text()), of(value())).prop_map(
            |(node_id, pot_id, pot_type, status, message, detail)| {
                NodeMessage::PotStatusUpdate(PotStatusUpdate {
                    node_id,
                    pot_id,
                    pot_type,
                    status,
                    message,
                    detail,
                })
            }
        ),
        event(of(node_id())).prop_map(NodeMessage::PotEvent),
        (node_id(), stream(), any::<u32>(), vec(event(Just(None)), 0..4)).prop_map(
            |(node_id, stream, first_seq, events)| {
                NodeMessage::PotEventBatch(PotEventBatch {
                    node_id,
                    stream,
                    first_seq: first_seq.into(),
                    events,
                })
            }
        ),
        (node_id(), command_id(), any::<bool>(), of(select(ErrorCode::ALL)), of(text()), of(value()))
            .prop_map(|(node_id, command_id, ok, code, message, data)| {
                NodeMessage::CommandResult(CommandResult { node_id, command_id, ok, code, message, data })
            }),
        (node_id(), artifact(), select(ArtifactKind::ALL), any::<u64>(), of(text())).prop_map(
            |(node_id, artifact, kind, size, pot_id)| {
                NodeMessage::ArtifactBegin(ArtifactBegin { node_id, artifact, kind, size, pot_id })
            }
        ),
        (node_id(), artifact(), any::<u64>(), vec(any::<u8>(), 0..100)).prop_map(
            |(node_id, artifact, offset, data)| {
                NodeMessage::ArtifactChunk(ArtifactChunk { node_id, artifact, offset, data })
            }
        ),
        (node_id(), artifact())
            .prop_map(|(node_id, artifact)| NodeMessage::ArtifactEnd(ArtifactEnd { node_id, artifact })),
        Just(NodeMessage::NodeDrop),
    ]
}

fn event_ack() -> impl Strategy<Value = EventAck> {
    (stream(), any::<u64>()).prop_map(|(stream, next_seq)| EventAck { stream, next_seq })
}

pub(crate) fn core_message() -> impl Strategy<Value = CoreMessage> {
    let ack = (
        of(node_id()),
        any::<bool>(),
        of(text()),
        of(secret()),
        vec(text(), 0..4),
        of(any::<u64>()),
        of(text()),
        of(event_ack()),
    );
    prop_oneof![
        ack.prop_map(
            |(node_id, accepted, message, totp_key, features, heartbeat_interval_s, certificate, resume)| {
                CoreMessage::RegistrationAck(Box::new(RegistrationAck {
                    node_id,
                    accepted,
                    message,
                    totp_key,
                    features,
                    heartbeat_interval_s,
                    certificate,
                    resume,
                }))
            }
        ),
        node_id().prop_map(|node_id| CoreMessage::TotpRequest(TotpRequest { node_id })),
        (node_id(), command(), of(command_id()), of(time())).prop_map(
            |(node_id, command, command_id, deadline)| {
                CoreMessage::NodeCommand(NodeCommand { node_id, command, command_id, deadline })
            }
        ),
        event_ack().prop_map(CoreMessage::EventAck),
        (select(ErrorCode::ALL), text())
            .prop_map(|(code, message)| CoreMessage::Error(ErrorReply { code, message })),
    ]
}

fn request_id() -> impl Strategy<Value = Option<RequestId>> {
    of(prop_oneof![any::<u64>().prop_map(RequestId::Number), ".{0,30}".prop_map(RequestId::Text)])
}

fn backend_command() -> impl Strategy<Value = BackendCommand> {
    prop_oneof![
        node_id().prop_map(|node_id| BackendCommand::GetNode(NodeRef { node_id })),
        node_id().prop_map(|node_id| BackendCommand::RemoveNode(NodeRef { node_id })),
        select(NodeStatus::ALL).prop_map(|status| BackendCommand::GetNodesByStatus(ByStatus { status })),
        (node_id(), command())
            .prop_map(|(node_id, command)| BackendCommand::NodeCommand(ToNode { node_id, command })),
        command().prop_map(|command| BackendCommand::BroadcastCommand(Broadcast { command })),
        select(vec![
            BackendCommand::GetNodes,
            BackendCommand::GetNodeCount,
            BackendCommand::GetActiveConnections
        ]),
    ]
}

fn query() -> impl Strategy<Value = EventQuery> {
    let names = (of(text()), of(text()), of(text()), of(text()), of(text()), of(text()), of(text()));
    (of(time()), of(time()), names, of(select(Category::ALL)), of(cursor()), of(any::<u64>())).prop_map(
        |(
            since,
            until,
            (node, pot, pot_type, event_type, src_ip, session, needle),
            category,
            before,
            limit,
        )| {
            EventQuery {
                since,
                until,
                node,
                pot,
                pot_type,
                event_type,
                category,
                src_ip,
                session,
                before,
                limit,
                text: needle,
            }
        },
    )
}

pub(crate) fn module_request() -> impl Strategy<Value = Request<ModuleMessage>> {
    let backend_type = prop_oneof![
        select(vec![BackendType::Web, BackendType::Api, BackendType::Monitoring, BackendType::Cli]),
        text().prop_map(BackendType::Custom),
    ];
    let publish = (text(), of(time()), of(text()), of(text()), of(cursor()), vec(text(), 0..3), data());
    let message = prop_oneof![
        (text(), backend_type, of(secret())).prop_map(|(backend_name, backend_type, token)| {
            ModuleMessage::BackendRegistration(BackendRegistration { backend_name, backend_type, token })
        }),
        backend_command().prop_map(ModuleMessage::BackendCommand),
        (vec(select(Topic::ALL), 0..4), of(text()), of(cursor()))
            .prop_map(|(topics, filter, from)| ModuleMessage::Subscribe(Subscribe { topics, filter, from })),
        query().prop_map(|query| ModuleMessage::Query(Box::new(query))),
        publish.prop_map(|(event_type, timestamp, pot_id, pot_type, enriches, tags, data)| {
            ModuleMessage::PublishEvent(PublishEvent {
                event_type,
                timestamp,
                pot_id,
                pot_type,
                enriches,
                tags,
                data,
            })
        }),
        (text(), select(Severity::ALL), of(text()), vec(cursor(), 0..3), of(text())).prop_map(
            |(title, severity, message, events, dedup_key)| {
                ModuleMessage::RaiseAlert(RaiseAlert { title, severity, message, events, dedup_key })
            }
        ),
        (select(LogLevel::ALL), text())
            .prop_map(|(level, message)| ModuleMessage::Log(Log { level, message })),
        select(vec![
            ModuleMessage::Ping,
            ModuleMessage::Pong,
            ModuleMessage::Unsubscribe,
            ModuleMessage::BackendDrop,
        ]),
    ];
    (request_id(), message).prop_map(|(request_id, message)| Request { request_id, message })
}

fn api_event() -> impl Strategy<Value = Event> {
    let texts = vec(of(text()), 14);
    let numbers = (cursor(), time(), time(), node_id(), of(any::<u16>()), of(any::<u16>()), of(any::<u32>()));
    let rest = (text(), text(), select(Category::ALL), vec(text(), 0..3), select(Severity::ALL), data());
    (texts, numbers, rest).prop_map(
        |(texts, numbers, (pot_id, event_type, category, tags, severity, data))| {
            let (id, time, received, node_id, src_port, dst_port, asn) = numbers;
            let mut texts = texts.into_iter();
            let mut next = || texts.next().flatten();
            Event {
                id,
                time,
                received,
                node_id,
                node: node_id.to_string(),
                node_name: pot_id.clone(),
                pot_type: event_type.clone(),
                pot_id,
                event_type,
                category,
                src_ip: next(),
                src_port,
                dst_ip: next(),
                dst_port,
                protocol: next(),
                session: next(),
                username: next(),
                password: next(),
                command: next(),
                url: next(),
                path: next(),
                user_agent: next(),
                sha256: next(),
                hassh: next(),
                ja4: next(),
                country: next(),
                asn,
                as_org: None,
                tags,
                severity,
                data,
            }
        },
    )
}

fn api_node() -> impl Strategy<Value = Node> {
    (node_id(), text(), select(NodeStatus::ALL), select(NodeType::ALL), any::<bool>(), of(text()), of(time()))
        .prop_map(|(node_id, node_name, status, node_type, connected, address, last_seen)| Node {
            node_id,
            id: node_id.to_string(),
            node_name,
            status,
            node_type,
            connected,
            software: address.clone(),
            address,
            enrolled: last_seen,
            last_seen,
            honeypots_count: 1,
            events_stored: node_id.0,
            events_dropped: 0,
        })
}

fn api_pot() -> impl Strategy<Value = Pot> {
    (node_id(), text(), text(), select(PotStatus::ALL), of(text()), of(value()), of(time())).prop_map(
        |(node_id, pot_id, pot_type, status, message, detail, updated)| Pot {
            node_id,
            node: node_id.to_string(),
            pot_id,
            pot_type,
            status,
            message,
            detail,
            updated,
        },
    )
}

pub(crate) fn backend_answer() -> impl Strategy<Value = Request<BackendMessage>> {
    let alert = (text(), time(), text(), select(Severity::ALL), of(text()), vec(cursor(), 0..3), text());
    let message = prop_oneof![
        (text(), of(value()))
            .prop_map(|(text, data)| BackendMessage::BackendResponse(BackendResponse::success(text, data))),
        text().prop_map(|text| BackendMessage::BackendResponse(BackendResponse::Failure(text))),
        (cursor(), api_event())
            .prop_map(|(cursor, event)| BackendMessage::Event(Box::new(EventPush { cursor, event }))),
        (api_node(), any::<bool>())
            .prop_map(|(node, removed)| BackendMessage::NodeChanged(Box::new(NodeChanged { node, removed }))),
        (api_pot(), any::<bool>())
            .prop_map(|(pot, removed)| BackendMessage::PotChanged(Box::new(PotChanged { pot, removed }))),
        alert.prop_map(|(id, time, title, severity, message, events, source)| {
            let alert = Alert { id, time, title, severity, message, events, source };
            BackendMessage::AlertRaised(Box::new(AlertRaised { alert }))
        }),
        (any::<u64>(), cursor())
            .prop_map(|(missed, cursor)| BackendMessage::Lagged(Lagged { missed, cursor })),
        select(vec![BackendMessage::Ping, BackendMessage::Pong]),
    ];
    (request_id(), message).prop_map(|(request_id, message)| Request { request_id, message })
}
