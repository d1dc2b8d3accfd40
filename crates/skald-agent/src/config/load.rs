//! From the command line and a file to a configuration.

use super::blocks::{
    GlobalConfig, LimitsConfig, OptionsConfig, PositionsConfig, ServerConfig, SpoolConfig, TargetConfig, TracingConfig, WalConfig,
};
use super::clients;
use super::expand::expand;
use super::report::{ConfigError, Place, Problem, Report};
use super::{Flags, ScrapeConfig, scrape};
use crate::delivery::config::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;
use skald_config::nearest;
use skald_model::seam::Disk;
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Largest file that is read.
const BYTES_MAX: u64 = 16 << 20;
/// Most levels of a file.
const DEPTH_MAX: usize = 64;
/// What `-kubernetes` takes in the place of a file.
const KUBERNETES: &str = include_str!("kubernetes.yaml");
/// What `-stdin` takes when there is no file.
const STDIN: &str = "server: {disable: true}\nscrape_configs: [{job_name: stdin, static_configs: [{}]}]\n";

/// All that an agent is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Config {
    /// `global`
    pub global: GlobalConfig,
    /// `server`
    pub server: ServerConfig,
    /// `clients`, `client` and the client of the flags.
    pub clients: Vec<ClientConfig>,
    /// `positions`
    pub positions: PositionsConfig,
    /// `scrape_configs`
    pub scrape_configs: Vec<ScrapeConfig>,
    /// `target_config`
    pub target_config: TargetConfig,
    /// `limits_config`
    pub limits_config: LimitsConfig,
    /// `options`
    pub options: OptionsConfig,
    /// `tracing`
    pub tracing: TracingConfig,
    /// `wal`
    pub wal: WalConfig,
    /// `spool`
    pub spool: SpoolConfig,
}

/// A configuration and where it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is odd about it.
    pub warnings: Vec<Problem>,
    /// The file, or what stands in its place.
    pub file: String,
    /// The text of the file, with its variables put in.
    pub text: String,
}

/// The file as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Written {
    global: Option<GlobalConfig>,
    server: Option<ServerConfig>,
    client: Option<Spanned<ClientConfig>>,
    clients: Option<Vec<Spanned<ClientConfig>>>,
    positions: Option<PositionsConfig>,
    scrape_configs: Option<Vec<Spanned<scrape::Written>>>,
    target_config: Option<TargetConfig>,
    limits_config: Option<LimitsConfig>,
    options: Option<OptionsConfig>,
    tracing: Option<TracingConfig>,
    wal: Option<WalConfig>,
    spool: Option<SpoolConfig>,
}

/// Reads the configuration that `flags` name, below what they say themselves.
///
/// # Errors
/// No file, one that cannot be read, or one that is wrong: then with all that is wrong, as far as it could be understood.
pub fn load(flags: &Flags, disk: &dyn Disk, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let (file, text) = read(flags, disk)?;
    let text = match flags.expand_env {
        true => expand(&text, variable).map_err(|error| {
            let place = Place { line: error.line as u64, column: 1 };
            ConfigError::Invalid(vec![Problem { file: file.clone(), place, message: error.message }])
        })?,
        false => text,
    };
    let (config, warnings) = parse(flags, &file, &text)?;
    Ok(Loaded { config, warnings, file, text })
}

/// Name and text of the first file that is there, or of what stands in its place.
fn read(flags: &Flags, disk: &dyn Disk) -> Result<(String, String), ConfigError> {
    if flags.kubernetes && !flags.files.is_empty() {
        return Err(ConfigError::Usage("-kubernetes stands in the place of -config.file: give one of them".to_owned()));
    }
    if flags.kubernetes {
        return Ok(("-kubernetes".to_owned(), KUBERNETES.to_owned()));
    }
    if flags.files.is_empty() && flags.stdin {
        return Ok(("-stdin".to_owned(), STDIN.to_owned()));
    }
    if flags.files.is_empty() {
        return Err(ConfigError::Usage("no configuration: give -config.file=<path>, or -kubernetes with -client.url".to_owned()));
    }
    for path in &flags.files {
        let failed = |source| ConfigError::Read { path: path.clone(), source };
        match read_bounded(disk, path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
                return Ok((path.display().to_string(), text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(ConfigError::NotFound(flags.files.clone()))
}

fn read_bounded(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let len = disk.open(path)?.len()?;
    if len > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes are more than a configuration may have")));
    }
    disk.read(path)
}

fn parse(flags: &Flags, file: &str, text: &str) -> Result<(Config, Vec<Problem>), ConfigError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, flow_nesting_limit: DEPTH_MAX },
    };
    let written: Option<Written> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location().map(Place::of).unwrap_or_default();
        ConfigError::Invalid(vec![Problem { file: file.to_owned(), place, message: message_of(error) }])
    })?;
    let mut report = Report::new(file);
    let config = written.unwrap_or_default().check(flags, &mut report);
    Ok((config, report.into_result()?))
}

