//! Who is let in, and who is not.

use bee_wire::node::{NodeRegistration, feature};
use bee_wire::{ErrorCode, Secret};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;
use crate::core::{Accepted, JoinToken};
use crate::totp::step_at;

const NOW: Now = Now { mono_ms: 1_000, unix_ms: 1_800_000_000_000 };
const HOME: [u8; 4] = [203, 0, 113, 5];

struct Door {
    registry: Registry,
    rng: ChaCha8Rng,
    now: Now,
    stored: Vec<Change>,
}

impl Door {
    fn new(enrollment: EnrollmentMode) -> Self {
        let policy = Policy { enrollment, ..Policy::default() };
        Door {
            registry: Registry::new(policy),
            rng: ChaCha8Rng::seed_from_u64(1),
            now: NOW,
            stored: Vec::new(),
        }
    }

    fn token(&mut self, uses_max: u32) -> (Secret, String) {
        let new = NewToken { uses_max, expires_unix_ms: NOW.unix_ms + 60_000, note: String::new() };
        let (secret, change) = self.registry.mint_token(new, self.now, &mut self.rng).unwrap();
        let Change::Token(JoinToken { id, .. }) = &change else { panic!("{change:?}") };
        (Secret::new(secret.as_str()), id.clone())
    }

    fn ask(&mut self, registration: NodeRegistration, peer: &Peer) -> Verdict {
        self.ask_with(RegistrationRequest { registration: Box::new(registration), answered: None }, peer)
    }

    fn ask_with(&mut self, request: RegistrationRequest, peer: &Peer) -> Verdict {
        let Decision { verdict, changes } = self.registry.decide(&request, peer, self.now, &mut self.rng);
        self.stored.extend(changes);
        verdict
    }

    /// Enrols a node and has it confirm its key; answers with its record's id and key.
    fn enrolled(&mut self, name: &str) -> (NodeId, TotpKey) {
        let (secret, _) = self.token(1);
        let first = accept(self.ask(with_token(name, 0, &secret), &peer(HOME)));
        let key = TotpKey::from_base32(first.totp_key.unwrap().expose()).unwrap();
        let second = accept(self.ask(with_code(name, first.node_id.0, &key, self.now), &peer(HOME)));
        assert_eq!(second.totp_key, None);
        self.later(30_000);
        (first.node_id, key)
    }

    fn later(&mut self, ms: u64) {
        self.now = Now::new(self.now.mono_ms + ms, self.now.unix_ms + ms as i64);
    }
}

fn peer(addr: [u8; 4]) -> Peer {
    Peer { addr: IpAddr::from(addr), certificate: None }
}

fn certified(node_id: u64, sha256: &str) -> Peer {
    let certificate = PeerCertificate { node_id: NodeId(node_id), sha256: sha256.into() };
    Peer { certificate: Some(certificate), ..peer(HOME) }
}

fn registration(name: &str, id: u64) -> NodeRegistration {
    NodeRegistration::new(NodeId(id), name, NodeType::Full)
}

fn with_token(name: &str, id: u64, secret: &Secret) -> NodeRegistration {
    NodeRegistration { enrollment_token: Some(secret.clone()), ..registration(name, id) }
}

fn with_code(name: &str, id: u64, key: &TotpKey, now: Now) -> NodeRegistration {
    NodeRegistration { totp_code: Some(key.code(step_at(now.unix_ms)).into()), ..registration(name, id) }
}

fn accept(verdict: Verdict) -> Accepted {
    match verdict {
        Verdict::Accept(accepted) => *accepted,
        other => panic!("not accepted: {other:?}"),
    }
}

