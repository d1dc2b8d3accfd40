//! `push`: sends the lines of files.

pub(super) mod batch;
mod leading;
mod lines;
mod sender;
mod stamp;

use super::args::{Cli, PushArgs};
use super::client::Client;
use super::console::{Console, open_file};
use super::error::CliError;
use super::progress::Progress;
use super::size::human_bytes;
use super::time;
use batch::Batch;
use lines::{LINE_LEN_MAX, Line, Lines};
use sender::Sender;
use skald_model::Labels;
use stamp::Stamper;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// Bytes that are read at a time.
const READ_LEN: usize = 1 << 20;

/// What happened to the lines that were read.
#[derive(Debug, Default)]
struct Tally {
    /// Entries of batches that the server took.
    sent: u64,
    /// Bytes of their lines.
    sent_bytes: u64,
    /// Batches that the server took.
    batches: u64,
    /// Entries of batches that the server refused, or that did not reach it.
    refused: u64,
    /// Batches of which that is true.
    refused_batches: u64,
    /// Lines with bytes that were replaced because they are not UTF-8.
    replaced: u64,
    /// Lines in which no time was found, where times were to be found.
    timeless: u64,
    /// Lines that are longer than any server takes, and were not sent.
    too_long: u64,
    /// Files that could not be read to their end.
    unread_files: u64,
}

/// Sends the lines of all files, one after the other, and returns the exit code.
///
/// # Errors
/// What ends the run early: no answer from the server, or refusals that the rest would meet too.
pub fn run(client: &Client, args: &PushArgs, cli: &Cli, console: &mut Console) -> Result<u8, CliError> {
    let labels = labels(&args.label)?;
    let started = console.clock.monotonic();
    let progress = match cli.output.quiet {
        true => Progress::hidden(),
        false => Progress::new(cli.output.progress, console.stderr_is_terminal, total_len(&args.files)),
    };
    let stamper = Stamper::new(args.parse_time, time::zone(cli.output.timezone));
    let mut run = Run { sender: Sender::new(client, cli.output.quiet), args, stamper, progress, tally: Tally::default() };
    let result = args.files.iter().try_for_each(|file| run.push_file(file, labels.as_ref(), console));
    run.progress.finish();
    let took = console.clock.monotonic().saturating_sub(started);
    run.tally.timeless = run.stamper.timeless();
    run.tally.report(took, cli.output.quiet, console);
    result.map(|()| run.tally.exit_code())
}

struct Run<'a> {
    sender: Sender<'a>,
    args: &'a PushArgs,
    stamper: Stamper,
    progress: Progress,
    tally: Tally,
}

impl Run<'_> {
    /// Sends the lines of one file. A file that cannot be read is told, and no reason to leave out the next.
    fn push_file(&mut self, path: &Path, labels: Option<&Labels>, console: &mut Console) -> Result<(), CliError> {
        let is_stdin = path == Path::new("-");
        let input: Box<dyn Read> = match is_stdin {
            true => std::mem::replace(&mut console.stdin, Box::new(std::io::empty())),
            false => match open_file(path) {
                Ok(file) => Box::new(file),
                Err(error) => {
                    self.tell_unreadable(path, &error, console);
                    return Ok(());
                }
            },
        };
        let labels = labels.cloned().unwrap_or_else(|| default_labels(path, is_stdin));
        let mut lines = Lines::new(BufReader::with_capacity(READ_LEN, input));
        let mut batch = Batch::new(&labels);
        if let Err(error) = lines.peek().map(|bytes| self.stamper.begin_file(bytes, console.clock.now())) {
            self.tell_unreadable(path, &error, console);
            return Ok(());
        }
        let may_wait = is_stdin || regular_len(path).is_none();
        loop {
            // Whoever feeds a pipe may wait for long; what has come is not held back that time.
            if may_wait && lines.reader().buffer().is_empty() {
                self.send(&mut batch, console)?;
            }
            match lines.next() {
                Ok(Some(line)) => self.push_line(line, &mut batch, path, console)?,
                Ok(None) => break,
                Err(error) => {
                    self.tell_unreadable(path, &error, console);
                    break;
                }
            }
        }
        self.send(&mut batch, console)
    }

    fn push_line(&mut self, line: Line<'_>, batch: &mut Batch, path: &Path, console: &mut Console) -> Result<(), CliError> {
        match line {
            Line::Text { text, replaced } => {
                self.tally.replaced += u64::from(replaced);
                let at = self.stamper.stamp(&text, console.clock.now());
                if !batch.has_room(text.len(), self.args.batch_bytes as usize, self.args.batch_lines as usize) {
                    self.send(batch, console)?;
                }
                batch.add(at, text.into_owned());
            }
            Line::TooLong { number } => {
                self.tally.too_long += 1;
                let text = format!("{}: line {number} is longer than {LINE_LEN_MAX} bytes and was not sent", path.display());
                self.progress.aside(|| console.notice(&text));
            }
        }
        Ok(())
    }

    fn tell_unreadable(&mut self, path: &Path, error: &std::io::Error, console: &mut Console) {
        self.tally.unread_files += 1;
        self.progress.aside(|| console.notice(&format!("read {}: {error}", path.display())));
    }

    fn send(&mut self, batch: &mut Batch, console: &mut Console) -> Result<(), CliError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (lines, bytes) = (batch.len() as u64, batch.bytes() as u64);
        let taken = self.sender.send(&batch.take_request(), &self.progress, console);
        if matches!(taken, Ok(true)) {
            self.tally.sent += lines;
            self.tally.sent_bytes += bytes;
            self.tally.batches += 1;
        } else {
            self.tally.refused += lines;
            self.tally.refused_batches += 1;
        }
        // The newlines count as done too.
        self.progress.add(lines, bytes + lines);
        taken.map(|_| ())
    }
}

