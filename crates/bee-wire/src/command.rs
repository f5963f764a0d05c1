//! What Core asks of a node.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::lenient;

/// A command to a node. Written as `{"Name": ..}`; read also from a bare `"Name"`, and from the plain words
/// `"stop"`, `"status"` and `"restart"`.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Install a honeypot.
    InstallPot(InstallPot),
    /// Start the honeypot of that id.
    DeployPot(String),
    /// Stop the honeypot of that id.
    StopPot(String),
    /// Stop and start the honeypot of that id.
    RestartPot(String),
    /// Answer with a `PotStatusUpdate`.
    GetPotStatus(String),
    /// Answer with what is known of that honeypot.
    GetPotInfo(String),
    /// Answer with the last lines of its log.
    GetPotLogs(String),
    /// Answer with its resource use.
    GetPotMetrics(String),
    /// Answer with every honeypot of the node.
    GetInstalledPots,
    /// Read the configuration again, or take the one given.
    UpdateConfig(UpdateConfig),
    /// Restart the node daemon.
    Restart,
    /// Say goodbye and leave.
    Stop,
    /// Answer with a `NodeStatusUpdate`. Written as the plain word `"status"`.
    Status,
    /// Remove the honeypot of that id with its files.
    RemovePot(String),
    /// Change an installed honeypot.
    UpdatePot(InstallPot),
    /// Make the node's honeypots be the ones given.
    ApplySpec(NodeSpec),
}

/// What to install, and how to run it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstallPot {
    /// The new honeypot's id on its node.
    #[serde(deserialize_with = "lenient::string")]
    pub pot_id: String,
    /// What kind it is, for example `cowrie`.
    #[serde(deserialize_with = "lenient::string")]
    pub honeypot_type: String,
    /// Where to fetch it from, if not from the node's own store.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub git_url: Option<String>,
    /// Which branch of it.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub git_branch: Option<String>,
    /// Its settings.
    #[serde(default, deserialize_with = "lenient::string_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Whether to start it once it is installed.
    #[serde(default, deserialize_with = "lenient::boolean_or_false")]
    pub auto_start: bool,
}

/// A new configuration for a node; with none, the node reads its file again.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateConfig {
    /// The settings to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
}

/// The desired state of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeSpec {
    /// Grows with each change; a node ignores a spec older than the one it has.
    #[serde(deserialize_with = "lenient::unsigned")]
    pub revision: u64,
    /// The honeypots that should exist; others that Core had declared before are removed.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub pots: Vec<PotSpec>,
}

/// The desired state of one honeypot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PotSpec {
    /// Its id on the node.
    #[serde(deserialize_with = "lenient::string")]
    pub pot_id: String,
    /// What kind it is.
    #[serde(deserialize_with = "lenient::string")]
    pub honeypot_type: String,
    /// Which version; the newest if none is named.
    #[serde(default, deserialize_with = "lenient::string_opt", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its settings.
    #[serde(default, deserialize_with = "lenient::string_map", skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Whether it should run.
    #[serde(default, deserialize_with = "lenient::boolean_or_false")]
    pub running: bool,
}

