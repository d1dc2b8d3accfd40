//! Live tails: what a log query finds, and then the entries that the ingesters acknowledge.
//!
//! A tail subscribes to the ingesters first (`live`) and reads the past then (`history`), so that there is no gap between the two; what both hold,
//! and what several ingesters hold, is sent once (`merge`). Entries pass the stages of the query and become JSON on the CPU pool (`entry`), wait
//! a moment for earlier ones, and go to the client in messages (`outbox`). Nothing here waits for a slow client for long: what it has no room for is
//! left out, and it is told.

mod entry;
mod history;
mod live;
mod merge;
mod outbox;
mod running;
mod session;

pub(crate) use entry::Form;
pub(crate) use outbox::{Message, Outbox};
pub(crate) use running::Tails;
pub(crate) use session::TailRequest;
