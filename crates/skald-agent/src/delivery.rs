//! From the spool to the servers.

pub mod config;
