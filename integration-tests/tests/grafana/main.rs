//! What Grafana asks of a data source, call by call, and what it makes of the answers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on a real process and real sockets")]

mod context;
mod drilldown;
mod explore;
mod formats;
mod live;
mod shop;
mod tenants;
