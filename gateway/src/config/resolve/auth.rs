//! Users, rules and keys of tokens.

use ratatosk_connector::{
    access::{
        AccessConfig, Action, AuthorizerConfig, PasswordCheck, PublisherConfig, Rule, RuleSpec, Rules, User, Who,
        analyse,
        jwt::{JwksConfig, Key, KeySource, TokenConfig, TokenKeyError},
    },
    config_types::Secret,
};

use super::Faults;
use crate::config::{
    path::KeyPath,
    raw::{
        ActionChoice, AnonymousChoice, AuthSection, AuthorizerSection, EffectChoice, JwtSection,
        PublishAuthorizerSection, RawConfig, RuleSection, UserSection, WhoSection,
    },
    resolved::Auth,
    suggest::nearest,
};

/// The connectors that clients come by.
const CONNECTORS: [&str; 5] = ["mqtt", "bayeux", "pusher", "sse", "http"];

pub(super) fn auth(raw: &RawConfig, faults: &mut Faults) -> Auth {
    let Some(section) = &raw.auth else {
        let access = AccessConfig { anonymous: true, ..AccessConfig::default() };
        return Auth { access };
    };
    let users = users(section, faults);
    let tokens = section.jwt.as_ref().and_then(|jwt| tokens(jwt, faults));
    let authorizer = section.http.as_ref().and_then(|http| authorizer(http, faults));
    let publisher = section.publish.as_ref().and_then(|publish| publisher(publish, faults));
    let rules = rules(section, faults);
    if section.ticket_lifetime.is_zero() {
        let at = KeyPath::keys(["auth", "ticket_lifetime"]);
        faults.add(at, "a ticket that ends at once opens nothing", "write a time such as \"30s\"");
    }
    if section.cookie.is_empty() || !section.cookie.bytes().all(is_cookie_byte) {
        let at = KeyPath::keys(["auth", "cookie"]);
        faults.add(at, format!("{:?} cannot name a cookie", section.cookie), "use letters, digits, `-` and `_`");
    }
    let access = AccessConfig {
        configured: true,
        anonymous: section.anonymous == AnonymousChoice::Allow,
        users,
        rules,
        tokens,
        authorizer,
        publisher,
        ticket_lifetime: section.ticket_lifetime.get(),
        cookie: section.cookie.clone(),
    };
    Auth { access }
}

fn is_cookie_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte)
}

fn users(section: &AuthSection, faults: &mut Faults) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (index, user) in section.users.iter().enumerate() {
        let at = KeyPath::keys(["auth", "users"]).index(index);
        if user.name.is_empty() {
            faults.add(at.key("name"), "a user needs a name", "write at least one character");
        } else if users.iter().any(|other| other.name == user.name) {
            faults.add(at.key("name"), format!("{:?} is taken by a user above", user.name), "give each user one entry");
        }
        match password(user) {
            Ok(password) => users.push(User { name: user.name.clone(), password, groups: user.groups.clone() }),
            Err(problem) => faults.add(
                at.key("password"),
                problem,
                "write an argon2 hash ($argon2id$v=19$m=...,t=...,p=...$SALT$HASH), or \"plain:PASSWORD\"",
            ),
        }
    }
    users
}

fn password(user: &UserSection) -> Result<PasswordCheck, &'static str> {
    let text = user.password.expose();
    if let Some(plain) = text.strip_prefix("plain:") {
        return if plain.is_empty() {
            Err("the password is empty")
        } else {
            Ok(PasswordCheck::Plain(Secret::new(plain)))
        };
    }
    if ["$argon2id$", "$argon2i$", "$argon2d$"].iter().any(|kind| text.starts_with(kind)) {
        // kind, version, parameters, salt, hash: PHC string format.
        let parts = text.split('$').skip(1);
        let whole = parts.clone().count() == 5 && parts.clone().all(|part| !part.is_empty());
        return if whole {
            Ok(PasswordCheck::Argon2(user.password.clone()))
        } else {
            Err("the argon2 hash is not complete")
        };
    }
    Err("this is neither an argon2 hash nor marked as plain")
}

fn rules(section: &AuthSection, faults: &mut Faults) -> Rules {
    let before = faults.found.len();
    let at = |index: usize| KeyPath::keys(["auth", "rules"]).index(index);
    let rules: Vec<Rule> =
        section.rules.iter().enumerate().filter_map(|(index, section)| rule(section, &at(index), faults)).collect();
    // Among rules that are wrong in themselves, what is said of the others may be wrong too.
    if faults.found.len() == before {
        let anonymous = section.anonymous == AnonymousChoice::Allow;
        let names: Vec<&str> = section.users.iter().map(|user| user.name.as_str()).collect();
        let only_users = (section.jwt.is_none() && section.http.is_none()).then_some(names.as_slice());
        for finding in analyse(&rules, anonymous, only_users) {
            faults.add(at(finding.rule), finding.problem, finding.advice);
        }
    }
    Rules::new(rules)
}

fn rule(section: &RuleSection, at: &KeyPath, faults: &mut Faults) -> Option<Rule> {
    let who = who(&section.who, &at.key("who"), faults);
    for (key, is_empty, advice) in [
        ("may", section.may.is_empty(), "name `publish`, `subscribe` or `presence`"),
        ("on", section.on.is_empty(), "name filters, such as \"sensors/#\"; \"#\" is every channel"),
    ] {
        if is_empty {
            faults.add(at.key(key), "this rule can never match: the list is empty", advice);
        }
    }
    let action = |choice: &ActionChoice| match choice {
        ActionChoice::Publish => Action::Publish,
        ActionChoice::Subscribe => Action::Subscribe,
        ActionChoice::Presence => Action::Presence,
    };
    let spec = RuleSpec {
        who,
        may: section.may.iter().map(action).collect(),
        on: section.on.clone(),
        allows: section.effect == EffectChoice::Allow,
    };
    Rule::new(spec)
        .map_err(|error| {
            let advice = "write a filter such as \"sensors/#\" or \"users/{user}/#\"";
            faults.add(at.key("on").index(error.index), error.to_string(), advice);
        })
        .ok()
}

