//! A ceiling on memory: near it new work is refused, those who do not read meet their policy, and readers lose nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ratatosk_tests::Gateway;
use ratatosk_tests::http::{fetch, pipeline, query};
use ratatosk_tests::mqtt::{Client, Endpoint, Mqtt};
use ratatosk_tests::pusher::{Kind, Pusher};
use ratatosk_tests::wait::eventually;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const MIB: f64 = 1024.0 * 1024.0;

/// A stream's socket; one that will not be read has little room in the kernel.
async fn stream(to: SocketAddr, channels: &[&str], buffer: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(buffer).expect("a socket option");
    let mut stream = socket.connect(to).await.expect("the gateway listens");
    let parameters: Vec<(&str, &str)> = channels.iter().map(|channel| ("channel", *channel)).collect();
    let request = format!("GET /sse{}&format=raw HTTP/1.1\r\nHost: gateway\r\n\r\n", query(&parameters));
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.expect("an answer");
    stream
}

/// Reads to the end, and counts the messages of the form `data: N,...` that come in order.
async fn read(mut stream: TcpStream, count: Arc<AtomicUsize>) {
    let (mut rest, mut next) = (Vec::new(), 0_usize);
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        rest.extend_from_slice(&buffer[..read]);
        let mut from = 0;
        while let Some(end) = rest[from..].iter().position(|byte| *byte == b'\n') {
            let line = &rest[from..from + end];
            if let Some(number) = line.strip_prefix(b"data: ").and_then(|data| data.split(|byte| *byte == b',').next())
            {
                assert_eq!(number, next.to_string().as_bytes(), "a message is missing or came twice");
                next += 1;
                count.fetch_add(1, Ordering::Relaxed);
            }
            from += end + 1;
        }
        rest.drain(..from);
    }
}

/// Publishes; false if the gateway is too busy for it now.
async fn publish(gateway: &Gateway, channel: &str, payload: &str) -> bool {
    let target = format!("/publish{}", query(&[("channel", channel)]));
    let answer = fetch(gateway.http, "POST", &target, &[("Connection", "close")], payload.as_bytes()).await;
    assert!([200, 503].contains(&answer.head.status), "{}", answer.head.status);
    answer.head.status == 200
}

async fn resident(gateway: &Gateway) -> f64 {
    gateway.metrics().await.sum("process_resident_memory_bytes", &[]).expect("a metric of the process")
}

/// The most that the process took since it was started.
fn peak(gateway: &Gateway) -> f64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", gateway.process.pid())).expect("a process to look at");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("a number") * 1024.0
}

/// 5,000 subscribers, of whom 1,000 stop reading; outboxes that could hold far more than the ceiling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_below_its_ceiling_while_a_thousand_do_not_read_and_the_readers_lose_nothing() {
    const CEILING: f64 = 192.0 * MIB;
    let config = "[limits]\nmemory = \"192 MiB\"\n[sse.outbox]\nmessages = 10000000\nbytes = \"64 GiB\"\n\
                  [[channels]]\nmatch = \"#\"\nhistory = { messages = 0 }\n";
    let gateway = Gateway::with(config).await;
    let count = Arc::new(AtomicUsize::new(0));
    let (readers, stuck) = (4000, 1000);
    let mut tasks = Vec::new();
    for _ in 0..readers {
        let socket = stream(gateway.http, &["live"], 64 * 1024).await;
        tasks.push(tokio::spawn(read(socket, count.clone())));
    }
    let mut stopped = Vec::new();
    for _ in 0..stuck {
        stopped.push(stream(gateway.http, &["live", "flood"], 4096).await);
    }
    let before = resident(&gateway).await;
    assert!(before < CEILING * 0.75, "{} MiB before anything happens", before / MIB);
    // As fast as the gateway takes them: what all read, and between that, what only those get who do not.
    let (live, flood) = (100, 300);
    let padding = "x".repeat(1000);
    let (mut highest, mut taken) = (0.0_f64, 0);
    for n in 0..live {
        // A publisher that is told to come again does so.
        while !publish(&gateway, "live", &format!("{n},{padding}")).await {}
        let target = format!("/publish{}", query(&[("channel", "flood")]));
        let answers = pipeline(gateway.http, (0..flood).map(|_| (target.clone(), padding.clone().into_bytes()))).await;
        taken += answers.iter().filter(|answer| answer.head.status == 200).count();
        if n % 10 == 0 {
            highest = highest.max(resident(&gateway).await);
        }
    }
    eventually("the readers to have all", async || (count.load(Ordering::Relaxed) == readers * live).then_some(()))
        .await;
    let relieved = gateway.metrics().await.sum("ratatosk_relieved_sessions_total", &[]).unwrap_or_default();
    let peak = peak(&gateway);
    println!(
        "ceiling {:.0} MiB, before {:.0} MiB, highest seen {:.0} MiB, peak {:.0} MiB, relieved {relieved}, \
         {taken} of {} flooding messages taken, {} read",
        CEILING / MIB,
        before / MIB,
        highest / MIB,
        peak / MIB,
        live * flood,
        count.load(Ordering::Relaxed)
    );
    assert!(relieved >= 1.0, "the queues would have fitted: the test is too small");
    assert!(peak < CEILING, "{:.0} MiB", peak / MIB);
    // None of the readers was sent away.
    let open = gateway.metric("ratatosk_connections", &[("connector", "sse")], |open| open < 4999.5).await;
    assert!(open >= 4000.0, "{open}");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A ceiling that the process is above by itself: everything new is refused, each in its own words.
