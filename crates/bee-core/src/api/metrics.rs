//! `/metrics`: counters and values of the moment as Prometheus text (exposition format 0.0.4).

use std::fmt::Write as _;

use crate::handle::CoreHandle;

/// The content type of [`render`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything there is, each name with `honeybee_` before it.
pub(super) fn render(handle: &CoreHandle) -> String {
    let mut out = String::with_capacity(8 * 1024);
    let version = env!("CARGO_PKG_VERSION");
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# TYPE honeybee_build_info gauge\nhoneybee_build_info{{version=\"{version}\"}} 1");
    for (name, value) in handle.counters().all() {
        let _ = writeln!(out, "# TYPE honeybee_{name} counter\nhoneybee_{name} {value}");
    }
    for (name, value) in handle.gauges() {
        let _ = writeln!(out, "# TYPE honeybee_{name} gauge\nhoneybee_{name} {value}");
    }
    out
}