impl Written {
    fn check(self, flags: &Flags, report: &mut Report) -> Config {
        let clients = self.clients.unwrap_or_default().into_iter().chain(self.client);
        let mut config = Config {
            global: self.global.unwrap_or_default(),
            server: self.server.unwrap_or_default(),
            clients: clients::all(clients, &flags.client, report),
            positions: self.positions.unwrap_or_default(),
            scrape_configs: scrape_configs(self.scrape_configs.unwrap_or_default(), report),
            target_config: self.target_config.unwrap_or_default(),
            limits_config: self.limits_config.unwrap_or_default(),
            options: self.options.unwrap_or_default(),
            tracing: self.tracing.unwrap_or_default(),
            wal: self.wal.unwrap_or_default(),
            spool: self.spool.unwrap_or_default(),
        };
        flags.apply(&mut config);
        config.target_config.stdin |= flags.stdin;
        config.settle(flags, report);
        config
    }
}

impl Config {
    /// The configuration as YAML, with its defaults and without its secrets.
    pub fn render(&self) -> String {
        let mut tree = serde_json::to_value(self).expect("settings are maps with text keys");
        remove_nulls(&mut tree);
        skald_config::render_value(&tree)
    }

    /// What follows from other settings, and what cannot be.
    fn settle(&mut self, flags: &Flags, report: &mut Report) {
        if self.spool.dir.is_empty() {
            self.spool.dir = match self.wal.dir.as_str() {
                "" => {
                    let beside = Path::new(&self.positions.filename).parent().unwrap_or(Path::new("."));
                    beside.join("spool").display().to_string()
                }
                dir => dir.to_owned(),
            };
        }
        if self.clients.is_empty() && !flags.dry_run {
            report.problem(Place::default(), "no client: give clients with an url, or -client.url".to_owned());
        }
        if self.limits_config.readline_rate_enabled && !(self.limits_config.readline_rate > 0.0 && self.limits_config.readline_burst > 0) {
            report.problem(Place::default(), "limits_config: readline_rate and readline_burst must be above 0".to_owned());
        }
        let path_prefix = self.server.http_path_prefix.trim_matches('/').to_owned();
        self.server.http_path_prefix = if path_prefix.is_empty() { path_prefix } else { format!("/{path_prefix}") };
        if self.server.disable && self.server.enable_runtime_reload {
            report.warning(Place::default(), "server.enable_runtime_reload has no effect while server.disable is set".to_owned());
        }
    }
}

/// What is not set is not shown.
fn remove_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(entries) => {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(remove_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

fn scrape_configs(written: Vec<Spanned<scrape::Written>>, report: &mut Report) -> Vec<ScrapeConfig> {
    let mut checked: Vec<ScrapeConfig> = Vec::with_capacity(written.len());
    let mut places: HashMap<String, Place> = HashMap::new();
    for written in written {
        let place = Place::of(written.referenced);
        let Some(config) = written.value.check(place, report) else { continue };
        match places.get(&config.job_name) {
            Some(first) => {
                report.problem(place, format!("scrape config \"{}\" is there twice, first in line {}", config.job_name, first.line))
            }
            None => drop(places.insert(config.job_name.clone(), place)),
        }
        checked.push(config);
    }
    checked
}

/// What the parser says, in our words, without the place and without advice to programmers.
fn message_of(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::SerdeUnknownField { field, expected, .. } = error {
        let hint = nearest(field, expected.iter().copied()).map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default();
        return format!("unknown key \"{field}\"{hint}");
    }
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    let line = message[..end].lines().next().unwrap_or_default();
    let advice = [", set DuplicateKeyPolicy", "; use from_str"];
    advice.iter().find_map(|begin| line.split_once(begin)).map_or(line, |(said, _)| said).to_owned()
}
