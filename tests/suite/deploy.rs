//! What is under `deploy/` works: configurations are taken, units, manifests and packages are sound.

use std::path::PathBuf;
use std::process::{Command, Output};

use ratatosk_tests::gateway::binary;
use ratatosk_tests::wait::{eventually, within};
use ratatosk_tests::{Gateway, tests_dir};
use tempfile::TempDir;
use yaml_rust2::{Yaml, YamlLoader};

fn deploy(path: &str) -> PathBuf {
    tests_dir().join("../deploy").join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Yaml {
    let documents = YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    documents.into_iter().next().unwrap_or_else(|| panic!("{path} is empty"))
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let words = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&words));
    output
}

fn is_taken(config: &str) {
    let directory = TempDir::new().expect("a temporary directory");
    let file = directory.path().join("ratatosk.toml");
    std::fs::write(&file, config).expect("a file to write");
    run(Command::new(binary()).args(["check", "--config"]).arg(&file).env("RATATOSK_ADMIN_TOKEN", "a-token"));
    let without =
        Command::new(binary()).args(["check", "--config"]).arg(&file).env_remove("RATATOSK_ADMIN_TOKEN").output();
    assert_eq!(without.expect("the binary").status.code(), Some(2), "the token is needed");
}

#[test]
fn the_shipped_configurations_are_taken() {
    is_taken(&read("docker/ratatosk.toml"));
    is_taken(&read("compose/ratatosk.toml"));
    let values = yaml("helm/ratatosk/values.yaml");
    is_taken(values["config"].as_str().expect("a configuration"));
}

#[test]
fn every_yaml_file_is_yaml_and_names_files_that_are_there() {
    for path in [
        "compose/prometheus.yml",
        "compose/grafana/datasources.yaml",
        "compose/grafana/dashboards.yaml",
        "prometheus/rules.yml",
        "prometheus/alerts.yml",
        "prometheus/tests.yml",
        "proxies/traefik.yml",
        "helm/ratatosk/Chart.yaml",
    ] {
        assert!(yaml(path).as_hash().is_some(), "{path}");
    }
    let compose = yaml("compose/compose.yaml");
    let services = compose["services"].as_hash().expect("services");
    assert_eq!(services.len(), 4);
    for (name, service) in services {
        for volume in service["volumes"].as_vec().into_iter().flatten() {
            let source = volume.as_str().and_then(|volume| volume.split(':').next()).expect("a bind mount");
            assert!(deploy("compose").join(source).exists(), "{name:?} mounts {source}");
        }
    }
    let dockerfile = compose["services"]["gateway"]["build"]["dockerfile"].as_str().expect("a Dockerfile");
    assert!(tests_dir().join("..").join(dockerfile).exists());
    for line in read("docker/Dockerfile").lines().filter(|line| line.starts_with("COPY deploy/")) {
        let source = line.split(' ').nth(1).expect("a source");
        assert!(tests_dir().join("..").join(source).exists(), "{line}");
    }
    run(Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(deploy("compose/prometheus.yml")));
}

/// Each value that a template asks for has a default, and each default is asked for.
#[test]
fn the_charts_values_and_templates_fit() {
    let values = yaml("helm/ratatosk/values.yaml");
    let mut asked = Vec::new();
    for entry in std::fs::read_dir(deploy("helm/ratatosk/templates")).expect("templates") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a template");
        assert_eq!(text.matches("{{").count(), text.matches("}}").count(), "{}", path.display());
        for rest in text.split(".Values.").skip(1) {
            let name: String = rest.chars().take_while(|char| char.is_ascii_alphanumeric() || *char == '.').collect();
            let name = name.trim_end_matches('.').to_owned();
            let found =
                name.split('.').try_fold(&values, |value, key| value.as_hash()?.get(&Yaml::String(key.to_owned())));
            assert!(found.is_some(), "{} asks for .Values.{name}, which values.yaml lacks", path.display());
            asked.push(name);
        }
    }
    for key in values.as_hash().expect("values").keys().filter_map(Yaml::as_str) {
        assert!(asked.iter().any(|name| name.split('.').next() == Some(key)), "no template asks for {key}");
    }
}

#[test]
fn the_systemd_unit_is_sound_and_closed() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("there is no systemd here");
        return;
    }
    let directory = TempDir::new().expect("a temporary directory");
    let unit = directory.path().join("ratatosk.service");
    let text = read("systemd/ratatosk.service").replace("/usr/bin/ratatosk", "/bin/true");
    std::fs::write(&unit, text).expect("a file to write");
    let output = run(Command::new("systemd-analyze").args(["--man=no", "verify"]).arg(&unit));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    run(Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&unit));
}

