//! The argument tree.

use super::settings::DEFAULT_ADDRESS;
use super::time::TimestampFormat;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Skald, a log store: the server in one process, and its command line.
#[derive(Debug, Parser)]
#[command(name = "skald", version, disable_help_subcommand = true, args_override_self = true)]
#[command(after_help = "Exit codes: 0 done, 1 failure, 2 usage, 3 the server rejected the request, 4 no answer from the server.")]
pub struct Cli {
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// How to show answers.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: every service in one process.
    Serve(ServeArgs),
    /// Print the effective configuration.
    Config(ConfigArgs),
    /// Check every checksum of a data directory or bucket that no server uses, or build its indexes and manifests anew.
    Fsck(FsckArgs),
    /// What needs a running server.
    #[command(flatten)]
    Ask(Ask),
}

/// What needs a running server.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Send the lines of files to the server.
    Push(PushArgs),
    /// Run a LogQL query over a span of time.
    Query(QueryArgs),
    /// Follow a LogQL log query: recent entries, then new ones as they come.
    Tail(TailArgs),
    /// Run a LogQL metric query at one time.
    InstantQuery(InstantQueryArgs),
    /// List label names, or the values of one label.
    Labels(LabelsArgs),
    /// List the streams that match a selector.
    Series(SeriesArgs),
    /// Count what a selector covers: streams, chunks, bytes, entries.
    Stats(StatsArgs),
    /// Show which streams or labels have most bytes.
    Volume(VolumeArgs),
    /// Show how the bytes of streams or labels change over time.
    #[command(name = "volume_range")]
    VolumeRange(VolumeRangeArgs),
    /// List the fields that lines and structured metadata have, or the values of one field.
    DetectedFields(DetectedFieldsArgs),
}

/// How to reach the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Address of the server; a path prefix is allowed.
    #[arg(long, global = true, env = "LOKI_ADDR", default_value = DEFAULT_ADDRESS, hide_env_values = true)]
    pub addr: String,
    /// User name for basic authentication.
    #[arg(long, global = true, env = "LOKI_USERNAME", default_value = "", hide_default_value = true, hide_env_values = true)]
    pub username: String,
    /// Password for basic authentication.
    #[arg(long, global = true, env = "LOKI_PASSWORD", default_value = "", hide_default_value = true, hide_env_values = true)]
    pub password: String,
    /// Token for `Authorization: Bearer`.
    #[arg(long, global = true, env = "LOKI_BEARER_TOKEN", default_value = "", hide_default_value = true, hide_env_values = true)]
    pub bearer_token: String,
    /// File that holds the bearer token.
    #[arg(long, global = true, env = "LOKI_BEARER_TOKEN_FILE", default_value = "", hide_default_value = true)]
    pub bearer_token_file: String,
    /// Name of the header that carries the credentials.
    #[arg(long, global = true, env = "LOKI_AUTH_HEADER", default_value = "Authorization")]
    pub auth_header: String,
    /// Tenant, sent as X-Scope-OrgID; `a|b` asks several.
    #[arg(long, global = true, env = "LOKI_ORG_ID", default_value = "", hide_default_value = true)]
    pub org_id: String,
    /// Tags that the server logs with a query, sent as X-Query-Tags: `k=v,k=v`.
    #[arg(long, global = true, env = "LOKI_QUERY_TAGS", default_value = "", hide_default_value = true)]
    pub query_tags: String,
    /// Ask the server not to answer from its cache.
    #[arg(long, global = true, env = "LOKI_NO_CACHE")]
    pub nocache: bool,
    /// Header to send with each request, 'Name: value'; repeatable.
    #[arg(long, global = true, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// File with the certificates to trust instead of the usual ones.
    #[arg(long, global = true, env = "LOKI_CA_CERT_PATH", default_value = "", hide_default_value = true)]
    pub ca_cert: String,
    /// File with the certificate by which this client shows who it is.
    #[arg(long, global = true, env = "LOKI_CLIENT_CERT_PATH", default_value = "", hide_default_value = true)]
    pub cert: String,
    /// File with the private key of --cert.
    #[arg(long, global = true, env = "LOKI_CLIENT_KEY_PATH", default_value = "", hide_default_value = true)]
    pub key: String,
    /// Do not check the certificate of the server.
    #[arg(long, global = true, env = "LOKI_TLS_SKIP_VERIFY")]
    pub tls_skip_verify: bool,
    /// Proxy to go through.
    #[arg(long, global = true, env = "LOKI_HTTP_PROXY_URL", default_value = "", hide_default_value = true, hide_env_values = true)]
    pub proxy_url: String,
    /// Take the proxy from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
    #[arg(long, global = true, env = "LOKI_ENV_PROXY")]
    pub envproxy: bool,
    /// Ask for gzip answers.
    #[arg(long, global = true, env = "LOKI_HTTP_COMPRESSION")]
    pub compress: bool,
    /// How often a failed request is sent again [default: 0, for push 10].
    #[arg(long, global = true, env = "LOKI_CLIENT_RETRIES")]
    pub retries: Option<u32>,
    /// Seconds to wait before the first retry; each further wait is twice as long [default: 0, for push 0.5].
    #[arg(long, global = true, env = "LOKI_CLIENT_MIN_BACKOFF", value_name = "SECONDS")]
    pub min_backoff: Option<u64>,
    /// Longest wait before a retry, in seconds [default: 30].
    #[arg(long, global = true, env = "LOKI_CLIENT_MAX_BACKOFF", value_name = "SECONDS")]
    pub max_backoff: Option<u64>,
}

