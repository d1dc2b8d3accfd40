//! The agent in front of real servers, fed by real files, programs and a Kubernetes API: every line is stored once.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes, files and sockets")]

mod common;
mod files;
mod kubernetes;
mod operations;
mod programs;
