//! Object storage: one trait, its backends, and the catalogue of live data objects.

mod catalog;
pub mod conformance;
mod data_dir;
mod faulty;
mod local;
mod memory;
mod name;
mod object_name;
mod object_store;
mod operation;

pub use catalog::{CacheSizes, Catalog, DataObject, Metrics, OpenObject, PublishError, ReadError, Table};
pub use data_dir::{DataDir, DataDirError};
pub use faulty::{Fault, FaultRule, FaultyStore, Traffic};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use object_name::{NotAnObjectName, ObjectName, Origin, TableId};
pub use object_store::{ObjectMeta, ObjectStore, StoreError};
pub use operation::Operation;
