//! `ratatosk token`.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use ratatosk::{
    config::raw::JwtSection,
    connector::access::jwt::{SigningKey, sign},
    core::Filter,
};
use serde_json::{Map, Value, json};

use super::source::SourceArgs;

/// Makes a signed JSON Web Token for tests and scripts, and prints it. The key is that of --secret or --key, else the
/// shared secret in the configuration's [auth.jwt], which also says issuer, audience and the names of the claims.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ratatosk token --config gateway.toml --user joe --group staff --ttl 8h\n  ratatosk token --key private.pem --user device-7 --claim site=north --subscribe 'sites/north/#'\n  curl -H \"Authorization: Bearer $(ratatosk token -c gateway.toml -u joe)\" http://127.0.0.1:8080/sse?channel=a"
)]
pub(super) struct Args {
    /// The user's name
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// A group that the user is in; may be given more than once
    #[arg(short, long = "group", value_name = "NAME")]
    groups: Vec<String>,
    /// A claim: JSON where it is some, text otherwise; may be given more than once
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// How long it is valid
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Narrows it to publishing on this filter; may be given more than once
    #[arg(long, value_name = "FILTER")]
    publish: Vec<Filter>,
    /// Narrows it to subscribing to this filter; may be given more than once
    #[arg(long, value_name = "FILTER")]
    subscribe: Vec<Filter>,
    /// Who issues it; without this, the first of auth.jwt.issuers
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Whom it is for; without this, the first of auth.jwt.audiences
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Sign with this shared secret (HS256)
    #[arg(long, value_name = "SECRET", env = "RATATOSK_TOKEN_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// Sign with the private key in this PEM file (RSA, EC in PKCS#8, or Ed25519)
    #[arg(long, value_name = "FILE", conflicts_with = "secret")]
    key: Option<PathBuf>,
    /// The name of the key, for those who check with a set of keys
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let resolved = ratatosk::config::load(&args.source.sources())?;
    let section = resolved.raw.auth.as_ref().and_then(|auth| auth.jwt.clone());
    let key = key(args, section.as_ref())?;
    let claims = claims(args, &section.unwrap_or_default())?;
    let token = sign(&claims, &key, args.key_id.as_deref())?;
    super::print(&format!("{token}\n"))
}

fn key(args: &Args, section: Option<&JwtSection>) -> anyhow::Result<SigningKey> {
    if let Some(file) = &args.key {
        let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        return SigningKey::pem(&pem).with_context(|| file.display().to_string());
    }
    if let Some(secret) = &args.secret {
        return Ok(SigningKey::secret(secret.as_bytes()));
    }
    match section.and_then(|section| section.secret.as_ref()) {
        Some(secret) => Ok(SigningKey::secret(secret.expose().as_bytes())),
        None if section.is_some() => bail!("[auth.jwt] has a public key only: give the private one by --key"),
        None => bail!("there is no key: give --secret or --key, or a configuration with [auth.jwt] secret"),
    }
}

fn claims(args: &Args, section: &JwtSection) -> anyhow::Result<Map<String, Value>> {
    let mut claims: Map<String, Value> = args.claims.iter().cloned().collect();
    if let Some(user) = &args.user {
        put(&mut claims, &section.user_claim, json!(user));
    }
    if !args.groups.is_empty() {
        put(&mut claims, &section.groups_claim, json!(args.groups));
    }
    for (name, given, known) in [("iss", &args.issuer, &section.issuers), ("aud", &args.audience, &section.audiences)] {
        if let Some(value) = given.as_ref().or(known.first()) {
            claims.entry(name).or_insert_with(|| json!(value));
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    claims.entry("iat").or_insert_with(|| json!(now.as_secs()));
    claims.entry("exp").or_insert_with(|| json!((now + args.ttl).as_secs()));
    let mut scope = Map::new();
    for (name, filters) in [("publish", &args.publish), ("subscribe", &args.subscribe)] {
        if !filters.is_empty() {
            scope.insert(name.to_owned(), json!(filters));
        }
    }
    if !scope.is_empty() {
        claims.insert("ratatosk".to_owned(), Value::Object(scope));
    }
    Ok(claims)
}

/// Puts a claim where its path says.
fn put(claims: &mut Map<String, Value>, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        claims.insert(path.to_owned(), value);
        return;
    };
    let inner = claims.entry(first).or_insert_with(|| json!({}));
    if let Some(inner) = inner.as_object_mut() {
        put(inner, rest, value);
    }
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a claim is NAME=VALUE")?;
    let json = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), json))
}
