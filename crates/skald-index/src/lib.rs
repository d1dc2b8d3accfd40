//! Builds, merges and queries the index file of a table.
