use crate::check::check_section;
use crate::setting::{Key, Kind, keys_of};
use crate::yaml::YamlFile;
use crate::{ByteSize, Config, ConfigError, Mode, Problem, memory_limit};
use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use skald_model::seam::Disk;
use std::path::PathBuf;

/// What the environment variables of the configuration begin with.
const PREFIX: &str = "SKALD_";
/// What stands between the levels of a key in a variable's name.
const SEPARATOR: &str = "__";

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// Kind of process.
    pub mode: Mode,
    /// Configuration file; none is no file.
    pub file: Option<PathBuf>,
    /// Flags, later ones first in force.
    pub flags: Vec<Flag>,
    /// Environment variables, of which the ones that begin with `SKALD_` are looked at.
    pub environment: Vec<(String, String)>,
}

/// A key set on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// What messages call it, such as `--data-dir`.
    pub name: &'static str,
    /// The key, with dots between levels.
    pub key: &'static str,
    /// Its value as text.
    pub value: String,
}

/// A configuration and the defaults that it would have been without file, environment and flags.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The defaults for this kind of process and this much memory.
    pub defaults: Config,
}

impl Source {
    /// Nothing but this process's environment, as it is now.
    pub fn new(mode: Mode) -> Self {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        Source { mode, file: None, flags: Vec::new(), environment }
    }

    /// With this configuration file.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// With `key` (dots between levels) set by the flag `name`.
    pub fn flag(mut self, name: &'static str, key: &'static str, value: impl ToString) -> Self {
        self.flags.push(Flag { name, key, value: value.to_string() });
        self
    }
}

/// Loads and validates a configuration.
///
/// A variable counts when it begins with `SKALD_` and either has `__` in it or is the name of a top-level value; others, such as those that Kubernetes
/// sets for a service named `skald`, are not ours.
///
/// # Errors
/// Every unknown key, wrong value and broken rule at once, each with its place.
pub fn load(source: &Source, disk: &dyn Disk) -> Result<Loaded, ConfigError> {
    let file = source.file.as_deref().map(|path| YamlFile::read(disk, path)).transpose()?;
    let mut given = file.as_ref().map_or_else(Figment::new, Figment::from);
    // The file alone too: a section in which it is wrong may be covered by a later layer.
    let mut found = check_keys(&given, file.as_ref());
    for value in variables(&source.environment).into_iter().chain(source.flags.iter().map(SingleValue::of_flag)) {
        given = given.merge(value);
    }
    for problem in check_keys(&given, file.as_ref()) {
        if !found.contains(&problem) {
            found.push(problem);
        }
    }
    if !found.is_empty() {
        return Err(ConfigError::Invalid(found));
    }
    let memory = given.extract_inner::<ByteSize>("memory_limit").unwrap_or_else(|_| memory_limit(disk));
    let defaults = Config::defaults(source.mode, memory);
    let mut config: Config = Figment::from(Serialized::defaults(&defaults)).merge(&given).extract().map_err(|error| {
        let key = error.path.join(".");
        ConfigError::Invalid(vec![Problem::new(&key, error.kind.to_string())])
    })?;
    if let (Some(relative), Some(file)) = (&config.runtime_config.file, &source.file) {
        config.runtime_config.file = Some(file.parent().map(|folder| folder.join(relative)).unwrap_or_else(|| relative.clone()));
    }
    config.validate().map_err(|mut problems| {
        for problem in &mut problems {
            let path: Vec<String> = problem.key.split('.').map(str::to_owned).collect();
            if let Ok(value) = given.find_value(&problem.key) {
                problem.origin = origin(&given, file.as_ref(), &path, &value, false);
            }
        }
        ConfigError::Invalid(problems)
    })?;
    Ok(Loaded { config, defaults })
}

/// Unknown keys and wrong values.
fn check_keys(given: &Figment, file: Option<&YamlFile>) -> Vec<Problem> {
    let mut found = Vec::new();
    let written = given.data().ok().and_then(|mut profiles| profiles.remove(&Profile::Default)).unwrap_or_default();
    check_section(&keys_of::<Config>(), &written, &mut Vec::new(), &mut |path, value, message| {
        let origin = origin(given, file, path, value, message.starts_with("unknown"));
        found.push(Problem { origin, key: path.join("."), message });
    });
    found
}

/// Where `value` was written.
fn origin(given: &Figment, file: Option<&YamlFile>, path: &[String], value: &Value, of_key: bool) -> String {
    // The tag of a section is that of the layer that wrote it last; a value inside it says more.
    let tag = match value {
        Value::Dict(tag, _) => *tag,
        other => other.tag(),
    };
    let name = given.get_metadata(tag).map(|metadata| metadata.name.to_string()).unwrap_or_default();
    match file {
        Some(file) if file.name == name => file.origin(path, of_key),
        _ => name,
    }
}

/// One key set by a variable or a flag; a layer of its own, so that messages name it.
struct SingleValue {
    origin: String,
    key: String,
    value: String,
}

impl SingleValue {
    fn of_flag(flag: &Flag) -> Self {
        SingleValue { origin: format!("flag {}", flag.name), key: flag.key.to_owned(), value: flag.value.clone() }
    }
}

impl Provider for SingleValue {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        // `2024` and `true` are texts where a text is taken.
        let text = Value::from(self.value.as_str());
        let value = if accepts(&keys_of::<Config>(), &self.key, &text) {
            text
        } else {
            self.value.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
        };
        let nested = figment::util::nest(&self.key, value);
        Ok(nested.into_dict().map(|dict| Profile::Default.collect(dict)).unwrap_or_default())
    }
}

/// Whether there is a key at `path` that takes `value`.
fn accepts(keys: &[Key], path: &str, value: &Value) -> bool {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    keys.iter().find(|key| key.name == name).is_some_and(|key| match (key.kind, rest) {
        (Kind::Section { keys, .. }, Some(rest)) => accepts(&keys(), rest, value),
        (Kind::Value { accepts, .. }, None) => accepts(value),
        _ => false,
    })
}

fn variables(environment: &[(String, String)]) -> Vec<SingleValue> {
    let top_level = keys_of::<Config>();
    let is_value = |name: &str| top_level.iter().any(|key| key.name == name && matches!(key.kind, Kind::Value { .. }));
    let mut found: Vec<SingleValue> = environment
        .iter()
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
            let ours = key.contains(SEPARATOR) || is_value(&key);
            ours.then(|| SingleValue { origin: format!("variable {name}"), key: key.replace(SEPARATOR, "."), value: value.clone() })
        })
        .collect();
    found.sort_by(|a, b| a.origin.cmp(&b.origin));
    found
}

#[cfg(test)]
mod tests;
