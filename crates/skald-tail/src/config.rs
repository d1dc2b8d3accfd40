use std::time::Duration;

/// How files are found and followed.
#[derive(Debug, Clone)]
pub struct TailConfig {
    /// Time between two looks at all directories, where the system does not report their changes. Where it does they are learned of at once, and a look once a minute is enough.
    pub sync_period: Duration,
    /// Where the system does not report changes: time between two looks at the files there, while any of them changes.
    pub poll_min: Duration,
    /// The same while none of them changes.
    pub poll_max: Duration,
    /// How long nothing must have been added to a file that left its path, until it is let go of. Its last line is then handed out even without its end.
    pub drain_idle: Duration,
    /// Longer lines are handed out in pieces of this many bytes.
    pub line_bytes_max: usize,
    /// Files held open at most; idle ones are closed and opened again when they change. None: half of what the system allows the process.
    pub descriptors_max: Option<usize>,
    /// Whether the system is asked to report changes (inotify).
    pub inotify: bool,
}

impl Default for TailConfig {
    fn default() -> Self {
        TailConfig {
            sync_period: Duration::from_secs(10),
            poll_min: Duration::from_millis(250),
            poll_max: Duration::from_millis(250),
            drain_idle: Duration::from_secs(10),
            line_bytes_max: 2 << 20,
            descriptors_max: None,
            inotify: true,
        }
    }
}

impl TailConfig {
    /// The bound on open files, with the system's limit filled in.
    pub(crate) fn descriptors(&self) -> usize {
        let allowed = || rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        self.descriptors_max.unwrap_or_else(|| usize::try_from(allowed() / 2).unwrap_or(usize::MAX)).max(8)
    }
}
