use super::options;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Counter, Now, StageError};
use serde::{Deserialize, Serialize};
use skald_model::seam::Random;
use std::sync::Arc;

/// Lets a random part of the entries through.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sampling {
    /// The part, from 0 to 1.
    rate: Option<f64>,
    /// The reason under which the others are counted.
    drop_counter_reason: Option<String>,
}

impl Options for Sampling {
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError> {
        let rate = self.rate.ok_or(StageError::Missing { option: "rate" })?;
        if !(0.0..=1.0).contains(&rate) {
            return Err(StageError::invalid("rate", "must be from 0.0 to 1.0"));
        }
        let reason = options::reason(self.drop_counter_reason.as_deref(), "sampling_stage");
        let dropped = build.context.counters.reason(reason);
        Ok(Compiled::each(Sampled { rate, dropped, random: Arc::clone(&build.context.random) }))
    }
}

#[derive(Clone)]
struct Sampled {
    rate: f64,
    dropped: Counter,
    random: Arc<dyn Random>,
}

impl Stage for Sampled {
    fn process(&mut self, _work: &mut Work, _now: Now) -> Verdict {
        // As many bits as a float has, so the number is from 0 to below 1.
        let number = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        if number < self.rate {
            return Verdict::Keep;
        }
        self.dropped.add(1);
        Verdict::Drop
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{Bench, refused};

    /// How many of 10 000 lines pass.
    fn passed(yaml: &str) -> (usize, Vec<String>) {
        let mut bench = Bench::new(yaml);
        ((0..10_000).map(|_| bench.push("x").len()).sum(), bench.dropped())
    }

    #[test]
    fn a_part_of_the_lines_passes_and_the_rest_is_counted() {
        assert_eq!(passed("- sampling: {rate: 1}"), (10_000, vec![]));
        assert_eq!(passed("- sampling: {rate: 0, drop_counter_reason: why}"), (0, vec!["why:10000".to_owned()]));
        let (some, dropped) = passed("- sampling: {rate: 0.25}");
        assert!((2300..2700).contains(&some), "{some}");
        assert_eq!(dropped, [format!("sampling_stage:{}", 10_000 - some)]);
    }

    #[test]
    fn the_rate_is_a_part_of_one() {
        refused("- sampling:", "option rate is required");
        refused("- sampling: {rate: 1.5}", "option rate: must be from 0.0 to 1.0");
        refused("- sampling: {rate: .nan}", "option rate: must be from 0.0 to 1.0");
    }
}
