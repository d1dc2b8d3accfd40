//! What each stage of a pipeline did, for those who ask to see it. Others do not pay for it.

use std::fmt;
use std::sync::Arc;

/// A clock that only runs forward, in nanoseconds from anywhere.
#[derive(Clone)]
pub struct ProfileClock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl ProfileClock {
    /// Reads the time by `now`.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        ProfileClock(Arc::new(now))
    }
}

impl PartialEq for ProfileClock {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ProfileClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProfileClock")
    }
}

/// What the stages of a pipeline did so far, in the order of [`Pipeline::stages`](super::Pipeline::stages).
#[derive(Debug, Clone)]
pub struct Profile {
    clock: ProfileClock,
    stages: Vec<StageProfile>,
}

/// What one stage did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageProfile {
    /// Rows that it was given.
    pub rows_in: u64,
    /// Rows that it let pass.
    pub rows_out: u64,
    /// Time spent, that of reading the clock included.
    pub nanos: u64,
}

impl Profile {
    pub(crate) fn new(clock: ProfileClock, stages: usize) -> Self {
        Profile { clock, stages: vec![StageProfile::default(); stages] }
    }

    /// By stage.
    pub fn stages(&self) -> &[StageProfile] {
        &self.stages
    }

    pub(crate) fn now(&self) -> u64 {
        (self.clock.0)()
    }

    pub(crate) fn add(&mut self, stage: usize, rows_in: usize, rows_out: usize, since: u64) {
        let now = self.now();
        let profile = &mut self.stages[stage];
        profile.rows_in += rows_in as u64;
        profile.rows_out += rows_out as u64;
        profile.nanos += now.saturating_sub(since);
    }

    /// Adds what another run of the same pipeline did.
    pub(crate) fn merge(mine: &mut Option<Box<Profile>>, other: Option<Box<Profile>>) {
        match (mine, other) {
            (Some(mine), Some(other)) => {
                for (mine, other) in mine.stages.iter_mut().zip(other.stages) {
                    mine.rows_in += other.rows_in;
                    mine.rows_out += other.rows_out;
                    mine.nanos += other.nanos;
                }
            }
            (mine @ None, other) => *mine = other,
            (Some(_), None) => {}
        }
    }
}
