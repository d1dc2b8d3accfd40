use crate::{InlinePool, SeededRandom, SimClock, SimDisk, SimNetwork, SimSpawner};
use skald_model::Timestamp;
use skald_model::seam::Seams;
use std::sync::Arc;

/// All that a process touches, simulated.
#[derive(Clone)]
pub struct SimWorld {
    /// Time, which stands still until advanced. It begins 2026-01-01T00:00:00 UTC.
    pub clock: Arc<SimClock>,
    /// Randomness and ids.
    pub random: Arc<SeededRandom>,
    /// Tasks, which advance in [`SimSpawner::run`].
    pub spawner: Arc<SimSpawner>,
    /// Files.
    pub disk: Arc<SimDisk>,
    /// Sockets.
    pub network: Arc<SimNetwork>,
}

impl SimWorld {
    /// A new world, whose randomness `seed` decides.
    pub fn new(seed: u64) -> Self {
        let clock = SimClock::new(Timestamp::from_secs(1_767_225_600));
        SimWorld {
            disk: SimDisk::with_clock(clock.clone()),
            clock,
            random: Arc::new(SeededRandom::new(seed)),
            spawner: SimSpawner::new(),
            network: SimNetwork::new(),
        }
    }

    /// The seams for the parts under test.
    pub fn seams(&self) -> Seams {
        Seams {
            clock: self.clock.clone(),
            random: self.random.clone(),
            spawner: self.spawner.clone(),
            cpu: Arc::new(InlinePool),
            disk: self.disk.clone(),
            network: self.network.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skald_model::Day;
    use skald_model::seam::run_on_pool;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn the_seams_are_those_of_the_world() {
        let world = SimWorld::new(7);
        let seams = world.seams();
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(seams.clock.now(), Timestamp::from_secs(1_767_225_605));
        assert_eq!(Day::of(seams.clock.now()).to_string(), "2026-01-01");
        seams.disk.create_dir_all(Path::new("/data")).unwrap();
        assert_eq!(world.disk.operations(), 1);
        assert_ne!(seams.random.next_id(), seams.random.next_id());
        assert_eq!(run_on_pool(&*seams.cpu, || 1).now_or_never(), Some(Ok(1)));
    }
}
