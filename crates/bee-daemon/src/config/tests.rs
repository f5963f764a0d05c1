//! What people see when they configure: each test is a file somebody could have written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    server: Server,
    logging: Logging,
    tls: Tls,
    labels: BTreeMap<String, String>,
    token: Secret,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Server {
    host: String,
    node_port: u16,
    debug: bool,
    names: Vec<String>,
    ratio: f64,
    address: Option<std::net::SocketAddr>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            node_port: 9001,
            debug: false,
            names: Vec::new(),
            ratio: 1.0,
            address: None,
        }
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Logging {
    level: String,
    force_color: bool,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Tls {
    mode: Mode,
    ca_file: Option<std::path::PathBuf>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Required,
    Optional,
    Pinned {
        fingerprint: String,
    },
}

fn toml(text: &str) -> Result<Loaded<Config>, ConfigError> {
    Loader::new().text(Format::Toml, "core.toml", text)?.load()
}

fn yaml(text: &str) -> Result<Loaded<Config>, ConfigError> {
    Loader::new().text(Format::Yaml, "node.yaml", text)?.load()
}

#[track_caller]
fn check_error(result: Result<Loaded<Config>, ConfigError>, expect: &str) {
    assert_eq!(result.unwrap_err().to_string(), expect);
}

#[test]
fn an_unknown_key_names_file_line_and_nearest_neighbour() {
    check_error(
        toml("[server]\nhost = \"::1\"\n\nnode_prot = 9001\n"),
        "core.toml:4: `server.node_prot` is not a known key; did you mean `server.node_port`?",
    );
    check_error(
        yaml("server:\n  host: ::1\n  node-port: 9001\n"),
        "node.yaml:3: `server.node-port` is not a known key; did you mean `server.node_port`?",
    );
}

#[test]
fn every_unknown_key_is_told_at_once_in_the_order_of_the_file() {
    check_error(
        toml("[sever]\nhost = \"x\"\n[logging]\nzzz = 1\n[server]\nnode_port = 70000\n"),
        "core.toml:1: `sever` is not a known key; did you mean `server`?\n\
         core.toml:4: `logging.zzz` is not a known key; known here: level, force_color\n\
         core.toml:6: `server.node_port` must be a whole number from 0 to 65535, not 70000",
    );
}

#[test]
fn a_bad_value_names_its_key_and_what_to_write() {
    for (text, expect) in [
        (
            "server.node_port = \"x\"",
            "core.toml:1: `server.node_port` must be a whole number from 0 to 65535, not \"x\"",
        ),
        ("server.debug = 1", "core.toml:1: `server.debug` must be true or false, not 1"),
        ("server.host = 5", "core.toml:1: `server.host` must be a text in quotes, not 5"),
        ("server = 3", "core.toml:1: `server` must be a section with keys of its own, not a single value"),
        ("server.names = [\n\"a\",\n7]", "core.toml:3: `server.names[1]` must be a text in quotes, not 7"),
        (
            "tls.mode = \"requird\"",
            "core.toml:1: `tls.mode` must be one of required, optional, pinned, not \"requird\"; did you mean \"required\"?",
        ),
        ("tls.mode = { pinned = {} }", "core.toml:1: `tls.mode.pinned` needs the key `fingerprint`"),
        (
            "tls.mode = { pinned = { fingerprnt = \"x\" } }",
            "core.toml:1: `tls.mode.pinned.fingerprnt` is not a known key; did you mean `tls.mode.pinned.fingerprint`?\ncore.toml:1: `tls.mode.pinned` needs the key `fingerprint`",
        ),
        ("server.address = \"nowhere\"", "core.toml:1: `server.address` invalid socket address syntax"),
    ] {
        check_error(toml(text), expect);
    }
}

#[test]
fn broken_syntax_names_the_line() {
    let error = toml("[server]\nhost = \n").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax(_)), "{error}");
    assert!(error.to_string().starts_with("core.toml:2: "), "{error}");
    let error = toml("[server]\nhost = \"a\"\nhost = \"b\"\n").unwrap_err();
    assert!(error.to_string().starts_with("core.toml:3: "), "{error}");
    let error = yaml("server:\n  host: [a\nx: 1\n").unwrap_err();
    assert!(matches!(error, ConfigError::Syntax(_)), "{error}");
    assert!(error.to_string().starts_with("node.yaml:"), "{error}");
    let error = yaml("server:\n  debug: true\n  debug: false\n").unwrap_err();
    assert!(error.to_string().starts_with("node.yaml:3: "), "{error}");
    check_error(yaml("- a\n"), "node.yaml:1: the file must be a table of `key: value`");
}

