//! Any keys and commands of an attacker: no panic, no end of the limits, and the same input does the same again.
#![no_main]

use bee_pots::persona::{Family, Persona};
use bee_pots::shell::{Console, Login, Reaction, Settings, Shell, System, Window, limits};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};

const NOW_MS: i64 = 1_790_000_000_000;

fn system(device: bool) -> &'static Arc<System> {
    static SYSTEMS: OnceLock<[Arc<System>; 2]> = OnceLock::new();
    let systems = SYSTEMS.get_or_init(|| {
        [Family::Server, Family::Device]
            .map(|family| System::new(Persona::derive(b"fuzz", family, NOW_MS / 1000), Settings::default()))
    });
    &systems[usize::from(device)]
}

fn run(kind: u8, input: &[u8]) -> Vec<Reaction> {
    let system = system(kind & 4 != 0);
    let login = Login {
        user: if kind & 8 == 0 { "root" } else { "nobody" }.to_owned(),
        client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        client_port: 40_000,
        server_ip: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
        server_port: 22,
        at_ms: NOW_MS,
        ssh: true,
    };
    let tty = kind & 3 == 0;
    let vfs = system.new_vfs();
    let shell = Shell::new(system.clone(), vfs.clone(), &login, tty);
    // For a single command the first line is the command and the rest its standard input.
    let (mut console, rest) = match kind & 3 {
        0 => (Console::terminal(shell, Window::default()), input),
        1 => (Console::piped(shell), input),
        _ => {
            let end = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
            let (command, rest) = input.split_at(end);
            (Console::exec(shell, command, false), rest)
        }
    };
    let mut reactions = vec![console.start(NOW_MS)];
    reactions.extend(rest.chunks(64).map(|part| console.input(part, NOW_MS)));
    reactions.push(console.eof(NOW_MS));
    assert!(vfs.lock().bytes() <= bee_pots::vfs::limits::SESSION_BYTES_MAX);
    for reaction in &reactions {
        // One chunk holds at most 64 lines; CR LF at most doubles what a line shows.
        assert!(reaction.stdout.len() <= 65 * 2 * (limits::OUTPUT_BYTES_MAX + 4096));
    }
    reactions
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    assert_eq!(run(*kind, rest), run(*kind, rest));
});
