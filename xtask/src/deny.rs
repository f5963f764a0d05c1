//! What is linked in, checked offline against `deny.toml`: licences, banned names, two versions of one crate, sources.
//!
//! cargo-deny reads the same file; this check needs nothing but `cargo metadata`, so it runs in every CI run.

use crate::{Failure, cargo};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A crate as `cargo metadata` tells it.
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None for crates of this workspace.
    source: Option<String>,
}

/// Fails with every finding, not just the first.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let rules = read_rules(root)?;
    let packages = linked_packages()?;
    let mut findings = Vec::new();
    for package in packages.iter().filter(|package| package.source.is_some()) {
        findings.extend(licence_finding(package, &rules.licences));
        if rules.banned.contains(&package.name) {
            findings.push(format!("{} is banned: see [bans] in deny.toml", package.name));
        }
        if package.source.as_deref().is_some_and(|source| !source.starts_with("registry+")) {
            findings.push(format!("{} does not come from a registry", package.name));
        }
    }
    findings.extend(duplicate_findings(&packages, &rules.skipped));
    if findings.is_empty() {
        eprintln!("deny: {} crates, licences, bans, duplicates and sources in order", packages.len());
        return Ok(());
    }
    Err(format!("deny.toml is not met:\n  {}", findings.join("\n  ")))
}

struct Rules {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
    /// `name` or `name@version` entries of `bans.skip`.
    skipped: BTreeSet<String>,
}

fn read_rules(root: &Path) -> Result<Rules, Failure> {
    let path = root.join("deny.toml");
    let text =
        std::fs::read_to_string(&path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))?;
    let table: toml::Table =
        text.parse().map_err(|cause| format!("{} is not TOML: {cause}", path.display()))?;
    let list = |section: &str, key: &str| -> Vec<toml::Value> {
        let found = table.get(section).and_then(|value| value.get(key)).and_then(toml::Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let names = |values: Vec<toml::Value>| -> BTreeSet<String> {
        let name = |value: &toml::Value| {
            value.as_str().or_else(|| value.get("crate").and_then(toml::Value::as_str)).map(str::to_owned)
        };
        values.iter().filter_map(name).collect()
    };
    Ok(Rules {
        licences: names(list("licenses", "allow")),
        banned: names(list("bans", "deny")),
        skipped: names(list("bans", "skip")),
    })
}

/// The crates that end up in the shipped binaries on Linux: normal and build dependencies, not those of tests.
fn linked_packages() -> Result<Vec<Package>, Failure> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .map_err(|cause| format!("cannot run cargo metadata: {cause}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|cause| format!("cargo metadata is not JSON: {cause}"))?;
    let reached = reached_from_workspace(&metadata);
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let packages = metadata.get("packages").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(packages
        .iter()
        .filter(|package| text(package, "id").is_some_and(|id| reached.contains(&id)))
        .map(|package| Package {
            name: text(package, "name").unwrap_or_default(),
            version: text(package, "version").unwrap_or_default(),
            license: text(package, "license"),
            source: text(package, "source"),
        })
        .collect())
}

/// Walks the resolved graph from the workspace members along everything but dev-dependencies.
fn reached_from_workspace(metadata: &Value) -> BTreeSet<String> {
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let nodes = metadata.pointer("/resolve/nodes").and_then(Value::as_array);
    for node in nodes.into_iter().flatten() {
        let Some(id) = node.get("id").and_then(Value::as_str) else { continue };
        for dep in node.get("deps").and_then(Value::as_array).into_iter().flatten() {
            let kinds = dep.get("dep_kinds").and_then(Value::as_array);
            let linked = kinds
                .into_iter()
                .flatten()
                .any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"));
            if let Some(target) = dep.get("pkg").and_then(Value::as_str).filter(|_| linked) {
                edges.entry(id).or_default().push(target);
            }
        }
    }
    let members = metadata.get("workspace_members").and_then(Value::as_array);
    let mut todo: Vec<&str> = members.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if reached.insert(id.to_owned()) {
            todo.extend(edges.get(id).into_iter().flatten());
        }
    }
    reached
}

fn licence_finding(package: &Package, allowed: &BTreeSet<String>) -> Option<String> {
    let Some(license) = &package.license else {
        return Some(format!("{} {} states no licence", package.name, package.version));
    };
    let expression = match spdx::Expression::parse_mode(license, spdx::ParseMode::LAX) {
        Ok(expression) => expression,
        Err(_) => {
            return Some(format!(
                "{} {}: `{license}` is no licence expression",
                package.name, package.version
            ));
        }
    };
    let fits = expression.evaluate(|requirement| allowed.contains(&requirement.to_string()));
    (!fits).then(|| format!("{} {}: licence `{license}` is not allowed", package.name, package.version))
}

fn duplicate_findings(packages: &[Package], skipped: &BTreeSet<String>) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let exact = format!("{}@{}", package.name, package.version);
        if !skipped.contains(&package.name) && !skipped.contains(&exact) {
            versions.entry(&package.name).or_default().insert(&package.version);
        }
    }
    let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
    several
        .map(|(name, versions)| {
            let list: Vec<&str> = versions.iter().copied().collect();
            format!(
                "{name} is linked in {} versions: {} (drop one, or give the reason in bans.skip)",
                list.len(),
                list.join(", ")
            )
        })
        .collect()
}
