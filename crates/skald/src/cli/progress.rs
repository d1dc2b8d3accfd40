//! How far a long run is, on standard error.

use super::args::When;
use super::size::human_bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Redraws in a second.
const REDRAWS_PER_SECOND: u8 = 10;

/// A line that says how many lines and bytes are done, and how fast.
pub struct Progress {
    bar: ProgressBar,
    lines: Arc<AtomicU64>,
}

impl Progress {
    /// Shows progress when `when` says so; `Auto` is where a person looks at standard error. `total` is the number of bytes, where
    /// it is known.
    pub fn new(when: When, is_terminal: bool, total: Option<u64>) -> Self {
        let target = match when {
            When::Auto if is_terminal => ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND),
            When::Always => ProgressDrawTarget::term_like_with_hz(Box::new(PlainStderr), REDRAWS_PER_SECOND),
            When::Auto | When::Never => ProgressDrawTarget::hidden(),
        };
        let lines = Arc::new(AtomicU64::new(0));
        let bar = ProgressBar::with_draw_target(total, target).with_style(style(total.is_some(), lines.clone()));
        Progress { bar, lines }
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self::new(When::Never, false, None)
    }

    /// Counts what was done.
    pub fn add(&self, lines: u64, bytes: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    /// Runs `work`, which may write to the terminal, without the progress line in its way.
    pub fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }

    /// Takes the line away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(has_total: bool, lines: Arc<AtomicU64>) -> ProgressStyle {
    let template = match has_total {
        true => "{bar:30} {percent}%  {lines} lines  {done}  {rate}/s  {eta} left",
        false => "{spinner} {lines} lines  {done}  {rate}/s  {elapsed}",
    };
    let style = ProgressStyle::with_template(template).expect("the templates are well formed");
    style
        .with_key("lines", move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}", lines.load(Ordering::Relaxed));
        })
        .with_key("done", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&human_bytes(state.pos()));
        })
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = out.write_str(&human_bytes(state.per_sec() as u64));
        })
}

/// Standard error as a terminal, whatever it is.
#[derive(Debug)]
struct PlainStderr;

impl PlainStderr {
    fn put(&self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    fn step(&self, n: usize, letter: char) -> io::Result<()> {
        if n == 0 { Ok(()) } else { self.put(&format!("\x1b[{n}{letter}")) }
    }
}

impl TermLike for PlainStderr {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.step(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.step(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.step(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.step(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.put(&format!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}
