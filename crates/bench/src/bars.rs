//! What the project promises: at most so many times the floor's CPU, at most so many KiB.

/// The bar for a figure, if there is one.
pub(crate) fn bar(scenario: &str, protocol: &str, mode: &str) -> Option<f64> {
    let bar = match (scenario, protocol, mode) {
        ("fanout", "sse", "closed") => 0.2,
        ("fanout", "sse", "paced") => 1.3,
        ("many", "sse", "closed") => 0.5,
        ("many", "sse", "paced") => 1.5,
        ("idle", "sse", _) => 4.0,
        ("connect", "sse", _) => 2.0,
        ("resume", "sse", _) => 2.0,
        ("fanout", "mqtt q0", "closed") => 0.15,
        ("fanout", "mqtt q0", "paced") => 1.4,
        ("fanout", "mqtt q1", "closed") => 0.3,
        ("fanout", "mqtt q1", "paced") => 2.5,
        ("fanout", "mqtt-ws q0", "closed") => 0.17,
        ("fanout", "mqtt-ws q0", "paced") => 1.5,
        ("many", "mqtt q0", "closed") => 0.28,
        ("many", "mqtt q0", "paced") => 1.4,
        ("idle", "mqtt q0", _) => 2.5,
        ("idle", "mqtt-ws q0", _) => 4.0,
        ("connect", "mqtt q0", _) => 3.5,
        ("connect", "mqtt-ws q0", _) => 8.0,
        ("fanout", "pusher" | "pusher-client", "closed") => 0.25,
        ("fanout", "pusher" | "pusher-client", "paced") => 1.4,
        ("many", "pusher", "closed") => 1.2,
        ("many", "pusher", "paced") => 2.0,
        ("idle", "pusher", _) => 4.0,
        ("connect", "pusher", _) => 5.0,
        ("churn", "pusher", _) => 3.0,
        ("fanout", "bayeux-ws", "closed") => 0.3,
        ("fanout", "bayeux-ws", "paced") => 1.4,
        ("fanout", "bayeux", "closed") => 0.5,
        ("fanout", "bayeux", "paced") => 3.0,
        ("idle", "bayeux" | "bayeux-ws", _) => 5.0,
        ("connect", "bayeux" | "bayeux-ws", _) => 8.0,
        _ => return None,
    };
    Some(bar)
}
