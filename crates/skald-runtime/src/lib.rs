//! What every process needs around its services: the real clock, randomness, threads, disk and network; logs, metrics and readiness; listeners;
//! an orderly start and stop.
//!
//! [`run()`] is the frame of a `main`: it loads the configuration, hands a [`Runtime`] to the function that builds the parts, waits for a signal, and
//! stops the parts in the reverse of their order within a bound.

mod http_server;
mod logging;
mod metrics;
mod middleware;
mod process;
mod readiness;
mod routes;
mod run;
mod seam;
mod serve;
/// From the headers of a request to whose data it is about.
pub mod tenancy;

pub use http_server::{HttpServer, ServeError};
pub use logging::{LogControl, Logging, chain};
pub use metrics::{CONTENT_TYPE as METRICS_CONTENT_TYPE, Metrics};
pub use middleware::RequestMetrics;
pub use readiness::{Part, PartState, Readiness};
pub use routes::{Common, LOKI_VERSION, common_routes};
pub use run::run;
pub use seam::{CrossbeamPool, OsRandom, StdDisk, SystemClock, TokioNetwork, TokioSpawner, seams};
pub use serve::{Gate, Runtime, Serving};
