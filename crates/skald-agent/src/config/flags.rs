//! The command line, as Go programs read it: one dash or two, `-a=b` or `-a b`, and `-x` or `-x=true` for switches.

use super::blocks::ServerTlsConfig;
use super::settings::Period;
use super::{Config, ConfigError};
use serde::de::IntoDeserializer;
use skald_config::{ByteSize, nearest};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// Configuration files, of which the first that exists is taken.
    pub files: Vec<PathBuf>,
    /// Whether variables are put into the text of the file.
    pub expand_env: bool,
    /// Whether the built-in configuration for Kubernetes is taken in the place of a file.
    pub kubernetes: bool,
    /// Read the configuration and end.
    pub check_syntax: bool,
    /// Print entries in the place of sending them.
    pub dry_run: bool,
    /// Show what each stage does to each entry.
    pub inspect: bool,
    /// Read lines from standard input.
    pub stdin: bool,
    /// Print the version and end.
    pub version: bool,
    /// Print the flags and end.
    pub help: bool,
    /// Print the configuration in force on standard error.
    pub print_config: bool,
    /// Log the configuration in force, the last key first.
    pub log_config: bool,
    /// Settings that stand above those of the file, in the order in which they were written.
    pub(super) settings: Vec<(&'static Setting, String)>,
    /// The client that flags describe.
    pub client: ClientFlags,
}

/// The client that `-client.…` flags describe.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientFlags {
    /// `-client.url`; there is no such client without.
    pub url: Option<String>,
    /// `-client.tenant-id`
    pub tenant_id: Option<String>,
    /// `-client.batch-wait`
    pub batch_wait: Option<Period>,
    /// `-client.batch-size-bytes`
    pub batch_size: Option<ByteSize>,
    /// `-client.timeout`
    pub timeout: Option<Period>,
    /// `-client.min-backoff`
    pub min_backoff: Option<Period>,
    /// `-client.max-backoff`
    pub max_backoff: Option<Period>,
    /// `-client.max-retries`
    pub max_retries: Option<u32>,
    /// `-client.drop-rate-limited-batches`
    pub drop_rate_limited_batches: Option<bool>,
    /// `-client.external-labels`, for every client.
    pub external_labels: BTreeMap<String, String>,
}

