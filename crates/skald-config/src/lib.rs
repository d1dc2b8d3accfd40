//! Configuration: defaults ← YAML file ← `SKALD_…` environment ← flags.
//!
//! [`Config`] is one tree of plain data with Loki's keys where the meaning is Loki's. [`load`] merges the layers, refuses what it does not know with the
//! place and the nearest known key, and reports every problem at once. [`Overrides`] adds limits of single tenants from a file that may change while
//! the process runs. What operators read about the keys is rendered from the doc comments here ([`reference()`]).

mod blocked;
mod check;
mod config;
mod duration;
mod limits;
mod load;
mod memory;
mod otlp;
mod overrides;
mod reference;
mod render;
mod setting;
mod size;
mod store_url;
mod yaml;

#[cfg(test)]
mod test_disk;

pub use blocked::{AskedQuery, BlockedQuery, query_hash};
pub use check::{ConfigError, Problem, nearest};
pub use config::{
    CompactorConfig, Config, DistributorConfig, GenerationConfig, IngesterConfig, LogFormat, LogLevel, Mode, OtlpDefaults, QuerierConfig,
    RuntimeConfig, S3Config, ServerConfig, StorageConfig, WalConfig,
};
pub use duration::{format_duration, parse_duration};
pub use limits::{Limits, ShardStreams, TenantLimits};
pub use load::{Flag, Loaded, Source, load};
pub use memory::memory_limit;
pub use otlp::{AttributeAction, AttributeRule, OtlpConfig, OtlpResourceAttributes, first_rule};
pub use overrides::Overrides;
pub use reference::reference;
pub use render::{render, render_diff, render_value};
pub use size::ByteSize;
pub use store_url::{S3Url, StoreUrl, WrongStoreUrl};
