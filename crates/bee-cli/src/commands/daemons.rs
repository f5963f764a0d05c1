//! `honeybee core` and `honeybee node`: one daemon, in the foreground, until a signal ends it.
//!
//! Also what `up` and `join` need to start the same daemons.

use crate::args::{CoreArgs, Global, NodeArgs};
use crate::client::chain;
use crate::error::{CliError, Exit};
use crate::output;
use bee_core::{Core, CoreHandle, RawConfig};
use bee_daemon::config::{ConfigError, Loader};
use bee_daemon::logging::{self, Color, Logging};
use bee_daemon::shutdown::Shutdown;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Environment variables with this prefix set Core's keys: `HONEYBEE_CORE_SERVER__NODE_PORT`.
const CORE_ENV_PREFIX: &str = "HONEYBEE_CORE_";
/// How long connections and tasks may take to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// # Errors
/// HB0102 for a configuration that does not hold; the start's own codes otherwise.
pub(crate) async fn core(global: &Global, args: &CoreArgs) -> Result<(), CliError> {
    let loaded = load_core(global, args.config.as_deref(), &[])?;
    if args.check {
        let rows = loaded.rows().map_err(|cause| CliError::new("HB0102", cause.to_string()))?;
        check_core(loaded.value.clone())?;
        for row in rows {
            let value = if row.value == "null" { "(default)" } else { row.value.as_str() };
            output::data(&format!("{} = {value}  # {}", row.key, row.origin));
        }
        return Ok(());
    }
    let config = check_core(loaded.value)?;
    let file = config.log_folder.as_deref().map(|folder| logging::file_in(folder, "honeybee-core"));
    let color = if config.log_color { Color::Always } else { Color::Auto };
    init_logging(&Logging { level: config.log_level.clone(), file, color, ..Logging::default() })?;
    let signals = signals()?;
    let core = RunningCore::start(config).await?;
    signals.started().await;
    core.stop().await;
    Ok(())
}

/// # Errors
/// HB0102 for a configuration that does not hold, HB0106 when the node cannot start.
pub(crate) async fn node(args: &NodeArgs) -> Result<(), CliError> {
    if args.gen_config {
        output::data(bee_node::config::EXAMPLE);
        return Ok(());
    }
    let config =
        bee_node::Config::load(args.config.as_deref()).map_err(|cause| node_config_failed(&cause))?;
    if args.validate {
        output::note("the configuration holds");
        return Ok(());
    }
    init_logging(&config.logging)?;
    run_node(config).await
}

/// What is wrong with a node's configuration: one line a problem.
pub(crate) fn node_config_failed(cause: &bee_node::ConfigError) -> CliError {
    let mut lines = cause.text.lines();
    let mut error = CliError::new("HB0102", lines.next().unwrap_or_default()).exit(Exit::Usage);
    for line in lines {
        error = error.detail(line);
    }
    error
        .detail(cause.code.as_str())
        .help("Mend what it names. `honeybee node --validate` reads the file and touches nothing.")
}

/// A node until a signal ends it.
pub(crate) async fn run_node(config: bee_node::Config) -> Result<(), CliError> {
    let outcome = bee_node::run(config, signals()?).await;
    outcome.map_err(|cause| start_failed("HB0106", cause.as_ref()))
}

/// A Core with its API, in this process.
pub(crate) struct RunningCore {
    core: Core,
    shutdown: Shutdown,
}

impl RunningCore {
    /// # Errors
    /// HB0101, HB0103, HB0104 where the cause is known, HB0105 otherwise.
    pub(crate) async fn start(config: bee_core::Config) -> Result<Self, CliError> {
        let shutdown = Shutdown::new();
        // Thousands of nodes are thousands of descriptors; what the hard limit allows is what we get.
        let _ = bee_daemon::limits::raise_nofile(1 << 16);
        let started = Core::start(config, shutdown.clone()).await;
        let mut core = started.map_err(|cause| start_failed("HB0105", &cause))?;
        if let Some((api, ws)) = core.take_listeners() {
            bee_core::api::serve(core.handle(), api, ws, &shutdown);
        }
        Ok(Self { core, shutdown })
    }

    pub(crate) fn handle(&self) -> CoreHandle {
        self.core.handle()
    }

    /// Ends connections, stores what was read, closes the files.
    pub(crate) async fn stop(self) {
        self.shutdown.trigger(bee_daemon::shutdown::Reason::Requested("the command has ended".to_owned()));
        let _ = self.shutdown.finish(SHUTDOWN_GRACE).await;
        self.core.stopped().await;
    }
}

/// Reads Core's file, environment and flags. `flags` are (flag, key, value).
pub(crate) fn load_core(
    global: &Global,
    file: Option<&Path>,
    flags: &[(&str, &str, Option<String>)],
) -> Result<bee_daemon::config::Loaded<RawConfig>, CliError> {
    let unreadable = |cause: ConfigError| CliError::new("HB0102", chain(&cause)).exit(Exit::Usage);
    let mut loader = Loader::new();
    let candidates = [PathBuf::from("bee_config.toml"), global.data.join("bee_config.toml")];
    if let Some(path) = file.or_else(|| candidates.iter().find(|path| path.is_file()).map(PathBuf::as_path)) {
        loader = loader.file(path).map_err(unreadable)?;
    }
    loader = loader.env(CORE_ENV_PREFIX, std::env::vars());
    for (flag, key, value) in flags {
        if let Some(value) = value {
            loader = loader.flag(flag, key, value);
        }
    }
    let mut loaded = loader.load::<RawConfig>().map_err(unreadable)?;
    loaded.value.data_dir.get_or_insert_with(|| global.data.clone());
    Ok(loaded)
}

/// # Errors
/// HB0102 with every problem.
pub(crate) fn check_core(raw: RawConfig) -> Result<bee_core::Config, CliError> {
    bee_core::Config::check(raw).map_err(|problems| {
        let mut error = CliError::new("HB0102", "the configuration does not hold").exit(Exit::Usage);
        for problem in problems {
            error = error.detail(problem.to_string());
        }
        error
    })
}

pub(crate) fn init_logging(logging: &Logging) -> Result<(), CliError> {
    // RUST_LOG wins over the file, as people expect of it.
    let level = std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty());
    let logging = Logging { level: level.unwrap_or_else(|| logging.level.clone()), ..logging.clone() };
    logging::init(&logging).map_err(|cause| CliError::new("HB0102", chain(&cause)).exit(Exit::Usage))
}

pub(crate) fn signals() -> Result<Shutdown, CliError> {
    Shutdown::with_signals()
        .map_err(|cause| CliError::new("HB0105", format!("cannot listen for signals: {cause}")))
}

/// A failed start with the code that its cause deserves.
pub(crate) fn start_failed(code: &'static str, failure: &(dyn Error + 'static)) -> CliError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(failure);
    let mut known = code;
    while let Some(error) = cause {
        if error.is::<bee_daemon::listen::ListenError>() {
            known = "HB0101";
        } else if error.is::<bee_daemon::secret_file::SecretFileError>() {
            known = "HB0103";
        }
        cause = error.source();
    }
    let text = chain(failure);
    // The key-value store and the log each say it in their own error type; both say it in these words.
    if text.contains("already open") {
        known = "HB0104";
    }
    CliError::new(known, text)
}
