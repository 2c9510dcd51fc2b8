//! What DESIGN.md says about the code itself: who may know whom, what the protocol machines may touch, how long a file may be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use ratatosk_tests::tests_dir;

const PROTOCOLS: [&str; 4] = ["ratatosk-bayeux", "ratatosk-mqtt", "ratatosk-pusher", "ratatosk-sse"];

fn repository() -> PathBuf {
    tests_dir().parent().expect("tests/ is in the repository").to_owned()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(repository().join("Cargo.toml")).no_deps().exec().expect("cargo metadata")
}

/// All workspace members that `package` needs, directly or through others.
fn needs(metadata: &Metadata, package: &str) -> BTreeSet<String> {
    let members = metadata.workspace_packages();
    let (mut found, mut open) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(name) = open.pop() {
        let member = members.iter().find(|member| member.name.as_str() == name).expect("a member");
        for dependency in member.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development)
        {
            if members.iter().any(|member| member.name.as_str() == dependency.name)
                && found.insert(dependency.name.clone())
            {
                open.push(dependency.name.clone());
            }
        }
    }
    found
}

fn assert_knows_only(metadata: &Metadata, package: &str, allowed: &[&str]) {
    let foreign: Vec<_> =
        needs(metadata, package).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{package} may not know {foreign:?}");
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    assert_knows_only(&metadata, "ratatosk-core", &[]);
    assert_knows_only(&metadata, "ratatosk-jq", &[]);
    assert_knows_only(&metadata, "ratatosk-connector", &["ratatosk-core", "ratatosk-jq"]);
    for protocol in PROTOCOLS {
        assert_knows_only(&metadata, protocol, &["ratatosk-core", "ratatosk-jq", "ratatosk-connector"]);
    }
    for member in metadata.workspace_packages() {
        let name = member.name.as_str();
        if name.starts_with("ratatosk-engine-") || name == "ratatosk-metrics" {
            assert_knows_only(&metadata, name, &["ratatosk-core"]);
        }
        if name == "ratatosk-otlp" {
            assert_knows_only(
                &metadata,
                name,
                &["ratatosk-core", "ratatosk-jq", "ratatosk-connector", "ratatosk-metrics"],
            );
        }
        if name == "ratatosk-admin" {
            assert_knows_only(&metadata, name, &["ratatosk-core", "ratatosk-jq", "ratatosk-connector"]);
        }
    }
}

#[test]
fn core_knows_no_server_no_exporter_and_no_protocol_library() {
    let metadata = metadata();
    let core =
        metadata.workspace_packages().into_iter().find(|member| member.name.as_str() == "ratatosk-core").expect("core");
    for banned in ["axum", "hyper", "prometheus", "rumqttc", "reqwest", "tokio-tungstenite", "http"] {
        assert!(
            core.dependencies
                .iter()
                .all(|dependency| dependency.name != banned || dependency.kind != DependencyKind::Normal),
            "core needs {banned}"
        );
    }
}

/// All Rust files under `directory`, except build output and installed packages.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !matches!(name, "target" | "node_modules") && !name.starts_with('.') {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The lines before the file's test module, with comments taken out.
fn code(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a source file");
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect()
}

fn is_test(path: &Path) -> bool {
    let test =
        |part: &str| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs") || part.ends_with("_test.rs");
    path.components().any(|part| part.as_os_str().to_str().is_some_and(test))
}

#[test]
fn protocol_machines_touch_nothing_outside() {
    let banned = [
        "tokio::",
        "std::net",
        "std::fs",
        "std::thread",
        "std::process",
        "std::env",
        "Instant::now",
        "SystemTime",
        "fastrand",
        "getrandom",
        "rand::",
        "uuid::",
        "Uuid::new",
        "reqwest",
        "hyper::",
        "axum::",
        "spawn(",
        "sleep(",
        "UNIX_EPOCH",
        ".await",
        "async fn",
    ];
    let mut found = Vec::new();
    let mut machines = 0;
    let crates = repository().join("crates");
    let protocols = PROTOCOLS.iter().map(|name| crates.join(name.trim_start_matches("ratatosk-")));
    for path in protocols.flat_map(|protocol| sources(&protocol)) {
        if is_test(&path)
            || !path.components().any(|part| part.as_os_str() == "proto" || part.as_os_str() == "proto.rs")
        {
            continue;
        }
        machines += 1;
        for (number, line) in code(&path).iter().enumerate() {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(machines >= PROTOCOLS.len(), "each protocol has a machine");
    assert!(found.is_empty(), "no clock, socket, task or randomness in proto/:\n{}", found.join("\n"));
}

#[test]
fn files_are_short() {
    const LIMIT: usize = 520;
    let root = repository();
    let long: Vec<String> = ["crates", "gateway"]
        .iter()
        .flat_map(|part| sources(&root.join(part)))
        .filter(|path| !is_test(path))
        .map(|path| (code(&path).len(), path))
        .filter(|(lines, _)| *lines > LIMIT)
        .map(|(lines, path)| format!("{lines} {}", path.display()))
        .collect();
    assert!(long.is_empty(), "one concept per file; over {LIMIT} lines before their tests:\n{}", long.join("\n"));
}
