//! What is said about configurations.

use crate::trial::{RULES, Trial};

#[test]
fn the_defaults_are_fine() {
    Trial::new("check").run().prints("ok: 3 listeners");
    Trial::check("").prints("ok: 3 listeners");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_and_its_line() {
    Trial::check("[http]\nlisen = '127.0.0.1:0'\n[sse]\nheart_beat = '1s'\nzzzz = 1\n[nothing_like_it]\na = 1\n")
        .faults([
            ("gateway.toml:2: http.lisen", "unknown key; did you mean `listen`?"),
            ("gateway.toml:4: sse.heart_beat", "did you mean `heartbeat`?"),
            ("gateway.toml:5: sse.zzzz", "known keys here: path, heartbeat"),
            ("gateway.toml:6: nothing_like_it", "known keys here: http, admin"),
        ]);
    let upstreams = "[[upstreams]]\nname = 'a'\nkind = 'mqtt'\nurl = 'mqtt://h'\nin = [{ from = 'x' }]\n\n[[upstreams]]\nname = 'b'\nkind = 'mqtt'\nurl = 'mqtt://h'\nin = [{ from = 'y' }]\nurll = ''\n";
    Trial::check(upstreams).faults([("gateway.toml:12: [[upstreams]] #2 .urll", "did you mean `url`?")]);
}

#[test]
fn a_key_of_another_kind_of_upstream_is_unknown() {
    Trial::check(
        "[[upstreams]]\nname = 'a'\nkind = 'bayeux'\nurl = 'http://h'\nin = [{ from = 'x' }]\nclient_id = 'x'\n",
    )
    .faults([("gateway.toml:6: [[upstreams]] #1 .client_id", "unknown key")]);
}

#[test]
fn a_wrong_type_says_what_was_expected() {
    Trial::check(
        "[http]\nlisten = 8080\ncors_origins = 'https://a.example'\n[sse]\nheartbeat = 15\n[log]\nlevel = true\n[limits]\nconnections = 'many'\n[monitor]\nmessages = 'yes'\nsample = 0\n[shutdown]\ngrace = []\n",
    )
    .faults([
        ("gateway.toml:2: http.listen", "expected an address such as \"127.0.0.1:8080\", or \"off\", got the number 8080"),
        ("gateway.toml:3: http.cors_origins", "put it in brackets"),
        ("gateway.toml:5: sse.heartbeat", "got the number 15; write the unit too, as in \"15s\""),
        ("gateway.toml:7: log.level", "got true"),
        ("gateway.toml:9: limits.connections", "expected a whole number, got the string \"many\""),
        ("gateway.toml:11: monitor.messages", "without quotes"),
        ("gateway.toml:12: monitor.sample", "0 is out of range; write a number from 1 up"),
        ("gateway.toml:14: shutdown.grace", "got an array"),
    ]);
    Trial::check("http = 1\nchannels = 2\n").faults([
        ("gateway.toml:1: http", "expected a table, got the number 1"),
        ("gateway.toml:2: channels", "expected an array, got the number 2"),
    ]);
}

#[test]
fn a_text_with_a_syntax_is_checked() {
    Trial::check(
        "[http]\nlisten = 'localhost'\nmax_body = '1 parsec'\ncors_origins = ['example.org']\n[sse]\nheartbeat = '15x'\npath = 'sse'\n[log]\nlevel = 'loud'\nformat = 'xml'\n[bayeux]\npath = '/publish/bayeux'\n",
    )
    .faults([
        ("gateway.toml:2: http.listen", "\"localhost\" is not an address to listen on; write an IP address and a port"),
        ("gateway.toml:3: http.max_body", "\"1 parsec\" is not a size"),
        ("gateway.toml:6: sse.heartbeat", "\"15x\" is not a duration"),
        ("gateway.toml:10: log.format", "\"xml\" is not known here; write \"text\" or \"json\""),
        ("gateway.toml:12: bayeux.path", "is taken by `/publish`"),
    ]);
    // What a damaged section means is not judged until it is whole.
    Trial::check("[http]\ncors_origins = ['example.org']\n[sse]\npath = 'sse'\n[log]\nlevel = 'loud'\n").faults([
        ("gateway.toml:2: http.cors_origins #1", "\"example.org\" is not an origin"),
        ("gateway.toml:4: sse.path", "\"sse\" is not a path to serve at"),
        ("gateway.toml:6: log.level", "\"loud\" is not a log level"),
    ]);
}

#[test]
fn a_bad_filter_is_named() {
    Trial::check("[[channels]]\nmatch = 'a/#/b'\n[[channels]]\nmatch = ''\n").faults([
        ("gateway.toml:2: [[channels]] #1 .match", "`#` may only be the last level"),
        ("gateway.toml:4: [[channels]] #2 .match", "is not a channel filter"),
    ]);
}

#[test]
fn a_channel_rule_that_can_never_match_is_refused() {
    Trial::check("[[channels]]\nmatch = 'sensors/#'\n[[channels]]\nmatch = 'sensors/kitchen/+'\n")
        .faults([("gateway.toml:4: [[channels]] #2 .match", "never used")]);
}

fn upstream(name: &str, rest: &str) -> String {
    format!("[[upstreams]]\nname = '{name}'\nkind = 'mqtt'\nurl = 'mqtt://127.0.0.1:1884'\n{rest}\n")
}

#[test]
fn what_another_upstream_brings_back_is_found() {
    let way = |name: &str, rules: &str, version: &str| {
        upstream(name, &format!("{rules} = [{{ from = 'x/#' }}]\nversion = '{version}'"))
    };
    let fault = ("gateway.toml:11: [[upstreams]] #2 .in #1", "comes by another connection than it went");
    Trial::check(&(way("a", "out", "5") + &way("b", "in", "5"))).prints("ok");
    for (out, into) in [("3.1.1", "3.1.1"), ("5", "3.1.1"), ("3.1.1", "5")] {
        Trial::check(&(way("a", "out", out) + &way("b", "in", into))).faults([fault]);
    }
    let pusher = |name: &str, rules: &str, app: &str| {
        format!(
            "[[upstreams]]\nname = '{name}'\nkind = 'pusher'\nurl = 'pusher+ws://127.0.0.1:6001/app/{app}'\napp_id = '{app}'\nsecret = 's'\n{rules} = [{{ from = 'x' }}]\n"
        )
    };
    let fault = ("gateway.toml:14: [[upstreams]] #2 .in #1", "comes by another connection than it went");
    Trial::check(&(pusher("a", "out", "one") + &pusher("b", "in", "one"))).faults([fault]);
    Trial::check(&(pusher("a", "out", "one") + &pusher("b", "in", "two"))).prints("ok");
}

#[test]
fn upstreams_need_a_name_of_their_own_a_url_that_fits_and_rules() {
    let text = upstream("a", "in = [{ from = 'x/#' }]") + &upstream("a", "in = [{ from = 'y/#' }]");
    Trial::check(&text).faults([("gateway.toml:7: [[upstreams]] #2 .name", "is taken by an upstream above")]);
    Trial::check(&upstream("a b", "")).faults([
        ("gateway.toml:2: [[upstreams]] #1 .name", "\"a b\" is not a name"),
        ("gateway.toml:1: [[upstreams]] #1", "nothing crosses this upstream"),
    ]);
    Trial::check("[[upstreams]]\nname = 'a'\nkind = 'mqt'\n[[upstreams]]\nname = 'b'\n").faults([
        ("gateway.toml:3: [[upstreams]] #1 .kind", "did you mean \"mqtt\"?"),
        ("gateway.toml:4: [[upstreams]] #2 .kind", "this key is missing"),
    ]);
    Trial::check("[[upstreams]]\nname = 'a'\nkind = 'sse'\nurl = 'mqtt://h'\nin = [{ from = 'x' }]\n")
        .faults([("gateway.toml:4: [[upstreams]] #1 .url", "cannot be reached by mqtt://; write sse+http://")]);
    let hidden =
        Trial::check("[[upstreams]]\nname = 'a'\nkind = 'mqtt'\nurl = 'user:hunter2@broker'\nin = [{ from = 'x' }]\n");
    hidden.faults([("gateway.toml:4: [[upstreams]] #1 .url", "this URL has no host")]);
    assert!(!hidden.err.contains("hunter2"), "{}", hidden.err);
}

#[test]
fn rules_that_overlap_or_return_are_refused() {
    let overlap = "in = [\n  { from = 'sensors/#', to = 'a/#' },\n  { from = 'sensors/+', to = 'b/+' },\n]";
    Trial::check(&upstream("a", overlap)).faults([("gateway.toml:7: [[upstreams]] #1 .in #2", "both take")]);
    let wildcards = "in = [{ from = 'sensors/#', to = 'a' }]";
    Trial::check(&upstream("a", wildcards))
        .faults([("gateway.toml:5: [[upstreams]] #1 .in #1 .to", "same ones in the same order")]);
    let monitor = "in = [{ from = 'x/#', to = '$monitor/#' }]";
    Trial::check(&upstream("a", monitor)).faults([("gateway.toml:5: [[upstreams]] #1 .in #1 .to", "$monitor")]);
}

#[test]
fn certificates_have_to_be_readable_and_fit() {
    Trial::check("[http]\ntls_listen = '127.0.0.1:8443'\n")
        .faults([("gateway.toml:2: http.tls_listen", "needs a certificate; add [tls]")]);
    Trial::check("[tls]\ncert = 'no.pem'\nkey = 'none.pem'\n").faults([
        ("gateway.toml:2: tls.cert", "cannot read no.pem: No such file"),
        ("gateway.toml:3: tls.key", "cannot read none.pem: No such file"),
    ]);
    let trial = Trial::new("check").file("gateway.toml", "[tls]\ncert = 'empty.pem'\nkey = 'empty.pem'\n");
    trial.write("empty.pem", "nothing\n");
    trial.run().faults([
        ("gateway.toml:2: tls.cert", "there is no certificate in it"),
        ("gateway.toml:3: tls.key", "empty.pem"),
    ]);
    let half = "[[upstreams]]\nname = 'a'\nkind = 'mqtt'\nurl = 'mqtts://h'\nin = [{ from = 'x' }]\ntls = { cert = 'gateway.toml' }\n";
    Trial::check(half).faults([("gateway.toml:6: [[upstreams]] #1 .tls.cert", "needs its private key")]);
}

#[test]
fn a_certificate_and_a_foreign_key_do_not_fit() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let tls = |key: &str| {
        format!("[http]\ntls_listen = '127.0.0.1:0'\n[tls]\ncert = '{data}/one.pem'\nkey = '{data}/{key}'\n")
    };
    Trial::check(&tls("one.key")).prints("ok: 4 listeners");
    Trial::check(&tls("other.key")).faults([("gateway.toml:5: tls.key", "is not the key of")]);
    Trial::check(&tls("one.pem")).faults([("gateway.toml:5: tls.key", "name a PEM file with `BEGIN PRIVATE KEY`")]);
}