fn who(section: &WhoSection, at: &KeyPath, faults: &mut Faults) -> Who {
    for (index, name) in section.connectors.iter().enumerate() {
        if !CONNECTORS.contains(&name.as_str()) {
            let advice = nearest(name, CONNECTORS.into_iter())
                .map_or_else(|| format!("one of {}", CONNECTORS.join(", ")), |near| format!("did you mean {near:?}?"));
            faults.add(at.key("connectors").index(index), format!("{name:?} is no connector"), advice);
        }
    }
    let mut addresses = Vec::new();
    for (index, text) in section.addresses.iter().enumerate() {
        match text.parse() {
            Ok(block) => addresses.push(block),
            Err(error) => {
                let advice = "write an address, or one with the length of its prefix, as in \"10.0.0.0/8\"";
                faults.add(at.key("addresses").index(index), format!("{text:?}: {error}"), advice);
            }
        }
    }
    Who {
        users: section.users.clone(),
        groups: section.groups.clone(),
        claims: section.claims.clone().into_iter().collect(),
        anonymous: section.anonymous,
        connectors: section.connectors.clone(),
        addresses,
    }
}

fn tokens(section: &JwtSection, faults: &mut Faults) -> Option<TokenConfig> {
    let at = KeyPath::keys(["auth", "jwt"]);
    let keys = match (&section.secret, &section.key, &section.jwks) {
        (Some(secret), None, None) => fixed(Key::secret(secret.expose().as_bytes()), at.key("secret"), faults),
        (None, Some(file), None) => match std::fs::read(file) {
            Ok(pem) => fixed(Key::pem(&pem), at.key("key"), faults),
            Err(error) => {
                faults.add(at.key("key"), format!("cannot read {}: {error}", file.display()), "name a PEM file");
                None
            }
        },
        (None, None, Some(url)) => jwks(section, url, &at, faults),
        _ => {
            let problem = "exactly one of `secret`, `key` and `jwks` says what tokens are checked with";
            faults.add(at, problem, "give one of them");
            None
        }
    };
    Some(TokenConfig {
        keys: keys?,
        issuers: section.issuers.clone(),
        audiences: section.audiences.clone(),
        leeway: section.leeway.get(),
        requires_expiry: section.require_expiry,
        user_claim: section.user_claim.clone(),
        groups_claim: section.groups_claim.clone(),
    })
}

fn fixed(key: Result<Key, TokenKeyError>, at: KeyPath, faults: &mut Faults) -> Option<KeySource> {
    let advice = match &key {
        Err(TokenKeyError::Short) => "make one by `openssl rand -base64 32`",
        _ => "extract it by `openssl pkey -in private.pem -pubout`",
    };
    key.map(|key| KeySource::Fixed(vec![key])).map_err(|error| faults.add(at, error.to_string(), advice)).ok()
}

fn jwks(section: &JwtSection, url: &str, at: &KeyPath, faults: &mut Faults) -> Option<KeySource> {
    if !is_protected(url) {
        let problem = "keys that come unprotected are worth nothing";
        faults.add(at.key("jwks"), problem, "write an https:// address (http:// only on this machine)");
        return None;
    }
    for (key, time) in [("jwks_refresh", section.jwks_refresh), ("jwks_timeout", section.jwks_timeout)] {
        if time.is_zero() {
            faults.add(at.key(key), "this may not be zero", "write a time such as \"5s\"");
        }
    }
    Some(KeySource::Jwks(JwksConfig {
        url: url.to_owned(),
        refresh: section.jwks_refresh.get(),
        max_stale: section.jwks_max_stale.get(),
        timeout: section.jwks_timeout.get(),
        cooldown: section.jwks_cooldown.get(),
    }))
}

fn authorizer(section: &AuthorizerSection, faults: &mut Faults) -> Option<AuthorizerConfig> {
    let at = KeyPath::keys(["auth", "http"]);
    if !is_protected(&section.url) {
        let problem = "passwords would be sent unprotected";
        faults.add(at.key("url"), problem, "write an https:// address (http:// only on this machine)");
        return None;
    }
    if section.timeout.is_zero() {
        faults.add(at.key("timeout"), "this may not be zero", "write a time such as \"5s\"");
    }
    let (timeout, cache) = (section.timeout.get(), section.cache.get());
    Some(AuthorizerConfig { url: section.url.0.clone(), timeout, cache })
}

fn publisher(section: &PublishAuthorizerSection, faults: &mut Faults) -> Option<PublisherConfig> {
    let at = KeyPath::keys(["auth", "publish"]);
    if !is_protected(&section.url) {
        let problem = "what is published would be judged unprotected";
        faults.add(at.key("url"), problem, "write an https:// address (http:// only on this machine)");
        return None;
    }
    if section.timeout.is_zero() {
        faults.add(at.key("timeout"), "this may not be zero", "write a time such as \"5s\"");
    }
    Some(PublisherConfig {
        url: section.url.0.clone(),
        timeout: section.timeout.get(),
        cache: section.cache.get(),
        on: section.on.iter().map(|filter| filter.get().clone()).collect(),
        payload: section.payload,
    })
}

/// Whether nobody on the way can read or change what is sent to an address.
fn is_protected(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}
