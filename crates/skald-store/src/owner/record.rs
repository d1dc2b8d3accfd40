//! The bytes of an owner object.

use serde::{Deserialize, Serialize};
use skald_model::DiskId;
use std::fmt;

/// Bytes of every owner object. All have the same, so that a read gets a whole one while it is replaced.
pub(super) const LEN: usize = 1024;
/// Characters of a host's name that are kept: a record fits whatever they are.
const HOST_CHARS_MAX: usize = 100;

/// Who owns a store, and that it lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    disk: String,
    host: String,
    /// Drawn for each start: tells a process its own objects.
    start: String,
    pub(super) beat: u64,
    pub(super) released: bool,
}

/// Another process that owns the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Number of its owner object.
    pub number: u64,
    /// Host on which it runs.
    pub host: String,
    /// Its data directory.
    pub disk: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the process on host '{}' with disk {} (owner number {})", self.host, self.disk, self.number)
    }
}

impl Record {
    pub(super) fn new(disk: DiskId, host: &str, start: u128) -> Self {
        let host = host.chars().filter(|c| !c.is_control()).take(HOST_CHARS_MAX).collect();
        Record { disk: disk.to_string(), host, start: format!("{start:032x}"), beat: 0, released: false }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a record of texts and numbers is JSON");
        debug_assert!(bytes.len() < LEN);
        bytes.resize(LEN - 1, b' ');
        bytes.push(b'\n');
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether the same start of a process wrote both.
    pub(super) fn is_of_start(&self, other: &Record) -> bool {
        self.start == other.start
    }

    pub(super) fn is_of_disk(&self, other: &Record) -> bool {
        self.disk == other.disk
    }

    pub(super) fn holder(&self, number: u64) -> Holder {
        Holder { number, host: self.host.clone(), disk: self.disk.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_one_length_and_read_back() {
        for host in ["", "a", "\"\\\n\u{1f}", &"\u{1f600}\"".repeat(200), &"\\".repeat(2000)] {
            let record = Record { beat: u64::MAX, ..Record::new(DiskId(u128::MAX), host, u128::MAX) };
            let bytes = record.encode();
            assert_eq!((bytes.len(), Record::decode(&bytes)), (LEN, Some(record)));
        }
        assert_eq!(Record::decode(b"{}"), None);
        assert_eq!(Record::decode(b""), None);
    }
}
