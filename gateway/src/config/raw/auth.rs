//! The `[auth]` section: who may come in, and what they may do.

use std::{collections::BTreeMap, path::PathBuf};

use ratatosk_connector::config_types::{Duration, FilterValue, Secret, UrlText};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may come in, and what they may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSection {
    /// Whether clients without credentials are let in.
    pub anonymous: AnonymousChoice,
    /// Users that come with a name and a password.
    pub users: Vec<UserSection>,
    /// Who may do what on which channels. The first rule that fits decides; what none fits is denied. Without any rule,
    /// whoever is let in may do everything.
    pub rules: Vec<RuleSection>,
    /// JSON Web Tokens; accepted only if this table exists.
    pub jwt: Option<JwtSection>,
    /// Another server that says who clients are.
    pub http: Option<AuthorizerSection>,
    /// Another server that is asked about each publication that the rules allow.
    pub publish: Option<PublishAuthorizerSection>,
    /// The cookie that may carry a token to the HTTP listener.
    pub cookie: String,
    /// How long a ticket for an event stream can be used.
    pub ticket_lifetime: Duration,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            anonymous: AnonymousChoice::default(),
            users: Vec::new(),
            rules: Vec::new(),
            jwt: None,
            http: None,
            publish: None,
            cookie: "ratatosk_token".to_owned(),
            ticket_lifetime: Duration::from_secs(30),
        }
    }
}

/// Whether clients without credentials are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnonymousChoice {
    /// They are.
    Allow,
    /// They are not.
    #[default]
    Deny,
}

/// A user with a password.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserSection {
    /// The name.
    #[schemars(example = &"joe")]
    pub name: String,
    /// An argon2 hash (`$argon2id$...`), or `plain:` and the password itself.
    #[schemars(example = &"$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH")]
    pub password: Secret,
    /// The groups it is in.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// A rule: who may do what on which channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleSection {
    /// Whom it is about; everyone, if empty. All conditions must hold, and of the values of one condition any.
    #[serde(default)]
    pub who: WhoSection,
    /// What it is about.
    pub may: Vec<ActionChoice>,
    /// On which channels: filters, in whose levels `{user}` and `{claim.NAME}` stand for the client's own.
    #[schemars(example = &["users/{user}/#"])]
    pub on: Vec<String>,
    /// What it says.
    #[serde(default)]
    pub effect: EffectChoice,
}

/// Whom a rule is about.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WhoSection {
    /// These users.
    pub users: Vec<String>,
    /// Members of these groups.
    pub groups: Vec<String>,
    /// Bearers of tokens with these claims: a value, or one of a list of values.
    pub claims: BTreeMap<String, String>,
    /// Clients that showed no credentials (`true`), or those that did (`false`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous: Option<bool>,
    /// Clients of these connectors: `mqtt`, `bayeux`, `pusher`, `sse`, and `http` for `/publish`.
    pub connectors: Vec<String>,
    /// Clients from these addresses, such as `10.0.0.0/8`.
    pub addresses: Vec<String>,
}

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionChoice {
    /// Publish to a channel.
    Publish,
    /// Receive what is published.
    Subscribe,
    /// See who is there.
    Presence,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectChoice {
    /// They may. A subscription must be contained in one of the filters as a whole.
    #[default]
    Allow,
    /// They may not. A subscription is refused if it meets one of the filters at all.
    Deny,
}

/// Another server that says who clients are: it is asked about names and passwords of nobody in `users`, and about tokens
/// where there is no `[auth.jwt]`. Whatever is no clear yes is a no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizerSection {
    /// Its address, asked by POST with JSON; `https`, or `http` on this machine.
    pub url: UrlText,
    /// How long an answer may take.
    #[serde(default = "authorizer_timeout")]
    pub timeout: Duration,
    /// For how long the same credentials from the same address are answered the same; zero asks every time.
    #[serde(default = "authorizer_cache")]
    pub cache: Duration,
}

/// Another server that is asked about each publication that the rules allow: it allows it, denies it, or changes it. Whatever is no
/// clear yes is a no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishAuthorizerSection {
    /// Its address, asked by POST with JSON; `https`, or `http` on this machine.
    #[schemars(example = &"https://login.example.org/publish")]
    pub url: UrlText,
    /// How long an answer may take. The publisher waits for it.
    #[serde(default = "authorizer_timeout")]
    pub timeout: Duration,
    /// For how long the same question is answered the same; zero asks every time.
    #[serde(default = "publish_cache")]
    pub cache: Duration,
    /// Only publications to these channels; none named is all.
    #[serde(default)]
    #[schemars(example = &["chat/#"])]
    pub on: Vec<FilterValue>,
    /// Whether the payload is part of the question.
    #[serde(default = "yes")]
    pub payload: bool,
}

fn publish_cache() -> Duration {
    Duration::from_secs(5)
}

fn yes() -> bool {
    true
}

fn authorizer_timeout() -> Duration {
    Duration::from_secs(5)
}

fn authorizer_cache() -> Duration {
    Duration::from_secs(30)
}

/// JSON Web Tokens. Exactly one of `secret`, `key` and `jwks` says what they are checked with, and the key's type decides
/// which algorithms are accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtSection {
    /// A shared secret of at least 32 bytes: HS256, HS384, HS512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// PEM file with a public key: RSA (RS256 to PS512), EC (ES256, ES384) or Ed25519 (EdDSA).
    #[schemars(extend("x-type" = "file"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The address of a JSON Web Key Set; `https`, or `http` on this machine.
    #[schemars(example = &"https://login.example.org/jwks.json")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<UrlText>,
    /// Who must have issued a token (`iss`): one of these. Empty: anyone who has the key.
    pub issuers: Vec<String>,
    /// Whom a token must be for (`aud`): one of these. Empty: anyone.
    pub audiences: Vec<String>,
    /// How much clocks may differ.
    pub leeway: Duration,
    /// Whether a token must say when it expires (`exp`).
    pub require_expiry: bool,
    /// The claim that is the user's name, or a path to it.
    pub user_claim: String,
    /// The claim that lists groups, or a path to it such as `realm_access.roles`.
    pub groups_claim: String,
    /// Keys of `jwks` older than this are fetched again.
    pub jwks_refresh: Duration,
    /// For so long they are used when that fails; after that, no token is accepted.
    pub jwks_max_stale: Duration,
    /// How long an answer of `jwks` may take.
    pub jwks_timeout: Duration,
    /// The least time between two requests to `jwks`, whatever keys tokens name.
    pub jwks_cooldown: Duration,
}

impl Default for JwtSection {
    fn default() -> Self {
        Self {
            secret: None,
            key: None,
            jwks: None,
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(10),
            require_expiry: true,
            user_claim: "sub".to_owned(),
            groups_claim: "groups".to_owned(),
            jwks_refresh: Duration::from_secs(600),
            jwks_max_stale: Duration::from_secs(3600),
            jwks_timeout: Duration::from_secs(5),
            jwks_cooldown: Duration::from_secs(5),
        }
    }
}