/// How to show answers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// No URL, common labels or summary on standard error.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show what the query cost, on standard error.
    #[arg(long, global = true)]
    pub stats: bool,
    /// How to print entries.
    #[arg(short, long, global = true, value_enum, default_value_t = OutputMode::Default)]
    pub output: OutputMode,
    /// Zone in which times are shown, and read where they name none.
    #[arg(short = 'z', long, global = true, value_enum, default_value_t = Zone::Local, ignore_case = true)]
    pub timezone: Zone,
    /// Form of times in the default output.
    #[arg(long, global = true, value_enum, default_value_t = TimestampFormat::Rfc3339, ignore_case = true)]
    pub output_timestamp_format: TimestampFormat,
    /// When to colour: `auto` is only on a terminal and without NO_COLOR.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub color: When,
    /// When to show progress on standard error: `auto` is only on a terminal.
    #[arg(long, global = true, value_enum, default_value_t = When::Auto)]
    pub progress: When,
    /// Accepted, without effect.
    #[arg(long = "log.level", global = true, default_value = "error", hide = true)]
    pub log_level: String,
    /// Accepted, without effect.
    #[arg(long, global = true, default_value = "", hide = true)]
    pub cpuprofile: String,
    /// Accepted, without effect.
    #[arg(long, global = true, default_value = "", hide = true)]
    pub memprofile: String,
}

/// How to print entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputMode {
    /// Time, labels, line.
    Default,
    /// The line as it is.
    Raw,
    /// A JSON object for each entry.
    Jsonl,
}

/// A choice of zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Zone {
    /// The machine's.
    #[value(name = "Local")]
    Local,
    /// UTC.
    #[value(name = "UTC")]
    Utc,
}

/// When to do something that depends on who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A span of time.
#[derive(Debug, Args)]
pub struct TimeArgs {
    /// How far back from now to begin, such as 90m, 1h30m or 7d.
    #[arg(long, default_value = "1h")]
    pub since: String,
    /// First time inside: RFC 3339, a date, a time without zone (--timezone), epoch seconds or nanoseconds, now-3h.
    #[arg(long)]
    pub from: Option<String>,
    /// First time after; the same forms.
    #[arg(long)]
    pub to: Option<String>,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each line of a file becomes one entry, without its newline; a carriage return stays. Without --parse-time each line gets the \
time at which it is read, and no two lines of a run get the same. With --label the entries have exactly those labels; without, \
they have job=\"skald-push\" and, from a file, filename=\"FILE\".\n\nLines from standard input are sent before waiting for more. \
Batches that the server answers with 429 or 5xx are sent again, unchanged; a batch that it refuses with 400 or 413 is reported, the rest is \
still sent, and the exit code is 3.")]
pub struct PushArgs {
    /// Files to read; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Label of the entries; repeatable.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Take each entry's time from the beginning of its line; a line without one follows the line before it.
    #[arg(long)]
    pub parse_time: bool,
    /// Most bytes of lines in one request.
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    pub batch_bytes: u32,
    /// Most lines in one request.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_lines: u32,
}

