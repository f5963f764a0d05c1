//! Core's counters by name: what was taken in, what was refused and why.
//!
//! One place, so that `/metrics`, the REST API and the tests read the same numbers. A refusal without a
//! counter is a bug. Counters only grow; gauges are asked of the parts when someone looks.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])+ $field:ident = $name:literal,)+) => {
        /// Every counter of Core. All of them start at zero with the process.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])+ pub $field: Counter,)+
        }

        impl Counters {
            /// Name and value of each counter, in a stable order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field.get()),)+]
            }
        }
    };
}

/// One number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    /// Connections accepted on the node port.
    node_connections = "node_connections_total",
    /// Connections refused because a limit of connections was reached.
    node_connections_refused = "node_connections_refused_total",
    /// Connections that ended before they registered, by a deadline.
    node_registration_timeouts = "node_registration_timeouts_total",
    /// TLS handshakes that failed.
    node_tls_failures = "node_tls_failures_total",
    /// Plain connections to a port that requires TLS, and TLS to one that is plain.
    node_wrong_transport = "node_wrong_transport_total",
    /// Registrations accepted.
    node_registrations = "node_registrations_total",
    /// Registrations refused, for any reason.
    node_registrations_refused = "node_registrations_refused_total",
    /// Refused because of a wrong, replayed or missing TOTP code, token or certificate.
    node_auth_failures = "node_auth_failures_total",
    /// Connections replaced by a newer one of the same node.
    node_replaced = "node_replaced_total",
    /// Nodes that became `Unknown` by silence.
    node_silent = "node_silent_total",
    /// Connections cut because the peer stopped reading.
    node_write_timeouts = "node_write_timeouts_total",
    /// Messages read from nodes.
    node_messages = "node_messages_total",
    /// Bytes read from nodes (after TLS).
    node_bytes = "node_bytes_total",
    /// Frames over the limit.
    frames_too_large = "frames_too_large_total",
    /// Bytes that were no frame.
    frames_garbage = "frames_garbage_total",
    /// Frames of another protocol version.
    frames_wrong_version = "frames_wrong_version_total",
    /// Frames with a message nobody knows.
    frames_unknown = "frames_unknown_total",
    /// Frames whose message could not be read.
    frames_malformed = "frames_malformed_total",
    /// Messages that claimed another node's id.
    node_id_forged = "node_id_forged_total",

    /// Batches stored.
    batches_stored = "batches_stored_total",
    /// Events stored.
    events_stored = "events_stored_total",
    /// Events recognised as stored before.
    events_repeated = "events_repeated_total",
    /// Events that nodes skipped: numbers that will never come.
    events_gap = "events_gap_total",
    /// Events of peers without sequence numbers.
    events_legacy = "events_legacy_total",
    /// Events dropped from the log because it reached its size cap.
    events_expired = "events_expired_total",
    /// Groups committed, each with one disk sync.
    log_commits = "log_commits_total",
    /// Bytes appended to the log.
    log_bytes = "log_bytes_total",
    /// Times the disk was full and ingest stood still.
    disk_full = "disk_full_total",
    /// Records that could not be read back.
    log_records_damaged = "log_records_damaged_total",

    /// Events handed to live subscribers.
    live_events = "live_events_total",
    /// Events that live subscribers missed because they were slow.
    live_missed = "live_missed_total",
    /// Queries answered.
    queries = "queries_total",
    /// Queries cut by a deadline or a scan limit.
    queries_incomplete = "queries_incomplete_total",

    /// Commands made.
    commands_created = "commands_created_total",
    /// Commands done.
    commands_done = "commands_done_total",
    /// Commands failed.
    commands_failed = "commands_failed_total",
    /// Commands that timed out.
    commands_timed_out = "commands_timed_out_total",

    /// Artifacts stored.
    artifacts_stored = "artifacts_stored_total",
    /// Artifacts that were in the vault already.
    artifacts_known = "artifacts_known_total",
    /// Artifacts refused: too large, quota, wrong hash, out of order.
    artifacts_refused = "artifacts_refused_total",
    /// Bytes of artifacts stored.
    artifact_bytes = "artifact_bytes_total",

    /// Connections accepted on the API ports, 9002 and 9003.
    api_connections = "api_connections_total",
    /// API connections refused because a limit of connections was reached.
    api_connections_refused = "api_connections_refused_total",
    /// API connections cut by a deadline: no handshake, no first byte, no whole request in time.
    api_timeouts = "api_timeouts_total",
    /// Plain connections to an API port that requires TLS, and TLS to one that is plain.
    api_wrong_transport = "api_wrong_transport_total",
    /// TLS handshakes that failed on the API ports.
    api_tls_failures = "api_tls_failures_total",
    /// HTTP requests answered.
    api_requests = "api_requests_total",
    /// HTTP requests that failed inside Core.
    api_errors = "api_errors_total",
    /// Tokens that were wrong, expired or revoked, of API clients and modules.
    api_auth_failures = "api_auth_failures_total",
    /// Requests whose token lacked the scope.
    api_forbidden = "api_forbidden_total",
    /// WebSockets refused because of their origin.
    ws_origin_refused = "ws_origin_refused_total",

    /// Modules that registered.
    module_registrations = "module_registrations_total",
    /// Modules refused at registration.
    module_registrations_refused = "module_registrations_refused_total",
    /// Modules that did not register in time.
    module_timeouts = "module_timeouts_total",
    /// Messages read from modules.
    module_messages = "module_messages_total",
    /// Messages of modules that could not be understood.
    module_messages_bad = "module_messages_bad_total",
    /// Messages of modules over the size limit.
    module_frames_too_large = "module_frames_too_large_total",
    /// Modules cut because they stopped reading.
    module_write_timeouts = "module_write_timeouts_total",
    /// Events published by modules.
    module_events = "module_events_total",
    /// Alerts raised.
    alerts_raised = "alerts_raised_total",
    /// Alerts that repeated an earlier one.
    alerts_repeated = "alerts_repeated_total",
    /// Log lines of modules that were dropped because there were too many.
    module_log_lines_dropped = "module_log_lines_dropped_total",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own() {
        let counters = Counters::default();
        counters.events_stored.add(3);
        let mut all = counters.all();
        assert!(all.contains(&("events_stored_total", 3)));
        let before = all.len();
        all.sort_unstable();
        all.dedup_by_key(|(name, _)| *name);
        assert_eq!(all.len(), before);
    }
}
