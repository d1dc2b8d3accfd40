//! Object storage: one trait, its backends, and the catalogue of live data objects.

mod catalog;
mod name;
mod object_store;

pub use catalog::{CacheSizes, Catalog, DataObject, OpenObject, PublishError, ReadError};
pub use name::{NotAnObjectName, ObjectName};
pub use object_store::{ObjectMeta, ObjectStore, StoreError};
