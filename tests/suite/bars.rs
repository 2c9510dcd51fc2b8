//! A crowd: what operators look at stays small when there are ten thousand sessions and ten thousand channels.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ratatosk_tests::metrics::Scrape;
use ratatosk_tests::wait::within;
use ratatosk_tests::{Gateway, Script};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Sessions, each with a channel of its own.
const CROWD: usize = 10_000;
/// Clients that come at the same time.
const AT_ONCE: usize = 64;

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(body.len()).expect("a short packet")], body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes(), text.as_bytes()].concat()
}

/// A device that keeps its session (MQTT 3.1.1, no clean session): subscribes to a channel, leaves a retained message in it, and goes.
async fn visit(mqtt: SocketAddr, number: usize) {
    let (name, channel) = (format!("device-{number:05}"), format!("own/{number:05}"));
    let mut socket = TcpStream::connect(mqtt).await.expect("a connection");
    let connect = packet(0x10, &[&text("MQTT")[..], &[4, 0, 0, 60], &text(&name)].concat());
    let subscribe = packet(0x82, &[&[0, 1], &text(&channel)[..], &[1]].concat());
    let publish = packet(0x33, &[&text(&channel)[..], &[0, 2], b"{\"c\":21.5}"].concat());
    socket.write_all(&[connect, subscribe, publish].concat()).await.expect("it reads");
    // CONNACK, SUBACK, PUBACK, and the message itself in some place among them.
    let mut answers = Vec::new();
    let acknowledged = |answers: &[u8]| answers.windows(4).any(|bytes| bytes == [0x40, 2, 0, 2]);
    while !acknowledged(&answers) {
        let read = within("an acknowledgement", socket.read_buf(&mut answers)).await.expect("an answer");
        assert!(read > 0, "device {number} was sent away: {answers:?}");
    }
    socket.write_all(&packet(0xe0, &[])).await.expect("it reads");
    // The gateway closes after DISCONNECT.
    while within("the end", socket.read_buf(&mut answers)).await.unwrap_or(0) > 0 {}
}

async fn gather(mqtt: SocketAddr, numbers: std::ops::Range<usize>) {
    let mut visits = JoinSet::new();
    for number in numbers {
        if visits.len() >= AT_ONCE {
            visits.join_next().await.expect("a visit").expect("no panic");
        }
        visits.spawn(visit(mqtt, number));
    }
    while let Some(visit) = visits.join_next().await {
        visit.expect("no panic");
    }
}

/// Everything in a scrape but the values.
fn series(scrape: &Scrape) -> BTreeSet<String> {
    let samples = scrape.text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[tokio::test]
async fn ten_thousand_sessions_and_channels_stay_easy_to_look_at() {
    let gateway = Gateway::with("[mqtt]\nmax_sessions = 20000").await;
    let mqtt = gateway.mqtt().await;
    gather(mqtt, 0..1).await;
    gateway.metric("ratatosk_connections", &[("connector", "mqtt")], |open| open < 0.5).await;
    let with_one = series(&gateway.metrics().await);
    gather(mqtt, 1..CROWD).await;
    gateway.metric("ratatosk_sessions", &[("connector", "mqtt")], |count| count > 9_999.5).await;

    let scrape = gateway.metrics().await;
    assert_eq!(scrape.sum("ratatosk_channels", &[]), Some(10_000.0));
    assert!(scrape.sum("ratatosk_retained_messages", &[]) >= Some(10_000.0), "those of $SYS come on top");
    println!("a scrape with {CROWD} sessions: {} bytes, {} series", scrape.text.len(), series(&scrape).len());
    assert!(scrape.text.len() < 1 << 20, "{} bytes", scrape.text.len());
    let new: Vec<String> = series(&scrape).difference(&with_one).cloned().collect();
    assert!(new.is_empty(), "a crowd makes no series that one client does not make: {new:#?}");

    pages(&gateway).await;
    let mut page = Script::node("console-crowd.mjs", &json!({ "url": format!("http://{}", gateway.admin) }));
    let seen = page.expect("done").await;
    println!("the console with {CROWD} sessions: {seen}");
    page.finish().await;
}

/// The API answers in pages that join without a gap.
async fn pages(gateway: &Gateway) {
    for (list, target, named) in
        [("sessions", "/api/sessions?limit=100", "client_id"), ("channels", "/api/channels?limit=100", "filter")]
    {
        let (mut names, mut after) = (BTreeSet::new(), String::new());
        for _ in 0..5 {
            let answer = gateway.admin(&format!("{target}{after}")).await;
            assert!(answer.body.len() < 100 << 10, "{} bytes", answer.body.len());
            let page = answer.json();
            assert_eq!(page["total"], CROWD);
            let rows = page[list].as_array().expect("rows");
            assert_eq!(rows.len(), 100);
            names.extend(rows.iter().map(|row| row[named].as_str().expect("a name").to_owned()));
            after = format!("&after={}", page["next"].as_str().expect("there is more").replace('/', "%2F"));
        }
        assert_eq!(names.len(), 500, "no row is on two pages");
    }
    let found = gateway.admin("/api/sessions?q=device-09999").await.json();
    assert_eq!(found["sessions"].as_array().map(Vec::len), Some(1), "{found}");
}

/// A figure of `/proc/PID/status`, in bytes.
fn status(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no {key}"));
    let kib: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// The bars are about the release binary (`RATATOSK_BIN=target/release/ratatosk`); in a debug binary the code alone is larger.
#[tokio::test]
async fn an_idle_process_is_small() {
    let gateway = Gateway::start().await;
    let binary = ratatosk_tests::gateway::binary();
    let size = std::fs::metadata(&binary).expect("the binary").len();
    let (resident, own) = (status(gateway.process.pid(), "VmRSS"), status(gateway.process.pid(), "RssAnon"));
    println!("{}: {size} bytes; idle: {resident} bytes resident, {own} of them its own", binary.display());
    assert!(own < 20 << 20, "{own} bytes of its own");
    if binary.to_string_lossy().contains("release") {
        assert!(resident < 20 << 20, "{resident} bytes resident");
        assert!(size < 25 << 20, "{size} bytes");
    }
}