impl Tally {
    fn report(&self, took: Duration, quiet: bool, console: &mut Console) {
        let some = |count: u64, text: String| if count > 0 { format!("; {text}") } else { String::new() };
        let (lines, files) = (|n| count(n, "line", "lines"), |n| count(n, "file", "files"));
        let batches = |n| count(n, "batch", "batches");
        let was = |n: u64| if n == 1 { "was" } else { "were" };
        let losses = [
            some(
                self.refused,
                format!(
                    "{} in {} {} not taken (of a refused batch the server may have kept the valid ones)",
                    lines(self.refused),
                    batches(self.refused_batches),
                    was(self.refused)
                ),
            ),
            some(self.too_long, format!("{} {} too long to send", lines(self.too_long), was(self.too_long))),
            some(self.unread_files, format!("{} could not be read", files(self.unread_files))),
            some(
                self.timeless,
                format!(
                    "{} {} the time of reading, because none was found in the file before",
                    lines(self.timeless),
                    if self.timeless == 1 { "has" } else { "have" }
                ),
            ),
            some(self.replaced, format!("{} {} not UTF-8: invalid bytes were replaced", lines(self.replaced), was(self.replaced))),
        ]
        .concat();
        if quiet && losses.is_empty() {
            return;
        }
        let (seconds, bytes) = (took.as_secs_f64(), human_bytes(self.sent_bytes));
        let rate = human_bytes((self.sent_bytes as f64 / seconds.max(1e-3)) as u64);
        console.notice(&format!("sent {}, {bytes}, in {}; {seconds:.1} s, {rate}/s{losses}", lines(self.sent), batches(self.batches)));
    }

    fn exit_code(&self) -> u8 {
        match (self.refused + self.too_long, self.unread_files) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 3,
        }
    }
}

/// `1 line`, `2 lines`.
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// The labels that the user gave, if any.
fn labels(given: &[String]) -> Result<Option<Labels>, CliError> {
    let usage = |text: String| CliError::Usage(format!("--label {text}"));
    let mut pairs = Vec::new();
    for label in given {
        let (name, value) = label.split_once('=').ok_or_else(|| usage(format!("{label:?}: must be NAME=VALUE")))?;
        if name.is_empty() || value.is_empty() {
            return Err(usage(format!("{label:?}: name and value must not be empty")));
        }
        if !is_selectable(name) {
            return Err(usage(format!("{label:?}: a name is of letters, digits and _, and does not begin with a digit")));
        }
        pairs.push((name, value));
    }
    let labels = (!pairs.is_empty()).then(|| Labels::from_pairs(pairs)).transpose();
    labels.map_err(|error| usage(error.to_string()))
}

/// Whether queries can select by a label of this name.
fn is_selectable(name: &str) -> bool {
    let is_of_words = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_of_words && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn default_labels(path: &Path, is_stdin: bool) -> Labels {
    let name = if is_stdin { String::new() } else { path.to_string_lossy().into_owned() };
    Labels::from_pairs([("job", "skald-push"), ("filename", &name)]).expect("two names")
}

/// Bytes of all files, if all are files of known size.
fn total_len(files: &[std::path::PathBuf]) -> Option<u64> {
    files.iter().map(|path| regular_len(path)).sum()
}

/// Bytes of `path` if it is a file and not a pipe, a terminal or standard input.
fn regular_len(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, want: Result<&str, &str>) {
        let found = labels(&[given.to_owned()]).map(|labels| labels.map_or_else(String::new, |labels| labels.to_string()));
        assert_eq!(found.map_err(|error| error.to_string()), want.map(str::to_owned).map_err(str::to_owned), "{given}");
    }

    #[test]
    fn labels_have_names_that_queries_can_select_by() {
        check("a=b", Ok(r#"{a="b"}"#));
        check("_A9=b c=d", Ok(r#"{_A9="b c=d"}"#));
        check("a", Err(r#"--label "a": must be NAME=VALUE"#));
        check("a=", Err(r#"--label "a=": name and value must not be empty"#));
        for given in ["a b=c", "9a=c", "é=c", "a.b=c"] {
            check(given, Err(&format!("--label {given:?}: a name is of letters, digits and _, and does not begin with a digit")));
        }
    }
}
