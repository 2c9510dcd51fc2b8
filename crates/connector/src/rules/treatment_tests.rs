#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use ratatosk_core::Origin;
use ratatosk_jq::wait_for;

use super::*;

fn message(payload: &'static str) -> Publication {
    let mut publication = Publication::new(Channel::new("far/a/b").unwrap(), payload, Origin::gateway());
    publication.extras_mut().properties = vec![("unit".into(), "C".into()), ("unit".into(), "K".into())];
    publication
}

/// What becomes of messages that came by `a/b`, one after the other.
fn judge(builder: TreatmentBuilder, messages: Vec<Publication>) -> (Vec<Verdict>, Arc<Treatment>) {
    let treatment = Arc::new(builder.build().unwrap());
    let shared = treatment.clone();
    let verdicts = wait_for(move |worker| {
        let (channel, now) = (Channel::new("a/b").unwrap(), Instant::now());
        let judge = |publication: &Publication| {
            shared.judge(&Scene { upstream: "far", channel: &channel, publication }, Some(worker), now)
        };
        messages.iter().map(judge).collect()
    });
    (verdicts.unwrap(), treatment)
}

fn one(builder: TreatmentBuilder, publication: Publication) -> Publication {
    match judge(builder, vec![publication]).0.pop() {
        Some(Verdict::Crosses(mut made)) => made.pop().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn when(code: &str) -> TreatmentBuilder {
    TreatmentBuilder { when: Some(code.to_owned()), ..TreatmentBuilder::default() }
}

fn transform(code: &str) -> TreatmentBuilder {
    TreatmentBuilder { transform: Some(code.to_owned()), ..TreatmentBuilder::default() }
}

fn text(publication: &Publication) -> &str {
    std::str::from_utf8(&publication.payload).unwrap()
}

#[test]
fn a_condition_decides_and_a_program_makes_none_one_or_several() {
    let (verdicts, treatment) =
        judge(when(".c > 20"), vec![message(r#"{"c":21}"#), message(r#"{"c":20}"#), message("no")]);
    assert!(
        matches!(&verdicts[..], [Verdict::Crosses(made), Verdict::Filtered, Verdict::Failed(_)] if made.len() == 1)
    );
    let counts = treatment.counts().read();
    assert_eq!(counts, [("carried", 1), ("filtered", 1), ("rate_limited", 0), ("failed", 1)]);
    let (verdicts, _) = judge(transform(".[]"), vec![message("[1,\"two\",[3]]"), message("[]"), message("{")]);
    let [Verdict::Crosses(made), Verdict::Filtered, Verdict::Failed(failure)] = &verdicts[..] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(made.iter().map(text).collect::<Vec<_>>(), ["1", "two", "[3]"]);
    assert_eq!(failure.reason, "transform");
    assert!(failure.detail.contains("cannot use \"{\""), "{failure:?}");
}

#[test]
fn programs_see_what_the_message_brings() {
    let mut publication = message("{}").with_event("e").retained(true);
    publication.origin.user = Some("joe".into());
    publication.qos = Qos::ExactlyOnce;
    let made = one(transform("[$channel, $to, $upstream, $event, $properties, $retained, $qos, $user]"), publication);
    assert_eq!(text(&made), r#"["a/b","far/a/b","far","e",{"unit":"C"},true,2,"joe"]"#);
    let plain = Publication::new(Channel::new("x").unwrap(), "1", Origin::gateway());
    assert_eq!(text(&one(transform("[$event, $properties, $user]"), plain)), "[null,{},null]");
}

#[test]
fn what_was_said_about_a_payload_is_said_about_the_new_one() {
    let typed = |mime: &str, payload: &'static str| {
        let mut publication = message(payload);
        publication.extras_mut().content_type = Some(mime.into());
        publication.extras_mut().utf8 = true;
        publication
    };
    let made = one(transform("{text: .}"), typed("text/plain", "1"));
    assert_eq!(
        (text(&made), made.extras.as_ref().unwrap().content_type.as_deref()),
        (r#"{"text":"1"}"#, Some("application/json"))
    );
    let made = one(transform(".a"), typed("application/json", r#"{"a":"b"}"#));
    assert_eq!(
        (text(&made), made.extras.as_ref().unwrap().content_type.as_deref()),
        ("b", Some("text/plain; charset=utf-8"))
    );
    let made = one(transform("@base64d | tobytes"), typed("text/plain", "/wA="));
    assert_eq!((&made.payload[..], made.extras.as_ref().unwrap().utf8), (&b"\xff\x00"[..], false));
    let made = one(transform(".a"), message(r#"{"a":1}"#));
    assert_eq!(made.extras.as_ref().unwrap().content_type, None, "nothing was said, and nothing is");
}

#[test]
fn properties_event_qos_and_retain_are_set() {
    let builder = TreatmentBuilder {
        properties: vec![
            ("unit".into(), "{property.unit}/{level.2}".into()),
            ("from".into(), "{channel}".into()),
            ("none".into(), "{user}".into()),
        ],
        event: Some("{level.1}-reading".into()),
        qos: Some(Qos::AtMostOnce),
        retain: Some(true),
        ..TreatmentBuilder::default()
    };
    let made = one(builder, message("1"));
    let extras = made.extras.unwrap();
    assert_eq!(extras.properties, [("unit".into(), "C/b".into()), ("from".into(), "a/b".into())]);
    assert_eq!((extras.event.as_deref(), made.qos, made.retain), (Some("a-reading"), Qos::AtMostOnce, true));
    let nameless = TreatmentBuilder { event: Some(String::new()), ..TreatmentBuilder::default() };
    assert_eq!(one(nameless, message("1").with_event("x")).extras.unwrap().event, None);
}

#[test]
fn a_rate_counts_what_the_condition_lets_through() {
    let builder = TreatmentBuilder { max_rate: Some("2/s".parse().unwrap()), ..when(". > 1") };
    let messages = ["1", "2", "1", "3", "4"].map(message).to_vec();
    let (verdicts, treatment) = judge(builder, messages);
    let crossed: Vec<_> = verdicts.iter().map(|verdict| matches!(verdict, Verdict::Crosses(_))).collect();
    assert_eq!(crossed, [false, true, false, true, false]);
    assert_eq!(treatment.counts().read(), [("carried", 2), ("filtered", 2), ("rate_limited", 1), ("failed", 0)]);
}

#[test]
fn what_clears_a_value_crosses_as_it_is() {
    let builder = TreatmentBuilder { transform: Some("error".into()), ..when("false") };
    let made = one(builder, message("").retained(true));
    assert_eq!((made.payload.len(), made.retain), (0, true));
}

#[test]
fn a_program_that_loops_fails_and_the_next_message_is_served() {
    let (verdicts, _) = judge(transform("if . == 1 then def f: f; f else . end"), vec![message("1"), message("2")]);
    let [Verdict::Failed(failure), Verdict::Crosses(_)] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(failure.detail.contains("loop"), "{failure:?}");
}

#[test]
fn all_that_is_wrong_is_named_by_its_key() {
    let builder = TreatmentBuilder {
        when: Some(".a |".into()),
        transform: Some("nosuch".into()),
        properties: vec![("x-site".into(), "{site}".into())],
        event: Some("{level.x}".into()),
        dead_letter: Some(Channel::new("$monitor/errors").unwrap()),
        ..TreatmentBuilder::default()
    };
    let errors = builder.build().unwrap_err();
    let keys: Vec<&str> = errors.iter().map(TreatmentError::key).collect();
    assert_eq!(keys, ["when", "transform", "event", "properties.x-site", "dead_letter"]);
    assert!(errors[0].to_string().contains("line 1, column 5"), "{}", errors[0]);
}

#[test]
fn without_programs_no_thread_is_needed() {
    let treatment = TreatmentBuilder { retain: Some(false), ..TreatmentBuilder::default() }.build().unwrap();
    assert!(treatment.changes_messages() && !treatment.has_programs());
    let (channel, publication) = (Channel::new("a").unwrap(), message("1").retained(true));
    let scene = Scene { upstream: "far", channel: &channel, publication: &publication };
    let verdict = treatment.judge(&scene, None, Instant::now() + Duration::from_secs(1));
    assert!(matches!(verdict, Verdict::Crosses(made) if !made[0].retain));
    let letters = TreatmentBuilder { dead_letter: Some(channel), ..TreatmentBuilder::default() };
    assert!(!letters.is_empty() && !letters.build().unwrap().changes_messages());
}
