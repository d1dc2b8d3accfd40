use super::fold::Fold;
use super::plain::{self, Plain, PlainError};
use super::sidecar::{Sidecar, SidecarError};
use super::{PositionsConfig, PositionsError};
use skald_model::seam::{Clock, Disk};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_64;

/// How long the position of a file is kept whose path is gone and that nobody reads.
const GONE_KEPT: Duration = Duration::from_secs(3600);
/// States of the plain file that may be on the disk after failed writes.
const PLAIN_LEN_MAX: usize = 8;

/// Reads and writes both files of positions.
pub(crate) struct PositionsStore {
    config: PositionsConfig,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    /// What the plain file may hold, by hash.
    on_disk: Vec<Option<u64>>,
    /// Since when the path of a file is gone.
    gone_since: BTreeMap<PathBuf, Duration>,
}

/// What was found at start.
pub(crate) struct Loaded {
    pub(crate) fold: Fold,
    pub(crate) clients: BTreeMap<String, u64>,
}

impl PositionsStore {
    pub(crate) fn new(config: PositionsConfig, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        PositionsStore { config, disk, clock, on_disk: vec![None], gone_since: BTreeMap::new() }
    }

    pub(crate) fn config(&self) -> &PositionsConfig {
        &self.config
    }

    /// Reads both files. Where somebody else wrote the plain file since, it has the last word.
    pub(crate) fn load(&mut self) -> Result<Loaded, PositionsError> {
        let plain_bytes = self.read(&self.config.filename)?;
        let plain = self.parse_plain(plain_bytes.as_deref())?;
        let hash = plain_bytes.as_deref().map(xxh3_64);
        let sidecar = self.read_sidecar()?;
        self.on_disk = vec![hash];
        let Some(Sidecar { fold, clients, plain: written }) = sidecar else {
            return Ok(Loaded { fold: Fold { plain: plain.offsets, cursors: plain.cursors, ..Fold::default() }, clients: BTreeMap::new() });
        };
        let fold = if written.contains(&hash) { fold } else { overruled(fold, plain) };
        Ok(Loaded { fold, clients })
    }

    fn parse_plain(&self, bytes: Option<&[u8]>) -> Result<Plain, PositionsError> {
        match Plain::parse(bytes.unwrap_or_default()) {
            Err(error) if self.config.ignore_invalid_yaml => {
                warn!(path = %self.config.filename.display(), %error, "positions file is invalid, beginning without it");
                Ok(Plain::default())
            }
            parsed => parsed
                .map_err(|error: PlainError| PositionsError::Invalid { path: self.config.filename.clone(), reason: error.to_string() }),
        }
    }

    fn read_sidecar(&self) -> Result<Option<Sidecar>, PositionsError> {
        let path = self.config.sidecar();
        let Some(bytes) = self.read(&path)? else { return Ok(None) };
        match Sidecar::parse(&bytes) {
            Ok(sidecar) => Ok(Some(sidecar)),
            Err(SidecarError::Newer(version)) => Err(PositionsError::Newer { path, version }),
            Err(SidecarError::Damaged(error)) => {
                warn!(path = %path.display(), %error, "state of positions is damaged, going by the positions file alone");
                Ok(None)
            }
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, PositionsError> {
        match self.disk.read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PositionsError::Io { operation: "read", path: path.to_owned(), source }),
        }
    }

    /// Writes both files; the positions of files that are gone are taken out of `fold`.
    pub(crate) fn save(&mut self, fold: &mut Fold, clients: BTreeMap<String, u64>) -> Result<(), PositionsError> {
        if self.config.read_only {
            return Ok(());
        }
        let gone = self.gone(fold);
        fold.plain.retain(|path, _| !gone.contains_key(path.as_path()));
        let now = self.clock.monotonic();
        fold.files.retain(|_, file| {
            let old = gone.get(file.position.path.as_path()).is_some_and(|since| now.saturating_sub(*since) >= GONE_KEPT);
            // A file that was told in this life of the process is being read, or will be said to be done.
            file.told > 0 || !old
        });
        let present = fold.offsets().into_iter().filter(|(path, _)| !gone.contains_key(*path));
        let text = plain::render(present, &fold.cursors);
        self.gone_since = gone;
        let hash = Some(xxh3_64(text.as_bytes()));
        let is_new = self.on_disk != [hash];
        if is_new {
            // It stands in the sidecar before it is written, and with what it may fail to replace: else one of the two would look like another's.
            self.on_disk.retain(|known| *known != hash);
            self.on_disk.push(hash);
            let excess = self.on_disk.len().saturating_sub(PLAIN_LEN_MAX);
            self.on_disk.drain(..excess);
        }
        let mut sidecar = Sidecar { fold: std::mem::take(fold), clients, plain: self.on_disk.clone() };
        let written = self.write(&mut sidecar, is_new.then_some(&text));
        *fold = sidecar.fold;
        written
    }

    fn write(&mut self, sidecar: &mut Sidecar, text: Option<&String>) -> Result<(), PositionsError> {
        let path = self.config.sidecar();
        self.replace(&path, &sidecar.render())?;
        let Some(text) = text else { return Ok(()) };
        self.replace(&self.config.filename, text.as_bytes())?;
        self.on_disk.drain(..self.on_disk.len() - 1);
        if sidecar.plain.contains(&None) {
            // From now on a file that is not there was removed by somebody.
            sidecar.plain.clone_from(&self.on_disk);
            self.replace(&path, &sidecar.render())?;
        }
        Ok(())
    }

    /// Files of `fold` whose path is gone, and since when.
    fn gone(&self, fold: &Fold) -> BTreeMap<PathBuf, Duration> {
        let now = self.clock.monotonic();
        let paths = fold.offsets().into_keys();
        let gone = paths.filter(|path| self.disk.open(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
        gone.map(|path| (path.to_owned(), self.gone_since.get(path).copied().unwrap_or(now))).collect()
    }

    /// Puts a file there whole or not at all, and durable.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), PositionsError> {
        let written = replace(&*self.disk, path, bytes);
        written.map_err(|source| PositionsError::Io { operation: "write", path: path.to_owned(), source })
    }
}

fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = super::with_suffix(path, "-new");
    match disk.remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create_new(&fresh)?;
    file.append(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&fresh, path)?;
    disk.sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Somebody else wrote the plain file: what it says differently from before counts, and what the spool would add to it does not.
fn overruled(mut fold: Fold, plain: Plain) -> Fold {
    info!("positions file was changed by somebody else and counts as it is");
    let before: BTreeMap<PathBuf, u64> = fold.offsets().into_iter().map(|(path, offset)| (path.to_owned(), offset)).collect();
    // A path that is no text cannot stand in the plain file, so its absence says nothing.
    let unchanged = |path: &Path| path.to_str().is_none() || plain.offsets.get(path).is_some_and(|offset| before.get(path) == Some(offset));
    fold.files.retain(|_, file| unchanged(&file.position.path));
    let identified: Vec<&Path> = fold.files.values().map(|file| file.position.path.as_path()).collect();
    fold.plain = plain
        .offsets
        .iter()
        .filter(|(path, _)| !identified.contains(&path.as_path()))
        .map(|(path, offset)| (path.clone(), *offset))
        .collect();
    let known = std::mem::take(&mut fold.cursors);
    let fuller = |key: &String, value: String| known.get(key).filter(|known| plain::shown(known) == value).cloned().unwrap_or(value);
    fold.cursors = plain.cursors.into_iter().map(|(key, value)| (key.clone(), fuller(&key, value))).collect();
    fold.held = true;
    fold
}
