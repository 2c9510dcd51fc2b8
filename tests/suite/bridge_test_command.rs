//! `ratatosk test`: the example with the output that its page shows, and what is said about cases and files that are wrong.

use ratatosk_tests::{command::Ran, tests_dir};
use tempfile::TempDir;

fn file(directory: &TempDir, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn the_example_passes_and_its_page_shows_the_output() {
    let root = tests_dir().join("..").canonicalize().expect("the repository");
    let path = root.join("examples/bridge.test.toml");
    let ran = Ran::start(&["test", path.to_str().expect("UTF-8")]).ends_with(0).await;
    let output = ran.stdout().replace(&format!("{}/", root.display()), "");
    assert!(output.ends_with("\n6 passed\n"), "{output}");
    let page = std::fs::read_to_string(root.join("docs/bridges.md")).expect("the page");
    assert!(
        page.contains(&format!("```\n$ ratatosk test examples/bridge.test.toml\n{output}```")),
        "docs/bridges.md lacks:\n{output}"
    );
    for shown in ["examples/bridge.toml", "examples/bridge.test.toml"] {
        assert!(page.contains(shown), "{shown}");
    }
}

const CONFIG: &str = r#"
[[config.upstreams]]
name = "far"
kind = "mqtt"
url = "mqtt://127.0.0.1:1884"
version = "5"
dead_letter = "errors"
in = [{ from = "a/#", to = "here/#", transform = '{ twice: (.n * 2), from: $channel }' }]
out = [{ from = "here/#", to = "b/#", properties = { "x-user" = "{user}" } }]

[[config.upstreams]]
name = "second"
kind = "mqtt"
url = "mqtt://127.0.0.1:1885"
out = [{ from = "here/#", to = "c/#", when = '.twice > 2' }]
"#;

#[tokio::test]
async fn a_message_is_followed_through_all_upstreams() {
    let directory = TempDir::new().expect("a directory");
    let cases = r#"
[[cases]]
name = "it is not sent back, and goes on to the other"
given = { from = "far", channel = "a/x", payload = { n = 2 } }
expect = [
  { at = "local", channel = "here/x", payload = { twice = 4, from = "a/x" } },
  { at = "second", channel = "c/x", payload = '{"from": "a/x", "twice": 4}' },
]

[[cases]]
name = "a client's goes to those that want it"
given = { from = "local", channel = "here/y", payload = '{"twice": 1}', user = "joe" }
expect = { at = "far", channel = "b/y", properties = { "x-user" = "joe" } }

[[cases]]
name = "bytes"
given = { from = "far", channel = "a/x", base64 = "/wA=" }
expect = { at = "local", channel = "errors", reason = "transform", detail = "cannot index" }
"#;
    let path = file(&directory, "x.test.toml", &format!("{CONFIG}{cases}"));
    let ran = Ran::start(&["test", &path]).ends_with(0).await;
    assert!(ran.stdout().ends_with("3 passed\n"), "{}", ran.stdout());
}

#[tokio::test]
async fn a_case_that_fails_shows_what_differs() {
    let directory = TempDir::new().expect("a directory");
    let cases = r#"
[[cases]]
name = "wrong payload, and one too many"
given = { from = "far", channel = "a/x", payload = { n = 2 } }
expect = { at = "local", channel = "here/x", payload = { twice = 5, from = "a/x" }, qos = 2 }

[[cases]]
name = "nothing comes"
given = { from = "far", channel = "elsewhere", payload = "x" }
expect = { at = "local", channel = "here/x" }

[[cases]]
name = "right"
given = { from = "far", channel = "elsewhere", payload = "x" }
expect = []
"#;
    let path = file(&directory, "x.test.toml", &format!("{CONFIG}{cases}"));
    let ran = Ran::start(&["test", "--color", "never", &path]).ends_with(1).await;
    let output = ran.stdout();
    for line in [
        "  FAIL  wrong payload, and one too many",
        "        at local `here/x`:",
        "            -   \"twice\": 5,",
        "            +   \"twice\": 4,",
        "            - 2",
        "            + 1",
        "        + came at second `c/x`  {\"twice\":4,\"from\":\"a/x\"}, and was not expected",
        "  FAIL  nothing comes",
        "        - expected at local `here/x`, and nothing came",
        "  ok    right",
        "1 passed, 2 failed",
    ] {
        assert!(output.lines().any(|there| there == line), "{line}\n{output}");
    }
    let coloured = Ran::start(&["test", "--color", "always", &path]).ends_with(1).await;
    assert!(coloured.stdout().contains("\u{1b}[31mFAIL\u{1b}[0m"), "{}", coloured.stdout());
}

#[tokio::test]
async fn a_wrong_file_is_a_wrong_usage() {
    let directory = TempDir::new().expect("a directory");
    let case = |more: &str| format!("{CONFIG}\n[[cases]]\nname = \"x\"\n{more}\n");
    for (text, says) in [
        (case("given = { from = \"far\", chanel = \"a\" }\nexpect = []"), "chanel"),
        (case("given = { from = \"fra\", channel = \"a\" }\nexpect = []"), "is no upstream"),
        (case("given = []\nexpect = { at = \"fra\", channel = \"a\" }"), "is no upstream"),
        (case("given = { from = \"far\", channel = \"a/#\" }\nexpect = []"), "channel"),
        (case("given = { from = \"far\", channel = \"a\", qos = 3 }\nexpect = []"), "qos"),
        (case("given = { from = \"far\", channel = \"a\", base64 = \"?\" }\nexpect = []"), "base64"),
        (case("given = ["), "TOML"),
        ("config = \"not-there.toml\"\ncases = []".to_owned(), "not-there.toml"),
        (case("given = []\nexpect = []").replace(".n * 2", ".n *"), "transform"),
    ] {
        let path = file(&directory, "wrong.test.toml", &text);
        let ran = Ran::start(&["test", &path]).ends_with(2).await;
        assert!(ran.stderr().contains(says), "{says}: {}", ran.stderr());
    }
    Ran::start(&["test", "not-there.test.toml"]).ends_with(2).await;
}

/// A program that is faulty is a configuration error that names key, line and what is wrong.
#[tokio::test]
async fn check_names_faulty_programs_and_rules_that_never_match() {
    let directory = TempDir::new().expect("a directory");
    let config = r#"[[upstreams]]
name = "far"
kind = "mqtt"
url = "mqtt://127.0.0.1:1884"
version = "5"

[[upstreams.in]]
from = "a/#"
when = ".c >"

[[upstreams.in]]
from = "b/#"
transform = '''
{ a: .a,
  b: nosuch }'''

[[upstreams.in]]
from = "c/#"
properties = { "x-site" = "{site}" }
event = "{level.0}"

[[upstreams.in]]
from = "c/d"
max_rate = "100"

[[upstreams.in]]
from = "e/#"
retain = false
set_retain = true
dead_letter = "$monitor/x"
"#;
    let path = file(&directory, "gateway.toml", config);
    let ran = Ran::start(&["check", "--config", &path]).ends_with(2).await;
    let said = ran.stderr();
    let fault = |line: usize, key: &str, says: &str| {
        let start = format!("error: {path}:{line}: [[upstreams]] #1 .in {key}: ");
        assert!(said.lines().any(|there| there.starts_with(&start) && there.contains(says)), "{start}{says}\n{said}");
    };
    fault(24, "#4 .max_rate", "is not a rate");
    let path = file(&directory, "gateway.toml", &config.replace("\"100\"", "\"100/s\""));
    let ran = Ran::start(&["check", "--config", &path]).ends_with(2).await;
    let said = ran.stderr();
    let fault = |line: usize, key: &str, says: &str| {
        let start = format!("error: {path}:{line}: [[upstreams]] #1 .in {key}: ");
        assert!(said.lines().any(|there| there.starts_with(&start) && there.contains(says)), "{start}{says}\n{said}");
    };
    fault(9, "#1 .when", "expected term, found the end (line 1, column 5 of the program)");
    fault(13, "#2 .transform", "there is no filter `nosuch/0` (line 2, column 6 of the program)");
    fault(19, "#3 .properties.x-site", "{site} stands for nothing");
    fault(20, "#3 .event", "{level.0} stands for nothing");
    fault(22, "#4", "can never match");
    fault(29, "#5 .set_retain", "says the opposite");
    fault(30, "#5 .dead_letter", "$monitor");
    assert_eq!(said.lines().count(), 7, "{said}");
}
