//! Object storage: one trait, its local backend, and the catalogue of live data objects.

mod object_store;

pub use object_store::{ObjectMeta, ObjectStore, StoreError};