fn refusal(verdict: Verdict) -> (ErrorCode, String) {
    match verdict {
        Verdict::Refuse { code, message } => (code, message),
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
fn refused_with(verdict: Verdict, code: ErrorCode, text: &str) {
    let (found, message) = refusal(verdict);
    assert!(found == code && message.contains(text), "{found}: {message}");
}

#[test]
fn a_token_enrols_as_many_nodes_as_it_may_and_no_more() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (secret, _) = door.token(2);
    let first = accept(door.ask(with_token("a", 0, &secret), &peer(HOME)));
    assert!((1..NodeId::MINTED_BELOW).contains(&first.node_id.0));
    let second = accept(door.ask(with_token("b", 42, &secret), &peer(HOME)));
    assert_eq!(second.node_id, NodeId(42), "a free id that a node claims is its own");
    refused_with(
        door.ask(with_token("c", 0, &secret), &peer(HOME)),
        ErrorCode::AuthenticationFailed,
        "used up",
    );
}

#[test]
fn tokens_end_and_nodes_without_one_stay_out() {
    let mut door = Door::new(EnrollmentMode::Token);
    let auth = ErrorCode::AuthenticationFailed;
    refused_with(door.ask(registration("a", 1), &peer(HOME)), auth, "honeybee invite");
    refused_with(door.ask(with_token("a", 1, &"guess".into()), &peer(HOME)), auth, "unknown");
    let (secret, id) = door.token(1);
    door.registry.revoke_token(&id).unwrap();
    refused_with(door.ask(with_token("a", 1, &secret), &peer(HOME)), auth, "revoked");
    let (secret, _) = door.token(1);
    door.later(60_000);
    refused_with(door.ask(with_token("a", 1, &secret), &peer(HOME)), auth, "expired");
    refused_with(door.ask(registration("  ", 1), &peer(HOME)), ErrorCode::EmptyNodeName, "name");
    assert_eq!(door.registry.nodes_count(), 0);
}

#[test]
fn a_lost_first_answer_can_be_asked_for_again_with_the_same_token_alone() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (secret, _) = door.token(1);
    let first = accept(door.ask(with_token("a", 5, &secret), &peer(HOME)));
    let again = accept(door.ask(with_token("a", 5, &secret), &peer(HOME)));
    assert_eq!((again.node_id, &again.totp_key), (first.node_id, &first.totp_key));
    let new_id = accept(door.ask(with_token("a", 0, &secret), &peer(HOME)));
    assert_eq!(new_id.node_id, first.node_id, "also when the node has no id yet");
    refused_with(door.ask(registration("a", 5), &peer(HOME)), ErrorCode::AuthenticationFailed, "no TOTP");
    // Once the node has shown its key, the token opens nothing.
    let key = TotpKey::from_base32(first.totp_key.unwrap().expose()).unwrap();
    accept(door.ask(with_code("a", 5, &key, NOW), &peer(HOME)));
    refused_with(door.ask(with_token("a", 5, &secret), &peer(HOME)), ErrorCode::AuthenticationFailed, "");
}

#[test]
fn a_code_is_taken_once_and_the_next_one_again_also_after_a_restart() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, key) = door.enrolled("a");
    let code = with_code("a", id.0, &key, door.now);
    accept(door.ask(code.clone(), &peer(HOME)));
    refused_with(door.ask(code.clone(), &peer(HOME)), ErrorCode::AuthenticationFailed, "used before");
    let mut restarted = Door::new(EnrollmentMode::Token);
    restarted.now = door.now;
    door.stored.iter().for_each(|change| restarted.registry.load(change.clone()));
    refused_with(restarted.ask(code, &peer(HOME)), ErrorCode::AuthenticationFailed, "used before");
    restarted.later(30_000);
    accept(restarted.ask(with_code("a", id.0, &key, restarted.now), &peer(HOME)));
}

#[test]
fn a_node_is_asked_for_its_code_if_it_can_be_asked() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, key) = door.enrolled("a");
    let mut asked = registration("a", id.0);
    refused_with(door.ask(asked.clone(), &peer(HOME)), ErrorCode::AuthenticationFailed, "no TOTP code");
    asked.features = vec![feature::TOTP_REQUEST.into()];
    assert_eq!(door.ask(asked.clone(), &peer(HOME)), Verdict::NeedCode);
    let code = key.code(step_at(door.now.unix_ms));
    let answer = RegistrationRequest { registration: Box::new(asked), answered: Some(code.into()) };
    accept(door.ask_with(answer, &peer(HOME)));
}

#[test]
fn a_node_with_a_new_id_is_known_by_its_name_and_code() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, key) = door.enrolled("cowrie");
    let (other, _) = door.enrolled("cowrie");
    assert_ne!(id, other, "names are not unique");
    let found = accept(door.ask(with_code("cowrie", 99_999, &key, door.now), &peer(HOME)));
    assert_eq!(found.node_id, id);
    door.later(30_000);
    let elsewhere = with_code("another", 99_999, &key, door.now);
    refused_with(door.ask(elsewhere, &peer(HOME)), ErrorCode::AuthenticationFailed, "does not know");
}

#[test]
fn guessing_is_slowed_down_and_does_not_lock_a_node_out_of_its_home() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, key) = door.enrolled("a");
    let guess = NodeRegistration { totp_code: Some("000000".into()), ..registration("a", id.0) };
    let mut refusals = Vec::new();
    for n in 0..50u8 {
        // Each guess from another address: the limit of the node stops them.
        refusals.push(refusal(door.ask(guess.clone(), &peer([198, 51, 100, n]))).1);
    }
    assert_eq!(refusals.iter().filter(|text| text.contains("wrong")).count(), 5, "{refusals:?}");
    assert!(refusals[49].contains("try again in"), "{}", refusals[49]);
    accept(door.ask(with_code("a", id.0, &key, door.now), &peer(HOME)));
}

#[test]
fn one_source_may_not_try_tokens_for_ever() {
    let mut door = Door::new(EnrollmentMode::Token);
    for _ in 0..20 {
        refusal(door.ask(with_token("a", 1, &"guess".into()), &peer(HOME)));
    }
    let (secret, _) = door.token(1);
    let late = door.ask(with_token("a", 1, &secret), &peer(HOME));
    refused_with(late, ErrorCode::AuthenticationFailed, "try again in 6 s");
    accept(door.ask(with_token("a", 1, &secret), &peer([192, 0, 2, 1])));
}

