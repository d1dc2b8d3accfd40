//! Where targets come from: static lists, files, Kubernetes. Groups of labels come out; what they are for is the caller's.
//!
//! Every source of targets is a [`Discovery`]: it yields [`Update`]s for ever, one [`TargetGroup`] for each thing it found (a list of the configuration, a file,
//! an object of Kubernetes), and replaces a group by sending one of the same `source` again. Whatever fails behind it is logged, counted in
//! [`DiscoveryStats`] and tried again; the groups that were sent stay as they are until something better is known.

pub mod config;
mod file_sd;
mod fixed;
mod kubernetes;
mod target;

pub use file_sd::{FileDiscovery, FilePatternError};
pub use fixed::{StaticDiscovery, static_targets};
pub use kubernetes::{KubernetesDiscovery, KubernetesError, KubernetesSeams};
pub use target::{Discovery, DiscoveryStats, LabelSet, TargetGroup, Update};
