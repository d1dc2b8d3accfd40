//! Object storage: one trait, its backends, and the catalogue of live data objects.

mod catalog;
mod data_dir;
mod name;
mod object_store;

pub use catalog::{CacheSizes, Catalog, DataObject, Metrics, OpenObject, PublishError, ReadError};
pub use data_dir::{DataDir, DataDirError};
pub use name::{NotAnObjectName, ObjectName};
pub use object_store::{ObjectMeta, ObjectStore, StoreError};
