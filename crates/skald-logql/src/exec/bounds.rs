use super::error::EvalError;
use std::cell::Cell;

/// What bounds a computation that may be long or large.
pub trait Bounds {
    /// Called every few thousand values with the bytes that the computation holds by now, about, beside what it was given.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`] when it is to end.
    fn check(&self, held_bytes: usize) -> Result<(), EvalError>;
}

/// Nothing bounds the computation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unbounded;

impl Bounds for Unbounded {
    fn check(&self, _held_bytes: usize) -> Result<(), EvalError> {
        Ok(())
    }
}

/// Adds up what the steps of one computation hold.
pub(crate) struct Account<'a> {
    bounds: &'a dyn Bounds,
    held: Cell<usize>,
}

impl<'a> Account<'a> {
    pub(crate) fn new(bounds: &'a dyn Bounds) -> Self {
        Account { bounds, held: Cell::new(0) }
    }

    /// Checks with `more` bytes beside what is held.
    pub(crate) fn check(&self, more: usize) -> Result<(), EvalError> {
        self.bounds.check(self.held.get() + more)
    }

    /// Holds `bytes` more.
    pub(crate) fn add(&self, bytes: usize) -> Result<(), EvalError> {
        self.held.set(self.held.get() + bytes);
        self.check(0)
    }

    /// Holds `bytes` less.
    pub(crate) fn sub(&self, bytes: usize) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }
}
