//! The words of the domain as types, and the seams through which every other crate touches the world.
//!
//! Values: [`TenantId`], [`Labels`], [`Timestamp`], [`TimeRange`], [`Day`], [`Rows`], [`ErrorKind`].
//! Seams (traits only, see [`seam`]): clock, randomness, task spawner, CPU pool, disk, network.
//! Nothing here has a runtime, a socket, a file or a wall clock.

mod column;
mod day;
mod error;
mod labels;
mod level;
mod quote;
mod rows;
pub mod seam;
mod tenant;
mod time;

pub use column::{Column, ColumnBuilder, ColumnsBuilder, Present, PresentColumns};
pub use day::Day;
pub use error::ErrorKind;
pub use labels::{Fingerprint, Labels, LabelsError, label_text};
pub use level::Level;
pub use quote::quote;
pub use rows::{Rows, RowsBuilder, RowsError, same_pairs};
pub use tenant::{TenantId, TenantIdError};
pub use time::{TimeRange, Timestamp};

/// Identity of one data directory: a UUID written when the directory is made.
///
/// A member of the ring with the same name and a new empty disk is another member, because its disk id differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskId(pub u128);

impl std::fmt::Display for DiskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for DiskId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(DiskId)
    }
}

/// Number of a generation on one disk; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// A part of what a generation holds: generations are one part, unless replay had to flush one in pieces to stay within memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GenerationPart {
    /// The generation.
    pub generation: Generation,
    /// 0, 1, 2 … in replay order.
    pub part: u32,
}
