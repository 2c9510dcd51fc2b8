//! What the commands print, and how they exit.

use std::process::{Command, Stdio};

use crate::trial::{RULES, Trial};

#[test]
fn a_port_in_use_is_named_and_exits_with_one() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for key in ["http.listen", "admin.listen", "mqtt.listen"] {
        let mut trial = Trial::new("serve");
        for free in ["http.listen", "admin.listen", "mqtt.listen"] {
            let value = if free == key { address.to_string() } else { "127.0.0.1:0".to_owned() };
            trial = trial.args(["--set", &format!("{free}={value}")]);
        }
        let said = trial.args(["--set", "log.format=json"]).run_unless("\"message\":\"ready\"");
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(&format!("{key}: cannot listen on {address}: ")), "{said:?}");
    }
}

#[test]
fn the_effective_configuration_masks_every_secret() {
    let text = "[[upstreams]]\nname = 'a'\nkind = 'mqtt'\nurl = 'mqtt://joe:hunter2@h'\npassword = 'hunter2'\nin = [{ from = 'x' }]\n[[pusher.apps]]\nid = 'a'\nkey = 'shown'\nsecret = 'hunter2'\n[auth]\n[[auth.users]]\nname = 'b'\npassword = 'plain:hunter2'\n[sse.mercure]\npublisher_jwt_key = 'hunter2'\nsubscriber_jwt_key = 'hunter2'\n";
    let said = Trial::new("config").file("gateway.toml", text).run();
    said.prints("mqtt://joe:***@h").prints("key = \"shown\"").prints("publisher_jwt_key = \"***\"");
    assert!(!said.out.contains("hunter2"), "{}", said.out);
}

#[test]
fn defaults_schema_and_reference_are_printed() {
    let said = Trial::new("config").args(["--defaults"]).run();
    said.prints("[http]").prints("#[[upstreams]]");
    Trial::new("check").file("defaults.toml", &said.out).run().prints("ok: 3 listeners");
    let schema = Trial::new("config").args(["--schema"]).run();
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert!(schema.pointer("/properties/http").is_some());
    Trial::new("config").args(["--reference"]).run().prints("## `[[upstreams]]`");
}

#[test]
fn wrong_usage_exits_with_two() {
    for args in [&["serv"][..], &["check", "--nothing"], &["config", "--defaults", "--schema"], &["bridge"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_ratatosk")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_bridge_needs_a_url_of_a_known_protocol() {
    let said = Trial::new("bridge").args(["gopher://h", "x"]).run();
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("gopher"), "{said:?}");
    Trial::new("bridge")
        .args(["mqtt://h", "a/#/b"])
        .run()
        .faults([("bridge: [[upstreams]] #1 .in #1 .from", "is not a channel filter")]);
}

#[test]
fn every_command_has_help() {
    let said = Trial::new("help").run();
    for command in ["serve", "bridge", "check", "config"] {
        assert!(said.out.contains(command), "{}", said.out);
        let help = Trial::new(command).args(["--help"]).run();
        help.prints("Examples:");
    }
}

#[test]
fn completions_and_the_man_page_are_printed() {
    Trial::new("completions").args(["bash"]).run().prints("ratatosk").prints("--mqtt-version");
    let manual = Trial::new("man").run();
    manual.prints(".TH ratatosk 1");
    for command in ["SERVE", "DEMO", "BRIDGE", "CHECK", "CONFIG", "SUB", "PUB"] {
        manual.prints(&format!(".SH \"RATATOSK {command}\""));
    }
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ratatosk"))
        .args(["config", "--schema"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_channel_is_explained_with_a_token_of_our_own() {
    let text = format!(
        "{RULES}[[upstreams]]\nname = 'factory'\nkind = 'mqtt'\nurl = 'mqtt://127.0.0.1:1'\nin = [{{ from = 'up/#', to = 'lab/#' }}]\n"
    );
    let token = Trial::new("token").file("gateway.toml", &text).args(["--user", "joe", "--group", "staff"]).run();
    let token = token.prints(".").out.trim().to_owned();
    let said = Trial::new("explain").file("gateway.toml", &text).args(["lab/a b", "--as", &token]).run();
    said.prints("bayeux  /lab/a~20b")
        .prints("pusher  lab.a=20b  (application demo)")
        .prints("sse     /sse?channel=lab%2Fa+b")
        .prints("factory (mqtt)  brings it from up/a b, by the in rule up/# -> lab/#")
        .prints("auth.rules[0]  allows publish, subscribe to groups staff on lab/#")
        .prints("As joe")
        .prints("mqtt    may publish (auth.rules[0]); may subscribe (auth.rules[0]); may not see who is there (no rule allows it)");
    Trial::new("explain")
        .file("gateway.toml", &text)
        .args(["users/ann/x", "--as", "ann"])
        .run()
        .prints("http    may not publish (no rule allows it); may subscribe (auth.rules[1])");
    Trial::new("explain").args(["a"]).run().prints("there is no [auth]: everyone may do everything");
    let bridges = "[[upstreams]]\nname = 'old'\nkind = 'mqtt'\nversion = '3.1.1'\nurl = 'mqtt://127.0.0.1:1'\nout = [{ from = 'a/#' }]\n\
                   [[upstreams]]\nname = 'hub'\nkind = 'sse'\nurl = 'http://127.0.0.1:1/hub'\nout = [{ from = 'a/#' }]\npublish = { preset = 'mercure' }\n\
                   [[upstreams]]\nname = 'elsewhere'\nkind = 'bayeux'\nurl = 'http://127.0.0.1:1/'\nout = [{ from = 'b/#' }]\n";
    let all = "event, properties, content_type, reply_to, correlation, expiry";
    let said = Trial::new("explain").file("gateway.toml", bridges).args(["a/b"]).run();
    said.prints("mqtt 5                   nothing is lost")
        .prints(&format!("mqtt 3.1.1               {all}"))
        .prints("pusher                   properties, content_type, reply_to, correlation, expiry")
        .prints("sse (raw)                event, properties")
        .prints(&format!("upstream old             {all}"))
        .prints("upstream hub             properties, content_type, reply_to, correlation, expiry");
    assert!(!said.out.contains("elsewhere"), "{}", said.out);
    let narrow =
        Trial::new("token").file("gateway.toml", &text).args(["-u", "joe", "-g", "staff", "--publish", "lab/x"]).run();
    let narrow = narrow.prints(".").out.trim().to_owned();
    Trial::new("explain")
        .file("gateway.toml", &text)
        .args(["lab/y", "--as", &narrow])
        .run()
        .prints("may not publish (the token does not go that far)");
}
