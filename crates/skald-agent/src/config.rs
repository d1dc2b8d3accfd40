//! The configuration file.

pub(crate) mod settings;
