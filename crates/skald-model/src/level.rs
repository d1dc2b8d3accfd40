/// The levels that detection normalises to. The number is the slot in per-level counts on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// No level could be found.
    Unknown = 0,
    /// `trace`
    Trace = 1,
    /// `debug`
    Debug = 2,
    /// `info`
    Info = 3,
    /// `warn`
    Warn = 4,
    /// `error`
    Error = 5,
    /// `critical`
    Critical = 6,
    /// `fatal`
    Fatal = 7,
}

impl Level {
    /// Metadata name under which the detected level of an entry is kept.
    pub const METADATA_NAME: &'static str = "detected_level";

    /// Every level, in slot order.
    pub const ALL: [Level; 8] =
        [Level::Unknown, Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical, Level::Fatal];

    /// The normalised text, as it stands in `detected_level`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Unknown => "unknown",
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
            Level::Fatal => "fatal",
        }
    }

    /// The level whose normalised text is exactly `text`, if there is one.
    pub fn from_normalised(text: &[u8]) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str().as_bytes() == text)
    }
}