/// Arguments of `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The query.
    pub query: String,
    /// Which time.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Most entries to print; 0 prints everything.
    #[arg(long, default_value_t = 30)]
    pub limit: u64,
    /// Most entries to ask for at once.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub batch: u32,
    /// Distance of the points of a metric query.
    #[arg(long)]
    pub step: Option<String>,
    /// Leave out entries that are nearer than this to the one before.
    #[arg(long)]
    pub interval: Option<String>,
    /// Oldest first.
    #[arg(long)]
    pub forward: bool,
    /// Print what the query did, operator by operator, instead of its answer.
    #[arg(long, conflicts_with_all = ["tail", "follow"])]
    pub explain: bool,
    /// Go on with new entries as they come.
    #[arg(short, long)]
    pub tail: bool,
    /// The same as --tail.
    #[arg(short, long)]
    pub follow: bool,
    /// With --tail: seconds to wait for entries that come late.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=5))]
    pub delay_for: u8,
    /// How to print entries.
    #[command(flatten)]
    pub entries: EntryArgs,
}

/// Arguments of `tail`.
#[derive(Debug, Args)]
#[command(after_help = "\
A connection that is lost is made anew, up to five times, from the time of the last entry. What the server could not send in time is told on \
standard error.")]
pub struct TailArgs {
    /// The query.
    pub query: String,
    /// How far back from now to begin, such as 90m, 1h30m or 7d.
    #[arg(long, default_value = "1h")]
    pub since: String,
    /// Most entries to begin with.
    #[arg(long, default_value_t = 30)]
    pub limit: u64,
    /// Seconds to wait for entries that come late.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=5))]
    pub delay_for: u8,
    /// How to print entries.
    #[command(flatten)]
    pub entries: EntryArgs,
}

/// How to print entries.
#[derive(Debug, Args)]
pub struct EntryArgs {
    /// Do not print labels.
    #[arg(long)]
    pub no_labels: bool,
    /// Label to leave out; repeatable.
    #[arg(long, value_name = "NAME")]
    pub exclude_label: Vec<String>,
    /// Label to print, and no other; repeatable.
    #[arg(long, value_name = "NAME")]
    pub include_label: Vec<String>,
    /// Print also the labels that all entries of a batch share.
    #[arg(long)]
    pub include_common_labels: bool,
    /// Least width of the labels.
    #[arg(long, default_value_t = 0)]
    pub labels_length: u16,
    /// Give each label set a colour of its own.
    #[arg(long)]
    pub colored_output: bool,
}

/// Arguments of `instant-query`.
#[derive(Debug, Args)]
pub struct InstantQueryArgs {
    /// The query.
    pub query: String,
    /// Time at which to evaluate it; the forms of --from [default: now].
    #[arg(long)]
    pub now: Option<String>,
    /// Most entries to print.
    #[arg(long, default_value_t = 30)]
    pub limit: u64,
    /// Print what the query did, operator by operator, instead of its answer.
    #[arg(long)]
    pub explain: bool,
    /// How to print entries.
    #[command(flatten)]
    pub entries: EntryArgs,
}

/// Arguments of `labels`.
#[derive(Debug, Args)]
pub struct LabelsArgs {
    /// Label whose values to list.
    pub name: Option<String>,
    /// Which time.
    #[command(flatten)]
    pub time: TimeArgs,
}

/// Arguments of `series`.
#[derive(Debug, Args)]
pub struct SeriesArgs {
    /// Selector of the streams; `{}` takes all.
    pub matcher: String,
    /// Which time.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Count instead how many values each label has.
    #[arg(long)]
    pub analyze_labels: bool,
}

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Selector of the streams.
    pub selector: String,
    /// Which time.
    #[command(flatten)]
    pub time: TimeArgs,
}