#[test]
fn pusher_apps_and_mounts_are_checked() {
    let app = |id: &str, key: &str| format!("[[pusher.apps]]\nid = '{id}'\nkey = '{key}'\nsecret = 'x'\n");
    Trial::check(&(app("a", "k") + &app("a", "k/2"))).faults([
        ("gateway.toml:6: [[pusher.apps]] #2 .id", "is taken by an app above"),
        ("gateway.toml:7: [[pusher.apps]] #2 .key", "cannot stand in a path"),
    ]);
    let said = Trial::check("[[pusher.mounts]]\nchannel = 'sensors/#'\nas = 'no/slash.*'\n");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.starts_with("error: gateway.toml:3: [[pusher.mounts]] #1 .as: "), "{said:?}");
}

#[test]
fn listeners_may_not_share_a_port() {
    Trial::check("[http]\nlisten = '127.0.0.1:1883'\n[admin]\nlisten = '127.0.0.1:0'\n")
        .faults([("mqtt.listen", "is also where `http.listen` listens")]);
    Trial::check("[http]\nlisten = '127.0.0.1:0'\n[admin]\nlisten = '127.0.0.1:0'\n[mqtt]\nlisten = 'off'\n")
        .prints("ok: 2 listeners");
}

#[test]
fn other_machines_need_an_auth_section() {
    Trial::check("[mqtt]\nlisten = '0.0.0.0:1883'\n")
        .faults([("gateway.toml:2: mqtt.listen", "can be reached from other machines, and there is no [auth]")]);
    Trial::check("[mqtt]\nlisten = '0.0.0.0:1883'\n[auth]\nanonymous = 'allow'\n").prints("ok");
    Trial::check("[mqtt]\nlisten = '0.0.0.0:1883'\n[auth]\n")
        .faults([("[[pusher.apps]] #1 .secret", "the demo app's secret is public")]);
    Trial::check("[mqtt]\nlisten = '0.0.0.0:1883'\n[auth]\n[pusher]\napps = []\n").prints("ok");
}

