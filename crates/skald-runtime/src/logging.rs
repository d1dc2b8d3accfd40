use parking_lot::Mutex;
use skald_config::{LogFormat, LogLevel};
use std::fmt::{self, Write};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

/// Where log messages go, and by what their level changes.
pub struct Logging {
    /// Takes the messages.
    pub subscriber: Box<dyn Subscriber + Send + Sync>,
    /// Changes the level.
    pub control: LogControl,
}

impl Logging {
    /// Writes messages of `level` and above to `writer`, one a line.
    pub fn new<W>(level: LogLevel, format: LogFormat, writer: W) -> Self
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let (filter, handle) = reload::Layer::new(targets(level));
        let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
        let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
            LogFormat::Logfmt => Box::new(lines.fmt_fields(LogfmtFields).event_format(Logfmt)),
            LogFormat::Json => Box::new(lines.json().flatten_event(true).with_current_span(false)),
        };
        let subscriber = Box::new(tracing_subscriber::registry().with(lines.with_filter(filter)));
        let set = move |level| handle.reload(targets(level)).is_ok();
        Logging { subscriber, control: LogControl(Arc::new(Control { level: Mutex::new(level), set: Box::new(set) })) }
    }
}

/// Our own messages from `level` up; those of libraries from warnings up at least. What the search for credentials and region warns of at each
/// place that has none is for those who debug: where all fail, we say so.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let libraries = level.min(LevelFilter::WARN);
    let search = if level > LevelFilter::INFO { libraries } else { LevelFilter::ERROR };
    Targets::new().with_default(libraries).with_target("aws_config", search).with_target("skald", level)
}

/// The level of log messages, to be read and changed while the process runs. A cheap handle.
#[derive(Clone)]
pub struct LogControl(Arc<Control>);

struct Control {
    level: Mutex<LogLevel>,
    set: Box<dyn Fn(LogLevel) -> bool + Send + Sync>,
}

impl LogControl {
    /// The level in force.
    pub fn level(&self) -> LogLevel {
        *self.0.level.lock()
    }

    /// Changes the level; false when nothing is logging any more.
    pub fn set_level(&self, level: LogLevel) -> bool {
        let mut current = self.0.level.lock();
        let done = (self.0.set)(level);
        if done {
            *current = level;
        }
        done
    }
}

/// `ts=… level=info target=skald_ingester::flush msg="flushed" objects=3`, then the fields of the spans around it.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        // The time of a message is that of the machine: it stays right where the clock of a simulation does not reach.
        write!(writer, "ts={:.6} level={level} target={}", jiff::Timestamp::now(), metadata.target())?;
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        write!(writer, "{}{}", pairs.message, pairs.fields)?;
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<tracing_subscriber::fmt::FormattedFields<N>>() {
                writer.write_str(fields)?;
            }
        }
        writeln!(writer)
    }
}

/// Fields of a span in the same form.
struct LogfmtFields;

impl<'writer> FormatFields<'writer> for LogfmtFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut pairs = Pairs::default();
        fields.record(&mut pairs);
        write!(writer, "{}{}", pairs.message, pairs.fields)
    }
}

/// Collects fields, the message apart so that it comes first.
#[derive(Default)]
struct Pairs {
    message: String,
    fields: String,
}

impl Visit for Pairs {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field.name(), &chain(value));
    }
}

impl Pairs {
    fn put(&mut self, name: &str, value: &str) {
        let (out, name) = if name == "message" { (&mut self.message, "msg") } else { (&mut self.fields, name) };
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=');
        let written = if plain { write!(out, " {name}={value}") } else { write!(out, " {name}={value:?}") };
        written.expect("writing to a string succeeds");
    }
}

/// An error with all its causes on one line, for log fields.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(out, ": {error}").expect("writing to a string succeeds");
        cause = error.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, log: impl FnOnce(&LogControl)) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let logging = Logging::new(LogLevel::Info, format, move || writer.clone());
        tracing::subscriber::with_default(logging.subscriber, || log(&logging.control));
        let text = String::from_utf8(buffer.0.lock().clone()).expect("messages are text");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn logfmt_has_the_message_its_fields_and_those_of_the_spans() {
        let lines = logged(LogFormat::Logfmt, |_| {
            let _span = tracing::info_span!("push", tenant = "a b").entered();
            tracing::info!(bytes = 3, why = %"x=\"y\"\n", empty = "", "went well");
        });
        let (_, line) = lines[0].split_once(' ').expect("a time first");
        let want = r#"level=info target=skald_runtime::logging::tests msg="went well" bytes=3 why="x=\"y\"\n" empty="" tenant="a b""#;
        assert_eq!((lines.len(), line), (1, want));
        assert!(lines[0].starts_with("ts=2") && lines[0].contains("Z level"), "{}", lines[0]);
    }

    #[test]
    fn json_has_one_object_a_line() {
        let lines = logged(LogFormat::Json, |_| tracing::warn!(bytes = 3, "went well"));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("it is JSON");
        assert_eq!((&line["level"], &line["message"], &line["bytes"]), (&"WARN".into(), &"went well".into(), &3.into()));
    }

    #[test]
    fn the_level_changes_while_running_and_libraries_stay_quiet() {
        let lines = logged(LogFormat::Logfmt, |control| {
            tracing::debug!("one");
            tracing::warn!(target: "aws_config::imds", "no region here");
            assert!(control.set_level(LogLevel::Debug));
            assert_eq!(control.level(), LogLevel::Debug);
            tracing::debug!("two");
            tracing::debug!(target: "h2::frame", "three");
            tracing::warn!(target: "h2::frame", "four");
            tracing::warn!(target: "aws_config::imds", "five");
            assert!(control.set_level(LogLevel::Error));
            tracing::warn!("six");
        });
        let messages: Vec<_> = lines.iter().filter_map(|line| line.rsplit_once("msg=").map(|(_, message)| message)).collect();
        assert_eq!(messages, ["two", "four", "five"]);
    }

    #[test]
    fn errors_are_logged_with_their_causes() {
        let error = skald_config::ConfigError::Read { path: "x".into(), source: io::Error::other("disk on fire") };
        assert_eq!(chain(&error), "read x: disk on fire");
    }
}
