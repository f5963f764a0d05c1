//! Finds the credentials in a request: basic authentication, login forms of the imitated pages, WordPress XML-RPC, JSON.
//!
//! Pure. Only names that login pages use are taken, so that a search field is not reported as a user.

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::Value;

use super::request::Head;

/// Pairs reported from one request; `system.multicall` tries hundreds at once.
const PAIRS_MAX: usize = 500;

/// A pair of credentials and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name, possibly empty.
    pub username: String,
    /// Password, possibly empty.
    pub password: String,
    /// `basic`, `form`, `xmlrpc` or `json`.
    pub method: &'static str,
}

const USER_FIELDS: &[&str] = &[
    "log",
    "pma_username",
    "username",
    "user",
    "login",
    "email",
    "usr",
    "uname",
    "j_username",
    "userName",
    "name",
];
const PASSWORD_FIELDS: &[&str] =
    &["pwd", "pma_password", "password", "pass", "passwd", "psd", "j_password", "userPassword", "secret"];

/// Everything that looks like a login in this request.
#[must_use]
pub fn find(head: &Head, body: &[u8]) -> Vec<Credentials> {
    let mut found: Vec<Credentials> = basic(head).into_iter().collect();
    let kind = head.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if body.is_empty() {
        found.extend(form(head.query().as_bytes()));
    } else if head.path().ends_with("/xmlrpc.php") {
        found.extend(xmlrpc(body));
    } else if kind.contains("json") || body.trim_ascii_start().starts_with(b"{") {
        found.extend(json(body));
    } else if !kind.contains("multipart") {
        found.extend(form(body));
    }
    found.truncate(PAIRS_MAX);
    found
}

fn basic(head: &Head) -> Option<Credentials> {
    let (scheme, token) = head.header("authorization")?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let token = token.trim().trim_end_matches('=').as_bytes();
    let bytes = BASE64_NOPAD.decode(token).or_else(|_| BASE64.decode(token)).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (username, password) = text.split_once(':').unwrap_or((&text, ""));
    Some(Credentials { username: username.to_owned(), password: password.to_owned(), method: "basic" })
}

fn form(body: &[u8]) -> Option<Credentials> {
    let mut fields = fields(body);
    let mut take = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)))
            .map(|at| fields.swap_remove(at).1)
    };
    let password = take(PASSWORD_FIELDS)?;
    Some(Credentials { username: take(USER_FIELDS).unwrap_or_default(), password, method: "form" })
}

/// Name and value pairs of `application/x-www-form-urlencoded`.
#[must_use]
pub fn fields(body: &[u8]) -> Vec<(String, String)> {
    body.split(|b| *b == b'&')
        .take(200)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut parts = pair.splitn(2, |b| *b == b'=');
            (decode(parts.next().unwrap_or_default()), decode(parts.next().unwrap_or_default()))
        })
        .collect()
}

