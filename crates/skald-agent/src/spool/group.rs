//! A group as it stands in the spool, and its record (`docs/formats/agent-spool.md`).

use crate::batcher::OpenGroup;
use crate::intake::PositionUpdate;
use bytes::Bytes;
use prost::Message;
use skald_model::Timestamp;
use skald_pipeline::Text;
use skald_tail::{FileId, FilePosition, Fingerprint};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Version that this release writes, and the highest that it reads.
const VERSION: u32 = 1;

/// What one cut took: batches to send, and how far the sources were read for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// Ascends by one.
    pub(crate) number: u64,
    /// The group before it in the log. Where a reader has seen less, something is lost.
    pub(crate) previous: u64,
    /// Whether the sources began again from the acknowledged positions before it.
    pub(crate) resumes: bool,
    pub(crate) cut_at: Timestamp,
    pub(crate) positions: Vec<PositionUpdate>,
    pub(crate) batches: Vec<StoredBatch>,
}

/// A batch, compressed as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredBatch {
    pub(crate) tenant: Option<Text>,
    pub(crate) entries: u64,
    /// Bytes of lines and metadata.
    pub(crate) line_bytes: u64,
    /// Snappy block of a push.
    pub(crate) payload: Bytes,
}

/// Why a record of the log is no group.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("record is no group")]
    Damaged(#[from] prost::DecodeError),
    #[error("group has version {0}, which this release does not know")]
    Newer(u32),
}

/// Buffers that are used again for each group.
pub(crate) struct Compressor {
    encoder: snap::raw::Encoder,
    body: Vec<u8>,
    compressed: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new() -> Self {
        Compressor { encoder: snap::raw::Encoder::new(), body: Vec::new(), compressed: Vec::new() }
    }

    /// Makes the group of what was cut.
    pub(crate) fn group(&mut self, number: u64, previous: u64, cut_at: Timestamp, open: &OpenGroup) -> Group {
        let with_entries = open.batches().iter().filter(|batch| batch.entries > 0);
        let batches = with_entries.map(|batch| {
            self.body.clear();
            batch.encode(&mut self.body);
            StoredBatch { tenant: batch.tenant.clone(), entries: batch.entries, line_bytes: batch.bytes as u64, payload: self.compress() }
        });
        let batches = batches.collect();
        self.shrink();
        Group { number, previous, resumes: open.resumes, cut_at, positions: open.positions(), batches }
    }

    fn compress(&mut self) -> Bytes {
        let len_max = snap::raw::max_compress_len(self.body.len());
        if self.compressed.len() < len_max {
            self.compressed.resize(len_max, 0);
        }
        let len = self
            .encoder
            .compress(&self.body, &mut self.compressed)
            .expect("the buffer is as large as the codec wants it, and the body below 4 GiB");
        Bytes::copy_from_slice(&self.compressed[..len])
    }

    /// Does not keep what one huge group needed.
    fn shrink(&mut self) {
        const KEPT: usize = 4 << 20;
        self.body.clear();
        self.body.shrink_to(KEPT);
        self.compressed.truncate(KEPT);
        self.compressed.shrink_to(KEPT);
    }
}

