//! Which web pages may talk to Core, and whether a request names this machine.
//!
//! A browser adds `Origin` to every WebSocket handshake and lets any page start one; the header is the only thing
//! that tells our own page from a stranger's (RFC 6455 section 10.2).

use axum::http::{HeaderMap, Uri, header};

/// Whether a page of this origin may open a WebSocket here. A request without `Origin` does not come from a page.
pub(crate) fn is_allowed(headers: &HeaderMap, further: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if further.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return true;
    }
    let Some((_, authority)) = origin.split_once("://") else { return false };
    host(headers).is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

/// Whether the request was made to a name that always means this machine. A page that points its own name at
/// 127.0.0.1 (DNS rebinding) is told apart by it.
pub(crate) fn is_local_host(headers: &HeaderMap) -> bool {
    let Some(Ok(uri)) = host(headers).map(|host| host.parse::<Uri>()) else { return false };
    let Some(name) = uri.host() else { return false };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_our_own_page_and_named_ones_may_open_a_socket() {
        let further = ["https://soc.example.org".to_owned()];
        for (origin, expect) in [
            (None, true),
            (Some("http://core.example.org:9002"), true),
            (Some("https://soc.example.org"), true),
            (Some("https://evil.example"), false),
            (Some("http://core.example.org"), false),
            (Some("http://core.example.org:9002.evil.example"), false),
            (Some("null"), false),
        ] {
            assert_eq!(is_allowed(&headers("core.example.org:9002", origin), &further), expect, "{origin:?}");
        }
    }

    #[test]
    fn a_rebound_name_is_not_this_machine() {
        for (host, expect) in [
            ("localhost:9002", true),
            ("127.0.0.1", true),
            ("[::1]:9002", true),
            ("evil.example:9002", false),
            ("localhost.evil.example", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_local_host(&headers(host, None)), expect, "{host}");
        }
    }
}