#[test]
fn users_need_hashes_or_say_that_they_are_plain() {
    let text = "[auth]\n[[auth.users]]\nname = 'a'\npassword = 'hunter2'\n[[auth.users]]\nname = 'b'\npassword = 'plain:x'\n[[auth.users]]\nname = 'b'\npassword = '$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA'\n";
    let said = Trial::check(text);
    said.faults([
        ("gateway.toml:4: [[auth.users]] #1 .password", "neither an argon2 hash nor marked as plain"),
        ("gateway.toml:9: [[auth.users]] #3 .name", "is taken by a user above"),
    ]);
    assert!(!said.err.contains("hunter2"), "{}", said.err);
}

#[test]
fn secrets_come_from_files_and_variables() {
    let app = |secret: &str| format!("[[pusher.apps]]\nid = 'a'\nkey = 'k'\nsecret = {secret}\n");
    let trial = Trial::new("check").file("gateway.toml", &app("{ file = 'secret.txt' }"));
    trial.write("secret.txt", "hush\n");
    trial.run().prints("ok");
    Trial::check(&app("{ file = 'secret.txt' }"))
        .faults([("gateway.toml:4: [[pusher.apps]] #1 .secret", "cannot read secret.txt")]);
    Trial::check(&app("{ env = 'NOT_SET_AT_ALL' }"))
        .faults([("gateway.toml:4: [[pusher.apps]] #1 .secret", "NOT_SET_AT_ALL is not set")]);
    Trial::new("check")
        .file("gateway.toml", &app("{ env = 'APP_SECRET' }"))
        .env("APP_SECRET", "hush")
        .run()
        .prints("ok");
    Trial::check(&app("{ flie = 'x' }")).faults([("gateway.toml:4: [[pusher.apps]] #1 .secret", "got a table")]);
    Trial::check(&app("'***'")).faults([(
        "gateway.toml:4: [[pusher.apps]] #1 .secret",
        "stands in place of a secret; write the secret itself",
    )]);
    Trial::check(&app("12345")).faults([("gateway.toml:4: [[pusher.apps]] #1 .secret", "got something else")]);
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    Trial::check("[http]\nlisten = \n").faults([("gateway.toml:2", "this is not TOML")]);
    Trial::check("[http]\n[http]\n").faults([("gateway.toml:2", "this is not TOML")]);
    Trial::new("check").file("gateway.json", "{\"http\": ").run().faults([("gateway.json", "this is not JSON")]);
    Trial::new("check").file("gateway.yaml", "http: [").run().faults([("gateway.yaml", "this is not YAML")]);
    Trial::new("check").args(["--config", "none.toml"]).run().faults([("none.toml", "cannot read this file")]);
}