impl Command {
    /// The name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InstallPot(_) => "InstallPot",
            Self::DeployPot(_) => "DeployPot",
            Self::StopPot(_) => "StopPot",
            Self::RestartPot(_) => "RestartPot",
            Self::GetPotStatus(_) => "GetPotStatus",
            Self::GetPotInfo(_) => "GetPotInfo",
            Self::GetPotLogs(_) => "GetPotLogs",
            Self::GetPotMetrics(_) => "GetPotMetrics",
            Self::GetInstalledPots => "GetInstalledPots",
            Self::UpdateConfig(_) => "UpdateConfig",
            Self::Restart => "Restart",
            Self::Stop => "Stop",
            Self::Status => "status",
            Self::RemovePot(_) => "RemovePot",
            Self::UpdatePot(_) => "UpdatePot",
            Self::ApplySpec(_) => "ApplySpec",
        }
    }

    /// The honeypot that the command is about, if it is about one.
    pub fn pot_id(&self) -> Option<&str> {
        match self {
            Self::InstallPot(pot) | Self::UpdatePot(pot) => Some(&pot.pot_id),
            Self::DeployPot(id)
            | Self::StopPot(id)
            | Self::RestartPot(id)
            | Self::GetPotStatus(id)
            | Self::GetPotInfo(id)
            | Self::GetPotLogs(id)
            | Self::GetPotMetrics(id)
            | Self::RemovePot(id) => Some(id),
            _ => None,
        }
    }

    /// The command of that name when nothing but its name was sent.
    fn bare(name: &str) -> Option<Self> {
        Some(match name {
            "GetInstalledPots" => Self::GetInstalledPots,
            "UpdateConfig" => Self::UpdateConfig(UpdateConfig::default()),
            "Restart" | "restart" => Self::Restart,
            "Stop" | "stop" => Self::Stop,
            "Status" | "status" => Self::Status,
            _ => return None,
        })
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, ser: S) -> Result<S::Ok, S::Error> {
        let name = self.name();
        match self {
            Self::InstallPot(pot) | Self::UpdatePot(pot) => {
                ser.serialize_newtype_variant("Command", 0, name, pot)
            }
            Self::UpdateConfig(config) => ser.serialize_newtype_variant("Command", 0, name, config),
            Self::ApplySpec(spec) => ser.serialize_newtype_variant("Command", 0, name, spec),
            Self::Status => ser.serialize_str(name),
            Self::GetInstalledPots | Self::Restart | Self::Stop => {
                ser.serialize_newtype_variant("Command", 0, name, &lenient::Empty {})
            }
            Self::DeployPot(id)
            | Self::StopPot(id)
            | Self::RestartPot(id)
            | Self::GetPotStatus(id)
            | Self::GetPotInfo(id)
            | Self::GetPotLogs(id)
            | Self::GetPotMetrics(id)
            | Self::RemovePot(id) => ser.serialize_newtype_variant("Command", 0, name, id),
        }
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = Command;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a command")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Command, E> {
        Command::bare(name).ok_or_else(|| unknown(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Command, A::Error> {
        let name: String = map.next_key()?.ok_or_else(|| A::Error::custom("expected a command, found {}"))?;
        let command = match name.as_str() {
            "InstallPot" => Command::InstallPot(map.next_value()?),
            "UpdatePot" => Command::UpdatePot(map.next_value()?),
            "ApplySpec" => Command::ApplySpec(map.next_value()?),
            "UpdateConfig" => Command::UpdateConfig(map.next_value::<Option<_>>()?.unwrap_or_default()),
            "DeployPot" => Command::DeployPot(pot_id(&mut map)?),
            "StopPot" => Command::StopPot(pot_id(&mut map)?),
            "RestartPot" => Command::RestartPot(pot_id(&mut map)?),
            "GetPotStatus" => Command::GetPotStatus(pot_id(&mut map)?),
            "GetPotInfo" => Command::GetPotInfo(pot_id(&mut map)?),
            "GetPotLogs" => Command::GetPotLogs(pot_id(&mut map)?),
            "GetPotMetrics" => Command::GetPotMetrics(pot_id(&mut map)?),
            "RemovePot" => Command::RemovePot(pot_id(&mut map)?),
            name => {
                map.next_value::<IgnoredAny>()?;
                Command::bare(name).ok_or_else(|| unknown(name))?
            }
        };
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(command)
    }
}

fn unknown<E: Error>(name: &str) -> E {
    E::custom(crate::error::UnknownName::new("command", name))
}

fn pot_id<'de, A: MapAccess<'de>>(map: &mut A) -> Result<String, A::Error> {
    map.next_value::<PotName>().map(|name| name.0)
}

/// `"id"`, or `{"pot_id": "id"}`.
struct PotName(String);

impl<'de> Deserialize<'de> for PotName {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = PotName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pot id")
            }
            fn visit_str<E>(self, id: &str) -> Result<PotName, E> {
                Ok(PotName(id.to_owned()))
            }
            fn visit_u64<E>(self, id: u64) -> Result<PotName, E> {
                Ok(PotName(id.to_string()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PotName, A::Error> {
                let mut id = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "pot_id" {
                        id = Some(map.next_value::<PotName>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                id.ok_or_else(|| A::Error::missing_field("pot_id"))
            }
        }
        de.deserialize_any(NameVisitor)
    }
}