impl Group {
    /// Bytes that it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        const POSITION_COST: usize = 256;
        self.batches.iter().map(|batch| batch.payload.len()).sum::<usize>() + self.positions.len() * POSITION_COST
    }

    /// Body of its record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let record = GroupRecord {
            version: VERSION,
            number: self.number,
            previous: self.previous,
            resumes: self.resumes,
            cut_at: self.cut_at.0,
            positions: self.positions.iter().map(PositionRecord::of).collect(),
            batches: self.batches.iter().map(BatchRecord::of).collect(),
        };
        record.encode_to_vec()
    }

    /// Reads the body of a record. Payloads share its memory.
    pub(crate) fn decode(body: Bytes) -> Result<Group, RecordError> {
        let record = GroupRecord::decode(body)?;
        if record.version > VERSION {
            return Err(RecordError::Newer(record.version));
        }
        Ok(Group {
            number: record.number,
            previous: record.previous,
            resumes: record.resumes,
            cut_at: Timestamp(record.cut_at),
            positions: record.positions.into_iter().filter_map(PositionRecord::into_update).collect(),
            batches: record.batches.into_iter().map(BatchRecord::into_batch).collect(),
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct GroupRecord {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "3")]
    previous: u64,
    #[prost(bool, tag = "4")]
    resumes: bool,
    #[prost(int64, tag = "5")]
    cut_at: i64,
    #[prost(message, repeated, tag = "6")]
    positions: Vec<PositionRecord>,
    #[prost(message, repeated, tag = "7")]
    batches: Vec<BatchRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct PositionRecord {
    #[prost(message, optional, tag = "1")]
    file: Option<FileRecord>,
    #[prost(fixed64, optional, tag = "2")]
    file_done: Option<u64>,
    #[prost(message, optional, tag = "3")]
    cursor: Option<CursorRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct FileRecord {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    target: String,
    #[prost(bytes = "vec", tag = "3")]
    path: Vec<u8>,
    #[prost(uint64, tag = "4")]
    device: u64,
    #[prost(uint64, tag = "5")]
    inode: u64,
    #[prost(uint32, tag = "6")]
    fingerprint_len: u32,
    #[prost(fixed64, tag = "7")]
    fingerprint: u64,
    #[prost(uint64, tag = "8")]
    offset: u64,
    #[prost(bool, tag = "9")]
    compressed: bool,
}

#[derive(Clone, PartialEq, Message)]
struct CursorRecord {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct BatchRecord {
    #[prost(string, optional, tag = "1")]
    tenant: Option<String>,
    #[prost(uint64, tag = "2")]
    entries: u64,
    #[prost(uint64, tag = "3")]
    line_bytes: u64,
    #[prost(bytes = "bytes", tag = "4")]
    payload: Bytes,
}

impl PositionRecord {
    fn of(update: &PositionUpdate) -> Self {
        let mut record = PositionRecord::default();
        match update {
            PositionUpdate::File(position) => record.file = Some(FileRecord::of(position)),
            PositionUpdate::FileDone(id) => record.file_done = Some(id.0),
            PositionUpdate::Cursor { key, value } => record.cursor = Some(CursorRecord { key: key.clone(), value: value.clone() }),
        }
        record
    }

    /// `None` for a kind of source that this release does not know.
    fn into_update(self) -> Option<PositionUpdate> {
        let file = self.file.map(|file| PositionUpdate::File(file.into_position()));
        let done = self.file_done.map(|id| PositionUpdate::FileDone(FileId(id)));
        file.or(done).or(self.cursor.map(|CursorRecord { key, value }| PositionUpdate::Cursor { key, value }))
    }
}

impl FileRecord {
    fn of(position: &FilePosition) -> Self {
        FileRecord {
            id: position.id.0,
            target: position.target_key.to_string(),
            path: position.path.as_os_str().as_bytes().to_vec(),
            device: position.device,
            inode: position.inode,
            fingerprint_len: position.fingerprint.len,
            fingerprint: position.fingerprint.hash,
            offset: position.offset,
            compressed: position.compressed,
        }
    }

    fn into_position(self) -> FilePosition {
        FilePosition {
            id: FileId(self.id),
            target_key: self.target.into(),
            path: PathBuf::from(OsStr::from_bytes(&self.path)),
            device: self.device,
            inode: self.inode,
            fingerprint: Fingerprint { len: self.fingerprint_len, hash: self.fingerprint },
            offset: self.offset,
            compressed: self.compressed,
        }
    }
}

impl BatchRecord {
    fn of(batch: &StoredBatch) -> Self {
        let StoredBatch { tenant, entries, line_bytes, payload } = batch;
        BatchRecord { tenant: tenant.as_deref().map(str::to_owned), entries: *entries, line_bytes: *line_bytes, payload: payload.clone() }
    }

    fn into_batch(self) -> StoredBatch {
        StoredBatch { tenant: self.tenant.map(Text::from), entries: self.entries, line_bytes: self.line_bytes, payload: self.payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> impl Strategy<Value = PositionUpdate> {
        let file = (any::<[u64; 4]>(), any::<[u32; 2]>(), any::<bool>(), prop::collection::vec(1u8.., 0..20), ".{0,8}").prop_map(
            |([id, device, inode, offset], [len, hash], compressed, path, target)| {
                PositionUpdate::File(FilePosition {
                    id: FileId(id),
                    target_key: target.into(),
                    path: PathBuf::from(OsStr::from_bytes(&path)),
                    device,
                    inode,
                    fingerprint: Fingerprint { len, hash: hash.into() },
                    offset,
                    compressed,
                })
            },
        );
        let cursor = (".{0,8}", ".{0,8}").prop_map(|(key, value)| PositionUpdate::Cursor { key, value });
        prop_oneof![file, any::<u64>().prop_map(|id| PositionUpdate::FileDone(FileId(id))), cursor]
    }

    fn batch() -> impl Strategy<Value = StoredBatch> {
        (prop::option::of(".{1,4}"), any::<u64>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)).prop_map(
            |(tenant, entries, line_bytes, payload)| StoredBatch {
                tenant: tenant.map(Text::from),
                entries,
                line_bytes,
                payload: payload.into(),
            },
        )
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn a_group_reads_back_as_written(
            (number, previous, resumes, cut_at) in any::<(u64, u64, bool, i64)>(),
            positions in prop::collection::vec(position(), 0..4),
            batches in prop::collection::vec(batch(), 0..4),
        ) {
            let group = Group { number, previous, resumes, cut_at: Timestamp(cut_at), positions, batches };
            prop_assert_eq!(Group::decode(group.encode().into()).unwrap(), group);
        }

        #[test]
        fn bytes_that_are_no_group_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Group::decode(bytes.into());
        }
    }

    #[test]
    fn a_group_of_a_newer_release_is_refused() {
        let record = GroupRecord { version: VERSION + 1, ..GroupRecord::default() };
        let error = Group::decode(record.encode_to_vec().into()).unwrap_err();
        assert_eq!(error.to_string(), "group has version 2, which this release does not know");
    }
}
