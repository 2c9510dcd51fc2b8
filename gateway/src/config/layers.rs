//! The layers of a configuration: embedded defaults, file, environment, `--set`; the later one wins.

use std::path::{Path, PathBuf};

use config::{FileFormat, Map, Source};
use serde_json::Value;

use super::{
    coerce::{Coerce, coerce},
    fault::{ConfigErrors, Fault},
    locate::{Lines, Overrides},
    path::KeyPath,
    schema::Schema,
};

/// The commented default file; `ratatosk config --defaults` prints it.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// What an environment variable begins with to be ours.
pub const ENV_PREFIX: &str = "RATATOSK__";

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file; YAML and JSON by extension.
    pub file: Option<PathBuf>,
    /// Values that a command puts in the file's place, each with its key and a name for messages.
    pub given: Vec<(String, Value, String)>,
    /// The environment. Variables that do not begin with [`ENV_PREFIX`] matter only to `{ env = "NAME" }`.
    pub env: Vec<(String, String)>,
    /// `key=value` texts of `--set`.
    pub set: Vec<String>,
}

impl Sources {
    /// A file and `--set` texts, with the environment of this process.
    #[must_use]
    pub fn new(file: Option<PathBuf>, set: Vec<String>) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { file, given: Vec::new(), env, set }
    }
}

/// The merged layers, and where each value came from.
pub(super) struct Merged {
    pub(super) tree: Value,
    pub(super) origins: Origins,
    /// Faults of the layers themselves.
    pub(super) faults: Vec<Fault>,
}

/// Where values come from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    file: Option<(String, Lines)>,
    overrides: Overrides,
}

impl Origins {
    /// `file:line`, an environment variable, `--set`, or nothing.
    pub(super) fn of(&self, path: &KeyPath) -> String {
        if let Some(origin) = self.overrides.of(path) {
            return origin.to_owned();
        }
        let in_file = self.file.as_ref().and_then(|(name, lines)| Some(format!("{name}:{}", lines.of(path)?)));
        let around = || self.overrides.within(&path.parent()?).map(str::to_owned);
        in_file.or_else(around).unwrap_or_default()
    }
}

/// Reads and merges all layers.
///
/// # Errors
/// The file cannot be read or is not of its format: then nothing else can be said.
pub(super) fn merge(sources: &Sources, schema: &Schema) -> Result<Merged, ConfigErrors> {
    let mut origins = Origins::default();
    let mut faults = Vec::new();
    let mut builder = config::Config::builder().add_source(config::File::from_str(DEFAULT_TOML, FileFormat::Toml));
    if let Some(path) = &sources.file {
        let file = read(path)?;
        builder = builder.add_source(file.layer);
        origins.file = Some((path.display().to_string(), file.lines));
    }
    let given = given(sources, &mut origins.overrides);
    let env = environment(sources, schema, &mut origins.overrides, &mut faults);
    let set = settings(sources, schema, &mut origins.overrides, &mut faults);
    let merged = builder
        .add_source(given)
        .add_source(env)
        .add_source(set)
        .build()
        .and_then(config::Config::try_deserialize::<Value>);
    match merged {
        Ok(tree) => Ok(Merged { tree, origins, faults }),
        Err(error) => Err(broken("", error.to_string(), "report this: the layers are valid one by one")),
    }
}

/// Values by path, as a layer of the `config` crate.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, config::Value>);

