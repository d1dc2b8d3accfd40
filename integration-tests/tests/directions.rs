//! Which crate may depend on which: dependencies point from services to mechanisms to pure crates to values, never back.
#![allow(clippy::unwrap_used, reason = "a test on the output of cargo")]

use serde_json::Value;
use std::process::Command;

/// How far a crate is from the values; it may depend on what is nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Values,
    Pure,
    Mechanism,
    Service,
    Front,
    /// Not part of any program.
    Test,
}

#[track_caller]
fn layer(name: &str) -> Layer {
    match name.strip_prefix("skald-").unwrap_or(name) {
        "model" => Layer::Values,
        "block" | "logql" | "index" | "pipeline" => Layer::Pure,
        "proto" | "wal" | "ring" | "store" | "rpc" | "config" | "runtime" | "tail" | "discovery" => Layer::Mechanism,
        "distributor" | "ingester" | "querier" | "compactor" | "ruler" | "agent" => Layer::Service,
        "skald" => Layer::Front,
        "testkit" | "sim" | "fuzz" | "integration-tests" => Layer::Test,
        _ => panic!("{name} has no layer: give it one here"),
    }
}

/// Crates with a runtime, a socket, a file, a wall clock, randomness or logging; what they are named may be the beginning.
const IMPURE: [&str; 17] = [
    "async-std",
    "axum",
    "crossbeam",
    "fs-err",
    "getrandom",
    "hyper",
    "log",
    "memmap2",
    "mio",
    "notify",
    "rand",
    "rustix",
    "socket2",
    "tempfile",
    "tonic",
    "tracing",
    "ureq",
];

/// What tokio may be to a pure crate: its traits.
const TOKIO_FEATURES: [&str; 2] = ["io-util", "sync"];

/// The one dependency that a rule allows, or why it is not.
fn check(from: &str, to: &str, is_dev: bool) -> Result<(), String> {
    let (upper, lower) = (layer(from), layer(to));
    let allowed = match (upper, lower) {
        (Layer::Test, Layer::Test) => true,
        (_, Layer::Test) => is_dev,
        // Tests of what is real by nature, such as a Kubernetes client, run on the real seams.
        (Layer::Mechanism, Layer::Mechanism) if is_dev && to == "skald-runtime" => true,
        (Layer::Mechanism, Layer::Mechanism) => to == "skald-config" || (from == "skald-rpc" && matches!(to, "skald-proto" | "skald-ring")),
        // Stages speak Go's regexes, LogQL's selectors and templates.
        (Layer::Pure, Layer::Pure) => from == "skald-pipeline" && to == "skald-logql",
        _ => upper > lower,
    };
    if allowed { Ok(()) } else { Err(format!("{from} ({upper:?}) depends on {to} ({lower:?})")) }
}

/// Name, names of the dependencies with whether they are only for tests, and their features.
fn packages() -> Vec<(String, Vec<(String, bool, Vec<String>)>)> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let arguments = ["metadata", "--offline", "--no-deps", "--format-version=1"];
    let output = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependency = |of: &Value| {
        let features = of["features"].as_array().unwrap().iter().map(text).collect();
        (text(&of["name"]), of["kind"] == "dev", features)
    };
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.map(|package| (text(&package["name"]), package["dependencies"].as_array().unwrap().iter().map(dependency).collect())).collect()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let is_ours = |name: &str| packages.iter().any(|(ours, _)| ours == name);
    assert!(is_ours("skald") && is_ours("skald-model") && packages.len() > 10, "{packages:?}");
    let wrong: Vec<String> = packages
        .iter()
        .flat_map(|(from, dependencies)| dependencies.iter().map(move |(to, is_dev, _)| (from, to, *is_dev)))
        .filter(|(_, to, _)| is_ours(to))
        .filter_map(|(from, to, is_dev)| check(from, to, is_dev).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn values_and_pure_crates_have_no_runtime_socket_file_clock_randomness_or_logging() {
    let mut wrong = Vec::new();
    for (name, dependencies) in packages().iter().filter(|(name, _)| layer(name) <= Layer::Pure) {
        for (dependency, _, features) in dependencies.iter().filter(|(_, is_dev, _)| !is_dev) {
            let is_impure = |impure: &&&str| dependency.strip_prefix(**impure).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            wrong.extend(IMPURE.iter().find(is_impure).map(|_| format!("{name} depends on {dependency}")));
            let too_much = features.iter().filter(|feature| dependency == "tokio" && !TOKIO_FEATURES.contains(&feature.as_str()));
            wrong.extend(too_much.map(|feature| format!("{name} has the feature {feature} of tokio")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_rules_refuse_what_they_should() {
    for (from, to, is_dev, want) in [
        ("skald-block", "skald-model", false, true),
        ("skald-model", "skald-block", false, false),
        ("skald-querier", "skald-ingester", false, false),
        ("skald-querier", "skald-ingester", true, false),
        ("skald-store", "skald-wal", false, false),
        ("skald-store", "skald-config", false, true),
        ("skald-rpc", "skald-proto", false, true),
        ("skald-proto", "skald-rpc", false, false),
        ("skald-wal", "skald-testkit", true, true),
        ("skald-wal", "skald-testkit", false, false),
        ("skald", "skald-ingester", false, true),
        ("skald-sim", "skald-testkit", false, true),
    ] {
        assert_eq!(check(from, to, is_dev).is_ok(), want, "{from} → {to}");
    }
}