#[test]
fn yaml_and_json_are_read_by_extension_and_have_lines() {
    let yaml = "http:\n  listen: 127.0.0.1:0\n  lisen: 1\nchannels:\n  - match: 'a/#'\n  - match: '#/a'\n";
    Trial::new("check").file("gateway.yaml", yaml).run().faults([
        ("gateway.yaml:3: http.lisen", "unknown key"),
        ("gateway.yaml:6: [[channels]] #2 .match", "is not a channel filter"),
    ]);
    let json = "{\n  \"http\": {\n    \"max_body\": \"1 MiB\",\n    \"max_boody\": 1\n  }\n}\n";
    Trial::new("check")
        .file("gateway.json", json)
        .run()
        .faults([("gateway.json:4: http.max_boody", "did you mean `max_body`?")]);
}

#[test]
fn the_environment_comes_over_the_file_and_arguments_over_both() {
    let file = "[sse]\nheartbeat = '1s'\nretry = '1s'\npath = '/one'\n";
    let trial = Trial::new("config").file("gateway.toml", file).args(["--set", "sse.path=/three"]);
    let said = trial.env("RATATOSK__SSE__RETRY", "2s").env("RATATOSK__SSE__PATH", "/two").run();
    said.prints("heartbeat = \"1s\"").prints("retry = \"2s\"").prints("path = \"/three\"");
}

