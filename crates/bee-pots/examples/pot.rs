//! Runs one trap on its own, for trying things out: `cargo run -p bee-pots --example pot -- ssh 2222 /tmp/pot '{}'`.
//!
//! Events go to the intake named by the `HONEYBEE_*` variables; without them they are dropped after the queue is full.

use std::process::ExitCode;

use bee_pots::{EventTarget, PotSetup};

fn main() -> ExitCode {
    match setup().and_then(|setup| bee_pots::run(setup).map_err(Into::into)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn setup() -> Result<PotSetup, Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: pot <ssh|telnet|http> <port> <directory> [config as JSON]";
    let (Some(kind), Some(port), Some(dir)) = (args.next(), args.next(), args.next()) else {
        return Err(usage.into());
    };
    let kind: bee_pots::Kind = kind.parse()?;
    let events = EventTarget::from_env().or_else(|_| {
        let address = "127.0.0.1:9100".parse()?;
        Ok::<_, std::net::AddrParseError>(EventTarget {
            address,
            pot_id: "example".into(),
            pot_type: kind.name().into(),
            token: None,
        })
    })?;
    let config = args.next().map_or(Ok(serde_json::Value::Null), |text| serde_json::from_str(&text))?;
    Ok(PotSetup { kind, listen: format!("127.0.0.1:{port}").parse()?, dir: dir.into(), config, events })
}
