//! The file beside `positions.yaml` (`docs/formats/agent-positions.md`).

use super::fold::Fold;
use serde::{Deserialize, Serialize};
use skald_tail::{FileId, FilePosition, Fingerprint};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Version that this release writes, and the highest that it reads.
const VERSION: u32 = 1;

/// All that the file says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sidecar {
    pub(crate) fold: Fold,
    /// The last group that each client has, with all before.
    pub(crate) clients: BTreeMap<String, u64>,
    /// Hashes of what the plain file may hold if nobody else wrote it; `None` stands for no file.
    pub(crate) plain: Vec<Option<u64>>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SidecarError {
    #[error("not what was written")]
    Damaged(#[from] serde_json::Error),
    #[error("version {0} is not known to this release")]
    Newer(u32),
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    group: u64,
    #[serde(default)]
    held: bool,
    clients: BTreeMap<String, u64>,
    plain_hashes: Vec<Option<Hex>>,
    #[serde(default)]
    cursors: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<FileEntry>,
    #[serde(default)]
    unidentified: Vec<PlainEntry>,
}

#[derive(Serialize, Deserialize)]
struct FileEntry {
    id: Hex,
    target: String,
    path: PathText,
    device: u64,
    inode: u64,
    fingerprint_len: u32,
    fingerprint: Hex,
    offset: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    compressed: bool,
}

#[derive(Serialize, Deserialize)]
struct PlainEntry {
    path: PathText,
    offset: u64,
}

/// 64 bits as text, since many readers of JSON keep only 53 of a number.
#[derive(Clone, Copy)]
struct Hex(u64);

impl Serialize for Hex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Hex).map_err(serde::de::Error::custom)
    }
}

/// A path: as text, or its bytes where these are no text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes { bytes: Vec<u8> },
}

impl PathText {
    fn of(path: &Path) -> Self {
        let text = path.to_str().map(|text| PathText::Text(text.to_owned()));
        text.unwrap_or_else(|| PathText::Bytes { bytes: path.as_os_str().to_owned().into_vec() })
    }

    fn into_path(self) -> PathBuf {
        match self {
            PathText::Text(text) => text.into(),
            PathText::Bytes { bytes } => OsStr::from_bytes(&bytes).into(),
        }
    }
}

impl Sidecar {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Sidecar, SidecarError> {
        let Version { version } = serde_json::from_slice(bytes)?;
        if version > VERSION {
            return Err(SidecarError::Newer(version));
        }
        let file: File = serde_json::from_slice(bytes)?;
        let mut fold = Fold { number: file.group, held: file.held, cursors: file.cursors, ..Fold::default() };
        file.files.into_iter().for_each(|entry| fold.insert(entry.into_position(), 0));
        fold.plain = file.unidentified.into_iter().map(|entry| (entry.path.into_path(), entry.offset)).collect();
        Ok(Sidecar { fold, clients: file.clients, plain: file.plain_hashes.into_iter().map(|hash| hash.map(|hash| hash.0)).collect() })
    }

    pub(crate) fn render(&self) -> Vec<u8> {
        let Sidecar { fold, clients, plain } = self;
        let file = File {
            version: VERSION,
            group: fold.number,
            held: fold.held,
            clients: clients.clone(),
            plain_hashes: plain.iter().map(|hash| hash.map(Hex)).collect(),
            cursors: fold.cursors.clone(),
            files: fold.files.values().map(|file| FileEntry::of(&file.position)).collect(),
            unidentified: fold.plain.iter().map(|(path, offset)| PlainEntry { path: PathText::of(path), offset: *offset }).collect(),
        };
        let mut bytes = serde_json::to_vec(&file).expect("texts and numbers can be written");
        bytes.push(b'\n');
        bytes
    }
}

impl FileEntry {
    fn of(position: &FilePosition) -> Self {
        FileEntry {
            id: Hex(position.id.0),
            target: position.target_key.to_string(),
            path: PathText::of(&position.path),
            device: position.device,
            inode: position.inode,
            fingerprint_len: position.fingerprint.len,
            fingerprint: Hex(position.fingerprint.hash),
            offset: position.offset,
            compressed: position.compressed,
        }
    }

    fn into_position(self) -> FilePosition {
        FilePosition {
            id: FileId(self.id.0),
            target_key: self.target.into(),
            path: self.path.into_path(),
            device: self.device,
            inode: self.inode,
            fingerprint: Fingerprint { len: self.fingerprint_len, hash: self.fingerprint.0 },
            offset: self.offset,
            compressed: self.compressed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: u64, path: &[u8]) -> FilePosition {
        FilePosition {
            id: FileId(id),
            target_key: "job\n/var/log/*.log".into(),
            path: OsStr::from_bytes(path).into(),
            device: u64::MAX,
            inode: 7,
            fingerprint: Fingerprint { len: 1024, hash: u64::MAX - 1 },
            offset: 99,
            compressed: id == 2,
        }
    }

    fn full() -> Sidecar {
        let mut fold = Fold { number: 41, held: true, ..Fold::default() };
        fold.insert(file(u64::MAX, b"/var/log/a.log"), 0);
        fold.insert(file(2, b"/var/log/\xff.gz"), 0);
        fold.plain.insert("/old".into(), 5);
        fold.cursors.insert("cursor-j".into(), "s=\"1\"".into());
        Sidecar { fold, clients: BTreeMap::from([("a".into(), 41), ("b".into(), 57)]), plain: vec![Some(u64::MAX), None] }
    }

    #[test]
    fn it_reads_back_as_written() {
        let (want, bytes) = (full(), full().render());
        let got = Sidecar::parse(&bytes).unwrap();
        assert_eq!(got.render(), bytes);
        assert_eq!((got.fold.number, got.fold.held, &got.clients, &got.plain), (41, true, &want.clients, &want.plain));
        assert_eq!((&got.fold.files, &got.fold.plain, &got.fold.cursors), (&want.fold.files, &want.fold.plain, &want.fold.cursors));
    }

    #[test]
    fn the_first_version_stays_readable() {
        let text = concat!(
            r#"{"version":1,"group":41,"held":true,"clients":{"a":41,"b":57},"plain_hashes":["ffffffffffffffff",null],"cursors":{"cursor-j":"s=\"1\""},"#,
            r#""files":[{"id":"0000000000000002","target":"job\n/var/log/*.log","path":{"bytes":[47,118,97,114,47,108,111,103,47,255,46,103,122]},"#,
            r#""device":18446744073709551615,"inode":7,"fingerprint_len":1024,"fingerprint":"fffffffffffffffe","offset":99,"compressed":true},"#,
            r#"{"id":"ffffffffffffffff","target":"job\n/var/log/*.log","path":"/var/log/a.log","device":18446744073709551615,"inode":7,"#,
            r#""fingerprint_len":1024,"fingerprint":"fffffffffffffffe","offset":99}],"unidentified":[{"path":"/old","offset":5}]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(full().render()).unwrap(), text);
    }

    #[test]
    fn what_is_damaged_or_newer_is_refused() {
        assert!(matches!(Sidecar::parse(br#"{"version":2,"group":"elsewhere"}"#), Err(SidecarError::Newer(2))));
        let whole = full().render();
        for len in 0..whole.len() - 1 {
            assert!(matches!(Sidecar::parse(&whole[..len]), Err(SidecarError::Damaged(_))), "cut at {len}");
        }
    }
}
