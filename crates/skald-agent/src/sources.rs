//! Sources of lines other than files.

pub mod journal;
pub mod push;
pub mod syslog;
