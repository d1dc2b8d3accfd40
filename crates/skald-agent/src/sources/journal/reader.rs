//! The machine's `journalctl`, whose output is read line by line.

use parking_lot::Mutex;
use skald_model::ErrorKind;
use skald_model::Timestamp;
use skald_model::seam::Spawner;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Most bytes of an entry as JSON; the bytes of what is not printable take four each.
const ENTRY_BYTES_MAX: usize = 16 << 20;
/// Lines that wait to be taken.
const QUEUE_LEN: usize = 64;
/// Most bytes kept of what journalctl says when it fails.
const COMPLAINT_BYTES_MAX: usize = 4 << 10;

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// There is no journalctl.
    #[error("{program} was not found: reading the journal needs systemd's journalctl")]
    NoProgram {
        /// What was looked for.
        program: String,
    },
    /// It cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// What was started.
        program: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl ReaderError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoProgram { .. } => ErrorKind::InvalidInput,
            Self::Start { .. } => ErrorKind::Unavailable,
        }
    }
}

/// What to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalQuery {
    /// `journalctl`, or a path to it.
    pub program: PathBuf,
    /// Directory with the journal's files; `None` is the machine's own journal.
    pub directory: Option<PathBuf>,
    /// Terms `FIELD=value`.
    pub terms: Vec<String>,
    /// Whether to go on for ever; else what there is.
    pub follow: bool,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartAt {
    /// Behind this entry.
    Behind(String),
    /// With the first entry of this time or later.
    Since(Timestamp),
}

impl JournalQuery {
    /// Arguments of journalctl.
    pub fn arguments(&self, from: &StartAt) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--output=json".into(), "--all".into(), "--no-pager".into()];
        if self.follow {
            arguments.extend(["--follow".into(), "--no-tail".into()]);
        }
        if let Some(directory) = &self.directory {
            arguments.extend(["--directory".into(), directory.into()]);
        }
        arguments.push(match from {
            StartAt::Behind(cursor) => format!("--after-cursor={cursor}").into(),
            StartAt::Since(time) => format!("--since=@{}", time.0.div_euclid(1_000_000_000)).into(),
        });
        arguments.extend(self.terms.iter().map(OsString::from));
        arguments
    }
}

/// A journalctl that runs. Killed when dropped.
pub(super) struct Reader {
    lines: mpsc::Receiver<Line>,
    child: Arc<Mutex<Child>>,
    complaint: oneshot::Receiver<String>,
}

/// A line, or how long one was that is too long.
pub(super) type Line = Result<Vec<u8>, TooLong>;

/// An entry that is larger than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong(pub(super) u64);

impl Reader {
    pub(super) fn start(query: &JournalQuery, from: &StartAt, spawner: &dyn Spawner) -> Result<Self, ReaderError> {
        let mut command = Command::new(&query.program);
        command.args(query.arguments(from)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&query.program, error))?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let (output, errors) = output.zip(errors).expect("both were asked for");
        let (give, lines) = mpsc::channel(QUEUE_LEN);
        let (complain, complaint) = oneshot::channel();
        spawner.spawn_thread("journal", Box::new(move || read_lines(output, ENTRY_BYTES_MAX, |line| give.blocking_send(line).is_ok())));
        spawner.spawn_thread("journal errors", Box::new(move || drop(complain.send(read_complaint(errors)))));
        Ok(Reader { lines, child: Arc::new(Mutex::new(child)), complaint })
    }

    /// The next line; `None` when journalctl has ended.
    pub(super) async fn next(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// How it ended, and what it said of that; to be called when there is no further line.
    pub(super) async fn end(mut self) -> (io::Result<ExitStatus>, String) {
        let complaint = (&mut self.complaint).await.unwrap_or_default();
        (self.kill(), complaint)
    }

    fn kill(&self) -> io::Result<ExitStatus> {
        let mut child = self.child.lock();
        // One that has ended already keeps its status.
        let _ = child.kill();
        child.wait()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn failed(program: &Path, error: io::Error) -> ReaderError {
    let program = program.display().to_string();
    match error.kind() {
        io::ErrorKind::NotFound => ReaderError::NoProgram { program },
        _ => ReaderError::Start { program, source: error },
    }
}

/// Gives each line of `from` to `give` until there is none, or `give` wants no more. Of one that is too long only its length is given.
fn read_lines(from: impl Read, max: usize, mut give: impl FnMut(Line) -> bool) {
    let mut from = BufReader::with_capacity(64 << 10, from);
    loop {
        let mut line = Vec::new();
        let read = from.by_ref().take(max as u64 + 1).read_until(b'\n', &mut line);
        let given = match read {
            // The end, or a pipe that is gone: both end the reading, and a line that has no end was not written to its end.
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                give(Ok(line))
            }
            Ok(len) if len > max => match skip_line(&mut from) {
                Ok(rest) => give(Err(TooLong(len as u64 + rest))),
                Err(_) => false,
            },
            Ok(_) | Err(_) => false,
        };
        if !given {
            return;
        }
    }
}

/// Reads up to the end of the line and says how many bytes that were.
fn skip_line(from: &mut impl BufRead) -> io::Result<u64> {
    from.skip_until(b'\n').map(|read| read as u64)
}

/// The last of what journalctl said, in one line.
fn read_complaint(mut from: impl Read) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(len @ 1..) = from.read(&mut piece) {
        kept.extend_from_slice(&piece[..len]);
        kept.drain(..kept.len().saturating_sub(COMPLAINT_BYTES_MAX));
    }
    String::from_utf8_lossy(&kept).trim().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_is_wanted() {
        let query = JournalQuery {
            program: "journalctl".into(),
            directory: Some("/var/log/journal".into()),
            terms: vec!["_TRANSPORT=kernel".to_owned()],
            follow: true,
        };
        let text = |query: &JournalQuery, from: StartAt| {
            let arguments = query.arguments(&from);
            arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        let want =
            "--output=json --all --no-pager --follow --no-tail --directory /var/log/journal --after-cursor=s=1;i=2 _TRANSPORT=kernel";
        assert_eq!(text(&query, StartAt::Behind("s=1;i=2".to_owned())), want);
        let query = JournalQuery { directory: None, terms: Vec::new(), follow: false, ..query };
        assert_eq!(text(&query, StartAt::Since(Timestamp(1_500_000_000))), "--output=json --all --no-pager --since=@1");
    }

    #[track_caller]
    fn check(bytes: &[u8], want: &[Result<&str, u64>]) {
        let mut found = Vec::new();
        read_lines(bytes, 5, |line| {
            found.push(line.map(|line| String::from_utf8(line).unwrap()).map_err(|long| long.0));
            true
        });
        let want: Vec<_> = want.iter().map(|line| line.map(str::to_owned)).collect();
        assert_eq!(found, want, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn lines_are_read_and_long_ones_skipped() {
        check(b"", &[]);
        check(b"one\n\ntwo\n", &[Ok("one"), Ok(""), Ok("two")]);
        check(b"12345\n123456\n1234567\n8\n", &[Ok("12345"), Err(7), Err(8), Ok("8")]);
        check(b"one\nunf", &[Ok("one")]);
        check(b"one\nunfinished", &[Ok("one"), Err(10)]);
    }

    #[test]
    fn of_a_complaint_the_end_is_kept() {
        let long = format!("{}\nthe end\n", "x".repeat(10_000));
        let complaint = read_complaint(long.as_bytes());
        assert!(complaint.ends_with("x; the end") && complaint.len() <= COMPLAINT_BYTES_MAX, "{}", complaint.len());
    }
}
