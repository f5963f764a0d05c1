//! What people type. Nothing here decides anything: `commands` turns it into work.

use clap::{Args, Parser, Subcommand};
use std::net::IpAddr;
use std::path::PathBuf;

/// Honeypots on many machines, one place that knows what attackers did there.
#[derive(Debug, Parser)]
#[command(name = "honeybee", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Answer as JSON: one document, or one object a line where the answer streams
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No colour, no symbols beyond ASCII
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// Only errors on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Where the installation lives
    #[arg(long, global = true, env = "HONEYBEE_DATA", default_value = "honeybee-data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The Core to talk to, instead of the one in the data folder
    #[arg(long, global = true, env = "HONEYBEE_CORE", value_name = "URL")]
    pub(crate) core: Option<String>,
    /// The API token to use, instead of the operator's own
    #[arg(long, global = true, env = "HONEYBEE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// SHA-256 of the Core's CA certificate, for a Core on another machine
    #[arg(long, global = true, env = "HONEYBEE_CA", value_name = "FINGERPRINT")]
    pub(crate) ca: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything here: Core, a local node and its traps, on loopback
    Up(Up),
    /// Start Core alone
    Core(CoreArgs),
    /// Start a node alone
    Node(NodeArgs),
    /// Join this machine to a Core with a code from `honeybee invite`
    Join(Join),
    /// Make a join code for another machine
    Invite(Invite),
    /// Attack your own traps and watch the events arrive
    Poke(Poke),
    /// The machines that run honeypots
    #[command(subcommand)]
    Nodes(Nodes),
    /// The honeypots that run on them
    #[command(subcommand)]
    Pots(Pots),
    /// What attackers did
    #[command(subcommand)]
    Events(Events),
    /// Send a command to a node and wait for its end
    Cmd(Cmd),
    /// API tokens for programs and people
    #[command(subcommand)]
    Tokens(Tokens),
    /// Check this installation and print what is wrong, with the fix
    Doctor,
    /// Explain an error code, or list them all
    Help {
        /// A code such as HB0201
        code: Option<String>,
    },
    /// Run one trap in this process; nodes start their traps with it
    #[command(hide = true, disable_help_flag = true)]
    Pot {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Take nodes and API calls on this address instead of loopback (over TLS alone); 0.0.0.0 for all
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<IpAddr>,
    /// Let the traps listen on this address, instead of loopback alone
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) expose: Option<IpAddr>,
    /// Port for nodes (default 9001; 0 takes a free one)
    #[arg(long, value_name = "PORT")]
    pub(crate) node_port: Option<u16>,
    /// Port for the API, the dashboard and modules (default 9002; 0 takes a free one)
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Port for WebSocket modules (default 9003; 0 takes a free one)
    #[arg(long, value_name = "PORT")]
    pub(crate) ws_port: Option<u16>,
    /// Port of the local node for honeypots' events (default: the first free one from 9100 to 9199)
    #[arg(long, value_name = "PORT")]
    pub(crate) event_port: Option<u16>,
    #[command(flatten)]
    pub(crate) traps: Traps,
}

/// Ports of the three built-in traps; 0 takes a free one, `off` leaves the trap out.
#[derive(Debug, Clone, Args)]
pub(crate) struct Traps {
    /// Port of the SSH trap, or `off`
    #[arg(long, default_value = "2222", value_name = "PORT")]
    pub(crate) ssh: TrapPort,
    /// Port of the Telnet trap, or `off`
    #[arg(long, default_value = "2323", value_name = "PORT")]
    pub(crate) telnet: TrapPort,
    /// Port of the HTTP trap, or `off`
    #[arg(long, default_value = "8081", value_name = "PORT")]
    pub(crate) http: TrapPort,
}

/// A trap's port, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrapPort(pub(crate) Option<u16>);

