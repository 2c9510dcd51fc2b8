#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{sync::mpsc, time::Duration};

use super::*;

/// Without optimisation everything takes ten times as long.
const PATIENT: Limits = Limits { steps: 1_000_000, time: Duration::from_secs(20), outputs: 1000, bytes: 4 << 20 };

fn program(code: &str) -> Program {
    Program::compile(code, &["$channel", "$properties"], PATIENT).unwrap()
}

fn run(code: &str, input: &str) -> Result<Vec<String>, RunError> {
    let (program, input) = (program(code), input.to_owned());
    let outputs = wait_for(move |worker| {
        let variables = [Input::Text("a/b"), Input::Json(br#"{"site":"n"}"#)];
        program.run(worker, Input::Json(input.as_bytes()), &variables)
    });
    Ok(outputs.unwrap()?.into_iter().map(|output| String::from_utf8_lossy(&output.into_bytes()).into_owned()).collect())
}

fn fails(code: &str, input: &str) -> String {
    run(code, input).unwrap_err().to_string()
}

fn wrong(code: &str) -> CompileError {
    Program::compile(code, &["$channel"], Limits::default()).unwrap_err()
}

#[test]
fn programs_do_what_jq_does() {
    for (code, input, expected) in [
        (".", r#"{"b":1,"a":[1.5,null,true,"x"]}"#, vec![r#"{"b":1,"a":[1.5,null,true,"x"]}"#]),
        (".c * 9 / 5 + 32", r#"{"c":20}"#, vec!["68"]),
        ("{f: (.c * 1.8 + 32), channel: $channel}", r#"{"c":20}"#, vec![r#"{"f":68,"channel":"a/b"}"#]),
        (".[]", "[1,[2],\"three\"]", vec!["1", "[2]", "three"]),
        ("select(. > 3)", "2", vec![]),
        ("$properties.site", "null", vec!["n"]),
        (r#""\($channel): \(.c) \(.o)""#, r#"{"c":1,"o":{"k":"v"}}"#, vec![r#"a/b: 1 {"k":"v"}"#]),
        ("map(.n) | add", r#"[{"n":1},{"n":2}]"#, vec!["3"]),
        (r#"[.[] | tostring] | join(",")"#, r#"[1,"a",null]"#, vec!["1,a,null"]),
        (".a += 1 | .b *= 2 | .c += \"x\"", r#"{"a":1,"b":2,"c":"c"}"#, vec![r#"{"a":2,"b":4,"c":"cx"}"#]),
        ("[range(3)], [range(0; 10; 4)], [range(3; 0; -1)]", "null", vec!["[0,1,2]", "[0,4,8]", "[3,2,1]"]),
        (r#"@base64, @json, @json "v=\(.)""#, "\"a\"", vec!["YQ==", "\"a\"", "v=\"a\""]),
        ("tojson | fromjson", r#"{"a":[1]}"#, vec![r#"{"a":[1]}"#]),
        ("nan, infinite", "null", vec!["null", "1.7976931348623157e308"]),
        ("def f: if . > 10000 then . else . + 1 | f end; f", "0", vec!["10001"]),
        ("reduce range(5) as $i ([]; . + [$i]) | last", "null", vec!["4"]),
        ("path(..)", r#"{"a":1}"#, vec!["[]", r#"["a"]"#]),
        ("to_entries | from_entries", r#"{"a":1}"#, vec![r#"{"a":1}"#]),
        ("test(\"^a+$\"), gsub(\"a\"; \"b\")", "\"aa\"", vec!["true", "bb"]),
        ("\"x\" * 3, ({a:{b:1}} * {a:{c:2}})", "null", vec!["xxx", r#"{"a":{"b":1,"c":2}}"#]),
        ("fromdate | todate", "\"2026-01-02T03:04:05Z\"", vec!["2026-01-02T03:04:05Z"]),
        (". == 123456789012345678901234567890", "123456789012345678901234567890", vec!["true"]),
        ("debug, (. | stderr | empty)", "1", vec!["1"]),
        ("try error(\"x\") catch .", "null", vec!["x"]),
        ("tobytes", "\"é\"", vec!["é"]),
    ] {
        assert_eq!(run(code, input), Ok(expected.into_iter().map(str::to_owned).collect()), "{code}");
    }
}

#[test]
fn inputs_are_json_text_or_bytes() {
    let (identity, bytes) = (program("."), program("tobytes | length"));
    let outputs = wait_for(move |worker| {
        let run = |program: &Program, input| program.run(worker, input, &[Input::Null, Input::Null]).unwrap();
        [
            run(&identity, Input::Text("no json")),
            run(&identity, Input::Bytes(b"\xff\x00")),
            run(&bytes, Input::Bytes(b"\xff\x00")),
            run(&identity, Input::Null),
        ]
    });
    let [text, raw, length, null] = outputs.unwrap();
    assert_eq!(text, [Output::Text("no json".to_owned())]);
    assert_eq!(raw, [Output::Bytes(b"\xff\x00".to_vec())]);
    assert_eq!(length, [Output::Json("2".to_owned())]);
    assert_eq!(null, [Output::Json("null".to_owned())]);
}

#[test]
fn a_condition_holds_when_anything_true_comes_of_it() {
    let holds = |code: &str, input: &'static str| {
        let program = program(code);
        wait_for(move |worker| program.holds(worker, Input::Json(input.as_bytes()), &[Input::Null, Input::Null]))
            .unwrap()
    };
    assert_eq!(holds(".c > 20", r#"{"c":21}"#), Ok(true));
    assert_eq!(holds(".c > 20", r#"{"c":20}"#), Ok(false));
    assert_eq!(holds(".[] > 20", "[1,30]"), Ok(true));
    assert_eq!(holds("empty", "null"), Ok(false));
    assert_eq!(holds("repeat(1)", "null"), Ok(true), "no more is asked than is needed");
    assert!(holds(".c > 20", "[1]").is_err());
}

#[test]
fn a_faulty_program_is_named_with_its_place() {
    for (code, line, column, problem) in [
        (".a |", 1, 5, "expected term, found the end"),
        (".a\n| nosuch(1)", 2, 3, "there is no filter `nosuch/1`"),
        ("$x", 1, 1, "there is no variable `$x`"),
        ("if . then 1", 1, 12, "expected else or end"),
        ("(.a", 1, 4, "expected the end of what `(` begins"),
        ("{a: \"\\q\"}", 1, 7, "expected string escape sequence"),
        ("break $out", 1, 7, "there is no label `$out`"),
        ("import \"m\" as m; .", 1, 9, "there are no modules"),
        ("env", 1, 1, "there is no filter `env/0`"),
        ("$ENV.HOME", 1, 1, "there is no variable `$ENV`"),
        ("input", 1, 1, "there is no filter `input/0`"),
        ("plus!(1; 2)", 1, 5, "expected"),
    ] {
        let error = wrong(code);
        assert!(error.problem.contains(problem), "{code}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{code}: {error}");
    }
    let deep = "(".repeat(60_000) + "." + &")".repeat(4000);
    assert!(wrong(&deep[..60_000]).problem.contains("the end of what `(` begins"));
    assert!(wrong(&".".repeat(70_000)).problem.contains("at most"));
}

#[test]
fn a_program_that_fails_says_why() {
    assert_eq!(fails(".a.b", "[1]"), "cannot index [1] with \"a\"");
    assert_eq!(fails("error(\"too hot\")", "1"), "too hot");
    assert_eq!(fails("1, error({code: 7})", "1"), r#"{"code":7}"#);
    assert!(fails("halt", "1").contains("cannot end the gateway"));
    assert!(fails("halt_error", "1").contains("cannot end the gateway"));
    assert!(fails("{(1|tostring): 1} | {([1]): 1}", "1").contains("key of an object"));
    assert!(fails("[\"a\" | tobytes]", "1").contains("bytes cannot stand inside JSON"));
    let long = fails("error(\"é\" * 1000)", "1");
    assert!(long.len() < 250 && long.ends_with("..."), "{long}");
}

#[test]
fn a_program_that_loops_is_stopped_whatever_it_loops_with() {
    for code in [
        "def f: f; f",
        "def f: . + 1 | f; f",
        "repeat(.) | empty",
        "last(repeat(1))",
        "[range(infinite)]",
        "last(range(0; 1; 0))",
        "until(false; .)",
        "[recurse(.)] | length",
        "reduce range(1e12) as $i (0; . + 1)",
        "label $out | foreach repeat(1) as $x (0; . + $x; empty)",
        "[(1, 2) as $x | range(1e9)]",
        "def f: [.] | f; f",
        "[path(repeat(.))]",
        "[limit(1e9; repeat(1))]",
    ] {
        let error = run(code, "0").unwrap_err();
        assert!(matches!(error, RunError::Overrun(Overrun::Steps | Overrun::Time)), "{code}: {error:?}");
    }
    assert_eq!(run(".", "1"), Ok(vec!["1".to_owned()]), "and the next one runs");
}

#[test]
fn time_is_bounded_where_steps_are_few() {
    let limits = Limits { time: Duration::from_millis(50), ..Limits::default() };
    let program = Program::compile("[.[] as $x | .[] | .]", &[], limits).unwrap();
    let numbers = serde_json::to_vec(&vec![1; 30_000]).unwrap();
    let error = wait_for(move |worker| program.run(worker, Input::Json(&numbers), &[])).unwrap().unwrap_err();
    assert_eq!(error, RunError::Overrun(Overrun::Time));
}

#[test]
fn recursion_ends_before_the_stack_does() {
    for code in ["def f: 1 + f; f", "def f: [f]; f", "def f: f | f; f | f", "def f: {a: f}; f", "def f: try (1 + f); f"]
    {
        let error = run(code, "0").unwrap_err();
        assert!(matches!(error, RunError::Overrun(_)), "{code}: {error:?}");
    }
    let deep = run("reduce range(10000) as $i (0; [.]) | tojson | length", "0").unwrap_err().to_string();
    assert!(deep.contains("levels deep"), "{deep}");
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(fails(".", &nested).contains("levels deep"));
    let quoted = serde_json::to_string(&nested).unwrap();
    assert!(fails("fromjson", &quoted).contains("cannot parse"));
    let caught = run("try fromjson catch \"caught\"", &quoted);
    assert_eq!(caught, Ok(vec!["caught".to_owned()]));
}

#[test]
fn memory_is_not_there_for_the_asking() {
    for code in [
        "\"x\" * 1e12",
        "\"x\" * 1000000000000",
        "reduce range(60) as $i (\"x\"; . + .)",
        "reduce range(60) as $i (\"x\"; \"\\(.)\\(.)\")",
        "reduce range(60) as $i ([1]; . + .)",
        "reduce range(60) as $i ([1]; [.[], .[]])",
        "reduce range(60) as $i ({a: \"x\"}; .a += .a)",
        "reduce range(60) as $i ({a: \"x\"}; .a *= 100)",
        "reduce range(60) as $i (\"x\"; [., .] | tojson)",
        "reduce range(60) as $i (\"x\"; @html \"\\(.)\\(.)\")",
        "[limit(1e6; repeat(\"x\" * 100000))] | add",
        "[limit(1e6; repeat([1] + [range(1000)]))]",
        "[range(1e6) | \"\\(.) is a number like many others\"]",
        "reduce range(60) as $i (\"x\"; [.,.])",
    ] {
        let error = run(code, "null").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("too large") || text.contains("more than") || matches!(error, RunError::Overrun(_)),
            "{code}: {text}"
        );
    }
    let huge = format!("[1{}]", "0".repeat(100_000));
    assert!(fails(".", &huge).contains("digits"));
    let text = format!("\"{}\"", "1".repeat(100_000));
    assert_eq!(run("length", &text), Ok(vec!["100000".to_owned()]), "digits in a text are a text");
    assert!(fails("tonumber", &text).contains("digits"));
}

#[test]
fn what_it_yields_is_bounded() {
    let limits = Limits { outputs: 3, bytes: 100, ..Limits::default() };
    let run = |code: &str| {
        let program = Program::compile(code, &[], limits).unwrap();
        wait_for(move |worker| program.run(worker, Input::Null, &[])).unwrap()
    };
    assert_eq!(run("range(3)").unwrap().len(), 3);
    assert!(run("range(4)").unwrap_err().to_string().contains("more than 3 messages"));
    assert!(run("[range(100)]").unwrap_err().to_string().contains("bytes"));
    assert!(run("\"x\" * 101").unwrap_err().to_string().contains("bytes"));
    assert!(run("(\"x\" * 60), (\"x\" * 60)").unwrap_err().to_string().contains("bytes"));
}

#[test]
fn long_inputs_take_no_more_than_their_share() {
    let numbers = serde_json::to_string(&(0..20_000).collect::<Vec<u32>>()).unwrap();
    let joined = run("map(tostring) | join(\",\")", &numbers).unwrap();
    assert_eq!(joined[0].split(',').count(), 20_000);
    assert_eq!(run("map(. * 2) | add", &numbers), Ok(vec!["399980000".to_owned()]));
}

#[test]
fn a_thread_that_does_not_come_back_is_replaced() {
    let (release, wait) = mpsc::sync_channel::<()>(1);
    let (begun, begins) = mpsc::sync_channel(1);
    let stuck = submit(move |_| {
        begun.send(()).unwrap();
        let _ = wait.recv();
    });
    let stuck = stuck.unwrap();
    begins.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(stuck.has_begun());
    stuck.abandon();
    stuck.abandon();
    assert_eq!(run(".", "1"), Ok(vec!["1".to_owned()]));
    release.send(()).unwrap();
}