impl Layer {
    fn put(&mut self, path: &KeyPath, value: &Value) {
        let expression = path.expression();
        // A key set twice takes its place at the end: the last one wins over parts of it set in between.
        self.0.shift_remove(&expression);
        self.0.insert(expression, to_config(value));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, config::Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

fn given(sources: &Sources, overrides: &mut Overrides) -> Layer {
    let mut layer = Layer::default();
    for (key, value, origin) in &sources.given {
        if let Some(path) = KeyPath::parse(key) {
            layer.put(&path, value);
            overrides.put(path, origin);
        }
    }
    layer
}

fn environment(sources: &Sources, schema: &Schema, overrides: &mut Overrides, faults: &mut Vec<Fault>) -> Layer {
    let mut layer = Layer::default();
    let mut ours: Vec<_> = sources
        .env
        .iter()
        .filter_map(|(name, value)| Some((name, name.strip_prefix(ENV_PREFIX)?, value)))
        // Compose files and units pass variables that are not set as empty ones.
        .filter(|(_, _, value)| !value.is_empty())
        .collect();
    ours.sort();
    for (name, key, value) in ours {
        match KeyPath::parse_env(key) {
            Some(path) => {
                layer.put(&path, &coerce(schema, &path, value, Coerce::Environment));
                overrides.put(path, name);
            }
            None => faults.push(fault(name, "this names no key", "write RATATOSK__SECTION__KEY")),
        }
    }
    layer
}

fn settings(sources: &Sources, schema: &Schema, overrides: &mut Overrides, faults: &mut Vec<Fault>) -> Layer {
    let mut layer = Layer::default();
    for text in &sources.set {
        let parsed = text.split_once('=').and_then(|(key, value)| Some((KeyPath::parse(key.trim())?, value)));
        match parsed {
            Some((path, value)) => {
                layer.put(&path, &coerce(schema, &path, value.trim(), Coerce::Argument));
                overrides.put(path, "--set");
            }
            // The text may hold a secret; its key is enough to find it.
            None => {
                let key = text.split('=').next().unwrap_or_default();
                faults.push(fault("--set", &format!("{key:?} sets nothing"), "write --set section.key=value"));
            }
        }
    }
    layer
}

struct FileLayer {
    layer: config::File<config::FileSourceString, FileFormat>,
    lines: Lines,
}

fn read(path: &Path) -> Result<FileLayer, ConfigErrors> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        broken(&name, format!("cannot read this file: {error}"), "name a file that exists and that this user may read")
    })?;
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let format = match extension.as_deref() {
        Some("yaml" | "yml") => FileFormat::Yaml,
        Some("json") => FileFormat::Json,
        _ => FileFormat::Toml,
    };
    // TOML's own reader names line and column; the others' texts hold theirs.
    if format == FileFormat::Toml
        && let Err(error) = toml_edit::Document::parse(text.as_str())
    {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        return Err(broken(&format!("{name}:{line}"), error.message().to_owned(), "this is not TOML"));
    }
    let layer = config::File::from_str(&text, format);
    if let Err(error) = layer.collect() {
        let kind = if format == FileFormat::Yaml { "this is not YAML" } else { "this is not JSON" };
        return Err(broken(&name, error.to_string(), kind));
    }
    let lines = if format == FileFormat::Toml { Lines::of_toml(&text) } else { Lines::of_yaml(&text) };
    Ok(FileLayer { layer, lines })
}

fn to_config(value: &Value) -> config::Value {
    use config::ValueKind;
    let kind = match value {
        Value::Null => ValueKind::Nil,
        Value::Bool(flag) => ValueKind::Boolean(*flag),
        Value::String(text) => ValueKind::String(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => ValueKind::I64(number),
            (_, Some(number)) => ValueKind::U64(number),
            _ => ValueKind::Float(number.as_f64().unwrap_or_default()),
        },
        Value::Array(elements) => ValueKind::Array(elements.iter().map(to_config).collect()),
        Value::Object(map) => {
            ValueKind::Table(map.iter().map(|(key, value)| (key.clone(), to_config(value))).collect())
        }
    };
    config::Value::new(None, kind)
}

fn fault(origin: &str, problem: &str, advice: &str) -> Fault {
    Fault { origin: origin.to_owned(), key: String::new(), problem: problem.to_owned(), advice: advice.to_owned() }
}

fn broken(origin: &str, problem: String, advice: &str) -> ConfigErrors {
    ConfigErrors { faults: vec![fault(origin, &problem, advice)] }
}
