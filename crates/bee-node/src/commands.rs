//! Carries out what Core asks of this node (PROTOCOL section 4).
//!
//! The uplink hands each command over once and sends the outcome; this module decides nothing about the link.

use std::sync::Arc;

use bee_link::node::CommandOutcome;
use bee_wire::{Command, ErrorCode};
use serde_json::json;

use crate::{
    config::{self, Config},
    node::Exit,
    pots::{PotError, Pots},
};

/// What a command led to.
#[derive(Debug)]
pub struct Done {
    /// For the `CommandResult`.
    pub outcome: CommandOutcome,
    /// Pots whose state a plain Core should be sent, because it knows no `CommandResult`.
    pub announce: Vec<String>,
    /// The node goes down after the result was sent.
    pub exit: Option<Exit>,
}

/// Carries out commands; clones share the pots.
#[derive(Debug, Clone)]
pub struct Commander {
    pots: Arc<Pots>,
    config: Arc<Config>,
}

impl Commander {
    /// For one run of the node.
    pub fn new(pots: Arc<Pots>, config: Arc<Config>) -> Self {
        Self { pots, config }
    }

    /// Carries out one command to its end.
    pub async fn execute(&self, command: Command) -> Done {
        let announce = command.pot_id().map(str::to_owned).into_iter().collect();
        let mut exit = None;
        let result = match command {
            Command::InstallPot(pot) => self.pots.install(&pot).await.map(Some),
            Command::UpdatePot(pot) => self.pots.update(&pot).await.map(Some),
            Command::DeployPot(id) => self.pots.start(&id).await.map(|()| None),
            Command::StopPot(id) => self.pots.stop(&id).await.map(|()| None),
            Command::RestartPot(id) => self.pots.restart(&id).await.map(|()| None),
            Command::RemovePot(id) => self.pots.remove(&id).await.map(|()| None),
            Command::GetPotStatus(id) | Command::GetPotInfo(id) => self.pots.info(&id).await.map(Some),
            Command::GetPotLogs(id) => self.pots.logs(&id).await.map(Some),
            Command::GetPotMetrics(id) => self.pots.metrics(&id).await.map(Some),
            Command::GetInstalledPots => {
                let pots = self.pots.list().await;
                let announce = ids(&pots);
                return Done {
                    outcome: CommandOutcome::ok(Some(json!({ "pots": pots }))),
                    announce,
                    exit: None,
                };
            }
            Command::ApplySpec(spec) => self.pots.apply(&spec).await.map(Some),
            Command::UpdateConfig(update) => match self.update_config(update.config.as_ref()) {
                Ok(()) => {
                    exit = Some(Exit::Restart);
                    Ok(Some(json!({ "restarting": true })))
                }
                Err(error) => Err(error),
            },
            Command::Restart => {
                exit = Some(Exit::Restart);
                Ok(None)
            }
            Command::Stop => {
                exit = Some(Exit::Stopped);
                Ok(None)
            }
            // The link answers it by itself.
            Command::Status => Ok(None),
        };
        let outcome = match result {
            Ok(data) => CommandOutcome::ok(data),
            Err(PotError { code, message }) => CommandOutcome::failed(code, message),
        };
        Done { outcome, announce, exit }
    }

    fn update_config(&self, given: Option<&serde_json::Value>) -> Result<(), PotError> {
        let Some(source) = &self.config.source else {
            return Err(PotError {
                code: ErrorCode::InvalidCommand,
                message:
                    "this node was started without a config file, so there is none to read again or to change"
                        .into(),
            });
        };
        config::apply_override(source, &self.config.state_dir, given)
            .map_err(|error| PotError { code: error.code, message: error.text })
    }
}

fn ids(pots: &serde_json::Value) -> Vec<String> {
    let entries = pots.as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|pot| pot.get("pot_id")?.as_str().map(str::to_owned)).collect()
}