#[test]
fn texts_take_the_type_of_their_key() {
    let upstream = "upstreams=[{ name = 'a', kind = 'mqtt', url = 'mqtt://h', in = [{ from = 'x/#' }] }]";
    Trial::new("config")
        .args(["--set", upstream, "--set", "upstreams[0].client_id=42", "--set", "limits.connections=7"])
        .env("RATATOSK__HTTP__CORS_ORIGINS", "https://a.example,https://b.example")
        .env("RATATOSK__MONITOR__MESSAGES", "true")
        .env("RATATOSK__LOG__LEVEL", "")
        .env("RATATOSK_UNRELATED", "x")
        .run()
        .prints("client_id = \"42\"")
        .prints("connections = 7")
        .prints("\"https://b.example\"")
        .prints("messages = true")
        .prints("level = \"info\"");
    Trial::new("check")
        .args(["--set", "http.max_body=[1]", "--set", "nonsense", "--set", "sse.lisen=1"])
        .env("RATATOSK__HTTP__LISTEN", "nowhere")
        .env("RATATOSK__HTTP", "1")
        .run()
        .faults([
            ("--set", "\"nonsense\" sets nothing"),
            ("RATATOSK__HTTP__LISTEN: http.listen", "\"nowhere\" is not an address"),
            ("--set: http.max_body", "is not a size"),
            ("--set: sse.lisen", "unknown key"),
        ]);
}

#[test]
fn rules_that_cannot_work_are_found() {
    Trial::check(RULES).prints("ok");
    let shadowed = format!(
        "{RULES}[[auth.rules]]\nwho = {{ users = ['joe'], groups = ['staff'] }}\nmay = ['publish']\non = ['lab/secret']\neffect = 'deny'\n"
    );
    Trial::check(&shadowed).faults([("gateway.toml:15: auth.rules #3", "auth.rules[0] decides all of it before")]);
    let wrong = "[auth]\n[[auth.rules]]\nwho = { connectors = ['mqt'], addresses = ['10.0.0.0/40'] }\nmay = []\non = ['a/#/b', 'x/{name}']\n";
    Trial::check(wrong).faults([
        ("gateway.toml:3: [[auth.rules]] #1 .who.connectors #1", "\"mqt\" is no connector"),
        ("gateway.toml:3: [[auth.rules]] #1 .who.addresses #1", "no block of addresses"),
        ("gateway.toml:4: [[auth.rules]] #1 .may", "can never match"),
        ("gateway.toml:5: [[auth.rules]] #1 .on #1", "`#` may only be the last level"),
    ]);
    Trial::check("[auth]\n[[auth.rules]]\nwho = { users = ['joe'] }\nmay = ['publish']\non = ['a']\n")
        .faults([("gateway.toml:2: auth.rules #1", "\"joe\" is none of auth.users")]);
    Trial::check("[auth.jwt]\nsecret = 'short'\n").faults([("gateway.toml:2: auth.jwt.secret", "at least 32 bytes")]);
    Trial::check("[auth.jwt]\njwks = 'http://keys.example/k'\n")
        .faults([("gateway.toml:2: auth.jwt.jwks", "unprotected")]);
    Trial::check("[auth.jwt]\nissuers = ['x']\n").faults([("gateway.toml:1: auth.jwt", "exactly one of")]);
}