/// Arguments of `volume`.
#[derive(Debug, Args)]
pub struct VolumeArgs {
    /// Selector of the streams; `{}` takes all.
    pub selector: String,
    /// Which time.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Most series to print, the largest first.
    #[arg(long, default_value_t = 30)]
    pub limit: u32,
    /// Label to add up by; repeatable. Without it, those that the selector names.
    #[arg(long = "targetLabels", alias = "target-labels", value_name = "NAME")]
    pub target_labels: Vec<String>,
    /// Add up by the names of labels, whatever their values.
    #[arg(long = "aggregateByLabels", alias = "aggregate-by-labels")]
    pub aggregate_by_labels: bool,
}

/// Arguments of `volume_range`.
#[derive(Debug, Args)]
pub struct VolumeRangeArgs {
    /// What and which time.
    #[command(flatten)]
    pub volume: VolumeArgs,
    /// Distance of the points.
    #[arg(long, default_value = "1h")]
    pub step: String,
}

/// Arguments of `detected-fields`.
#[derive(Debug, Args)]
pub struct DetectedFieldsArgs {
    /// Log query whose entries to look at.
    pub query: String,
    /// Field whose values to list.
    pub field: Option<String>,
    /// Which time.
    #[command(flatten)]
    pub time: TimeArgs,
    /// Most fields, or values.
    #[arg(long, default_value_t = 100)]
    pub limit: u32,
    /// Most entries to look at.
    #[arg(long, default_value_t = 1000)]
    pub line_limit: u32,
    /// Sent to the server, which checks it against the span of time.
    #[arg(long, default_value = "10s")]
    pub step: String,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that holds the data; ./data when nothing else is configured.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the HTTP API.
    ///
    /// Without it, as configured; 127.0.0.1:3100 when nothing is.
    #[arg(long, value_name = "ADDRESS")]
    pub http_listen: Option<SocketAddr>,
    /// Address of gRPC.
    ///
    /// Without it, as configured; 127.0.0.1:9095 when nothing is.
    #[arg(long, value_name = "ADDRESS")]
    pub grpc_listen: Option<SocketAddr>,
    /// Where data objects live: file:///directory or s3://bucket/prefix.
    ///
    /// Without it, as configured; in the data directory when nothing is.
    #[arg(long, value_name = "URL")]
    pub storage: Option<String>,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Arguments of `fsck`.
#[derive(Debug, Args)]
pub struct FsckArgs {
    /// Configuration file of the server.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory that holds the data; ./data when nothing else is configured. A bucket can be looked at without one.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where data objects live, as in `storage.url`: file:///directory or s3://bucket/prefix.
    #[arg(long, value_name = "URL")]
    pub storage: Option<String>,
    /// Where the write-ahead log lies, as in `ingester.wal.dir`.
    #[arg(long, value_name = "DIR")]
    pub wal_dir: Option<PathBuf>,
    /// Build index and manifest of every tenant's day anew, from the footers of the data objects alone, instead of checking. Damaged blocks are
    /// found by checking only.
    #[arg(long)]
    pub rebuild: bool,
}

/// Reads the arguments of the process, the first of which is its name. `--no-<switch>` turns a switch off, also one that the
/// environment turns on.
///
/// # Errors
/// What clap has to say: help, the version or a usage error, with the exit code for it.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = without_client_options(Cli::command());
    let switches = switches(&command);
    let mut negated = false;
    let mut options_ended = false;
    let args: Vec<OsString> = args
        .into_iter()
        .map(|arg| {
            options_ended |= arg == "--";
            let name = arg.to_str().and_then(|arg| arg.strip_prefix("--no-")).filter(|name| switches.iter().any(|s| s == name));
            match name {
                Some(name) if !options_ended => {
                    negated = true;
                    format!("--{name}=false").into()
                }
                _ => arg,
            }
        })
        .collect();
    if negated {
        command = with_values(command);
    }
    Cli::from_arg_matches(&command.try_get_matches_from_mut(args)?).map_err(|error| error.format(&mut command))
}

