//! The examples do what they say: cargo builds them for the tests, and here they are run.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// `target/{profile}/examples/NAME`, beside the directory of this test's own executable.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let path: PathBuf = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build --examples, or cargo test without --test", path.display());
    let mut command = Command::new(path);
    command.env_remove("RATATOSK_CONFIG");
    command
}

/// Killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn subscribe_prints_what_was_published() {
    let output = example("subscribe").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines =
        ["{\"c\":20.5}", "{\"c\":21}", "{\"c\":21.5}"].map(|payload| format!("sensors/kitchen/temp {payload}\n"));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), lines.concat());
}

#[test]
fn monitor_tells_of_a_client_from_its_coming_to_its_leaving() {
    let output = example("monitor").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.first().unwrap().starts_with("sse client "), "{told}");
    assert!(lines.contains(&"somebody subscribed to news") && lines.contains(&"a message on news"), "{told}");
    assert!(lines.last().unwrap().contains(" left: "), "{told}");
}

#[test]
fn embed_serves_its_own_routes_beside_the_protocols() {
    let child = example("embed").arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("listening on Some(").trim_end_matches(')').to_owned();
    let ask = |request: &str| {
        let mut socket = TcpStream::connect(&address).unwrap();
        write!(socket, "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask("GET /hello").ends_with("hello from the program\n"));
    assert!(ask("POST /publish?channel=a").contains("200 OK"));
}
