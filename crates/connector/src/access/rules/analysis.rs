//! Rules that can never have a say.

use super::Rule;

/// What is wrong with a rule among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's number, from 0.
    pub rule: usize,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub advice: &'static str,
}

/// Finds rules that no client and no channel can ever reach. `anonymous` says whether clients without credentials are
/// let in; `users` are those with passwords, where there is no other way to be somebody.
#[must_use]
pub fn analyse(rules: &[Rule], anonymous: bool, users: Option<&[&str]>) -> Vec<Finding> {
    let alone = rules.iter().enumerate().filter_map(|(index, rule)| alone(index, rule, anonymous, users));
    let shadowed = rules.iter().enumerate().filter_map(|(index, rule)| shadowed(rules, index, rule));
    let mut found: Vec<Finding> = alone.chain(shadowed).collect();
    found.sort_by_key(|finding| finding.rule);
    found.dedup_by_key(|finding| finding.rule);
    found
}

fn alone(index: usize, rule: &Rule, anonymous: bool, users: Option<&[&str]>) -> Option<Finding> {
    let finding = |problem: String, advice| Some(Finding { rule: index, problem, advice });
    let who = &rule.who;
    let names_someone = !who.users.is_empty() || !who.groups.is_empty() || !who.claims.is_empty();
    if who.anonymous == Some(true) && names_someone {
        let problem = "this rule can never match: an anonymous client has no user, group or claim".to_owned();
        return finding(problem, "leave one of the two out");
    }
    // Pusher's clients come by the key of an application, whatever `auth.anonymous` says.
    let pusher_only = who.connectors.is_empty() || who.connectors.iter().any(|name| name == "pusher");
    if who.anonymous == Some(true) && !anonymous && !pusher_only {
        let problem = "this rule can never match: clients without credentials are not let in".to_owned();
        return finding(problem, "set auth.anonymous = \"allow\", or remove the rule");
    }
    if rule.allows && who.anonymous == Some(true) && rule.on.iter().all(super::pattern::Pattern::needs_user) {
        let problem = "this rule can never match: an anonymous client has no {user}".to_owned();
        return finding(problem, "name channels without {user}");
    }
    let known = users?;
    let unknown = who.users.iter().find(|name| !known.contains(&name.as_str()))?;
    if who.users.iter().all(|name| !known.contains(&name.as_str()))
        && !who.connectors.iter().any(|name| name == "pusher")
    {
        let problem = format!("this rule can never match: {unknown:?} is none of auth.users, and there are no tokens");
        return finding(problem, "add the user, or remove the rule");
    }
    None
}

fn shadowed(rules: &[Rule], index: usize, rule: &Rule) -> Option<Finding> {
    let before = rules.iter().take(index).position(|earlier| {
        earlier.actions.covers(rule.actions)
            && earlier.who.covers(&rule.who)
            && rule.on.iter().all(|pattern| earlier.on.iter().any(|wide| wide.covers(pattern)))
    })?;
    Some(Finding {
        rule: index,
        problem: format!("this rule is never reached: auth.rules[{before}] decides all of it before"),
        advice: "put the narrower rule first, or remove one of the two",
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::access::{Action, RuleSpec, Who};

    fn rule(who: Who, may: &[Action], on: &[&str], allows: bool) -> Rule {
        let on = on.iter().map(ToString::to_string).collect();
        Rule::new(RuleSpec { who, may: may.to_vec(), on, allows }).unwrap()
    }

    fn users(names: &[&str]) -> Who {
        Who { users: names.iter().map(ToString::to_string).collect(), ..Who::default() }
    }

    #[test]
    fn a_rule_behind_a_wider_one_is_found() {
        use Action::{Publish, Subscribe};
        let all = |rules: &[Rule]| analyse(rules, true, None).iter().map(|finding| finding.rule).collect::<Vec<_>>();
        let wide = rule(Who::default(), &[Publish, Subscribe], &["a/#"], true);
        assert_eq!(all(&[wide.clone(), rule(users(&["joe"]), &[Subscribe], &["a/b", "a/+/c"], false)]), [1]);
        assert_eq!(all(&[wide.clone(), rule(users(&["joe"]), &[Subscribe], &["a/{user}"], true)]), [1]);
        assert!(all(&[rule(users(&["joe"]), &[Subscribe], &["a/b"], false), wide.clone()]).is_empty());
        assert!(all(&[wide.clone(), rule(Who::default(), &[Subscribe], &["a/b", "b"], true)]).is_empty());
        assert!(all(&[wide.clone(), rule(Who::default(), &Action::ALL, &["a/b"], true)]).is_empty());
        assert!(
            all(&[
                rule(users(&["joe"]), &[Publish], &["a/#"], true),
                rule(users(&["ann", "joe"]), &[Publish], &["a"], true)
            ])
            .is_empty()
        );
        let own = rule(Who::default(), &[Publish], &["u/{user}/#"], true);
        assert_eq!(all(&[own.clone(), own.clone()]), [1]);
        assert!(all(&[own, rule(Who::default(), &[Publish], &["u/joe/#"], true)]).is_empty());
    }

    #[test]
    fn a_rule_about_nobody_is_found() {
        let may = [Action::Publish];
        let nobody = Who { anonymous: Some(true), ..users(&["joe"]) };
        let stranger = Who { anonymous: Some(true), connectors: vec!["mqtt".into()], ..Who::default() };
        let found = |rule: &Rule, anonymous, known: Option<&[&str]>| {
            analyse(std::slice::from_ref(rule), anonymous, known).len()
        };
        assert_eq!(found(&rule(nobody, &may, &["a"], true), true, None), 1);
        assert_eq!(found(&rule(stranger.clone(), &may, &["a"], true), false, None), 1);
        assert_eq!(found(&rule(stranger.clone(), &may, &["a"], true), true, None), 0);
        assert_eq!(found(&rule(stranger, &may, &["a/{user}"], true), true, None), 1);
        assert_eq!(found(&rule(users(&["joe"]), &may, &["a"], true), true, Some(&["ann"])), 1);
        assert_eq!(found(&rule(users(&["joe"]), &may, &["a"], true), true, Some(&["ann", "joe"])), 0);
    }
}
