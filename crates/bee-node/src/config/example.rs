//! The commented example that `--gen-config` prints. A test loads it, so it cannot fall behind.

/// A whole config file with the defaults and a sentence on each key.
pub const EXAMPLE: &str = r#"# HoneyBee node. Check with `honeybee-node --validate --config FILE`; unknown keys are errors.
# Everything but node.name and a way to Core (server.address or enrollment.join_code) may be left out.

node:
  name: "my-node"              # shown in Core; unique there
  type: "Full"                 # Full runs pots; Agent watches only and refuses to install any
  address: "0.0.0.0"           # where this node says it can be reached (shown in Core, not used)
  port: 8080
  labels: {}                   # free words for whoever reads this file; Core does not see them yet

server:
  address: "127.0.0.1:9001"    # Core's node port; a join code brings its own
  heartbeat_interval: 30       # seconds
  reconnect_delay: 5           # seconds; grows with each failure, with jitter, and never gives up
  reconnect_delay_max: 60
  connection_timeout: 10       # seconds for connecting, and for the TLS handshake
  write_timeout: 30            # seconds that Core may stop reading before the link is made anew

tls:
  # enabled: true              # default: on, except to a Core on loopback whose CA is not known
  insecure_skip_verify: false  # true trusts anybody in between: for a first look in a lab only
  # server_name: "core.example" # default: the name that every Core certificate carries
  # ca_file: "/etc/honeybee/ca.pem"       # default: ca.pem of the state directory, from the join
  # cert_file: "/etc/honeybee/client.pem" # default: the certificate that Core issued
  # key_file: "/etc/honeybee/client.key"
  allow_plaintext: false       # true permits a link without TLS to another machine

auth:
  totp_enabled: true
  # totp_secret_dir: "/etc/honeybee"      # holds .honeybee_totp_secret (0600); default: state_dir if that
                               # is set, otherwise the user's config folder, honeybee/

enrollment:
  join_code: ""                # what `honeybee invite` printed; used until this node is in

log:
  level: "info"                # error, warn, info, debug, trace, or directives: info,bee_node=debug
  format: "text"               # text or json
  # file: "/var/log/honeybee-node.log"

honeypot:
  enabled: true
  # base_dir: "/var/lib/honeybee-node/pots"  # default: pots/ of the state directory
  # default_ssh_port: 2222
  # default_telnet_port: 2323
  # default_http_port: 8080
  listen_address: "127.0.0.1"  # 0.0.0.0 opens the traps to the network
  stop_grace: 5                # seconds from SIGTERM to SIGKILL

pots: []                       # traps that run here whatever Core says
#  - id: "ssh-1"
#    type: "ssh"               # ssh, telnet or http
#    enabled: true
#    listen: "0.0.0.0:22"
#    config:                   # the trap's own settings
#      hostname: "web-prod-03"

intake:                        # JSON lines from pots, on 127.0.0.1
  # event_port: 9100           # default: the first free one from 9100 to 9199
  connections_max: 512
  line_bytes_max: 1048576
  line_seconds_max: 30         # a line that was begun has to end; silence between lines is fine

spool:                         # events that Core does not have yet
  bytes_max: 1073741824        # past this the oldest are dropped, counted and reported
  segment_bytes_max: 16777216

features:                      # extensions, used when Core speaks them too
  batch: true
  command_result: true
  artifacts: true
  totp_request: true
  errors: true

# state_dir: "/var/lib/honeybee-node"  # default: this for root, ~/.local/state/honeybee-node otherwise
"#;
