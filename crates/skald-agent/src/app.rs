//! The process: from the command line to running sources, their reload and their end.

mod agent;
mod batches;
#[cfg(test)]
pub(crate) mod buffer;
mod cursors;
mod exporter;
mod inspect;
mod losses;
mod plan;
mod print;
mod process;
mod settings;
mod start;
mod stdin;
mod world;

pub use agent::{Agent, AgentError};
pub use inspect::Printer;
pub use plan::{Job, Plan, PlanError};
pub use print::PrintIntake;
pub use process::run;
pub use start::StartError;
pub use world::World;

#[cfg(test)]
mod tests;
