use super::error::CliError;
use super::time;
use jiff::tz::TimeZone;
use skald_model::Timestamp;
use std::io::{self, Read, Write};
use std::time::Duration;

/// Time, as a program without a runtime needs it.
pub trait CliClock {
    /// Wall clock.
    fn now(&self) -> Timestamp;
    /// Time since some fixed instant; never goes back.
    fn monotonic(&self) -> Duration;
    /// Returns after `duration`.
    fn sleep(&self, duration: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods, reason = "this is the clock that the constructors are given")]
impl CliClock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(0).plus(since)
    }

    fn monotonic(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// What a command reads, writes and takes the time from.
pub struct Console {
    /// Standard input.
    pub stdin: Box<dyn Read>,
    /// Standard output: data only.
    pub stdout: Box<dyn Write>,
    /// Standard error: everything else.
    pub stderr: Box<dyn Write>,
    /// Time.
    pub clock: Box<dyn CliClock>,
    /// Whether a person looks at standard output.
    pub stdout_is_terminal: bool,
    /// Whether a person looks at standard error.
    pub stderr_is_terminal: bool,
    /// Whether the environment asks for no colours (`NO_COLOR`).
    pub no_color: bool,
}

impl Console {
    /// Writes data.
    ///
    /// # Errors
    /// [`CliError::Output`] when standard output takes no more.
    pub fn data(&mut self, text: &str) -> Result<(), CliError> {
        self.stdout.write_all(text.as_bytes()).map_err(CliError::Output)
    }

    /// Hands buffered data over.
    ///
    /// # Errors
    /// [`CliError::Output`] when standard output takes no more.
    pub fn flush(&mut self) -> Result<(), CliError> {
        self.stdout.flush().map_err(CliError::Output)
    }

    /// Tells the user something, each line behind the time. A standard error that takes no more is no reason to stop.
    pub fn notice(&mut self, text: &str) {
        let stamp = time::notice_stamp(self.clock.now(), &TimeZone::system());
        let _ = text.trim_end().split('\n').try_for_each(|line| writeln!(self.stderr, "{stamp} {line}"));
    }
}

/// Opens a file that the user named.
///
/// # Errors
/// Those of the file system.
#[allow(clippy::disallowed_methods, reason = "the user's own files, named on the command line; nothing of a store is opened here")]
pub fn open_file(path: &std::path::Path) -> io::Result<std::fs::File> {
    std::fs::File::open(path)
}

/// Reads a small file that the user named: a certificate, a key, a token.
///
/// # Errors
/// Those of the file system, and `InvalidData` above one MiB.
pub fn read_small_file(path: &std::path::Path) -> io::Result<Vec<u8>> {
    const LEN_MAX: u64 = 1 << 20;
    let mut bytes = Vec::new();
    open_file(path)?.take(LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 1 MiB"));
    }
    Ok(bytes)
}