/// What the unit's `Type=notify` waits for.
#[tokio::test]
async fn the_service_manager_is_told() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket");
    let told = async || {
        let mut buffer = [0; 512];
        let length = within("a notification", socket.recv(&mut buffer)).await.expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let path = path.to_str().expect("a path");
    let mut gateway = Gateway::setup().environment("NOTIFY_SOCKET", path).start().await;
    assert_eq!(told().await, "READY=1\nSTATUS=ready");
    for (config, status) in [("", "ready"), ("nonsense = 1", "ready; the new configuration was not taken")] {
        gateway.reload(config).await;
        let reloading = told().await;
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|time| time.parse::<u64>().ok());
        assert!(time.is_some_and(|time| time > 0), "{reloading}");
        assert_eq!(told().await, format!("READY=1\nSTATUS={status}"));
    }
    gateway.process.signal(rustix::process::Signal::INT);
    assert_eq!(told().await, "STOPPING=1\nSTATUS=draining");
    assert!(gateway.process.exit().await.success());
}

#[test]
fn the_debian_package_has_what_it_names() {
    let manifest = std::fs::read_to_string(tests_dir().join("../gateway/Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().expect("assets");
    for asset in assets {
        let source = asset[0].as_str().expect("a source");
        if let Some(made) = source.strip_prefix("../target/dist/ratatosk.") {
            print_for_the_package(made);
        } else if !source.starts_with("target/") {
            let source = tests_dir().join("../gateway").join(source.trim_end_matches("*.md"));
            assert!(source.exists(), "{}", source.display());
        }
    }
    assert!(assets.iter().any(|asset| asset[1].as_str() == Some("usr/bin/")));
    let makefile = std::fs::read_to_string(tests_dir().join("../Makefile")).expect("a Makefile");
    assert!(makefile.contains("target/dist/ratatosk.1") && makefile.contains("for shell in bash zsh fish"));
}

/// The manual page and the completions that `make deb` has the binary print: each names every command.
fn print_for_the_package(kind: &str) {
    let arguments: &[&str] = if kind == "1" { &["man"] } else { &["completions", kind] };
    let printed = String::from_utf8(run(Command::new(binary()).args(arguments)).stdout).expect("text");
    for command in
        ["serve", "demo", "bridge", "check", "explain", "sub", "pub", "bench", "token", "dashboards", "health"]
    {
        let found = printed.contains(command) || printed.contains(&command.to_uppercase());
        assert!(found, "{arguments:?} says nothing of {command}");
    }
}

#[tokio::test]
async fn the_health_command_says_what_readyz_says() {
    let mut gateway = Gateway::with("[shutdown]\ngrace = \"20s\"").await;
    let admin = gateway.admin;
    let ask = |path: &str| {
        let output = Command::new(binary()).args(["health", &format!("http://{admin}{path}")]).output();
        output.expect("the binary").status.code()
    };
    assert_eq!((ask("/readyz"), ask("/healthz"), ask("/nothing")), (Some(0), Some(0), Some(1)));
    gateway.process.signal(rustix::process::Signal::TERM);
    eventually("readiness to end", async || (ask("/readyz") == Some(1)).then_some(())).await;
    gateway.kill().await;
    assert_eq!(ask("/readyz"), Some(1), "nobody listens");
}

/// A tool from PyPI, in the virtual environment that `tests/setup.sh` makes.
fn python_tool(name: &str) -> Command {
    Command::new(tests_dir().join(".deps/venv/bin").join(name))
}

#[test]
fn docker_compose_takes_the_compose_file() {
    let mut check = python_tool("check-jsonschema");
    run(check.args(["--builtin-schema", "vendor.compose-spec"]).arg(deploy("compose/compose.yaml")));
}

/// `deploy/kubernetes/ratatosk.yaml` is what the chart renders, for those without Helm and for this test.
#[test]
fn kubernetes_takes_what_the_chart_renders() {
    let manifests = deploy("kubernetes/ratatosk.yaml");
    run(python_tool("kubernetes-validate").args(["--strict", "-k", "1.33"]).arg(&manifests));
    if Command::new("helm").arg("version").output().is_ok() {
        let chart = deploy("helm/ratatosk");
        run(Command::new("helm").args(["lint", "--strict"]).arg(&chart));
        let rendered = run(Command::new("helm").args(["template", "ratatosk"]).arg(&chart).args(RENDERED));
        let rendered = String::from_utf8(rendered.stdout).expect("text");
        let shipped = read("kubernetes/ratatosk.yaml");
        assert!(shipped.ends_with(&rendered), "helm template ratatosk deploy/helm/ratatosk {}", RENDERED.join(" "));
    }
}

/// How the shipped manifests are rendered: with what can be checked without custom resources, and a Secret of the reader's own.
const RENDERED: &[&str] = &[
    "--kube-version",
    "1.33.0",
    "--set",
    "adminTokenSecret=ratatosk-admin,networkPolicy.enabled=true,podDisruptionBudget.enabled=true,ingress.enabled=true",
];
