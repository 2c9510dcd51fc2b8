#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use proptest::prelude::*;

fn rule(from: &str, to: &str) -> Rule {
    Rule::new("in[0]", Direction::In, from, to).unwrap()
}

fn applied(from: &str, to: &str, name: &str) -> Option<String> {
    rule(from, to).apply(&Channel::new(name).unwrap()).map(|made| made.to_string())
}

#[test]
fn the_fixed_prefix_is_rewritten_and_the_rest_kept() {
    for (from, to, name, made) in [
        ("sensors/#", "factory/#", "sensors/a/b", Some("factory/a/b")),
        ("sensors/#", "factory/#", "sensors", Some("factory")),
        ("sensors/#", "factory/#", "sensors/", Some("factory/")),
        ("sensors/#", "factory/#", "sensors//x", Some("factory//x")),
        ("sensors/#", "factory/#", "sensorsx", None),
        ("#", "site/1/#", "a/b", Some("site/1/a/b")),
        ("#", "site/1/#", "$SYS/x", None),
        ("site/#", "#", "site/a", Some("a")),
        ("site/#", "#", "site", None),
        ("site/#", "#", "site/$SYS/a", None),
        ("$SYS/#", "far/sys/#", "$SYS/uptime", Some("far/sys/uptime")),
        ("dev/+/up/#", "in/+/#", "dev/7/up/t/1", Some("in/7/t/1")),
        ("+/+", "x/+/y/+", "a/", Some("x/a/y/")),
        ("a/b", "c", "a/b", Some("c")),
        ("a/b", "c", "a/b/c", None),
    ] {
        assert_eq!(applied(from, to, name).as_deref(), made, "{from} -> {to} of {name}");
    }
}

#[test]
fn what_cannot_be_rewritten_is_refused_with_the_reason() {
    let refused = |from, to| Rule::new("in[0]", Direction::In, from, to).unwrap_err();
    assert!(matches!(refused("a/#/b", "x"), RuleError::From(..)));
    assert!(matches!(refused("a", ""), RuleError::To(..)));
    assert!(matches!(refused("a/#", "$monitor/#"), RuleError::Reserved(_)));
    for (from, to) in [("a/#", "b"), ("a", "b/#"), ("a/+", "b/#"), ("+/a/#", "b/#")] {
        let message = refused(from, to).to_string();
        assert!(message.contains(&format!("`{from}`")) && message.contains(&format!("`{to}`")), "{message}");
    }
    assert!(Rule::new("out[0]", Direction::Out, "$monitor/#", "gw/monitor/#").is_ok());
}

#[test]
fn a_result_that_no_name_can_hold_is_none() {
    let long = "x".repeat(65_530);
    assert!(rule("#", "much/longer/#").apply(&Channel::new(long.clone()).unwrap()).is_none());
    assert!(rule("#", "m/#").apply(&Channel::new(long).unwrap()).is_some());
}

#[test]
fn demand_narrows_what_is_subscribed() {
    for (from, to, wanted, far) in [
        ("sensors/#", "factory/#", "factory/kitchen/+", Some("sensors/kitchen/+")),
        ("sensors/#", "factory/#", "#", Some("sensors/#")),
        ("sensors/#", "factory/#", "factory", Some("sensors")),
        ("sensors/#", "factory/#", "other/#", None),
        ("dev/+/up/#", "in/+/#", "in/7/#", Some("dev/7/up/#")),
        ("dev/+/up/#", "in/+/#", "+/+/t", Some("dev/+/up/t")),
        ("#", "far/#", "far/a", Some("a")),
        ("#", "far/#", "far", None),
    ] {
        let made = rule(from, to).demand(&Filter::new(wanted).unwrap());
        assert_eq!(made.as_ref().map(Filter::as_str), far, "{from} -> {to} for {wanted}");
    }
}

const PATTERN: &str = "([ab]|\\$s|\\+)(/([ab]|\\+)?){0,3}(/#)?|#";

/// Two patterns with the same wildcards: fixed levels are inserted at random around them.
fn pair() -> impl Strategy<Value = (String, String)> {
    let fixed = || prop::collection::vec(prop::collection::vec("[xy]?", 0..2), 5);
    (prop::collection::vec(Just("+"), 0..3), any::<bool>(), fixed(), fixed()).prop_map(
        |(singles, open, left, right)| {
            let build = |fixed: Vec<Vec<String>>| {
                let wild: Vec<&str> = singles.iter().copied().chain(open.then_some("#")).collect();
                let mut levels = Vec::new();
                for (at, around) in fixed.into_iter().enumerate() {
                    if at <= singles.len() {
                        levels.extend(around);
                    }
                    levels.extend(wild.get(at).map(|level| (*level).to_owned()));
                }
                levels.join("/")
            };
            (build(left), build(right))
        },
    )
}

proptest! {
    #[test]
    fn a_rule_is_a_bijection((from, to) in pair(), name in "([xyz]|\\$s)?(/[xyz]?){0,5}") {
        prop_assume!(!from.is_empty() && !to.is_empty() && !name.is_empty());
        let rule = rule(&from, &to);
        let name = Channel::new(name).unwrap();
        if let Some(made) = rule.apply(&name) {
            prop_assert!(rule.from().matches(&name) && rule.to().matches(&made));
            prop_assert_eq!(rule.invert(&made), Some(name.clone()));
        }
        if let Some(source) = rule.invert(&name) {
            prop_assert_eq!(rule.apply(&source), Some(name));
        }
    }

    #[test]
    fn demand_asks_for_all_that_is_wanted((from, to) in pair(), wanted in PATTERN, name in "([xyz]|\\$s)?(/[xyz]?){0,5}") {
        prop_assume!(!from.is_empty() && !to.is_empty() && !name.is_empty());
        let rule = rule(&from, &to);
        let (wanted, name) = (Filter::new(wanted).unwrap(), Channel::new(name).unwrap());
        let Some(made) = rule.apply(&name) else { return Ok(()) };
        if wanted.matches(&made) {
            let far = rule.demand(&wanted);
            prop_assert!(far.is_some_and(|far| far.matches(&name)), "{} -> {} of {} wanted by {}", from, to, name, wanted);
        }
    }
}
