//! The HTTP trap: logins, scans, bodies of every size, and what is no HTTP at all.

use bee_pots::Kind;
use serde_json::{Value, json};

use crate::clients::{Raw, installed, run};
use crate::intake::{Trap, check_sessions, of, one, trap};

async fn http() -> Trap {
    trap(Kind::Http, json!({"seed": "test", "body_bytes_max": 100_000})).await
}

async fn ask(trap: &Trap, request: &[u8]) -> (String, Vec<Value>) {
    let before = of(&trap.intake.events(), "session.closed").len();
    let mut client = Raw::connect(trap.address).await;
    client.send(request).await;
    let reply = client.end().await;
    (reply, trap.intake.closed(before + 1).await)
}

#[tokio::test]
async fn a_form_login_is_a_request_and_a_login() {
    let trap = http().await;
    let body = "log=admin&pwd=S3cret%21&wp-submit=Log+In";
    let request = format!(
        "POST /wp-login.php HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test/1\r\nX-Forwarded-For: 8.8.8.8\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (reply, events) = ask(&trap, request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.contains("login_error"), "{reply}");
    check_sessions(&events, "http");
    let request = one(&events, "request");
    let data = &request["data"];
    assert_eq!(
        (&data["method"], &data["path"], &data["status"], &data["body"]),
        (&json!("POST"), &json!("/wp-login.php"), &json!(200), &json!(body))
    );
    assert_eq!(
        (&data["src_ip"], &data["x_forwarded_for"]),
        (&json!("127.0.0.1"), &json!("8.8.8.8")),
        "a claim is no source"
    );
    let login = one(&events, "login");
    assert_eq!(
        (&login["data"]["username"], &login["data"]["password"], &login["data"]["success"]),
        (&json!("admin"), &json!("S3cret!"), &json!(false))
    );
}

#[tokio::test]
async fn requests_on_one_connection_are_one_session() {
    let trap = http().await;
    let (reply, events) = ask(&trap, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /wp-json/ HTTP/1.1\r\nHost: a\r\n\r\nGET /manager/html HTTP/1.1\r\nAuthorization: Basic dG9tY2F0OnMzY3JldA==\r\nConnection: close\r\n\r\n").await;
    assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(reply.contains("HTTP/1.1 401 Unauthorized") && reply.contains("WWW-Authenticate: Basic"));
    check_sessions(&events, "http");
    assert_eq!(of(&events, "request").len(), 3);
    assert_eq!(of(&events, "session.connect").len(), 1);
    assert_eq!(one(&events, "login")["data"]["method"], "basic");
}

#[tokio::test]
async fn a_chunked_body_is_joined_and_a_binary_one_is_kept() {
    let trap = http().await;
    let (_, events) = ask(&trap, b"POST /cgi-bin/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\n\x7fEL\r\n2\r\nF\xff\r\n0\r\n\r\n").await;
    let request = one(&events, "request");
    assert_eq!((&request["data"]["body_size"], &request["data"]["kind"]), (&json!(5), &json!("payload")));
    assert_eq!(trap.artifact(&request), b"\x7fELF\xff");
}

#[tokio::test]
async fn a_body_over_the_cap_is_cut_and_counted() {
    let trap = http().await;
    let mut request = b"PUT /upload HTTP/1.1\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n".to_vec();
    request.extend(b"x".repeat(300_000));
    let (reply, events) = ask(&trap, &request).await;
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
    let request = one(&events, "request");
    let data = &request["data"];
    assert_eq!(
        (&data["body_size"], &data["size"], &data["cut"]),
        (&json!(300_000), &json!(100_000), &json!(true))
    );
    assert_eq!(trap.artifact(&request).len(), 100_000);
}

#[tokio::test]
async fn what_is_no_http_is_recorded_and_answered_with_400() {
    let trap = http().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-scanner\r\n\r\n",
        &[0; 300],
        b"GET / HTTP/1.1\r\nBad Header\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
    ] {
        let (reply, events) = ask(&trap, bytes).await;
        assert!(reply.starts_with("HTTP/1.1 400 Bad Request"), "{bytes:?}: {reply}");
        let last = of(&events, "request").pop().unwrap();
        assert!(last["data"]["malformed"].is_string(), "{last}");
    }
    check_sessions(&trap.intake.events(), "http");
}

#[tokio::test]
async fn smuggling_and_endless_heads_are_refused() {
    let trap = http().await;
    let smuggle = b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (reply, events) = ask(&trap, smuggle).await;
    assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
    assert_eq!(one(&events, "request")["data"]["malformed"], "contradictory or unknown framing");
    let (reply, events) =
        ask(&trap, format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(40_000)).as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 400") || reply.is_empty(), "{reply}");
    assert_eq!(of(&events, "request").len(), 2);
}

#[tokio::test]
async fn hostile_text_everywhere_arrives_as_text() {
    let trap = http().await;
    let (_, events) = ask(&trap, b"GET /<script>?\xc3\x28 HTTP/1.1\r\nUser-Agent: \x1b]52;c;x\x07\"'<b>\xff\r\nConnection: close\r\n\r\n").await;
    check_sessions(&events, "http");
    assert_eq!(of(&events, "request").len(), 1);
}

#[tokio::test]
async fn clients_that_vanish_or_say_nothing_are_closed_sessions() {
    let trap = http().await;
    drop(Raw::connect(trap.address).await);
    let mut half = Raw::connect(trap.address).await;
    half.send(b"POST /x HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf").await;
    drop(half);
    let events = trap.intake.closed(2).await;
    check_sessions(&events, "http");
    assert_eq!(one(&events, "request")["data"]["malformed"], "the client went away within the body");
}

#[tokio::test]
async fn curl_logs_in_and_fetches() {
    if !installed("curl") {
        return;
    }
    let trap = http().await;
    let base = format!("http://{}", trap.address);
    let login =
        run("curl", &["-s", "-i", "-d", "log=admin&pwd=hunter2", &format!("{base}/wp-login.php")], None)
            .await;
    assert!(String::from_utf8_lossy(&login.stdout).contains("login_error"));
    let basic = run(
        "curl",
        &[
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-u",
            "tomcat:s3cret",
            &format!("{base}/manager/html"),
        ],
        None,
    )
    .await;
    assert_eq!(String::from_utf8_lossy(&basic.stdout), "401");
    let big = "x".repeat(200_000);
    let upload = run(
        "curl",
        &["-s", "-o", "/dev/null", "-w", "%{http_code}", "-T", "-", &format!("{base}/x")],
        Some(&big),
    )
    .await;
    assert_eq!(String::from_utf8_lossy(&upload.stdout), "404");
    let events = trap.intake.closed(3).await;
    check_sessions(&events, "http");
    let logins: Vec<_> = of(&events, "login")
        .iter()
        .map(|e| (e["data"]["username"].clone(), e["data"]["password"].clone()))
        .collect();
    assert_eq!(logins, [(json!("admin"), json!("hunter2")), (json!("tomcat"), json!("s3cret"))]);
    assert_eq!(of(&events, "request").pop().unwrap()["data"]["body_size"], 200_000);
}
