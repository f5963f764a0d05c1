//! Every command ends, once.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;

const NODE: NodeId = NodeId(7);

fn at(mono_ms: u64) -> Now {
    Now::new(mono_ms, 1_800_000_000_000 + mono_ms as i64)
}

fn given(commands: &mut Commands, timeout_ms: u64) -> (CommandId, CommandRecord) {
    let mut rng = ChaCha8Rng::seed_from_u64(timeout_ms);
    let (id, change) = commands.submit(NODE, Command::GetInstalledPots, timeout_ms, at(0), &mut rng).unwrap();
    let CommandChange::Put(record) = change else { panic!("{change:?}") };
    (id, *record)
}

fn result(command_id: CommandId) -> CommandResult {
    CommandResult { node_id: NODE, command_id, ok: true, code: None, message: None, data: None }
}

fn state(commands: &Commands, id: CommandId) -> CommandState {
    commands.get(id).unwrap().state.clone()
}

#[test]
fn a_command_is_sent_at_each_connection_until_its_result_is_in() {
    let mut commands = Commands::new();
    let (id, _) = given(&mut commands, 1_000);
    assert_eq!(commands.due_for(NODE)[0].deadline_unix_ms, at(1_000).unix_ms);
    assert!(commands.sent(id, true, at(1)).is_empty());
    assert_eq!(state(&commands, id), CommandState::Sent);
    assert_eq!(commands.due_for(NODE).len(), 1, "the answer may have been lost");
    assert!(commands.finished(NodeId(8), result(id), at(2)).is_empty(), "another node cannot answer");
    assert_eq!(commands.finished(NODE, result(id), at(2)).len(), 1);
    assert!(state(&commands, id).is_ended());
    assert!(commands.due_for(NODE).is_empty() && commands.next_deadline().is_none());
    assert!(commands.finished(NODE, result(id), at(3)).is_empty(), "a second answer changes nothing");
}

#[test]
fn a_command_times_out_whatever_the_wall_clock_does() {
    let mut commands = Commands::new();
    let (id, _) = given(&mut commands, 1_000);
    assert!(commands.tick(Now::new(999, i64::MAX)).is_empty());
    assert_eq!(commands.next_deadline(), Some(1_000));
    assert_eq!(commands.tick(Now::new(1_000, 0)).len(), 1);
    assert_eq!(state(&commands, id), CommandState::TimedOut);
}

#[test]
fn a_command_to_a_node_that_does_not_answer_ends_when_it_is_sent() {
    let mut commands = Commands::new();
    let (id, _) = given(&mut commands, 1_000);
    assert_eq!(commands.sent(id, false, at(1)).len(), 1);
    assert_eq!(state(&commands, id), CommandState::SentUnanswered);
    assert!(commands.tick(at(5_000)).is_empty());
}

#[test]
fn a_restart_keeps_waiting_commands_and_never_more_than_their_time() {
    let mut commands = Commands::new();
    let (id, record) = given(&mut commands, 1_000);
    let text = serde_json::to_string(&record).unwrap();
    // The machine comes up with its clock an hour back: the time left is not an hour more.
    for (unix_ms, left) in [(at(400).unix_ms, 600), (at(0).unix_ms - 3_600_000, 1_000), (i64::MAX, 0)] {
        let mut again = Commands::new();
        again.load(serde_json::from_str(&text).unwrap(), Now::new(50, unix_ms));
        assert_eq!(again.next_deadline(), Some(50 + left));
        assert_eq!(again.due_for(NODE)[0].command_id, id);
    }
}

#[test]
fn a_removed_nodes_commands_end_and_a_node_has_so_many_waiting_at_most() {
    let mut commands = Commands::new();
    for n in 0..WAITING_PER_NODE_MAX as u64 {
        given(&mut commands, 1_000 + n);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let refused = commands.submit(NODE, Command::Stop, 1, at(0), &mut rng);
    assert_eq!(refused, Err(CommandError::TooManyWaiting(NODE)));
    assert_eq!(commands.node_removed(NODE, at(1)).len(), WAITING_PER_NODE_MAX);
    assert!(commands.iter().all(|record| record.state == CommandState::NodeRemoved));
}

#[test]
fn ended_commands_are_forgotten_oldest_first() {
    let mut commands = Commands::new();
    let (first, _) = given(&mut commands, 0);
    let mut removed = commands.tick(at(0));
    for n in 1..=ENDED_MAX as u64 {
        given(&mut commands, n);
        removed.extend(commands.tick(at(n)));
    }
    assert_eq!(removed.last(), Some(&CommandChange::Removed(first)));
    assert_eq!(commands.iter().count(), ENDED_MAX);
}
