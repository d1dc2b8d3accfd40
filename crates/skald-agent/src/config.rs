//! What an agent is told: promtail's YAML and command line, and a few settings of ours.
//!
//! [`Flags::parse`] reads the command line, [`load`] the file that it names. A block or key without a value has its default, an unknown key is refused
//! with its place, and what this build cannot do is refused by name. Of what can be understood, every problem is told at once.

mod blocks;
mod clients;
mod expand;
mod flags;
mod load;
mod report;
mod scrape;
pub mod settings;

pub use blocks::{
    FileWatchConfig, GlobalConfig, LimitsConfig, OptionsConfig, PositionsConfig, ServerConfig, ServerTlsConfig, SpoolConfig, TargetConfig,
    TracingConfig, WalConfig, WalWatchConfig,
};
pub use expand::{ExpandError, expand};
pub use flags::{ClientFlags, Flags};
pub use load::{Config, Loaded, load};
pub use report::{ConfigError, Place, Problem};
pub use scrape::{DecompressionConfig, DiscoveryConfig, ScrapeConfig, SourceConfig};

use report::Report;

#[cfg(test)]
mod tests;
