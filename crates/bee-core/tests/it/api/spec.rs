//! The OpenAPI document against the server that it describes.

use serde_json::{Value, json};

use super::client::{Served, serve};

/// What has to be there, whatever else is.
const CONTRACT: &[(&str, &str)] = &[
    ("get", "/health"),
    ("get", "/metrics"),
    ("get", "/api/openapi.json"),
    ("get", "/api/v1/status"),
    ("get", "/api/v1/nodes"),
    ("get", "/api/v1/nodes/{node_id}"),
    ("delete", "/api/v1/nodes/{node_id}"),
    ("get", "/api/v1/honeypots"),
    ("get", "/api/v1/pending"),
    ("post", "/api/v1/pending/{node_id}/approve"),
    ("post", "/api/v1/pending/{node_id}/refuse"),
    ("get", "/api/v1/events"),
    ("get", "/api/v1/events/{id}"),
    ("post", "/api/v1/nodes/{node_id}/commands"),
    ("get", "/api/v1/commands"),
    ("get", "/api/v1/commands/{id}"),
    ("get", "/api/v1/join-tokens"),
    ("post", "/api/v1/join-tokens"),
    ("delete", "/api/v1/join-tokens/{id}"),
    ("get", "/api/v1/tokens"),
    ("post", "/api/v1/tokens"),
    ("delete", "/api/v1/tokens/{id}"),
    ("get", "/api/v1/artifacts"),
    ("get", "/ws"),
];

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(|(method, operation)| (method.clone(), path.clone(), operation.clone()))
    });
    all.collect()
}

fn refs(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| refs(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
        _ => {}
    }
}

async fn document(core: &Served) -> Value {
    let response = core.request("GET", "/api/openapi.json", None, None).await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        response.text(),
        bee_core::api::openapi_document(),
        "tools get the same document without a server"
    );
    response.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_describes_the_whole_contract_and_refers_to_nothing_that_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let document = document(&core).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    for (method, path) in CONTRACT {
        assert!(document["paths"][path][method].is_object(), "{method} {path} is not described");
    }
    let mut targets = Vec::new();
    refs(&document, &mut targets);
    assert!(targets.len() > 20, "{targets:?}");
    for target in targets {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_that_is_described_exists_and_answers_401_without_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let open = ["/", "/health", "/api/openapi.json"];
    let mut closed = 0;
    for (method, path, operation) in operations(&document(&core).await) {
        let url = path.replace("{node_id}", "1").replace("{id}", "1");
        let response = core.request(&method.to_uppercase(), &url, None, None).await;
        if open.contains(&path.as_str()) {
            assert_eq!(response.status, 200, "{path}");
        } else if path == "/ws" {
            assert_eq!(response.problem(426)["code"], "UPGRADE_REQUIRED");
        } else {
            assert_eq!(response.problem(401)["code"], "AUTHENTICATION_FAILED", "{method} {path}");
            assert!(response.header("www-authenticate").unwrap().starts_with("Bearer"), "{method} {path}");
            assert!(
                operation["security"][0]["bearer"][0].is_string(),
                "{method} {path} does not say its scope"
            );
            closed += 1;
        }
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        assert_eq!(response.header("cache-control"), Some("no-store"), "{method} {path}");
    }
    assert!(closed >= 20, "{closed}");
    core.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scope_that_the_document_names_is_the_scope_that_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let core = serve(dir.path(), "").await;
    let mut tokens = std::collections::BTreeMap::new();
    for scope in bee_wire::api::Scope::ALL {
        let secret = super::client::token(&core.core.handle, &[*scope]).await;
        tokens.insert(scope.as_str(), secret);
    }
    for (method, path, operation) in operations(&document(&core).await) {
        let Some(needed) = operation["security"][0]["bearer"][0].as_str() else { continue };
        let url = path.replace("{node_id}", "1").replace("{id}", "1");
        for (scope, secret) in &tokens {
            // A body that is refused, so that nothing is made.
            let body = (method == "post").then(|| json!([]));
            let response = core.request(&method.to_uppercase(), &url, Some(secret), body.as_ref()).await;
            let may = *scope == needed || *scope == "admin";
            assert_eq!(response.status != 403, may, "{method} {path} with {scope}: {}", response.text());
            assert!(!matches!(response.status, 401 | 405 | 500), "{method} {path}: {}", response.text());
        }
    }
    core.core.stop().await;
}
