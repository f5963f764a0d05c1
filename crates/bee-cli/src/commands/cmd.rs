//! `honeybee cmd`: one command to one node, and its end.

use crate::args::{Cmd, Global};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::output::{self, Style};
use bee_wire::Command;
use bee_wire::api::{CommandRequest, CommandState, CommandView};
use serde_json::{Value, json};
use std::time::Duration;

/// # Errors
/// HB0001 when the command cannot be read, HB0501 when it failed on the node, HB0502 when its deadline passed.
pub(crate) async fn run(global: &Global, style: Style, args: &Cmd) -> Result<(), CliError> {
    let command = parse(&args.command)?;
    let Some(seconds) = output::seconds(&args.deadline) else {
        return Err(CliError::new("HB0001", format!("`{}` is no time span", args.deadline))
            .exit(Exit::Usage)
            .help("Write it as 30s or 5m."));
    };
    let client = Client::new(crate::context::find(global)?)?;
    let node = super::nodes::resolve(&client, &args.node).await?;
    let request = CommandRequest { command, timeout_s: Some(seconds) };
    let mut view: CommandView = client.post(&format!("/api/v1/nodes/{}/commands", node.id), &request).await?;
    while matches!(view.state, CommandState::Queued | CommandState::Sent) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        view = client.get(&format!("/api/v1/commands/{}", view.command_id)).await?;
    }
    if global.json {
        output::json(&json!(view));
    }
    match view.state {
        CommandState::Failed => {
            let text = view.message.unwrap_or_else(|| "the node gave no reason".to_owned());
            let error = CliError::new("HB0501", text);
            Err(match view.code {
                Some(code) => error.detail(code.as_str()),
                None => error,
            })
        }
        CommandState::TimedOut => {
            Err(CliError::new("HB0502", format!("{} did not answer within {}", args.node, args.deadline)))
        }
        _ => {
            if !global.json {
                show(style, &view);
            }
            Ok(())
        }
    }
}

fn show(style: Style, view: &CommandView) {
    output::note(&format!(
        "{} {}",
        style.tick(),
        output::clean(view.message.as_deref().unwrap_or("done"), 400)
    ));
    match &view.data {
        None | Some(Value::Null) => {}
        // Log lines come as text: shown line by line, each escaped.
        Some(Value::String(text)) => text.lines().for_each(|line| output::data(&output::clean(line, 4_000))),
        Some(data) => output::json(data),
    }
}

/// `Name`, `Name argument`, or a JSON value.
fn parse(words: &[String]) -> Result<Command, CliError> {
    let text = words.join(" ");
    let value = match (text.starts_with(['{', '"']), words) {
        (true, _) => serde_json::from_str(&text).map_err(|cause| unreadable(&text, &cause.to_string()))?,
        (false, [name]) => Value::String(name.clone()),
        (false, [name, argument @ ..]) => json!({name.as_str(): argument.join(" ")}),
        (false, []) => Value::Null,
    };
    serde_json::from_value(value).map_err(|cause| unreadable(&text, &cause.to_string()))
}

fn unreadable(text: &str, cause: &str) -> CliError {
    CliError::new("HB0001", format!("`{text}` is no command: {cause}"))
        .exit(Exit::Usage)
        .help("For example: GetInstalledPots · GetPotLogs ssh · StopPot ssh · '{\"InstallPot\":{\"pot_id\":\"web2\",\"honeypot_type\":\"http\",\"auto_start\":true}}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_is_read_in_all_three_forms() {
        assert_eq!(parse(&words("GetInstalledPots")).unwrap(), Command::GetInstalledPots);
        assert_eq!(parse(&words("StopPot ssh")).unwrap(), Command::StopPot("ssh".to_owned()));
        assert_eq!(parse(&words(r#"{"StopPot": "ssh"}"#)).unwrap(), Command::StopPot("ssh".to_owned()));
        assert_eq!(parse(&words("NoSuchThing")).unwrap_err().code, "HB0001");
    }
}
