//! Prints entries.

use super::answer::Entry;
use super::args::{Cli, EntryArgs, OutputMode, When};
use super::console::Console;
use super::error::CliError;
use super::highlight::Highlight;
use super::time::{self, TimestampFormat};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use skald_model::Labels;
use std::collections::HashMap;

const BLUE: &str = "\x1b[34m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";
/// Colours from which a label set gets its own.
const SHADES: [&str; 10] =
    ["\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[33m", "\x1b[31m", "\x1b[96m", "\x1b[92m", "\x1b[95m", "\x1b[93m", "\x1b[91m"];

/// Prints entries batch by batch.
pub struct EntryPrinter<'a> {
    mode: OutputMode,
    format: TimestampFormat,
    zone: TimeZone,
    quiet: bool,
    args: &'a EntryArgs,
    colored: bool,
    highlight: Highlight,
}

/// Whether data goes out in colour.
pub fn is_colored(color: When, console: &Console) -> bool {
    match color {
        When::Auto => console.stdout_is_terminal && !console.no_color,
        When::Always => true,
        When::Never => false,
    }
}

impl<'a> EntryPrinter<'a> {
    /// A printer for the answers to `query`; tells on standard error which labels it leaves out.
    pub fn new(cli: &Cli, args: &'a EntryArgs, query: &str, console: &mut Console) -> Self {
        let quiet = cli.output.quiet;
        for (what, names) in [("Ignoring labels key", &args.exclude_label), ("Print only labels key", &args.include_label)] {
            if !quiet && !names.is_empty() {
                console.notice(&format!("{what}: {}", names.join(",")));
            }
        }
        let colored = is_colored(cli.output.color, console);
        EntryPrinter {
            mode: cli.output.output,
            format: cli.output.output_timestamp_format,
            zone: time::zone(cli.output.timezone),
            quiet,
            args,
            colored,
            highlight: if colored { Highlight::of_query(query) } else { Highlight::none() },
        }
    }

    /// Prints the entries of one batch in their order.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn print(&self, entries: &[Entry], console: &mut Console) -> Result<(), CliError> {
        let common = common_labels(entries);
        if !self.quiet && !common.is_empty() {
            console.notice(&format!("Common labels: {common}"));
        }
        self.print_without(&common, entries, console)
    }

    /// Prints entries as they come, with all their labels.
    ///
    /// # Errors
    /// [`CliError::Output`].
    pub fn follow(&self, entries: &[Entry], console: &mut Console) -> Result<(), CliError> {
        self.print_without(&Labels::empty(), entries, console)
    }

    fn print_without(&self, common: &Labels, entries: &[Entry], console: &mut Console) -> Result<(), CliError> {
        let mut shown: HashMap<&Labels, Shown> = HashMap::new();
        for entry in entries {
            shown.entry(&entry.labels).or_insert_with(|| self.show_labels(&entry.labels, common));
        }
        let width = shown.values().map(|s| s.text.chars().count()).max().unwrap_or(0).max(self.args.labels_length.into());
        let mut out = String::new();
        for entry in entries {
            match self.mode {
                OutputMode::Default => self.default_line(&mut out, entry, &shown[&entry.labels].text, width),
                OutputMode::Raw => out.push_str(entry.line.strip_suffix('\n').unwrap_or(&entry.line)),
                OutputMode::Jsonl => out.push_str(&self.json_line(entry, &shown[&entry.labels].pairs)),
            }
            out.push('\n');
            if out.len() > 1 << 16 {
                console.data(&out)?;
                out.clear();
            }
        }
        console.data(&out)?;
        console.flush()
    }

    fn show_labels(&self, labels: &Labels, common: &Labels) -> Shown {
        let is_common = |name: &str| common.get(name).is_some();
        let names = |list: &[String], name: &str| list.iter().any(|n| n == name);
        let wanted = |name: &str| match self.args.include_label.is_empty() {
            false => names(&self.args.include_label, name),
            true => self.args.include_common_labels || !is_common(name),
        };
        let kept = labels.iter().filter(|(name, _)| wanted(name) && !names(&self.args.exclude_label, name));
        let kept = Labels::from_pairs(kept).expect("a part of a label set has no name twice");
        Shown { text: kept.to_string(), pairs: kept }
    }

    fn default_line(&self, out: &mut String, entry: &Entry, labels: &str, width: usize) {
        let at = self.format.show(entry.at, &self.zone);
        let line = entry.line.trim();
        let label_color = match self.args.colored_output {
            true => SHADES[(entry.labels.fingerprint().0 % 10) as usize],
            false => RED,
        };
        self.colored(out, BLUE, &at);
        out.push(' ');
        if !self.args.no_labels {
            self.colored(out, label_color, &format!("{labels:width$}"));
            out.push(' ');
        }
        match level_color(&entry.labels) {
            Some(color) if self.colored => self.colored(out, color, &self.highlight.mark(line)),
            _ => out.push_str(&self.highlight.mark(line)),
        }
    }

    fn colored(&self, out: &mut String, color: &str, text: &str) {
        match self.colored {
            true => out.extend([color, text, RESET]),
            false => out.push_str(text),
        }
    }

    fn json_line(&self, entry: &Entry, labels: &Labels) -> String {
        let mut object = Map::new();
        if !self.args.no_labels {
            let labels = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            object.insert("labels".to_owned(), Value::Object(labels.collect()));
        }
        object.insert("line".to_owned(), entry.line.as_str().into());
        object.insert("timestamp".to_owned(), TimestampFormat::Rfc3339Nano.show(entry.at, &self.zone).into());
        Value::Object(object).to_string()
    }
}

/// What is printed of a label set.
struct Shown {
    text: String,
    pairs: Labels,
}

/// The labels that all entries have, with the same value.
fn common_labels(entries: &[Entry]) -> Labels {
    let Some(first) = entries.first() else { return Labels::empty() };
    let mut common: Vec<(&str, &str)> = first.labels.iter().collect();
    let mut last = &first.labels;
    for entry in entries {
        if entry.labels != *last {
            last = &entry.labels;
            common.retain(|(name, value)| last.get(name) == Some(value));
        }
    }
    Labels::from_pairs(common).expect("a part of a label set has no name twice")
}

fn level_color(labels: &Labels) -> Option<&'static str> {
    let level = labels.get("detected_level").or_else(|| labels.get("level"))?;
    match level.to_ascii_lowercase().as_str() {
        "fatal" | "critical" | "error" | "err" | "eror" => Some(RED),
        "warn" | "warning" => Some("\x1b[33m"),
        "debug" | "trace" => Some("\x1b[90m"),
        _ => None,
    }
}
