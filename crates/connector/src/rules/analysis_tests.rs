#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use super::*;
use proptest::prelude::*;

fn rules(direction: Direction, list: &[(&str, &str)]) -> RuleSet {
    let made = list.iter().enumerate().map(|(at, (from, to))| {
        Rule::new(&format!("upstreams[0].{}[{at}]", direction.key()), direction, from, to).unwrap()
    });
    RuleSet::new(made)
}

fn upstream(name: &str, guard: LoopGuard, inbound: &[(&str, &str)], outbound: &[(&str, &str)]) -> UpstreamRules {
    UpstreamRules {
        name: name.into(),
        peer: "broker:1883".into(),
        guard,
        inbound: rules(Direction::In, inbound),
        outbound: rules(Direction::Out, outbound),
    }
}

fn faults(inbound: &[(&str, &str)], outbound: &[(&str, &str)]) -> Vec<Conflict> {
    analyse(&[upstream("u", LoopGuard::None, inbound, outbound)])
}

#[test]
fn different_names_for_one_message_are_ambiguous() {
    let found = faults(&[("a/#", "x/#"), ("a/b", "y")], &[]);
    assert_eq!(found.len(), 1);
    let text = found[0].to_string();
    for part in ["upstreams[0].in[0] (a/# -> x/#)", "upstreams[0].in[1] (a/b -> y)", "`x/b`", "`y`", "upstream `u`"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(matches!(faults(&[], &[("+/b", "p/+"), ("a/+", "q/+")])[..], [Conflict::Ambiguous { .. }]));
}

#[test]
fn overlap_with_the_same_result_is_no_fault() {
    assert!(faults(&[("a/b/#", "x/b/#"), ("a/#", "x/#")], &[]).is_empty());
    assert!(faults(&[("a/b", "x/b"), ("a/+", "x/+")], &[]).is_empty());
    assert!(faults(&[("+/b", "x/+/b"), ("a/+", "x/a/+")], &[]).is_empty());
    assert!(matches!(faults(&[("a", "b"), ("a", "b")], &[])[..], [Conflict::Repeated { .. }]));
}

#[test]
fn a_rule_that_another_leaves_nothing_to_can_never_match() {
    for list in [[("a/#", "x/#"), ("a/b/#", "x/b/#")], [("a/+", "x/+"), ("a/b", "x/b")]] {
        for found in [faults(&list, &[]), faults(&[], &list)] {
            assert!(matches!(found[..], [Conflict::Shadowed { .. }]), "{found:?}");
            assert!(found[0].to_string().contains("can never match"), "{}", found[0]);
        }
    }
}

#[test]
fn disjoint_rules_are_no_fault() {
    assert!(faults(&[("sensors/#", "factory/#")], &[("commands/#", "commands/#")]).is_empty());
    assert!(faults(&[("#", "far/#"), ("$SYS/#", "far/sys/#")], &[]).is_empty());
}

#[test]
fn what_comes_back_is_refused_unless_the_peer_carries_the_mark() {
    let found = faults(&[("#", "#")], &[("#", "#")]);
    let text = found[0].to_string();
    assert!(text.contains("upstreams[0].out[0]") && text.contains("upstreams[0].in[0]"), "{text}");
    for guard in [LoopGuard::Mark, LoopGuard::Fingerprint, LoopGuard::OwnConnection] {
        assert!(analyse(&[upstream("u", guard, &[("#", "#")], &[("#", "#")])]).is_empty());
    }
}

#[test]
fn a_circle_over_two_upstreams_to_one_server_is_found() {
    let reader = upstream("reader", LoopGuard::None, &[("a/#", "m/#")], &[]);
    let writer = upstream("writer", LoopGuard::Mark, &[], &[("m/#", "a/#")]);
    let found = analyse(&[reader.clone(), writer.clone()]);
    assert!(matches!(&found[..], [Conflict::Return { outbound, inbound, .. }]
        if outbound.upstream == "writer" && inbound.upstream == "reader"));
    let elsewhere = UpstreamRules { peer: "other:1883".into(), ..writer };
    assert!(analyse(&[reader, elsewhere]).is_empty());
}

#[test]
fn what_one_upstream_sends_another_knows_by_the_mark_alone() {
    use LoopGuard::{Fingerprint, Mark, None, OwnConnection};
    let pair = |out, into| {
        analyse(&[upstream("writer", out, &[], &[("x/#", "x/#")]), upstream("reader", into, &[("x/#", "x/#")], &[])])
    };
    assert!(pair(Mark, Mark).is_empty());
    for guards in [
        (Fingerprint, Fingerprint),
        (Mark, Fingerprint),
        (Fingerprint, Mark),
        (OwnConnection, OwnConnection),
        (OwnConnection, Mark),
        (None, Mark),
    ] {
        let found = pair(guards.0, guards.1);
        assert!(
            matches!(&found[..], [Conflict::Return { unguarded: Unguarded::OtherConnection, .. }]),
            "{guards:?}: {found:?}"
        );
        assert!(found[0].to_string().contains("by another connection"), "{}", found[0]);
    }
}

const PATTERN: &str = "([ab]|\\+)(/[ab]){0,2}(/#)?|#";

/// A pattern of fixed levels with the wildcards that `like` has.
fn aligned(like: &str, fixed: &str) -> String {
    let wild: Vec<&str> = like.split('/').filter(|level| matches!(*level, "+" | "#")).collect();
    std::iter::once(fixed).chain(wild).collect::<Vec<_>>().join("/")
}

proptest! {
    /// A list that passes names every message in one way; two rules that disagree somewhere are found.
    #[test]
    fn no_fault_means_one_name(a in PATTERN, b in PATTERN, x in "[xy]", y in "[xy]", name in "[ab](/[ab]){0,3}") {
        let set = rules(Direction::In, &[(&a, &aligned(&a, &x)), (&b, &aligned(&b, &y))]);
        let quiet = analyse(&[UpstreamRules {
            name: "u".into(), peer: "p".into(), guard: LoopGuard::None,
            inbound: set.clone(), outbound: RuleSet::default(),
        }]).is_empty();
        let name = Channel::new(name).unwrap();
        let made: Vec<_> = set.iter().filter_map(|rule| rule.apply(&name)).collect();
        if quiet && made.len() == 2 {
            prop_assert_eq!(&made[0], &made[1]);
        }
    }

    /// Without a fault nothing that is sent is asked for.
    #[test]
    fn no_fault_means_no_return(out in PATTERN, into in PATTERN, name in "[abm](/[ab]){0,3}") {
        let (inbound, outbound) = ([(&*into, aligned(&into, "m"))], [(&*out, aligned(&out, "a"))]);
        let lists = |list: &[(&str, String)]| list.iter().map(|(f, t)| (f.to_string(), t.clone())).collect::<Vec<_>>();
        let own = |list: Vec<(String, String)>, d| rules(d, &list.iter().map(|(f, t)| (&**f, &**t)).collect::<Vec<_>>());
        let one = UpstreamRules {
            name: "u".into(), peer: "p".into(), guard: LoopGuard::None,
            inbound: own(lists(&inbound), Direction::In), outbound: own(lists(&outbound), Direction::Out),
        };
        if analyse(std::slice::from_ref(&one)).is_empty() {
            let name = Channel::new(name).unwrap();
            if let Some((_, sent)) = one.outbound.apply(&name) {
                prop_assert!(one.inbound.apply(&sent).is_none());
            }
        }
    }
}
