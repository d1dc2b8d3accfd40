//! Stages one after the other.

use crate::stage::{Holding, Run, Step, Work};
use crate::{Inspected, Inspector, Mark, Text};
use std::sync::Arc;
use std::time::Duration;

/// The stages of one instance, or those inside one stage of it.
pub(crate) struct Chain {
    steps: Vec<(&'static str, Step)>,
    inspector: Option<(Text, Arc<dyn Inspector>)>,
}

/// How a holding stage is asked to let go.
type LetGo = fn(&mut dyn Holding, &mut Run, &mut Vec<Work>);

impl Chain {
    pub(crate) fn new(steps: Vec<(&'static str, Step)>, inspector: Option<(Text, Arc<dyn Inspector>)>) -> Self {
        Chain { steps, inspector }
    }

    /// Runs `work` through the steps from `first` on.
    fn process_from(&mut self, first: usize, mut work: Work, run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        for at in first..self.steps.len() {
            let mut early = Vec::new();
            let next = self.step(at, work, run, &mut early);
            self.pass_on(at + 1, early, run, released);
            work = next?;
        }
        Some(work)
    }

    fn pass_on(&mut self, first: usize, works: Vec<Work>, run: &mut Run, released: &mut Vec<Work>) {
        for work in works {
            let last = self.process_from(first, work, run, released);
            released.extend(last);
        }
    }

    fn step(&mut self, at: usize, work: Work, run: &mut Run, early: &mut Vec<Work>) -> Option<Work> {
        let (name, step) = &mut self.steps[at];
        let Some((job, inspector)) = &self.inspector else {
            return step.process(work, run, early);
        };
        let before = Inspected::of(&work);
        let next = step.process(work, run, early);
        let after: Vec<_> = early.iter().chain(&next).map(Inspected::of).collect();
        inspector.inspect(job, name, &before, &after);
        next
    }

    fn let_go(&mut self, run: &mut Run, released: &mut Vec<Work>, how: LetGo) {
        for at in 0..self.steps.len() {
            if let (_, Step::Holding(stage)) = &mut self.steps[at] {
                let mut early = Vec::new();
                how(&mut **stage, run, &mut early);
                self.pass_on(at + 1, early, run, released);
            }
        }
    }

    fn holding(&self) -> impl Iterator<Item = &dyn Holding> {
        self.steps.iter().filter_map(|(_, step)| match step {
            Step::Each(_) => None,
            Step::Holding(stage) => Some(&**stage),
        })
    }
}

impl Holding for Chain {
    fn process(&mut self, work: Work, run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        self.process_from(0, work, run, released)
    }

    fn tick(&mut self, run: &mut Run, released: &mut Vec<Work>) {
        self.let_go(run, released, |stage, run, early| stage.tick(run, early));
    }

    fn flush(&mut self, run: &mut Run, released: &mut Vec<Work>) {
        self.let_go(run, released, |stage, run, early| stage.flush(run, early));
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.holding().filter_map(Holding::next_deadline).min()
    }

    fn oldest_held(&self) -> Option<Mark> {
        self.holding().filter_map(Holding::oldest_held).min()
    }
}