/// Undoes percent-encoding; `+` is a space.
#[must_use]
pub fn decode(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            (other, _) => out.push(*other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

fn json(body: &[u8]) -> Option<Credentials> {
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(body) else { return None };
    let take = |names: &[&str]| {
        members
            .iter()
            .find(|(name, _)| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
            .and_then(|(_, value)| value.as_str())
            .map(str::to_owned)
    };
    let password = take(PASSWORD_FIELDS)?;
    Some(Credentials { username: take(USER_FIELDS).unwrap_or_default(), password, method: "json" })
}

/// The two string parameters of each `wp.*` or `metaWeblog.*` call, `system.multicall` included.
fn xmlrpc(body: &[u8]) -> Vec<Credentials> {
    let text = String::from_utf8_lossy(body);
    let mut found = Vec::new();
    // Not a full XML parser: attack tools send these calls in one of a few fixed shapes, and what is missed is in the body.
    for call in text.split("methodName").skip(1) {
        let strings: Vec<String> = call
            .split("<string>")
            .skip(1)
            .filter_map(|part| part.split_once("</string>"))
            .map(|(value, _)| unescape(value))
            .filter(|value| {
                !value.contains('.')
                    || !["wp.", "metaWeblog.", "system.", "blogger."].iter().any(|p| value.starts_with(p))
            })
            .take(3)
            .collect();
        if let [.., username, password] = strings.as_slice() {
            found.push(Credentials {
                username: username.clone(),
                password: password.clone(),
                method: "xmlrpc",
            });
        }
        if found.len() >= PAIRS_MAX {
            break;
        }
    }
    found
}

fn unescape(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("<![CDATA[").and_then(|t| t.strip_suffix("]]>")).unwrap_or(text);
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Parsed;

    fn check(head: &str, body: &str, expect: &[(&str, &str, &str)]) {
        let Parsed::Head(head, _) = Head::parse(head.as_bytes()) else { panic!("head") };
        let found = find(&head, body.as_bytes());
        let found: Vec<_> =
            found.iter().map(|c| (c.username.as_str(), c.password.as_str(), c.method)).collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn a_wordpress_form() {
        let head = "POST /wp-login.php HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n";
        check(head, "log=admin&pwd=p%40ss+w%C3%A9%&wp-submit=Log+In", &[("admin", "p@ss wé%", "form")]);
        check(head, "s=search", &[]);
        check(head, "pwd=only", &[("", "only", "form")]);
    }

    #[test]
    fn basic_authentication_with_and_without_padding() {
        for token in ["dG9tY2F0OnMzY3JldA==", "dG9tY2F0OnMzY3JldA"] {
            check(
                &format!("GET /manager/html HTTP/1.1\r\nAuthorization: Basic {token}\r\n\r\n"),
                "",
                &[("tomcat", "s3cret", "basic")],
            );
        }
        check("GET / HTTP/1.1\r\nAuthorization: Bearer abc\r\n\r\n", "", &[]);
        check("GET / HTTP/1.1\r\nAuthorization: Basic %%%\r\n\r\n", "", &[]);
    }

    #[test]
    fn xmlrpc_calls_single_and_many() {
        let head = "POST /xmlrpc.php HTTP/1.1\r\n\r\n";
        let one = "<?xml version=\"1.0\"?><methodCall><methodName>wp.getUsersBlogs</methodName><params><param><value><string>admin</string></value></param><param><value><string>a&amp;b</string></value></param></params></methodCall>";
        check(head, one, &[("admin", "a&b", "xmlrpc")]);
        let many = "<methodCall><methodName>system.multicall</methodName><params><member><name>methodName</name><value><string>wp.getUsersBlogs</string></value></member><value><string>admin</string></value><value><string>one</string></value><member><name>methodName</name><value><string>wp.getUsersBlogs</string></value></member><value><string>admin</string></value><value><string>two</string></value></params></methodCall>";
        check(head, many, &[("admin", "one", "xmlrpc"), ("admin", "two", "xmlrpc")]);
    }

    #[test]
    fn json_and_query_logins() {
        check(
            "POST /api/login HTTP/1.1\r\nContent-Type: application/json\r\n\r\n",
            r#"{"username":"a","password":"b"}"#,
            &[("a", "b", "json")],
        );
        check(
            "GET /boaform/admin/formLogin?username=ec8&psd=ec8 HTTP/1.0\r\n\r\n",
            "",
            &[("ec8", "ec8", "form")],
        );
        check("POST /x HTTP/1.1\r\nContent-Type: application/json\r\n\r\n", "{broken", &[]);
    }

    #[test]
    fn a_flood_of_pairs_is_bounded() {
        let body = "<name>methodName</name><string>a</string><string>b</string>".repeat(PAIRS_MAX * 2);
        let Parsed::Head(head, _) = Head::parse(b"POST /xmlrpc.php HTTP/1.1\r\n\r\n") else { panic!("head") };
        assert_eq!(find(&head, body.as_bytes()).len(), PAIRS_MAX);
    }
}
