//! Simulated seams and builders for tests.
//!
//! [`SimDisk`] forgets what was not synced, [`SimClock`] moves when told, [`SeededRandom`] repeats itself, [`InlinePool`] and [`SimSpawner`] run
//! work on the caller's thread, [`SimNetwork`] carries bytes in memory, and [`SimWorld`] has one of each. Together they make a test of a whole part
//! repeatable from one seed. [`Mutator`] makes inputs for decoders. [`S3Server`] is not simulated: it starts a real one.

mod builders;
mod clock;
mod disk;
mod ingester;
mod mutator;
mod network;
mod property;
mod random;
mod s3_server;
mod spawner;
mod world;

pub use builders::{labels, rows};
pub use clock::SimClock;
pub use disk::{Op, SimDisk};
pub use ingester::FakeIngester;
pub use mutator::Mutator;
pub use network::SimNetwork;
pub use property::property;
pub use random::SeededRandom;
pub use s3_server::S3Server;
pub use spawner::{InlinePool, SimSpawner};
pub use world::SimWorld;