/// A flag that changes what the file says.
pub(super) struct Setting {
    name: &'static str,
    switch: bool,
    about: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A flag of the process itself or of the client.
struct Own {
    name: &'static str,
    switch: bool,
    about: &'static str,
    set: fn(&mut Flags, &str) -> Result<(), String>,
}

const fn own(name: &'static str, about: &'static str, set: fn(&mut Flags, &str) -> Result<(), String>) -> Own {
    Own { name, switch: false, about, set }
}

const fn own_switch(name: &'static str, about: &'static str, set: fn(&mut Flags, &str) -> Result<(), String>) -> Own {
    Own { name, switch: true, about, set }
}

const fn setting(name: &'static str, about: &'static str, set: fn(&mut Config, &str) -> Result<(), String>) -> Setting {
    Setting { name, switch: false, about, set }
}

const fn switch(name: &'static str, about: &'static str, set: fn(&mut Config, &str) -> Result<(), String>) -> Setting {
    Setting { name, switch: true, about, set }
}

static OWN: &[Own] = &[
    own("config.file", "configuration file; of several with commas between, the first that exists", |f, v| {
        f.files = v.split(',').map(str::trim).filter(|path| !path.is_empty()).map(PathBuf::from).collect();
        Ok(())
    }),
    own_switch("config.expand-env", "put environment variables into the file: ${VAR}, ${VAR:-default}", |f, v| {
        put_switch(&mut f.expand_env, v)
    }),
    own_switch("kubernetes", "take the built-in configuration for a node of Kubernetes; needs -client.url", |f, v| {
        put_switch(&mut f.kubernetes, v)
    }),
    own_switch("check-syntax", "read the configuration, say what is wrong with it, and end", |f, v| put_switch(&mut f.check_syntax, v)),
    own_switch("dry-run", "print entries in the place of sending them; positions stay as they are", |f, v| put_switch(&mut f.dry_run, v)),
    own_switch("inspect", "show on standard error what each stage does to each entry", |f, v| put_switch(&mut f.inspect, v)),
    own_switch("stdin", "read lines from standard input", |f, v| put_switch(&mut f.stdin, v)),
    own_switch("version", "print the version and end", |f, v| put_switch(&mut f.version, v)),
    own_switch("help", "print this and end", |f, v| put_switch(&mut f.help, v)),
    own_switch("h", "print this and end", |f, v| put_switch(&mut f.help, v)),
    own_switch("print-config-stderr", "print the configuration in force on standard error", |f, v| put_switch(&mut f.print_config, v)),
    own_switch("log-config-reverse-order", "log the configuration in force, the last key first", |f, v| put_switch(&mut f.log_config, v)),
    own("client.url", "push URL of a server, in addition to those of the file", |f, v| put_some(&mut f.client.url, v)),
    own("client.tenant-id", "its tenant", |f, v| put_some(&mut f.client.tenant_id, v)),
    own("client.batch-wait", "how long a batch of it waits for more", |f, v| put_some(&mut f.client.batch_wait, v)),
    own("client.batch-size-bytes", "how large its batches get", |f, v| put_some(&mut f.client.batch_size, v)),
    own("client.timeout", "how long a request may take", |f, v| put_some(&mut f.client.timeout, v)),
    own("client.min-backoff", "shortest pause before a request is tried again", |f, v| put_some(&mut f.client.min_backoff, v)),
    own("client.max-backoff", "longest pause", |f, v| put_some(&mut f.client.max_backoff, v)),
    own("client.max-retries", "how often a batch is tried again; 0 is for ever", |f, v| put_some(&mut f.client.max_retries, v)),
    own_switch("client.drop-rate-limited-batches", "drop batches that a server answers with 429", |f, v| {
        put_switch(f.client.drop_rate_limited_batches.get_or_insert_default(), v)
    }),
    own("client.external-labels", "labels for every client that has none in the file: a=1,b=2", |f, v| {
        for pair in v.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("\"{pair}\" is not name=value"))?;
            f.client.external_labels.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(())
    }),
    own("client.stream-lag-labels", "without effect", |_, _| Ok(())),
];

