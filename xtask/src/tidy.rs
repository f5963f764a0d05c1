//! Promises of the layout that no compiler checks: the crate table of ARCHITECTURE.md against the real edges,
//! and links between our documents.

use crate::{Failure, cargo};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Fails with every finding, not just the first.
pub(crate) fn check(root: &Path) -> Result<(), Failure> {
    let mut findings = crate_table_findings(root)?;
    findings.extend(dead_link_findings(root));
    if findings.is_empty() {
        eprintln!("tidy: the documents match the code");
        return Ok(());
    }
    Err(format!("the documents and the code differ:\n  {}", findings.join("\n  ")))
}

/// Each row of the table in ARCHITECTURE.md names a crate and the crates of ours it builds on:
/// "| `crates/bee-link` | ... | wire |".
fn crate_table_findings(root: &Path) -> Result<Vec<String>, Failure> {
    let text = read(&root.join("ARCHITECTURE.md"))?;
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(path), Some(edges)) = (cells.first(), cells.last()) else { continue };
        let Some(name) = path.trim_matches('`').strip_prefix("crates/") else { continue };
        let edges = edges.split(',').map(str::trim).filter(|edge| !edge.is_empty() && *edge != "-");
        written.insert(name.to_owned(), edges.map(|edge| format!("bee-{edge}")).collect());
    }
    let real = real_edges()?;
    let mut findings = Vec::new();
    for (name, edges) in &real {
        match written.get(name) {
            None => findings.push(format!("ARCHITECTURE.md has no row for crates/{name}")),
            Some(said) if said != edges => {
                findings.push(format!(
                    "ARCHITECTURE.md says {name} builds on {said:?}; Cargo.toml says {edges:?}"
                ));
            }
            Some(_) => {}
        }
    }
    findings.extend(
        written
            .keys()
            .filter(|name| !real.contains_key(*name))
            .map(|name| format!("ARCHITECTURE.md describes crates/{name}, which is not there")),
    );
    Ok(findings)
}

/// Normal dependencies among the crates under `crates/`.
fn real_edges() -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|cause| format!("cannot run cargo metadata: {cause}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|cause| format!("cargo metadata is not JSON: {cause}"))?;
    let mut edges = BTreeMap::new();
    for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let name = package.get("name").and_then(Value::as_str).unwrap_or_default();
        let manifest = package.get("manifest_path").and_then(Value::as_str).unwrap_or_default();
        if !manifest.contains("/crates/") {
            continue;
        }
        let deps = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
        let ours = deps
            .filter(|dep| dep.get("kind").is_none_or(Value::is_null))
            .filter_map(|dep| dep.get("name").and_then(Value::as_str))
            .filter(|dep| dep.starts_with("bee-"))
            .map(str::to_owned)
            .collect();
        edges.insert(name.to_owned(), ours);
    }
    Ok(edges)
}

/// Relative links in our Markdown files must lead somewhere.
fn dead_link_findings(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.extend(
        std::fs::read_dir(root.join("docs")).into_iter().flatten().flatten().map(|entry| entry.path()),
    );
    for file in files.iter().filter(|file| file.extension().is_some_and(|ending| ending == "md")) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let outside = link.is_empty() || link.contains("://") || link.contains(' ');
            if !outside && !file.parent().is_some_and(|dir| dir.join(link).exists()) {
                findings.push(format!("{} links to {link}, which is not there", file.display()));
            }
        }
    }
    findings
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))
}
