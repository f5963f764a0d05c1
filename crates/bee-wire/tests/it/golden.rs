//! Golden files: one for each message and for each oddity that we accept.
//!
//! A file holds what a peer sends (`input_json`, or `input`, any text) and what we make of it
//! (`canonical`, what we would send, or `error`). `BEE_WIRE_GOLDEN=write cargo test -p bee-wire golden` fills in the
//! outcome of new or changed files; read the difference before committing it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Once;

use bee_wire::event::PotEvent;
use bee_wire::pot_line::{IntakeHello, IntakeReceipt, PotLine};
use bee_wire::{codec, decode_backend, decode_core, decode_module, decode_node};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize, Deserialize)]
struct Golden {
    /// What this file shows.
    about: String,
    /// How to read the input: `node`, `core`, `module`, `backend`, `pot_line`, `hello` or `receipt`.
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_json: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canonical: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[test]
fn every_golden_file_is_read_and_written_as_recorded() {
    let mut failed = Vec::new();
    for (path, golden) in files() {
        let outcome = outcome(&golden);
        if let Ok(canonical) = &outcome {
            let again = read(&golden.kind, canonical.as_bytes());
            assert_eq!(
                again.as_ref(),
                Ok(canonical),
                "{}: the canonical form changes when read",
                path.display()
            );
        }
        let expect = match (&golden.canonical, &golden.error) {
            (Some(canonical), None) => Ok(canonical.get().to_owned()),
            (None, Some(error)) => Err(error.clone()),
            _ => panic!("{}: needs either `canonical` or `error`", path.display()),
        };
        if outcome != expect {
            failed.push(format!("{}\n  expected {expect:?}\n  found    {outcome:?}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{} golden files differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_message_has_a_golden_file() {
    let mut seen = BTreeSet::new();
    for (_, golden) in files() {
        let Some(canonical) = &golden.canonical else { continue };
        let bytes = canonical.get().as_bytes();
        let name = match golden.kind.as_str() {
            "node" => format!("node {}", decode_node(bytes).unwrap().name()),
            "core" => match decode_core(bytes).unwrap() {
                bee_wire::CoreMessage::NodeCommand(message) => {
                    seen.insert(format!("command {}", message.command.name()));
                    "core NodeCommand".to_owned()
                }
                other => format!("core {}", other.name()),
            },
            "module" => match decode_module(bytes).unwrap().message {
                bee_wire::ModuleMessage::BackendCommand(command) => {
                    format!("backend command {}", command.name())
                }
                other => format!("module {}", other.name()),
            },
            "backend" => format!("backend {}", decode_backend(bytes).unwrap().message.name()),
            other => other.to_owned(),
        };
        seen.insert(name);
    }
    let expect = [
        (
            "node",
            "NodeRegistration TotpResponse NodeStatusUpdate NodeEvent PotStatusUpdate PotEvent PotEventBatch \
                  CommandResult ArtifactBegin ArtifactChunk ArtifactEnd NodeDrop",
        ),
        ("core", "RegistrationAck TotpRequest NodeCommand EventAck Error"),
        (
            "command",
            "InstallPot DeployPot StopPot RestartPot GetPotStatus GetPotInfo GetPotLogs GetPotMetrics \
                     GetInstalledPots UpdateConfig Restart Stop status RemovePot UpdatePot ApplySpec",
        ),
        (
            "module",
            "BackendRegistration Subscribe Query PublishEvent RaiseAlert Log Ping Pong Unsubscribe BackendDrop",
        ),
        (
            "backend command",
            "GetNode GetNodesByStatus RemoveNode NodeCommand BroadcastCommand GetNodes GetNodeCount \
                             GetActiveConnections",
        ),
        ("backend", "BackendResponse Event NodeChanged PotChanged AlertRaised Lagged Ping Pong"),
    ];
    for (kind, names) in expect {
        for name in names.split_whitespace() {
            assert!(seen.contains(&format!("{kind} {name}")), "no golden file shows {kind} {name}");
        }
    }
    assert!(["pot_line", "hello", "receipt"].iter().all(|kind| seen.contains(*kind)), "{seen:?}");
}

/// What the fuzz targets start from is what the golden files show.
#[test]
fn the_fuzz_corpus_holds_the_golden_inputs() {
    for (path, golden) in files() {
        let seed = seed_of(&path, &golden);
        let found = std::fs::read(&seed).unwrap_or_else(|e| panic!("{}: {e}", seed.display()));
        assert_eq!(found, input(&golden), "{}: run with BEE_WIRE_GOLDEN=write", seed.display());
    }
}

/// Every golden file, brought up to date first if that was asked for.
fn files() -> Vec<(PathBuf, Golden)> {
    static WRITTEN: Once = Once::new();
    if std::env::var("BEE_WIRE_GOLDEN").is_ok_and(|value| value == "write") {
        WRITTEN.call_once(|| load().into_iter().for_each(|(path, golden)| write(&path, golden)));
    }
    load()
}

fn load() -> Vec<(PathBuf, Golden)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 200, "golden files are gone");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let golden = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, golden)
    };
    paths.into_iter().map(read).collect()
}

fn write(path: &Path, mut golden: Golden) {
    let outcome = outcome(&golden);
    golden.canonical = outcome.as_ref().ok().map(|text| RawValue::from_string(text.clone()).unwrap());
    golden.error = outcome.err();
    std::fs::write(path, serde_json::to_string_pretty(&golden).unwrap() + "\n").unwrap();
    let seed = seed_of(path, &golden);
    std::fs::create_dir_all(seed.parent().unwrap()).unwrap();
    std::fs::write(seed, input(&golden)).unwrap();
}

fn seed_of(path: &Path, golden: &Golden) -> PathBuf {
    let target = match golden.kind.as_str() {
        "node" => "decode_node",
        "core" => "decode_core",
        "module" | "backend" => "decode_module",
        _ => "pot_line",
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    corpus.join(target).join(path.file_stem().unwrap())
}

fn input(golden: &Golden) -> Vec<u8> {
    match (&golden.input, &golden.input_json) {
        (Some(text), None) => text.clone().into_bytes(),
        (None, Some(json)) => json.get().to_owned().into_bytes(),
        _ => panic!("{}: needs either `input` or `input_json`", golden.about),
    }
}

fn outcome(golden: &Golden) -> Result<String, String> {
    read(&golden.kind, &input(golden))
}

/// What we would send for this input, without its newline.
fn read(kind: &str, input: &[u8]) -> Result<String, String> {
    let coded = |error: codec::DecodeError| format!("{}: {error}", error.code());
    let bytes = match kind {
        "node" => bee_wire::encode_node(&decode_node(input).map_err(coded)?),
        "core" => bee_wire::encode_core(&decode_core(input).map_err(coded)?),
        "module" => bee_wire::encode_module(&decode_module(input).map_err(coded)?),
        "backend" => bee_wire::encode_backend(&decode_backend(input).map_err(coded)?),
        "hello" => IntakeHello::parse(input).map_err(|e| e.to_string())?.ok_or("no hello")?.to_line(),
        "receipt" => IntakeReceipt::parse(input).map_err(|e| e.to_string())?.to_line(),
        "pot_line" => {
            let line = PotLine::parse(input).map_err(|e| e.to_string())?;
            codec::encode_event(
                &PotEvent {
                    node_id: None,
                    pot_id: line.pot_id.unwrap_or_else(|| "unknown".into()),
                    pot_type: line.pot_type,
                    event_type: line.event_type,
                    timestamp: line.timestamp,
                    data: line.data,
                }
                .borrowed(),
            )
        }
        other => panic!("unknown kind {other}"),
    };
    let text = String::from_utf8(bytes).unwrap();
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}
