//! Runs a target on many inputs, and says how one that failed is made again.

use crate::Target;
use skald_testkit::{Mutator, SeededRandom};
use std::fmt;
use std::ops::Range;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

/// An input of at most 64 KiB that takes longer than this counts as one that hangs.
pub const CASE_SECONDS_MAX: u64 = 20;
/// Resident memory that no input of at most 64 KiB may make of a process.
pub const PEAK_MIB_MAX: u64 = 1024;

/// Cases of one target.
#[derive(Debug, Clone)]
pub struct Run {
    /// Decides the inputs, together with the number of the case.
    pub seed: u64,
    /// Numbers of the cases.
    pub cases: Range<u64>,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// All cases.
    pub took: Duration,
    /// The slowest case, and its number.
    pub slowest: (Duration, u64),
}

/// A case that broke a promise.
#[derive(Debug)]
pub struct Failure {
    /// Name of the target.
    pub target: &'static str,
    /// Number of the case.
    pub case: u64,
    /// Seed of the run.
    pub seed: u64,
    /// The input.
    pub input: Vec<u8>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { target, case, seed, input } = self;
        write!(
            f,
            "{target} broke a promise on {} bytes: {:?}\nmake it again: make fuzz TARGET={target} SEED={seed} FIRST={case} CASES=1",
            input.len(),
            String::from_utf8_lossy(&input[..input.len().min(400)])
        )
    }
}

impl Run {
    /// Runs `target`; `before` sees the number of each case and its input.
    ///
    /// # Errors
    /// The first case that panicked.
    pub fn of(&self, target: &Target, mut before: impl FnMut(u64, &[u8])) -> Result<Outcome, Failure> {
        let mutator = Mutator::new((target.seeds)(), target.tokens);
        let start = now();
        let mut slowest = (Duration::ZERO, self.cases.start);
        for case in self.cases.clone() {
            let input = self.input(&mutator, case);
            before(case, &input);
            let began = now();
            if catch_unwind(|| (target.run)(&input)).is_err() {
                return Err(Failure { target: target.name, case, seed: self.seed, input });
            }
            slowest = slowest.max((began.elapsed(), case));
        }
        Ok(Outcome { took: start.elapsed(), slowest })
    }

    fn input(&self, mutator: &Mutator, case: u64) -> Vec<u8> {
        mutator.input(&SeededRandom::new(self.seed ^ case.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)))
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures how long decoders take, as seen from outside")]
fn now() -> Instant {
    Instant::now()
}
