use crate::{Operation, StoreError};
use std::time::Duration;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// Nothing is done, and the call fails.
    Fail,
    /// Nothing is done, and the call gives the error that is made from the name.
    Answer(fn(&str) -> StoreError),
    /// It is done, and the call says that it failed.
    LoseAnswer,
    /// Nothing is done before [`super::FaultyStore::release`]. Nothing at all, when the caller stops waiting earlier.
    Hang,
    /// It is done, and the answer waits for [`super::FaultyStore::release`].
    HoldAnswer,
    /// No answer comes, ever. A put or delete is done nevertheless, in [`super::FaultyStore::deliver_late`], whether its caller waits or not.
    Late,
    /// It is done after this time, by the clock.
    Slow(Duration),
    /// A read gives the first half of each range.
    Truncate,
    /// A read has a bit of it turned over.
    FlipBit,
    /// A listing leaves out the names that were put last through this store, as many as said.
    HideNewest(usize),
}

impl Fault {
    /// On all calls that it can befall, until the rules are cleared. The methods of the rule narrow that down.
    pub fn always(self) -> FaultRule {
        FaultRule { fault: self, operation: None, inside: String::new(), skip: 0, times: None, probability: None }
    }

    /// On calls of one operation.
    pub fn on(self, operation: Operation) -> FaultRule {
        FaultRule { operation: Some(operation), ..self.always() }
    }

    /// On the next call of any operation that it can befall.
    pub fn once(self) -> FaultRule {
        self.always().times(1)
    }

    fn befalls(self, operation: Operation) -> bool {
        match self {
            Self::Truncate | Self::FlipBit => operation == Operation::Get,
            Self::HideNewest(_) => operation == Operation::List,
            Self::Late => !matches!(operation, Operation::Get | Operation::List),
            Self::Fail | Self::Answer(_) | Self::LoseAnswer | Self::Hang | Self::HoldAnswer | Self::Slow(_) => true,
        }
    }
}

/// Which calls a fault befalls. Made by [`Fault::on`], [`Fault::once`] and [`Fault::always`].
#[derive(Debug, Clone)]
pub struct FaultRule {
    pub(super) fault: Fault,
    operation: Option<Operation>,
    inside: String,
    skip: u32,
    times: Option<u32>,
    probability: Option<f64>,
}

impl FaultRule {
    /// Only names (or prefixes of listings) that begin with `prefix`.
    pub fn inside(self, prefix: &str) -> Self {
        FaultRule { inside: prefix.to_owned(), ..self }
    }

    /// Spares the first `calls` calls that it would befall.
    pub fn after(self, calls: u32) -> Self {
        FaultRule { skip: calls, ..self }
    }

    /// Only so many times; then the rule is gone.
    pub fn times(self, times: u32) -> Self {
        FaultRule { times: Some(times), ..self }
    }

    /// Each call only with this probability, 0 to 1.
    pub fn with_probability(self, probability: f64) -> Self {
        FaultRule { probability: Some(probability), ..self }
    }

    /// Whether it befalls this call, which counts as one of its times then. `draw` is uniform in 0 to 1.
    pub(super) fn takes(&mut self, operation: Operation, name: &str, draw: impl FnOnce() -> f64) -> bool {
        let meant = self.operation.is_none_or(|only| only == operation) && self.fault.befalls(operation) && name.starts_with(&self.inside);
        if !meant || self.is_spent() || self.probability.is_some_and(|probability| draw() >= probability) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times = self.times.map(|times| times - 1);
        true
    }

    pub(super) fn is_spent(&self) -> bool {
        self.times == Some(0)
    }
}
