//! Who may use a channel.

use ratatosk::{
    config::Resolved,
    connector::access::{Access, Action, Credentials, Decision, Rights, Rule, Who},
    core::{Channel, Connector, Monitor},
};

use super::{channel::exact, section};

/// The connectors that rules may tell apart.
const CONNECTORS: [&str; 5] = ["mqtt", "bayeux", "pusher", "sse", "http"];

pub(super) fn describe(channel: &Channel, resolved: &Resolved, who: Option<&str>) -> anyhow::Result<String> {
    let config = &resolved.auth.access;
    let mut lines = Vec::new();
    let everything = if channel.is_own() { "subscribe" } else { "do everything" };
    if channel.is_own() {
        lines.push("only the gateway publishes here, whatever rules allow".to_owned());
    }
    if !config.configured {
        lines.push(format!("there is no [auth]: everyone may {everything}"));
    } else if config.rules.is_empty() {
        let strangers = if config.anonymous { "everyone" } else { "whoever shows valid credentials" };
        lines.push(format!("there are no auth.rules: {strangers} may {everything}"));
    }
    for (index, rule) in config.rules.all().iter().enumerate().filter(|(_, rule)| rule.touches(channel)) {
        lines.push(format!("auth.rules[{index}]  {}", of_rule(rule)));
    }
    if !config.rules.is_empty() {
        lines.push("whatever no rule allows is denied".to_owned());
    }
    let mut text = section("Access", &lines);
    if let Some(who) = who {
        let access = Access::inert(config, Monitor::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        text.push_str(&runtime.block_on(of_client(channel, &access, who))?);
    }
    Ok(text)
}

fn of_rule(rule: &Rule) -> String {
    let actions: Vec<String> =
        Action::ALL.iter().filter(|action| rule.actions().has(**action)).map(ToString::to_string).collect();
    let verb = if rule.allows() { "allows" } else { "denies" };
    format!("{verb} {} to {} on {}", actions.join(", "), of_who(rule.who()), rule.filters().join(", "))
}

fn of_who(who: &Who) -> String {
    let mut parts = Vec::new();
    let mut list = |name: &str, values: &[String]| {
        if !values.is_empty() {
            parts.push(format!("{name} {}", values.join(" or ")));
        }
    };
    list("users", &who.users);
    list("groups", &who.groups);
    list("claims", &who.claims.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>());
    list("connectors", &who.connectors);
    list("addresses", &who.addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    match who.anonymous {
        Some(true) => parts.push("clients without credentials".to_owned()),
        Some(false) => parts.push("clients with credentials".to_owned()),
        None => {}
    }
    if parts.is_empty() { "everyone".to_owned() } else { parts.join(", ") }
}

async fn of_client(channel: &Channel, access: &Access, who: &str) -> anyhow::Result<String> {
    let mut lines = Vec::new();
    let mut title = String::new();
    for name in CONNECTORS {
        let connector = Connector::register(name);
        // A token has dots, as no name in the configuration needs to: what is no user is a token.
        let rights = match access.rights_of_user(who, connector) {
            Some(rights) => rights,
            None => access.authenticate(connector, None, Credentials::Token(who)).await?,
        };
        let user = rights.user().map_or("a bearer without a name", |user| user.as_ref());
        title = format!("As {user}");
        let told: Vec<String> = Action::ALL.iter().map(|action| of_action(&rights, *action, channel)).collect();
        lines.push(format!("{name:<7} {}", told.join("; ")));
    }
    Ok(section(&title, &lines))
}

fn of_action(rights: &Rights, action: Action, channel: &Channel) -> String {
    let decision = match (action, exact(channel)) {
        (Action::Subscribe, Some(filter)) => rights.on_filter(action, &filter),
        _ => rights.on_channel(action, channel),
    };
    let verdict = if decision.allows() { "may" } else { "may not" };
    let reason = match decision {
        Decision::Open => "nothing restricts it".to_owned(),
        Decision::Rule(index, _) => format!("auth.rules[{index}]"),
        Decision::Default => "no rule allows it".to_owned(),
        Decision::Scope => "the token does not go that far".to_owned(),
        Decision::Expired => "the token has expired".to_owned(),
    };
    let verb = if action == Action::Presence { "see who is there".to_owned() } else { action.to_string() };
    format!("{verdict} {verb} ({reason})")
}
