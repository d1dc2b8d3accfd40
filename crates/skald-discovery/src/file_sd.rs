//! Targets that stand in files which other programs write.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use globset::{GlobBuilder, GlobMatcher};
use skald_model::Timestamp;
use skald_model::seam::{Clock, Disk, Spawner, run_blocking};
use tracing::warn;

use crate::config::{FileSdConfig, StaticConfig};
use crate::fixed::targets;
use crate::{Discovery, DiscoveryStats, TargetGroup, Update};

/// The label that names the file of a target.
const FILE_PATH: &str = "__meta_filepath";
/// How often files are looked at for a change of their size or time.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most files that one pattern may find.
const FILES_MAX: usize = 10_000;

/// Why patterns are refused.
#[derive(Debug, thiserror::Error)]
pub enum FilePatternError {
    /// Only these can be read.
    #[error("'{0}' does not end in .json, .yml or .yaml")]
    Suffix(String),
    /// Its folder has wildcards.
    #[error("'{0}' has a wildcard before its last '/'")]
    Folder(String),
    /// It is no pattern.
    #[error("'{pattern}' is not a pattern")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        #[source]
        source: globset::Error,
    },
}

/// The targets of `file_sd_configs`: one group for each file, told again when the file changes, and told empty when it is gone.
///
/// A file that cannot be read or understood is counted and keeps the targets that it had.
pub struct FileDiscovery {
    files: Arc<Files>,
    refresh: Duration,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    stats: Arc<DiscoveryStats>,
    /// What is known of each file.
    known: HashMap<PathBuf, Known>,
    pending: VecDeque<Update>,
    /// When all files are read again, by the monotonic clock; `None` before the first time.
    next_refresh: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Timestamp,
}

struct Known {
    stamp: Stamp,
    lists: Vec<StaticConfig>,
}

/// Where to look.
struct Files {
    disk: Arc<dyn Disk>,
    patterns: Vec<(PathBuf, GlobMatcher)>,
}

/// What one look found: each file, and its lists if it had to be read.
type Look = BTreeMap<PathBuf, (Stamp, Option<Result<Vec<StaticConfig>, ReadError>>)>;

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0} bytes, at most {FILE_BYTES_MAX} are read")]
    TooLarge(u64),
    #[error("not a list of targets: {0}")]
    Malformed(String),
}

impl FileDiscovery {
    /// Looks for files by the patterns of `config`.
    ///
    /// # Errors
    /// [`FilePatternError`].
    pub fn new(
        config: &FileSdConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        stats: Arc<DiscoveryStats>,
    ) -> Result<Self, FilePatternError> {
        let patterns = config.files.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>()?;
        Ok(FileDiscovery {
            files: Arc::new(Files { disk, patterns }),
            refresh: config.refresh_interval,
            clock,
            spawner,
            stats,
            known: HashMap::new(),
            pending: VecDeque::new(),
            next_refresh: None,
        })
    }

    async fn look(&mut self) {
        let now = self.clock.monotonic();
        let all = self.next_refresh.is_none_or(|at| now >= at);
        let known: HashMap<PathBuf, Stamp> = match all {
            true => HashMap::new(),
            false => self.known.iter().map(|(path, known)| (path.clone(), known.stamp)).collect(),
        };
        let files = Arc::clone(&self.files);
        let Ok(look) = run_blocking(&*self.spawner, move || files.look(&known)).await else { return };
        let first = self.next_refresh.is_none();
        if all {
            self.next_refresh = Some(now + self.refresh);
        }
        match look {
            Ok(look) => self.take(look),
            Err(error) => {
                self.stats.count_failure();
                warn!(error = %error, "cannot list files of targets");
            }
        }
        if first {
            self.pending.push_back(Update::Synced);
        }
    }

    fn take(&mut self, look: Look) {
        let gone: Vec<PathBuf> = self.known.keys().filter(|path| !look.contains_key(*path)).cloned().collect();
        for path in gone {
            self.known.remove(&path);
            self.tell(&path, &[]);
        }
        for (path, (stamp, read)) in look {
            match read {
                Some(Ok(lists)) => {
                    if self.known.get(&path).is_none_or(|known| known.lists != lists) {
                        self.tell(&path, &lists);
                    }
                    self.known.insert(path, Known { stamp, lists });
                }
                Some(Err(error)) => {
                    self.stats.count_failure();
                    warn!(path = %path.display(), error = %error, "cannot read a file of targets, those that it had stay");
                    // It is not read again before it changes, or all files are.
                    let lists = self.known.remove(&path).map(|known| known.lists).unwrap_or_default();
                    self.known.insert(path, Known { stamp, lists });
                }
                None => {}
            }
        }
    }

    fn tell(&mut self, path: &Path, lists: &[StaticConfig]) {
        let path = path.display().to_string();
        let with_path = |mut labels: Vec<(String, String)>| {
            labels.retain(|(name, _)| name != FILE_PATH);
            labels.push((FILE_PATH.to_owned(), path.clone()));
            labels
        };
        let targets = lists.iter().flat_map(targets).map(with_path).collect();
        self.stats.count_update();
        self.pending.push_back(Update::Group(TargetGroup { source: path.clone(), targets }));
    }
}

#[async_trait]
impl Discovery for FileDiscovery {
    async fn next(&mut self) -> Update {
        loop {
            if let Some(update) = self.pending.pop_front() {
                return update;
            }
            if self.next_refresh.is_some() {
                self.clock.sleep(LOOK_INTERVAL.min(self.refresh)).await;
            }
            self.look().await;
        }
    }
}

