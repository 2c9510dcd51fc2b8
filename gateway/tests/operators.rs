//! What `check` says of the admin listener and of upstreams' options, before anything is started.
#![expect(clippy::unwrap_used, reason = "tests")]

use ratatosk::config::{self, Sources};

/// The faults of a configuration file, one per line; empty when it is taken.
fn faults(toml: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    match config::load(&Sources { file: Some(file), ..Sources::default() }) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn an_admin_listener_that_others_can_reach_needs_a_token() {
    let open = "[auth]\nanonymous = 'allow'\n[pusher]\napps = []\n[admin]\nlisten = '0.0.0.0:8081'\n";
    assert!(faults(open).contains("admin.token"), "{}", faults(open));
    assert_eq!(faults(&format!("{open}token = 'made up'\n")), "");
    assert!(faults("[admin]\ntoken = ''\n").contains("protects nothing"));
    assert_eq!(faults("[admin]\ntoken = 'made up'\n"), "");
}

/// What only the client side itself can judge is found by `check`, and told once.
#[test]
fn options_that_a_client_side_refuses_are_found_at_check() {
    let upstream = |kind: &str, url: &str, more: &str| {
        let text =
            format!("[[upstreams]]\nname = 'a'\nkind = '{kind}'\nurl = '{url}'\nin = [{{ from = 'x' }}]\n{more}\n");
        faults(&text)
    };
    for (kind, url, more) in [
        ("bayeux", "bayeux+http://h/cometd", "headers = { 'bad header' = 'x' }"),
        ("sse", "sse+http://h/events", "headers = { 'bad header' = 'x' }"),
        ("pusher", "pusher+ws://h/nothing", ""),
        ("mqtt", "mqtt://h", "version = '3.1.1'\npassword = 'without a user'"),
    ] {
        let found = upstream(kind, url, more);
        assert_eq!(found.lines().count(), 1, "{kind}: {found:?}");
    }
}
