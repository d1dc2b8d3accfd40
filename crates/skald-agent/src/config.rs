//! What an agent is told: promtail's YAML and command line, and a few settings of ours.

mod blocks;
mod expand;
pub mod settings;

pub use blocks::{
    FileWatchConfig, GlobalConfig, LimitsConfig, OptionsConfig, PositionsConfig, ServerConfig, ServerTlsConfig, SpoolConfig, TargetConfig,
    TracingConfig, WalConfig, WalWatchConfig,
};
pub use expand::{ExpandError, expand};
