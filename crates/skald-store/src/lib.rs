//! Object storage: one trait, its local backend, and the catalogue of live data objects.

pub mod conformance;
mod local;
mod memory;
mod name;
mod object_store;

pub use local::LocalStore;
pub use memory::MemoryStore;
pub use object_store::{ObjectMeta, ObjectStore, StoreError};