static SETTINGS: &[Setting] = &[
    setting("spool.dir", "where batches wait to be sent", |c, v| put(&mut c.spool.dir, v)),
    setting("spool.max-size", "most bytes that may wait", |c, v| put::<ByteSize>(&mut c.spool.max_size, v)),
    setting("positions.file", "where it is kept how far each source was read", |c, v| put(&mut c.positions.filename, v)),
    setting("positions.sync-period", "how often that is written", |c, v| put(&mut c.positions.sync_period, v)),
    switch("positions.ignore-invalid-yaml", "begin anew when it cannot be read", |c, v| {
        put_switch(&mut c.positions.ignore_invalid_yaml, v)
    }),
    setting("target.sync-period", "how often globs are looked at again", |c, v| put(&mut c.target_config.sync_period, v)),
    setting("file-watch.min_poll_frequency", "how often files are looked at, at least", |c, v| {
        put(&mut c.global.file_watch_config.min_poll_frequency, v)
    }),
    setting("file-watch.max_poll_frequency", "and at most, for those that are idle", |c, v| {
        put(&mut c.global.file_watch_config.max_poll_frequency, v)
    }),
    switch("limit.readline-rate-enabled", "bound the rate of lines", |c, v| put_switch(&mut c.limits_config.readline_rate_enabled, v)),
    setting("limit.readline-rate", "lines a second", |c, v| put(&mut c.limits_config.readline_rate, v)),
    setting("limit.readline-burst", "lines that may come at once", |c, v| put(&mut c.limits_config.readline_burst, v)),
    switch("limit.readline-rate-drop", "drop lines above the rate; else wait", |c, v| {
        put_switch(&mut c.limits_config.readline_rate_drop, v)
    }),
    setting("max-streams", "most streams in a batch; 0 is no bound", |c, v| put(&mut c.limits_config.max_streams, v)),
    setting("max-line-size", "longest line; 0 is no bound", |c, v| put::<ByteSize>(&mut c.limits_config.max_line_size, v)),
    switch("max-line-size-truncate", "cut longer lines; else they are dropped", |c, v| {
        put_switch(&mut c.limits_config.max_line_size_truncate, v)
    }),
    setting("log.level", "debug, info, warn or error", |c, v| put_word(&mut c.server.log_level, v)),
    setting("log.format", "logfmt or json", |c, v| put_word(&mut c.server.log_format, v)),
    switch("server.disable", "do not listen", |c, v| put_switch(&mut c.server.disable, v)),
    setting("server.http-listen-address", "address of the agent's own listener", |c, v| put(&mut c.server.http_listen_address, v)),
    setting("server.http-listen-port", "its port; 0 picks one", |c, v| put(&mut c.server.http_listen_port, v)),
    setting("server.http-conn-limit", "most connections to it", |c, v| put(&mut c.server.http_listen_conn_limit, v)),
    setting("server.path-prefix", "stands in front of its routes", |c, v| put(&mut c.server.http_path_prefix, v)),
    setting("server.external-url", "address that others reach it under", |c, v| put(&mut c.server.external_url, v)),
    switch("server.register-instrumentation", "serve /metrics", |c, v| put_switch(&mut c.server.register_instrumentation, v)),
    switch("server.health-check-target", "ready only when something is read", |c, v| put_switch(&mut c.server.health_check_target, v)),
    switch("server.enable-runtime-reload", "read the configuration anew at /reload", |c, v| {
        put_switch(&mut c.server.enable_runtime_reload, v)
    }),
    switch("server.profiling_enabled", "without effect", |c, v| put_switch(&mut c.server.profiling_enabled, v)),
    setting("server.graceful-shutdown-timeout", "how long stopping may take", |c, v| put(&mut c.server.graceful_shutdown_timeout, v)),
    setting("server.http-read-timeout", "longest that a request may take to come", |c, v| put(&mut c.server.http_server_read_timeout, v)),
    setting("server.http-read-header-timeout", "longest that its head may take", |c, v| {
        put(&mut c.server.http_server_read_header_timeout, v)
    }),
    setting("server.http-write-timeout", "longest that an answer may take", |c, v| put(&mut c.server.http_server_write_timeout, v)),
    setting("server.http-idle-timeout", "longest that a connection may be silent", |c, v| put(&mut c.server.http_server_idle_timeout, v)),
    setting("server.http-tls-cert-path", "certificate of the listener", |c, v| put_some(&mut tls(c).cert_file, v)),
    setting("server.http-tls-key-path", "its key", |c, v| put_some(&mut tls(c).key_file, v)),
    setting("server.http-tls-ca-path", "CA of client certificates", |c, v| put_some(&mut tls(c).client_ca_file, v)),
    setting("server.http-tls-client-auth", "how client certificates are asked for", |c, v| put_some(&mut tls(c).client_auth_type, v)),
    setting("server.grpc-listen-address", "without effect", |c, v| put(&mut c.server.grpc_listen_address, v)),
    setting("server.grpc-listen-port", "without effect", |c, v| put(&mut c.server.grpc_listen_port, v)),
];

/// Flags of the server that are taken and have no effect, after `server.`; those with `=` are switches.
const SERVER_IGNORED: &[&str] = &[
    "http-listen-network",
    "grpc-listen-network",
    "grpc-conn-limit",
    "grpc-max-recv-msg-size-bytes",
    "grpc-max-send-msg-size-bytes",
    "grpc-max-concurrent-streams",
    "grpc.keepalive.max-connection-idle",
    "grpc.keepalive.max-connection-age",
    "grpc.keepalive.max-connection-age-grace",
    "grpc.keepalive.time",
    "grpc.keepalive.timeout",
    "grpc.keepalive.min-time-between-pings",
    "grpc.keepalive.ping-without-stream-allowed=",
    "grpc.num-workers",
    "grpc-tls-cert-path",
    "grpc-tls-key-path",
    "grpc-tls-ca-path",
    "grpc-tls-client-auth",
    "tls-cipher-suites",
    "tls-min-version",
    "proxy-protocol-enabled=",
    "log-source-ips-enabled=",
    "log-source-ips-full=",
    "log-source-ips-header",
    "log-source-ips-regex",
    "log-request-headers=",
    "log-request-headers-exclude-list",
    "log-request-at-info-level-enabled=",
    "report-grpc-codes-in-instrumentation-label-enabled=",
];