#[tokio::test]
async fn near_the_ceiling_new_work_is_refused_in_each_protocols_words() {
    let gateway = Gateway::start().await;
    let mut old = gateway.sse(&[("channel", "a")]).await;
    let endpoint = Endpoint::of(&gateway).await;
    let mut device = Mqtt::connect(Client::Js, endpoint, json!({"version": 5})).await;
    // The process takes some MiB more than it starts with in any case: history of 1 MiB messages makes sure of it.
    let fill =
        "[[channels]]\nmatch = \"fill/#\"\nhistory = { messages = 100, bytes = \"100 MiB\", age = \"1h\" }\n[limits]\n";
    assert!(gateway.reload(fill).await);
    for n in 0..40 {
        gateway.publish(&format!("fill/{n}"), "x".repeat(1024 * 1000)).await;
    }
    assert!(gateway.reload(&format!("{fill}memory = \"32 MiB\"\n")).await);
    gateway.metric("ratatosk_memory_pressure", &[], |pressure| pressure > 1.5).await;
    let answer = fetch(gateway.http, "POST", "/publish?channel=a", &[], b"1").await;
    assert_eq!(answer.assert_problem(503)["type"], "urn:ratatosk:problem:busy");
    assert!(answer.head.header("retry-after").is_some());
    fetch(gateway.http, "GET", "/sse?channel=a", &[], b"").await.assert_problem(503);
    let page = fetch(gateway.http, "GET", "/sse?channel=a", &[("Accept", "text/event-stream")], b"").await;
    assert_eq!((page.head.status, page.head.header("content-type")), (200, Some("text/event-stream; charset=utf-8")));
    assert!(String::from_utf8_lossy(&page.body).starts_with("retry: "), "{:?}", String::from_utf8_lossy(&page.body));
    for (version, code) in [(5, 0x89), (4, 3)] {
        let mut client = Mqtt::launch(Client::Js, endpoint, json!({"version": version}));
        assert_eq!(client.script.expect("failed").await["code"], code);
    }
    let mut pusher = Pusher::launch(Kind::Node, gateway.http, &json!({"userId": "u"}));
    assert_eq!(pusher.expect("fault").await["code"], 4100);
    let shake = br#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]}]"#;
    let answer = fetch(gateway.http, "POST", "/bayeux", &[("Content-Type", "application/json")], shake).await;
    let reply = &answer.json()[0];
    assert_eq!(
        (reply["successful"].as_bool(), reply["error"].as_str()),
        (Some(false), Some("503:memory:handshake_denied"))
    );
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    // Those who are there go on, if slowly: publishers wait a moment each.
    device.publish("a", "on", 1).await;
    assert_eq!(old.message().await.payload(), b"on");
    // With room again, all is well.
    assert!(gateway.reload(fill).await);
    gateway.metric("ratatosk_memory_pressure", &[], |pressure| pressure < 0.5).await;
    pusher.expect("connected").await;
    tokio::time::timeout(Duration::from_secs(30), gateway.sse(&[("channel", "a")])).await.expect("a stream");
}
