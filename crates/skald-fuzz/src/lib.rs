//! One function for each decoder and parser that bytes from outside reach: it takes any bytes, and panics when a promise is broken.
//!
//! [`TARGETS`] lists them all. They run on inputs of [`skald_testkit::Mutator`] in this crate's tests (a few, always the same) and in its program (many,
//! `make fuzz`), and on those of libFuzzer in the folder `fuzz`. What all have in common: no input makes a decoder panic or hang, memory is bounded
//! by the input, and what was decoded is encoded and decoded again to the same.

mod agent;
mod case;
mod config;
mod frame;
mod index;
mod lines;
mod logql;
mod object;
mod pipeline;
mod push;
mod store;
mod wal;

pub use case::{CASE_SECONDS_MAX, Failure, Outcome, PEAK_MIB_MAX, Run};

/// A decoder or parser, and what it promises.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What inputs are.
    pub about: &'static str,
    /// Inputs that it takes, made by our own encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of a text format.
    pub tokens: &'static [&'static str],
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    push::PROTOBUF,
    push::SNAPPY,
    push::JSON_V1,
    push::JSON_V0,
    push::LABELS,
    push::OTLP_PROTOBUF,
    push::OTLP_JSON,
    frame::FRAME,
    logql::QUERY,
    logql::TEMPLATE,
    lines::LINE,
    lines::PATTERN,
    object::OBJECT,
    object::PART,
    index::FILE,
    index::PART,
    store::MANIFEST,
    store::NAME,
    wal::SEGMENT,
    wal::BODIES,
    config::YAML,
    config::URL,
    pipeline::STAGES,
    pipeline::YAML,
    pipeline::CONTAINER,
    agent::SYSLOG,
    agent::JOURNAL,
    agent::AGENT_PUSH,
    agent::AGENT_CONFIG,
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Gives the target of this name an input. Panics when there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    (target(name).expect("its name stands in TARGETS").run)(bytes);
}
