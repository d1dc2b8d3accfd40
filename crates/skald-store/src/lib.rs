//! Object storage: one trait, its backends, and the catalogue of live data objects.

mod catalog;
mod chain;
pub mod conformance;
mod data_dir;
mod faulty;
mod local;
pub mod manifest;
mod memory;
mod name;
mod object_name;
mod object_store;
mod operation;
pub mod owner;
pub mod probe;
mod remote;
pub mod resilient;
pub mod s3;
mod table_file;
mod table_index;
pub mod tier;
pub mod upload;
mod within;

pub use catalog::{
    CacheSizes, Catalog, DataObject, Metrics, OpenObject, PublishError, Publisher, ReadError, Table, TableError, TidyError, Uncovered,
};
pub use data_dir::{DataDir, DataDirError};
pub use faulty::{Fault, FaultRule, FaultyStore, Traffic};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use object_name::{NotAnObjectName, ObjectName, Origin, TableId};
pub use object_store::{ObjectMeta, ObjectStore, RestingStore, StoreError};
pub use operation::Operation;
pub use remote::{RemoteAnswer, RemoteFailure, RemoteProblem};
pub use resilient::Resilient;
pub use table_file::{IndexName, ManifestName, TableFile};
pub use table_index::{IndexError, IndexSelection, OpenIndex, RowRead, TableIndex};