impl Flags {
    /// Reads the arguments behind the name of the program.
    ///
    /// # Errors
    /// [`ConfigError::Usage`]: a flag that is not known, lacks its value or has a wrong one, or an argument that is no flag.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ConfigError> {
        let mut flags = Flags::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')).filter(|flag| !flag.is_empty()) else {
                return Err(ConfigError::Usage(format!("unexpected argument \"{argument}\"")));
            };
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
            let Some(known) = Known::find(name) else { return Err(unknown(name)) };
            let value = match value {
                Some(value) => value,
                None if known.is_switch() => "true".to_owned(),
                None => arguments.next().ok_or_else(|| ConfigError::Usage(format!("flag -{name} needs a value")))?,
            };
            known.take(&mut flags, value).map_err(|message| ConfigError::Usage(format!("flag -{name}: {message}")))?;
        }
        Ok(flags)
    }

    /// Puts the settings above those of `config`.
    pub(super) fn apply(&self, config: &mut Config) {
        for (setting, value) in &self.settings {
            (setting.set)(config, value).expect("the value was tried when the flag was read");
        }
    }

    /// Whether the setting `name` was given.
    pub fn sets(&self, name: &str) -> bool {
        self.settings.iter().any(|(setting, _)| setting.name == name)
    }

    /// The flags, one a line.
    pub fn help() -> String {
        let mut lines = vec!["Flags:".to_owned()];
        let own = OWN.iter().map(|flag| (flag.name, flag.switch, flag.about));
        for (name, switch, about) in own.chain(SETTINGS.iter().map(|flag| (flag.name, flag.switch, flag.about))) {
            let name = if switch { format!("-{name}") } else { format!("-{name} <value>") };
            lines.push(format!("  {name:<46} {about}"));
        }
        lines.push("Further -server.… flags of promtail are taken and have no effect.\n".to_owned());
        lines.join("\n")
    }
}

