//! What every process needs.

/// From the headers of a request to whose data it is about.
pub mod tenancy;