#[test]
fn later_layers_win_key_by_key_and_their_origin_is_known() {
    let loaded: Loaded<Config> = Loader::new()
        .flag("--port", "server.node_port", 4)
        .env(
            "HONEYBEE_CORE_",
            [
                ("HONEYBEE_CORE_SERVER__NODE_PORT", "3"),
                ("HONEYBEE_CORE_SERVER__NAMES", "a, b"),
                ("HONEYBEE_CORE_LOGGING__FORCE_COLOR", "yes"),
                ("HONEYBEE_EVENT_PORT", "9100"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
        .text(Format::Toml, "core.toml", "[server]\nnode_port = 2\nhost = \"::1\"\n")
        .unwrap()
        .load()
        .unwrap();
    assert_eq!(loaded.value.server.node_port, 4);
    assert_eq!(loaded.value.server.names, ["a", "b"]);
    assert!(loaded.value.logging.force_color);
    let shown: Vec<String> = loaded
        .rows()
        .unwrap()
        .into_iter()
        .map(|row| format!("{} = {} ({})", row.key, row.value, row.origin))
        .collect();
    for row in [
        "server.host = \"::1\" (core.toml:3)",
        "server.node_port = 4 (--port)",
        "server.names = [\"a\",\"b\"] ($HONEYBEE_CORE_SERVER__NAMES)",
        "server.debug = false (default)",
        "logging.force_color = true ($HONEYBEE_CORE_LOGGING__FORCE_COLOR)",
        "tls.mode = \"required\" (default)",
    ] {
        assert!(shown.iter().any(|shown| shown == row), "{row} is not in {shown:#?}");
    }
    assert!(loaded.is_set("server.host") && !loaded.is_set("server.debug"));
}

#[test]
fn a_bad_or_unknown_variable_and_flag_is_named() {
    let bad = |name: &str, value: &str| {
        Loader::new().env("HC_", [(name.to_owned(), value.to_owned())]).load::<Config>()
    };
    check_error(
        bad("HC_SERVER__NODE_PORT", "lots"),
        "$HC_SERVER__NODE_PORT: `server.node_port` must be a whole number from 0 to 65535, not \"lots\"",
    );
    check_error(
        bad("HC_SERVR__HOST", "x"),
        "$HC_SERVR__HOST: `servr` is not a known key; did you mean `server`?",
    );
    check_error(
        Loader::new().flag("--debug", "server.debug", "maybe").load(),
        "--debug: `server.debug` must be true or false, not \"maybe\"",
    );
}

#[test]
fn yaml_reads_sections_lists_anchors_and_empty_files() {
    let loaded = yaml(
        "server: &s\n  host: \"0.0.0.0\"\n  names:\n    - one\n    - two\ntls:\nlabels:\n  place: attic\n",
    )
    .unwrap();
    assert_eq!(loaded.value.server.host, "0.0.0.0");
    assert_eq!(loaded.value.server.names, ["one", "two"]);
    assert_eq!(loaded.value.tls, Tls::default());
    assert_eq!(loaded.origin("labels.place").to_string(), "node.yaml:8");
    assert_eq!(loaded.origin("server.names").to_string(), "node.yaml:4");
    for empty in ["", "\n", "# nothing\n", "---\n"] {
        assert_eq!(yaml(empty).unwrap().value, Config::default(), "{empty:?}");
    }
}

#[test]
fn choices_with_content_are_read() {
    let loaded = toml("[tls.mode.pinned]\nfingerprint = \"AB\"\n").unwrap();
    let pinned = Mode::Pinned { fingerprint: "AB".to_owned() };
    assert_eq!(loaded.value.tls.mode, pinned);
}

#[test]
fn a_secret_is_in_no_error_and_no_listing() {
    let loaded = toml("token = \"hunter2\"").unwrap();
    assert_eq!(loaded.value.token.expose(), "hunter2");
    let listing = format!("{:?} {:?}", loaded.rows().unwrap(), loaded.value);
    assert!(!listing.contains("hunter2"), "{listing}");
    assert!(listing.contains("(set)"), "{listing}");
    for text in ["token = 31337", "token = -31337", "token = 31337.5"] {
        let error = toml(text).unwrap_err().to_string();
        assert_eq!(error, "core.toml:1: `token` must be a text: put it in quotes");
    }
}

#[test]
fn a_check_of_ours_points_at_the_place_too() {
    let loaded = toml("[server]\nhost = \"\"\n").unwrap();
    let problem = loaded.problem("server.host", "must not be empty");
    assert_eq!(problem.to_string(), "core.toml:2: `server.host` must not be empty");
}

#[test]
fn a_file_that_cannot_be_one_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name);
    std::fs::write(path("a.json"), "{}").unwrap();
    std::fs::write(path("b.toml"), [0xff, 0xfe]).unwrap();
    std::fs::write(path("c.yml"), vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
    let load = |name: &str| Loader::new().file(&path(name)).map(|_| ()).unwrap_err();
    assert!(matches!(load("a.json"), ConfigError::UnknownFormat { .. }));
    assert!(matches!(load("b.toml"), ConfigError::NotConfig { .. }));
    assert!(matches!(load("c.yml"), ConfigError::NotConfig { .. }));
    assert!(matches!(load("none.toml"), ConfigError::Read { .. }));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "[\\[\\]{}a-z0-9:=.,\"'\\-#&*!|> \\n]{0,120}") {
        let _ = toml(&text);
        let _ = yaml(&text);
    }
}
