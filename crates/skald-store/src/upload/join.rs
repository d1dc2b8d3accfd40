//! Several queued objects to one.

use super::group::{Batch, group_of};
use crate::{LocalStore, ObjectName};
use bytes::Bytes;
use skald_block::{EncodedObject, JoinError, JoinInput, ObjectInfo, ReadAt, WriterOptions, join_objects};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A queued object, read in pieces by a thread that may wait for the disk.
struct QueuedFile {
    files: Arc<LocalStore>,
    name: String,
    size: u64,
    unwanted: Arc<AtomicBool>,
}

impl ReadAt for QueuedFile {
    fn read_at(&self, range: Range<u64>) -> io::Result<Bytes> {
        if self.unwanted.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody waits for the join"));
        }
        self.files.get_range_blocking(&self.name, range).map_err(io::Error::other)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Joins the members of a batch into an object that is to be called `name`. Blocks, and takes a second of processor for some 100 MB of lines.
pub(super) fn join(
    batch: &Batch,
    name: &ObjectName,
    files: &Arc<LocalStore>,
    unwanted: &Arc<AtomicBool>,
) -> Result<EncodedObject, JoinError> {
    let (_, first, _) = group_of(name).expect("batches are made of incoming objects");
    let info = ObjectInfo {
        tenant: name.table.tenant.clone(),
        day: name.table.day,
        class: name.class.clone(),
        disk: batch.id.disk(),
        generation: first.generation,
        part: first.part,
        replaces: Vec::new(),
    };
    let file = |path: &str, size| QueuedFile { files: files.clone(), name: path.to_owned(), size, unwanted: unwanted.clone() };
    let opened: Vec<QueuedFile> = batch.members.iter().map(|member| file(&member.path, member.size)).collect();
    let inputs: Vec<JoinInput<'_>> = opened.iter().map(|file| JoinInput { name: file.name.clone(), object: file }).collect();
    join_objects(&inputs, info, WriterOptions::default())
}
