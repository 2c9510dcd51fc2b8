#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use serde_json::json;

use super::*;
use crate::access::{Rule, RuleSpec, Rules, Scope, Who};

fn rules(list: &[(Who, &str, &str, bool)]) -> Rules {
    let rule = |(who, may, on, allows): &(Who, &str, &str, bool)| {
        let named = Action::ALL.into_iter().filter(|action| may.contains(&action.to_string())).collect();
        let on = on.split(' ').map(str::to_owned).collect();
        Rule::new(RuleSpec { who: who.clone(), may: named, on, allows: *allows }).unwrap()
    };
    Rules::new(list.iter().map(rule).collect())
}

fn rights(rules: &Rules, subject: Subject) -> Rights {
    let identity = Identity { subject: Arc::new(subject), connector: Connector::GATEWAY, address: None };
    let applicable = rules.of(&identity);
    Rights::new(identity, Some(applicable), None)
}

fn joe() -> Subject {
    Subject { user: Some("joe".into()), groups: vec!["staff".into()], ..Subject::default() }
}

fn publishes(rights: &Rights, channel: &str) -> bool {
    let channel = Channel::new(channel).unwrap();
    let first = rights.may_publish(&channel);
    assert_eq!(rights.may_publish(&channel), first, "the remembered answer is the same");
    first
}

fn subscribes(rights: &Rights, filter: &str) -> bool {
    rights.may_subscribe(&Filter::new(filter).unwrap())
}

#[test]
fn the_first_rule_that_fits_decides_and_the_rest_is_denied() {
    let rules = rules(&[
        (Who::default(), "publish subscribe", "a/secret", false),
        (Who { groups: vec!["staff".into()], ..Who::default() }, "publish subscribe", "a/#", true),
        (Who::default(), "subscribe", "b/+", true),
    ]);
    let staff = rights(&rules, joe());
    assert!(publishes(&staff, "a/x") && publishes(&staff, "a") && !publishes(&staff, "a/secret"));
    assert!(!publishes(&staff, "b/x") && !publishes(&staff, "c"));
    let other = rights(&rules, Subject::default());
    assert!(!publishes(&other, "a/x") && subscribes(&other, "b/x") && subscribes(&other, "b/+"));
}

#[test]
fn a_subscription_must_be_contained_whole_and_meet_no_denial() {
    let rules =
        rules(&[(Who::default(), "subscribe", "a/+/secret", false), (Who::default(), "subscribe", "a/# b", true)]);
    let rights = rights(&rules, joe());
    assert!(subscribes(&rights, "a/b/open") && subscribes(&rights, "b") && subscribes(&rights, "a/+"));
    // `a/#` and `a/+/+` would receive `a/x/secret`.
    for wider in ["#", "+", "a/#", "a/+/+", "a/x/secret", "+/b", "b/#", "a/+/#"] {
        assert!(!subscribes(&rights, wider), "{wider}");
    }
}

#[test]
fn a_wide_filter_does_not_open_the_gateways_own_channels() {
    let rules = rules(&[(Who::default(), "publish subscribe presence", "#", true)]);
    let rights = rights(&rules, joe());
    assert!(subscribes(&rights, "#") && subscribes(&rights, "a/#"));
    assert!(!subscribes(&rights, "$monitor/#") && !subscribes(&rights, "$SYS/#") && !subscribes(&rights, "$~x"));
    assert!(subscribes(&rights, "$presence/#") && subscribes(&rights, "$presence/a"));
}

#[test]
fn presence_is_a_right_of_its_own() {
    let rules = rules(&[(Who::default(), "subscribe", "#", true), (Who::default(), "presence", "lobby/+", true)]);
    let rights = rights(&rules, joe());
    assert!(subscribes(&rights, "$presence/lobby/+") && !subscribes(&rights, "$presence/#"));
    assert!(rights.may_see(&Channel::new("lobby/1").unwrap()) && !rights.may_see(&Channel::new("x").unwrap()));
}

#[test]
fn everyone_has_their_own_place() {
    let rules = rules(&[
        (Who::default(), "publish subscribe", "users/{user}/#", true),
        (Who::default(), "publish", "site/{claim.site}/cmd", true),
    ]);
    let mut subject = joe();
    subject.claims = json!({"site": ["n", "s"]}).as_object().unwrap().clone();
    let rights_of_joe = rights(&rules, subject);
    assert!(publishes(&rights_of_joe, "users/joe/x") && !publishes(&rights_of_joe, "users/ann/x"));
    assert!(publishes(&rights_of_joe, "site/n/cmd") && publishes(&rights_of_joe, "site/s/cmd"));
    assert!(!publishes(&rights_of_joe, "site/w/cmd") && !subscribes(&rights_of_joe, "users/#"));
    let sly = Subject { user: Some("#".into()), ..Subject::default() };
    assert!(!subscribes(&rights(&rules, sly), "users/ann/#"));
}