/// A flag that was found by its name.
enum Known {
    Own(&'static Own),
    Setting(&'static Setting),
    Ignored { switch: bool },
}

impl Known {
    fn find(name: &str) -> Option<Self> {
        let own = OWN.iter().find(|flag| flag.name == name).map(Known::Own);
        own.or_else(|| SETTINGS.iter().find(|flag| flag.name == name).map(Known::Setting)).or_else(|| {
            let name = name.strip_prefix("server.")?;
            let ignored = SERVER_IGNORED.iter().find(|known| known.trim_end_matches('=') == name)?;
            Some(Known::Ignored { switch: ignored.ends_with('=') })
        })
    }

    fn is_switch(&self) -> bool {
        match self {
            Known::Own(flag) => flag.switch,
            Known::Setting(flag) => flag.switch,
            Known::Ignored { switch } => *switch,
        }
    }

    fn take(self, flags: &mut Flags, value: String) -> Result<(), String> {
        match self {
            Known::Own(flag) => (flag.set)(flags, &value)?,
            Known::Setting(flag) => {
                (flag.set)(&mut Config::default(), &value)?;
                flags.settings.push((flag, value));
            }
            Known::Ignored { .. } => {}
        }
        Ok(())
    }
}

fn unknown(name: &str) -> ConfigError {
    let known = OWN.iter().map(|flag| flag.name).chain(SETTINGS.iter().map(|flag| flag.name));
    let hint = nearest(name, known).map(|nearest| format!("; did you mean -{nearest}?")).unwrap_or_default();
    ConfigError::Usage(format!("unknown flag -{name}{hint}"))
}

fn tls(config: &mut Config) -> &mut ServerTlsConfig {
    config.server.http_tls_config.get_or_insert_default()
}

fn put<T: FromStr>(place: &mut T, value: &str) -> Result<(), String>
where
    T::Err: std::fmt::Display,
{
    *place = value.parse().map_err(|error| format!("{error}"))?;
    Ok(())
}

fn put_some<T: FromStr>(place: &mut Option<T>, value: &str) -> Result<(), String>
where
    T::Err: std::fmt::Display,
{
    *place = Some(value.parse().map_err(|error| format!("{error}"))?);
    Ok(())
}

/// One of the words that the file may have there.
fn put_word<T: serde::de::DeserializeOwned>(place: &mut T, value: &str) -> Result<(), String> {
    let value = T::deserialize(value.into_deserializer());
    *place = value.map_err(|error: serde::de::value::Error| error.to_string())?;
    Ok(())
}

fn put_switch(place: &mut bool, value: &str) -> Result<(), String> {
    *place = match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
        _ => return Err(format!("\"{value}\" is neither true nor false")),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, String> {
        Flags::parse(line.split_whitespace().map(str::to_owned)).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let want = Flags { files: vec!["a.yml".into(), "b.yml".into()], dry_run: true, ..Flags::default() };
        for line in ["-config.file=a.yml,b.yml -dry-run", "--config.file a.yml,b.yml --dry-run=true", "-config.file a.yml,b.yml -dry-run=T"]
        {
            assert_eq!(parse(line), Ok(want.clone()), "{line}");
        }
        assert_eq!(parse("-stdin -stdin=false"), Ok(Flags::default()));
    }

    #[test]
    fn settings_change_the_configuration_in_their_order() {
        let line = "-server.http-listen-port=1 -server.http-listen-port 2 -max-line-size=256kb -log.level debug -positions.sync-period=1m \
                    -limit.readline-rate-drop=false -server.http-tls-cert-path=/c -server.grpc-conn-limit 5 -server.log-request-headers";
        let mut config = Config::default();
        parse(line).expect("all are known").apply(&mut config);
        let mut want = Config::default();
        want.server.http_listen_port = 2;
        want.server.log_level = skald_config::LogLevel::Debug;
        want.server.http_tls_config = Some(ServerTlsConfig { cert_file: Some("/c".to_owned()), ..ServerTlsConfig::default() });
        want.limits_config.max_line_size = ByteSize(256 << 10);
        want.limits_config.readline_rate_drop = false;
        want.positions.sync_period = Period::seconds(60);
        assert_eq!((config.server, config.limits_config), (want.server, want.limits_config));
        assert_eq!(config.positions, want.positions);
    }

    #[test]
    fn a_flag_that_is_wrong_is_named() {
        #[track_caller]
        fn check(line: &str, want: &str) {
            assert_eq!(parse(line).map(|_| ()), Err(want.to_owned()), "{line}");
        }
        check("-client.urls=x", "unknown flag -client.urls; did you mean -client.url?");
        check("--something-else", "unknown flag -something-else");
        check("-config.file", "flag -config.file needs a value");
        check("-dry-run=maybe", "flag -dry-run: \"maybe\" is neither true nor false");
        check("-dry-run true", "unexpected argument \"true\"");
        check("-positions.sync-period 5", "flag -positions.sync-period: \"5\" is not a duration such as 30s or 1h30m");
        check("-server.http-listen-port=70000", "flag -server.http-listen-port: number too large to fit in target type");
        check("-log.level=loud", "flag -log.level: unknown variant `loud`, expected one of `trace`, `debug`, `info`, `warn`, `error`");
        check("-client.external-labels=a", "flag -client.external-labels: \"a\" is not name=value");
        check("-", "unexpected argument \"-\"");
    }

    #[test]
    fn every_flag_stands_in_the_help_once() {
        let help = Flags::help();
        for name in OWN.iter().map(|flag| flag.name).chain(SETTINGS.iter().map(|flag| flag.name)) {
            let of_flag = help.lines().filter(|line| line.split_whitespace().next() == Some(&format!("-{name}")));
            assert_eq!(of_flag.count(), 1, "{name}");
        }
    }
}