#[test]
fn a_certificate_names_its_node_and_no_other() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, key) = door.enrolled("a");
    let (other, other_key) = door.enrolled("b");
    door.registry.certificate_issued(id, "aa").unwrap();
    let auth = ErrorCode::AuthenticationFailed;
    let forged = with_code("b", other.0, &other_key, door.now);
    refused_with(door.ask(forged, &certified(id.0, "aa")), auth, "certificate names");
    refused_with(door.ask(registration("a", id.0), &certified(id.0, "bb")), auth, "replaced");
    accept(door.ask(registration("a", id.0), &certified(id.0, "aa")));
    // A code beside it must be right, but may come twice: it is not what admits.
    let code = with_code("a", id.0, &key, door.now);
    accept(door.ask(code.clone(), &certified(id.0, "aa")));
    accept(door.ask(code.clone(), &certified(id.0, "aa")));
    refused_with(door.ask(code, &peer(HOME)), auth, "used before");
    let wrong = NodeRegistration { totp_code: Some("000000".into()), ..registration("a", id.0) };
    refused_with(door.ask(wrong, &certified(id.0, "aa")), auth, "wrong");
}

#[test]
fn a_removed_nodes_certificate_opens_nothing_even_when_its_id_lives_on() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, _) = door.enrolled("a");
    door.registry.certificate_issued(id, "aa").unwrap();
    door.registry.remove_node(id).unwrap();
    let auth = ErrorCode::AuthenticationFailed;
    refused_with(door.ask(registration("a", id.0), &certified(id.0, "aa")), auth, "does not know");
    let (secret, _) = door.token(1);
    accept(door.ask(with_token("a", id.0, &secret), &peer(HOME)));
    refused_with(door.ask(registration("a", id.0), &certified(id.0, "aa")), auth, "no TOTP code");
}

#[test]
fn approval_lets_a_waiting_node_in_and_refusal_keeps_it_out() {
    let mut door = Door::new(EnrollmentMode::Approve);
    for id in [7, 8] {
        let waits = door.ask(registration("a", id), &peer(HOME));
        refused_with(waits, ErrorCode::NodePending, &format!("honeybee nodes approve {id}"));
    }
    assert_eq!(door.registry.pending().count(), 2);
    door.registry.approve(NodeId(7), door.now).unwrap();
    door.registry.refuse(NodeId(8)).unwrap();
    assert_eq!(door.registry.approve(NodeId(9), door.now), Err(RegistryError::NoSuchPending(NodeId(9))));
    let stranger = peer([192, 0, 2, 99]);
    refused_with(door.ask(registration("a", 7), &stranger), ErrorCode::AuthenticationFailed, "no TOTP");
    assert!(accept(door.ask(registration("a", 7), &peer(HOME))).totp_key.is_some());
    refused_with(door.ask(registration("b", 8), &peer(HOME)), ErrorCode::AuthenticationFailed, "refused");
}

#[test]
fn the_waiting_list_is_bounded_and_the_one_silent_for_longest_makes_room() {
    let mut door = Door::new(EnrollmentMode::Approve);
    for id in 1..=1_500 {
        refusal(door.ask(registration("a", id), &peer(HOME)));
        door.later(1);
    }
    assert_eq!(door.registry.pending().count(), 1_000);
    assert!(door.registry.pending().all(|pending| pending.node_id.0 > 500));
}

#[test]
fn an_open_core_takes_anyone_and_keeps_namesakes_apart() {
    let mut door = Door::new(EnrollmentMode::Open);
    accept(door.ask(registration("a", 1), &peer(HOME)));
    accept(door.ask(registration("a", 2), &peer([192, 0, 2, 1])));
    assert_eq!(door.registry.nodes_count(), 2);
    refused_with(
        door.ask(with_token("b", 3, &"guess".into()), &peer(HOME)),
        ErrorCode::AuthenticationFailed,
        "unknown",
    );
}

#[test]
fn the_registry_is_rebuilt_from_its_changes() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, key) = door.enrolled("a");
    let mut again = Registry::new(Policy::default());
    for change in &door.stored {
        let text = serde_json::to_string(change).unwrap();
        again.load(serde_json::from_str(&text).unwrap());
    }
    assert_eq!(again.node(id), door.registry.node(id));
    assert!(!format!("{:?}", again.node(id)).contains(key.to_base32().as_str()));
}

#[test]
fn a_late_close_of_an_older_connection_does_not_touch_the_newer() {
    let mut door = Door::new(EnrollmentMode::Token);
    let (id, _) = door.enrolled("a");
    assert_eq!(door.registry.attach(id, ConnectionId(1)), None);
    assert_eq!(door.registry.attach(id, ConnectionId(2)), Some(ConnectionId(1)));
    assert!(!door.registry.detach(id, ConnectionId(1)));
    assert_eq!(door.registry.connection(id), Some(ConnectionId(2)));
    assert!(door.registry.detach(id, ConnectionId(2)));
    assert!(door.registry.set_status(id, NodeStatus::Stopped, 5).is_some());
    assert_eq!(door.registry.set_status(id, NodeStatus::Stopped, 6), None);
}