impl Files {
    /// Files that match, each once; those whose stamp is not that of `known` are read.
    fn look(&self, known: &HashMap<PathBuf, Stamp>) -> io::Result<Look> {
        let mut look = Look::new();
        for (folder, pattern) in &self.patterns {
            let entries = match self.disk.list(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries.into_iter().filter(|entry| !entry.is_dir && pattern.is_match(&entry.name)).take(FILES_MAX) {
                let (path, stamp) = (folder.join(&entry.name), Stamp { len: entry.len, modified: entry.modified });
                let read = (known.get(&path) != Some(&stamp)).then(|| self.read(&path, entry.len));
                look.insert(path, (stamp, read));
            }
        }
        Ok(look)
    }

    fn read(&self, path: &Path, len: u64) -> Result<Vec<StaticConfig>, ReadError> {
        if len > FILE_BYTES_MAX {
            return Err(ReadError::TooLarge(len));
        }
        let bytes = self.disk.read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| ReadError::Malformed(error.to_string()))?;
        // JSON is YAML.
        let lists: Option<Vec<StaticConfig>> =
            serde_saphyr::from_str(text).map_err(|error| ReadError::Malformed(error.without_snippet().to_string()))?;
        Ok(lists.unwrap_or_default())
    }
}

fn compile(pattern: &str) -> Result<(PathBuf, GlobMatcher), FilePatternError> {
    if !["json", "yml", "yaml"].iter().any(|suffix| pattern.ends_with(&format!(".{suffix}"))) {
        return Err(FilePatternError::Suffix(pattern.to_owned()));
    }
    let (folder, name) =
        pattern.rsplit_once('/').map_or((".", pattern), |(folder, name)| (if folder.is_empty() { "/" } else { folder }, name));
    if folder.contains(['*', '?', '[', '{']) {
        return Err(FilePatternError::Folder(pattern.to_owned()));
    }
    let wrong = |source| FilePatternError::Pattern { pattern: pattern.to_owned(), source };
    let glob = GlobBuilder::new(name).literal_separator(true).build().map_err(wrong)?;
    Ok((PathBuf::from(folder), glob.compile_matcher()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_runtime::{Metrics, StdDisk, SystemClock, TokioSpawner};

    fn discovery(folder: &Path, patterns: &[&str]) -> Result<FileDiscovery, FilePatternError> {
        let files = patterns.iter().map(|pattern| format!("{}/{pattern}", folder.display())).collect();
        let config = FileSdConfig { files, refresh_interval: Duration::from_millis(20) };
        let spawner = Arc::new(TokioSpawner::new(&Metrics::new("test")));
        FileDiscovery::new(&config, Arc::new(StdDisk), Arc::new(SystemClock::new()), spawner, Arc::default())
    }

    /// The next group: file name and its targets' addresses with the label `env`.
    async fn group(discovery: &mut FileDiscovery) -> (String, Vec<String>) {
        let Update::Group(group) = discovery.next().await else { panic!("no group") };
        let label = |labels: &Vec<(String, String)>, name: &str| {
            labels.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, value)| value.clone())
        };
        assert!(group.targets.iter().all(|labels| label(labels, FILE_PATH) == group.source));
        let targets = group.targets.iter().map(|labels| format!("{} {}", label(labels, "__address__"), label(labels, "env"))).collect();
        (group.source.rsplit('/').next().unwrap_or_default().to_owned(), targets)
    }

    #[tokio::test]
    async fn files_are_told_as_they_come_change_break_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
        write("a.json", r#"[{"targets": ["one"], "labels": {"env": "x"}}]"#);
        write("other.txt", "no targets");
        let mut subject = discovery(folder.path(), &["*.json", "*.yaml"]).expect("a pattern");
        assert_eq!(group(&mut subject).await, ("a.json".to_owned(), vec!["one x".to_owned()]));
        assert_eq!(subject.next().await, Update::Synced);
        write("b.yaml", "- labels: {env: y}\n");
        assert_eq!(group(&mut subject).await, ("b.yaml".to_owned(), vec!["localhost y".to_owned()]));
        // Broken, it keeps what it had; right again, the change is told.
        write("a.json", "[{");
        while subject.stats.failures() == 0 {
            subject.look().await;
        }
        assert!(subject.pending.is_empty());
        write("a.json", r#"[{"targets": ["two", "three"]}]"#);
        assert_eq!(group(&mut subject).await, ("a.json".to_owned(), vec!["two ".to_owned(), "three ".to_owned()]));
        std::fs::remove_file(folder.path().join("a.json")).expect("removes");
        assert_eq!(group(&mut subject).await, ("a.json".to_owned(), Vec::new()));
    }

    #[tokio::test]
    async fn patterns_name_files_of_one_folder() {
        let folder = Path::new("/etc/targets");
        let refusal = |pattern: &str| discovery(folder, &[pattern]).err();
        assert!(refusal("*.json").is_none() && refusal("a.yml").is_none());
        assert!(matches!(refusal("*.txt"), Some(FilePatternError::Suffix(_))));
        assert!(matches!(refusal("*/a.json"), Some(FilePatternError::Folder(_))));
        assert!(matches!(refusal("[a.json"), Some(FilePatternError::Pattern { .. })));
    }
}
