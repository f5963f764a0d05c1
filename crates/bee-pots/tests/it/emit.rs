//! Delivery of events to the node: kept while it is away, sent again after a cut, stored once.

use std::time::Duration;

use bee_pots::emit::Emitter;
use bee_pots::{EventTarget, Kind};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::clients::Raw;
use crate::intake::{Intake, check_sessions, trap};

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|e| e["data"]["n"].as_u64().unwrap()).collect()
}

async fn emit(listener: TcpListener, cut_after: Option<usize>, count: u64) {
    let target = EventTarget {
        address: listener.local_addr().unwrap(),
        pot_id: "pot-1".into(),
        pot_type: "ssh".into(),
        token: Some("t".into()),
    };
    let (emitter, uplink) = Emitter::start(target);
    for n in 0..count {
        emitter.event("test.event", &Map::from_iter([("n".to_owned(), n.into())]));
    }
    let intake = Intake::on(listener, cut_after);
    let events = intake.wait("event", |events| events.len() as u64 >= count).await;
    assert_eq!(numbers(&events), (0..count).collect::<Vec<_>>(), "each once, in order");
    emitter.flush(Duration::from_secs(10)).await;
    uplink.stop().await;
}

#[tokio::test]
async fn events_wait_for_a_node_that_is_not_there_yet() {
    emit(TcpListener::bind("127.0.0.1:0").await.unwrap(), None, 500).await;
}

#[tokio::test]
async fn events_that_were_not_confirmed_are_sent_again_after_a_cut() {
    emit(TcpListener::bind("127.0.0.1:0").await.unwrap(), Some(20), 60).await;
}

#[tokio::test]
async fn stopping_closes_every_session_and_hands_over_the_last_events() {
    let trap = trap(Kind::Telnet, json!({})).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = Raw::connect(trap.address).await;
        client.expect("login: ").await;
        clients.push(client);
    }
    trap.pot.stop().await;
    let events = trap.intake.events();
    check_sessions(&events, "telnet");
    assert_eq!(crate::intake::of(&events, "session.closed").len(), 5);
    for client in clients {
        client.end().await;
    }
}
