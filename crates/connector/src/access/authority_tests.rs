#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use crate::{
    access::{Action, PasswordCheck, Rule, RuleSpec},
    config_types::Secret,
    limits::Pressure,
};

fn config(on: &str) -> AccessConfig {
    let password = PasswordCheck::Plain(Secret::new("squirrel"));
    let on = vec![on.to_owned()];
    let rule = RuleSpec { may: vec![Action::Publish], on, allows: true, ..RuleSpec::default() };
    AccessConfig {
        configured: true,
        users: vec![User { name: "ann".into(), password, groups: Vec::new() }],
        rules: Rules::new(vec![Rule::new(rule).unwrap()]),
        ..AccessConfig::default()
    }
}

async fn ann(access: &Access, address: Option<IpAddr>) -> Rights {
    let shown = Credentials::Password { user: "ann", password: b"squirrel" };
    access.authenticate(Connector::GATEWAY, address, shown).await.unwrap()
}

#[tokio::test]
async fn who_comes_again_has_the_same_rights_until_the_rules_change() {
    let access = Access::inert(&config("a/#"), Monitor::default()).unwrap();
    let (first, again) = (ann(&access, None).await, ann(&access, None).await);
    assert!(std::ptr::eq(first.identity().unwrap(), again.identity().unwrap()), "worked out once");
    let elsewhere = ann(&access, "10.1.1.1".parse().ok()).await;
    assert!(!std::ptr::eq(first.identity().unwrap(), elsewhere.identity().unwrap()));
    let channel = ratatosk_core::Channel::new("a/b").unwrap();
    assert!(first.may_publish(&channel));
    access.replace(&config("b/#")).unwrap();
    assert!(!ann(&access, None).await.may_publish(&channel));
    assert!(first.may_publish(&channel), "who is in keeps its rights");
}

#[tokio::test]
async fn short_of_memory_nobodys_rights_are_remembered() {
    let access = Access::inert(&config("a/#"), Monitor::default()).unwrap();
    let known = || access.0.policy.load().remembers();
    ann(&access, None).await;
    assert_eq!(known(), 1);
    access.limits().press(Pressure::High);
    ann(&access, "10.1.1.1".parse().ok()).await;
    assert_eq!(known(), 0);
}

#[tokio::test]
async fn without_a_section_everyone_may_do_everything() {
    let access = Access::open();
    for shown in [Credentials::Nothing, Credentials::Token("x"), Credentials::Password { user: "x", password: b"" }] {
        let rights = access.authenticate(Connector::GATEWAY, None, shown).await.unwrap();
        assert!(rights.identity().is_none(), "{shown:?}");
    }
}

#[tokio::test]
async fn with_one_who_shows_nothing_or_nonsense_is_turned_away() {
    let access = Access::inert(&config("a"), Monitor::default()).unwrap();
    for (shown, refusal) in [
        (Credentials::Nothing, Refusal::Missing),
        (Credentials::Token("x"), Refusal::Bad),
        (Credentials::Password { user: "ann", password: b"wrong" }, Refusal::Bad),
        (Credentials::Password { user: "eve", password: b"squirrel" }, Refusal::Bad),
    ] {
        assert_eq!(access.authenticate(Connector::GATEWAY, None, shown).await.unwrap_err(), refusal, "{shown:?}");
    }
}