/// Commands that ask no server have no use for the options of clients: their help leaves these out.
fn without_client_options(mut command: clap::Command) -> clap::Command {
    // Hands the options down to the commands.
    command.build();
    let hide = |arg: clap::Arg| {
        let is_of_clients = arg.is_global_set();
        arg.hide(is_of_clients)
    };
    ["serve", "config", "fsck"].into_iter().fold(command, |command, name| command.mut_subcommand(name, |sub| sub.mut_args(hide)))
}

fn switches(command: &clap::Command) -> Vec<String> {
    let own = command.get_arguments().filter(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    let own = own.filter_map(|arg| arg.get_long().map(str::to_owned));
    own.chain(command.get_subcommands().flat_map(switches)).collect()
}

/// The same tree, with switches that take `=true` and `=false`.
fn with_values(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(BoolishValueParser::new()),
        _ => arg,
    });
    command.mut_subcommands(with_values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &str) -> Result<Cli, clap::Error> {
        parse(args.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_tree_is_well_formed() {
        Cli::command().debug_assert();
        with_values(Cli::command()).debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for args in ["logcli --org-id=a -q query x --limit 5", "skald query --limit=5 x -q --org-id a"] {
            let cli = parsed(args).expect("valid");
            assert!(cli.output.quiet && cli.connection.org_id == "a", "{args}");
            assert!(matches!(cli.command, Command::Ask(Ask::Query(QueryArgs { limit: 5, .. }))), "{args}");
        }
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts_unless_it_is_a_list() {
        let cli = parsed("skald --org-id a labels --org-id b --header A:1 --header B:2 --since 1m --since 2m").expect("valid");
        assert_eq!((cli.connection.org_id.as_str(), cli.connection.header.len()), ("b", 2));
        assert!(matches!(cli.command, Command::Ask(Ask::Labels(LabelsArgs { time: TimeArgs { since, .. }, .. })) if since == "2m"));
    }

    #[test]
    fn help_shows_options_of_clients_only_to_clients() {
        let help = |command: &str| parsed(&format!("skald {command} --help")).expect_err("help").to_string();
        for command in ["serve", "config", "fsck"] {
            assert!(!help(command).contains("--bearer-token"), "{command}");
        }
        assert!(help("labels").contains("--bearer-token") && help("serve").contains("--data-dir"));
        assert!(parsed("skald serve --quiet").is_ok());
    }

    #[test]
    fn switches_can_be_turned_off() {
        assert!(!parsed("skald -q --no-quiet labels").expect("valid").output.quiet);
        assert!(parsed("skald --quiet labels --no-stats").expect("valid").output.quiet);
        let cli = parsed("skald query --no-labels --no-forward x").expect("valid");
        assert!(matches!(
            cli.command,
            Command::Ask(Ask::Query(QueryArgs { forward: false, entries: EntryArgs { no_labels: true, .. }, .. }))
        ));
        assert!(parsed("skald query --no-such x").is_err());
    }

    #[test]
    fn unknown_commands_are_usage_errors() {
        for args in ["skald follow {}", "skald tail {} --delay-for 6", "skald query", "skald --nope labels", "skald push"] {
            assert_eq!(parsed(args).expect_err(args).exit_code(), 2, "{args}");
        }
    }

    #[test]
    fn serve_without_arguments_leaves_everything_to_the_configuration() {
        let Command::Serve(serve) = parsed("skald serve").expect("valid").command else { panic!("not serve") };
        assert_eq!((serve.http_listen, serve.grpc_listen, serve.data_dir, serve.config, serve.storage), (None, None, None, None, None));
        let Command::Serve(serve) = parsed("skald serve --http-listen 127.0.0.1:1 --data-dir d").expect("valid").command else {
            panic!("not serve")
        };
        assert_eq!((serve.http_listen.map(|address| address.port()), serve.data_dir), (Some(1), Some("d".into())));
    }
}