#[test]
fn conditions_are_joined_by_and_and_their_values_by_or() {
    let who = Who {
        users: vec!["ann".into(), "joe".into()],
        connectors: vec!["gateway".into()],
        claims: vec![("tier".into(), "gold".into())],
        addresses: vec!["10.0.0.0/8".parse().unwrap()],
        anonymous: Some(false),
        ..Who::default()
    };
    let rules = rules(&[(who, "publish", "a", true)]);
    let gold = json!({"tier": ["silver", "gold"]}).as_object().unwrap().clone();
    let with = |subject: Subject, address: Option<&str>| {
        let address = address.map(|text| text.parse().unwrap());
        let identity = Identity { subject: Arc::new(subject), connector: Connector::GATEWAY, address };
        let applicable = rules.of(&identity);
        publishes(&Rights::new(identity, Some(applicable), None), "a")
    };
    let golden = Subject { claims: gold.clone(), ..joe() };
    assert!(with(golden.clone(), Some("10.1.1.1")));
    assert!(!with(golden.clone(), Some("11.1.1.1")) && !with(golden.clone(), None));
    assert!(!with(joe(), Some("10.1.1.1")));
    assert!(!with(Subject { user: Some("eve".into()), ..golden.clone() }, Some("10.1.1.1")));
    assert!(!with(Subject { anonymous: true, ..golden }, Some("10.1.1.1")));
}

#[test]
fn a_token_narrows_and_never_widens() {
    let list = rules(&[(Who::default(), "publish subscribe", "a/#", true)]);
    let filters = |texts: &[&str]| Some(texts.iter().map(|text| Filter::new(*text).unwrap()).collect());
    let scope = Scope { publish: filters(&["a/b", "c"]), subscribe: None, presence: None };
    let narrow = rights(&list, Subject { scope: Some(scope.clone()), ..joe() });
    assert!(publishes(&narrow, "a/b") && !publishes(&narrow, "a/x") && !publishes(&narrow, "c"));
    assert!(subscribes(&narrow, "a/#"));
    let identity = Identity {
        subject: Arc::new(Subject { scope: Some(scope), ..joe() }),
        connector: Connector::GATEWAY,
        address: None,
    };
    let without_rules = Rights::new(identity, None, None);
    assert!(publishes(&without_rules, "c") && !publishes(&without_rules, "d") && subscribes(&without_rules, "d"));
}

#[test]
fn an_expired_subject_may_nothing() {
    let list = rules(&[(Who::default(), "publish subscribe", "a/#", true)]);
    let gone = rights(&list, Subject { expires: Some(1), ..joe() });
    assert!(!publishes(&gone, "a/b") && !subscribes(&gone, "a/b"));
    assert_eq!(gone.on_filter(Action::Subscribe, &Filter::new("a").unwrap()), Decision::Expired);
}

#[test]
fn a_remembered_answer_costs_the_same_with_a_thousand_rules() {
    let many: Vec<(Who, &str, String, bool)> =
        (0..1000).map(|n| (Who::default(), "publish", format!("r/{n}/+/{{user}}"), true)).collect();
    let list: Vec<(Who, &str, &str, bool)> =
        many.iter().map(|(who, may, on, allows)| (who.clone(), *may, on.as_str(), *allows)).collect();
    let rights = rights(&rules(&list), joe());
    assert!(publishes(&rights, "r/999/x/joe") && !publishes(&rights, "r/999/x/ann"));
    // Bounded, whatever a client publishes to.
    for n in 0..REMEMBERED * 3 {
        assert!(!publishes(&rights, &format!("x/{n}")));
    }
    let long = |n: usize, length: usize| format!("y/{n}/{}", "x".repeat(length));
    let held = || {
        let answers = rights.0.as_ref().unwrap().published.lock();
        assert_eq!(answers.bytes, answers.known.keys().map(|channel| channel.as_str().len()).sum::<usize>());
        (answers.known.len(), answers.bytes)
    };
    assert!(held().0 <= REMEMBERED);
    for n in 0..REMEMBERED * 3 {
        assert!(!publishes(&rights, &long(n, LONGEST_NAME / 2)));
        assert!(held().1 <= REMEMBERED_BYTES);
    }
    let before = held();
    assert!(!publishes(&rights, &long(0, LONGEST_NAME)));
    assert_eq!(held(), before, "not remembered");
}

#[test]
fn clients_of_the_same_rules_share_the_list() {
    let rules = rules(&[(Who::default(), "publish", "a/{user}", true)]);
    let identity =
        |name: &str| Identity { subject: Subject::user(name.to_owned()), connector: Connector::GATEWAY, address: None };
    let (a, b) = (rules.of(&identity("a")), rules.of(&identity("b")));
    assert!(a.shares_with(&b));
}
