//! Simulated seams and builders for tests.
//!
//! [`SimDisk`] forgets what was not synced, [`SimClock`] moves when told, [`SeededRandom`] repeats itself, [`InlinePool`] and [`SimSpawner`] run
//! work on the caller's thread. Together they make a test of a whole part repeatable from one seed.

mod builders;
mod clock;
mod disk;
mod random;
mod spawner;

pub use builders::{labels, rows};
pub use clock::SimClock;
pub use disk::{Op, SimDisk};
pub use random::SeededRandom;
pub use spawner::{InlinePool, SimSpawner};