impl std::str::FromStr for TrapPort {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            number => match number.parse() {
                Ok(port) => Ok(Self(Some(port))),
                Err(_) => Err(format!("`{number}` is neither a port nor `off`")),
            },
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CoreArgs {
    /// The configuration file (default: bee_config.toml here, then in the data folder)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Read the configuration, print every value with where it came from, and stop
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The configuration file (default: configs/config.yaml)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Read the configuration, say whether it holds, and stop
    #[arg(long)]
    pub(crate) validate: bool,
    /// Print a commented configuration and stop
    #[arg(long)]
    pub(crate) gen_config: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The code that `honeybee invite` printed
    pub(crate) code: String,
    /// This node's name (default: the machine's)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where this node keeps its identity, its spool and its pots
    #[arg(long, default_value = "honeybee-node", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// A light node: no honeypots of its own, events from other programs only
    #[arg(long)]
    pub(crate) agent: bool,
    /// Enrol and stop, instead of running the node
    #[arg(long)]
    pub(crate) enroll_only: bool,
    /// Let the traps listen on this address, instead of loopback alone
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) expose: Option<IpAddr>,
    /// Port for honeypots' events (default: the first free one from 9100 to 9199)
    #[arg(long, value_name = "PORT")]
    pub(crate) event_port: Option<u16>,
    /// Give up the membership that the folder holds already
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) traps: Traps,
}

#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// How many machines may use it
    #[arg(long, default_value_t = 1)]
    pub(crate) uses: u32,
    /// How long it is valid, such as 30m, 1h or 7d
    #[arg(long, default_value = "1h", value_name = "TIME")]
    pub(crate) ttl: String,
    /// A note for the people who run the fleet
    #[arg(long)]
    pub(crate) note: Option<String>,
    /// The address that the code names, where Core's own guess is not what nodes can reach
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Vec<String>,
    /// Print the code and leave, instead of waiting for the node
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Poke {
    /// Only this kind of trap: ssh, telnet or http
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Nodes {
    /// All nodes, with those that wait for approval
    Ls,
    /// One node and its honeypots
    Show {
        /// Its name or id
        node: String,
    },
    /// Let a waiting node in
    Approve {
        /// Its name or id
        node: String,
    },
    /// Turn a waiting node away
    Refuse {
        /// Its name or id
        node: String,
    },
    /// Forget a node: its certificate and its TOTP key end with it, its events stay
    Rm {
        /// Its name or id
        node: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pots {
    /// All honeypots on all nodes
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Newest events first
    Ls(EventsLs),
    /// Events as they arrive
    Tail(EventFilter),
}

#[derive(Debug, Args)]
pub(crate) struct EventsLs {
    #[command(flatten)]
    pub(crate) filter: EventFilter,
    /// How many
    #[arg(long, short = 'n', default_value_t = 40)]
    pub(crate) limit: u32,
    /// Where the page before ended
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// Not before this time: RFC 3339, or `now-1h`
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

/// Which events.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventFilter {
    /// A node's name or id
    #[arg(long)]
    pub(crate) node: Option<String>,
    /// A honeypot's id
    #[arg(long)]
    pub(crate) pot: Option<String>,
    /// A kind of honeypot
    #[arg(long)]
    pub(crate) pot_type: Option<String>,
    /// An event type; `cowrie.login.*` takes all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) event_type: Option<String>,
    /// A source address or network, such as 203.0.113.0/24
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) src: Option<String>,
    /// A session
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// Text that the event holds
    #[arg(long, short = 's', value_name = "TEXT")]
    pub(crate) search: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Cmd {
    /// The node's name or id
    pub(crate) node: String,
    /// The command as the protocol spells it, such as GetInstalledPots, `StopPot ssh` or a JSON object
    #[arg(required = true, num_args = 1..)]
    pub(crate) command: Vec<String>,
    /// How long the node may take, such as 30s or 5m
    #[arg(long, default_value = "30s", value_name = "TIME")]
    pub(crate) deadline: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// All tokens, without their secrets
    Ls,
    /// Make one; its secret is shown this once
    Create {
        /// What it is for
        name: String,
        /// What it may do: events:read, nodes:read, nodes:command, nodes:admin, events:write, alerts:write, admin
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// How long it is valid, such as 30d (default: for ever)
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
    },
    /// Make a token worthless
    Rm {
        /// Its id
        id: String,
    },
}
