//! A manifest as bytes: a line with a checksum, then JSON.

use super::{Content, Manifest, NamedFile, Writer};
use crate::{TableFile, TableId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use skald_model::{DiskId, ErrorKind};

/// Version written and read here.
const VERSION: u32 = 1;
const MAGIC: &str = "skald manifest ";
/// Largest manifest: about half a million objects.
pub(super) const BYTES_MAX: u64 = 64 << 20;

/// Why bytes are not the manifest that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It does not begin as a manifest does.
    #[error("it does not begin with 'skald manifest <version> <checksum>'")]
    NoManifest,
    /// A later version wrote it.
    #[error("it has version {found}, this program knows version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The text is not what was written.
    #[error("checksum {stored:08x} is stored, {computed:08x} is computed")]
    Checksum {
        /// In the first line.
        stored: u32,
        /// Of the rest.
        computed: u32,
    },
    /// The checksum is right, and the text is no manifest of this table and number.
    #[error("{0}")]
    Malformed(String),
    /// More than a manifest may have.
    #[error("{0} bytes are more than a manifest may have")]
    TooLarge(u64),
}

impl ManifestError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Version { .. } => ErrorKind::NotImplemented,
            Self::TooLarge(_) => ErrorKind::TooLarge,
            Self::NoManifest | Self::Checksum { .. } | Self::Malformed(_) => ErrorKind::Corrupt,
        }
    }
}

/// The JSON. Names stand without the folder of the table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    number: u64,
    previous: u64,
    disk: String,
    put: String,
    objects: Vec<FileText>,
    index: Vec<FileText>,
    absorbed: Vec<String>,
    removed: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    name: String,
    size: u64,
}

impl Manifest {
    /// The manifest of `table` as bytes.
    ///
    /// # Errors
    /// When it names files of another table, or would be too large to be read.
    pub fn encode(&self, table: &TableId) -> Result<Bytes, ManifestError> {
        let folder = format!("{table}/");
        let short = |name: &str| match name.strip_prefix(&folder) {
            Some(short) => Ok(short.to_owned()),
            None => Err(ManifestError::Malformed(format!("'{name}' is not of table '{table}'"))),
        };
        let files = |files: &[NamedFile]| -> Result<Vec<FileText>, ManifestError> {
            files.iter().map(|file| Ok(FileText { name: short(&file.name)?, size: file.size })).collect()
        };
        let names = |names: &[String]| names.iter().map(|name| short(name)).collect::<Result<Vec<_>, _>>();
        let text = Text {
            number: self.number,
            previous: self.previous,
            disk: self.writer.disk.to_string(),
            put: format!("{:032x}", self.writer.put),
            objects: files(&self.content.objects)?,
            index: files(&self.content.index)?,
            absorbed: names(&self.content.absorbed)?,
            removed: names(&self.content.removed)?,
        };
        let json = serde_json::to_string(&text).expect("texts and numbers are JSON");
        let bytes = format!("{MAGIC}{VERSION} {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()));
        if bytes.len() as u64 > BYTES_MAX {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        Ok(bytes.into())
    }

    /// Reads manifest `number` of `table`.
    ///
    /// # Errors
    /// When the bytes are not that.
    pub fn parse(table: &TableId, number: u64, bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > BYTES_MAX {
            return Err(ManifestError::TooLarge(bytes.len() as u64));
        }
        let text: Text = serde_json::from_str(checked(bytes)?).map_err(|error| ManifestError::Malformed(error.to_string()))?;
        if text.number != number || text.previous >= number {
            return Err(ManifestError::Malformed(format!("it says that it is number {} behind {}", text.number, text.previous)));
        }
        let id = |text: &str| u128::from_str_radix(text, 16).map_err(|_| ManifestError::Malformed(format!("'{text}' is no identity")));
        let writer = Writer { disk: DiskId(id(&text.disk)?), put: id(&text.put)? };
        let named = |name: String, is_index: bool| {
            let name = format!("{table}/{name}");
            let fits = match name.parse::<TableFile>() {
                Ok(TableFile::Object(_)) => !is_index,
                Ok(TableFile::Index(_)) => is_index,
                Ok(TableFile::Manifest(_)) | Err(_) => false,
            };
            if fits { Ok(name) } else { Err(ManifestError::Malformed(format!("'{name}' is not a name that belongs here"))) }
        };
        let files = |files: Vec<FileText>, is_index: bool| {
            files
                .into_iter()
                .map(|file| Ok(NamedFile { name: named(file.name, is_index)?, size: file.size }))
                .collect::<Result<Vec<_>, _>>()
        };
        let names = |names: Vec<String>| names.into_iter().map(|name| named(name, false)).collect::<Result<Vec<_>, _>>();
        let content = Content {
            objects: files(text.objects, false)?,
            index: files(text.index, true)?,
            absorbed: names(text.absorbed)?,
            removed: names(text.removed)?,
        };
        Ok(Manifest { number, previous: text.previous, writer, content })
    }
}

/// The JSON behind the first line, once its checksum is right.
fn checked(bytes: &[u8]) -> Result<&str, ManifestError> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(ManifestError::NoManifest)?;
    let line = std::str::from_utf8(&bytes[..end]).ok().and_then(|line| line.strip_prefix(MAGIC)).ok_or(ManifestError::NoManifest)?;
    let (version, crc) = line.split_once(' ').ok_or(ManifestError::NoManifest)?;
    let found: u32 = version.parse().map_err(|_| ManifestError::NoManifest)?;
    if found != VERSION {
        return Err(ManifestError::Version { found });
    }
    let json = bytes[end + 1..].strip_suffix(b"\n").ok_or(ManifestError::NoManifest)?;
    let stored = u32::from_str_radix(crc, 16).map_err(|_| ManifestError::NoManifest)?;
    let computed = crc32fast::hash(json);
    if stored != computed || format!("{stored:08x}") != crc {
        return Err(ManifestError::Checksum { stored, computed });
    }
    std::str::from_utf8(json).map_err(|error| ManifestError::Malformed(error.to_string()))
}
