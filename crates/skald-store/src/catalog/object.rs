use crate::{ObjectName, StoreError};
use skald_block::{Footer, FormatError};
use skald_model::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A live data object.
#[derive(Debug)]
pub struct DataObject {
    pub(super) id: u64,
    /// What its name says.
    pub name: ObjectName,
    /// Name in the store.
    pub path: String,
    /// Bytes.
    pub size: u64,
    named: AtomicBool,
}

impl DataObject {
    pub(crate) fn new(id: u64, name: ObjectName, size: u64) -> Self {
        DataObject { id, path: name.to_string(), name, size, named: AtomicBool::new(false) }
    }

    /// Whether the newest manifest names it: the index was built with it in view.
    pub fn is_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    pub(super) fn set_named(&self, named: bool) {
        self.named.store(named, Ordering::Release);
    }

    /// An object that is no table's, to look into what the store has under its name.
    pub fn detached(name: ObjectName, size: u64) -> Arc<Self> {
        Arc::new(DataObject::new(u64::MAX, name, size))
    }

    /// Number of the object in this process.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// A data object with its footer at hand.
pub struct OpenObject {
    /// The object.
    pub object: Arc<DataObject>,
    /// Its footer, in which streams have numbers; see [`super::Catalog::open_streams`] for their labels.
    pub footer: Footer,
}

impl OpenObject {
    /// Bytes of memory held, about.
    pub fn heap_bytes(&self) -> usize {
        self.footer.heap_bytes()
    }
}

/// Why a part of a data object could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The store did not give the bytes.
    #[error("read data object '{path}'")]
    Store {
        /// Its name.
        path: String,
        /// Cause.
        #[source]
        source: Arc<StoreError>,
    },
    /// Its footer was not taken apart: the process stops, or a fault of ours.
    #[error("the footer of data object '{path}' was not read to its end")]
    Stopped {
        /// Its name.
        path: String,
    },
    /// The bytes are not what was written.
    #[error("data object '{path}' is damaged")]
    Damaged {
        /// Its name.
        path: String,
        /// Cause.
        #[source]
        source: FormatError,
    },
}

impl ReadError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { source, .. } => source.kind(),
            Self::Stopped { .. } => ErrorKind::Internal,
            Self::Damaged { .. } => ErrorKind::Corrupt,
        }
    }
}
