//! A pipeline and what it does for one source.

use crate::chain::Chain;
use crate::stage::{Build, Compiled, Holding, Run, Work};
use crate::{Counters, CustomMetrics, Entry, Mark, Now, PipelineError, StageConfig, Text};
use skald_model::seam::Random;
use std::sync::Arc;
use std::time::Duration;

/// What all pipelines of a process share.
#[derive(Clone)]
pub struct PipelineContext {
    /// `job_name` of the scrape configuration.
    pub job: Text,
    /// Where dropped lines are counted.
    pub counters: Arc<Counters>,
    /// Where `metrics` stages count.
    pub metrics: Arc<CustomMetrics>,
    /// For `sampling`.
    pub random: Arc<dyn Random>,
    /// Sees each entry before and after each stage; slow.
    pub inspector: Option<Arc<dyn Inspector>>,
}

/// Looks at entries between stages.
pub trait Inspector: Send + Sync + 'static {
    /// The stage `name` of `job` took `before`; `after` is what left it: nothing when it dropped or holds the entry, several when it let go what it held.
    fn inspect(&self, job: &str, name: &str, before: &Inspected, after: &[Inspected]);
}

/// An entry between two stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its labels, timestamp, line and structured metadata.
    pub entry: Entry,
    /// What was extracted, sorted by name; nulls are empty.
    pub extracted: Vec<(String, String)>,
}

impl Inspected {
    pub(crate) fn of(work: &Work) -> Self {
        let text = |(name, value): (&str, std::borrow::Cow<'_, crate::extracted::Value>)| {
            (name.to_owned(), value.text().unwrap_or_default().into_owned())
        };
        Inspected { entry: work.entry.clone(), extracted: work.extracted.sorted().into_iter().map(text).collect() }
    }
}

/// Compiled stages. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline(Arc<Parts>);

pub(crate) struct Parts {
    stages: Vec<(&'static str, Compiled)>,
    context: PipelineContext,
}

impl Parts {
    /// Compiles `stages`; `text` is the whole pipeline of which they are a part.
    pub(crate) fn compile(stages: &[StageConfig], build: &Build<'_>) -> Result<Parts, PipelineError> {
        let compile = |(at, stage): (usize, &StageConfig)| {
            let compiled = stage.compile(build).map_err(|source| PipelineError { number: at + 1, name: stage.name(), source })?;
            Ok((stage.name(), compiled))
        };
        let stages = stages.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Parts { stages, context: build.context.clone() })
    }

    pub(crate) fn chain(&self) -> Chain {
        let inspector = self.context.inspector.clone().map(|inspector| (Text::clone(&self.context.job), inspector));
        Chain::new(self.stages.iter().map(|(name, compiled)| (*name, compiled.step())).collect(), inspector)
    }
}

impl Pipeline {
    /// Compiles the stages of one scrape configuration.
    ///
    /// # Errors
    /// [`PipelineError`] with the number and name of the stage and the option that is wrong.
    pub fn new(stages: &[StageConfig], context: &PipelineContext) -> Result<Pipeline, PipelineError> {
        let build = Build { context, text: &format!("{stages:?}") };
        Ok(Pipeline(Arc::new(Parts::compile(stages, &build)?)))
    }

    /// The pipeline for one more source: a file, a connection, a container.
    pub fn instance(&self) -> Instance {
        Instance { chain: self.0.chain(), released: Vec::new() }
    }
}

/// A pipeline at work on the lines of one source.
pub struct Instance {
    chain: Chain,
    /// Scratch space, empty between calls.
    released: Vec<Work>,
}

impl Instance {
    /// Runs one entry; what comes out is appended to `out`.
    ///
    /// The answer is how long the source shall wait before its next line; usually zero.
    pub fn process(&mut self, entry: Entry, mark: Mark, now: Now, out: &mut Vec<Entry>) -> Duration {
        let mut run = Run::at(now);
        let last = self.chain.process(Work::new(entry, mark), &mut run, &mut self.released);
        self.release(out);
        out.extend(last.map(|work| work.entry));
        run.pause
    }

    /// Lets go of what has waited too long; to be called at [`Instance::next_deadline`].
    pub fn tick(&mut self, now: Now, out: &mut Vec<Entry>) {
        self.chain.tick(&mut Run::at(now), &mut self.released);
        self.release(out);
    }

    /// When [`Instance::tick`] has something to do, monotonic.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.chain.next_deadline()
    }

    /// Lets go of everything: the source has ended, or its reader stops.
    pub fn flush(&mut self, now: Now, out: &mut Vec<Entry>) {
        self.chain.flush(&mut Run::at(now), &mut self.released);
        self.release(out);
    }

    /// Where the oldest line begins that a stage still holds: no position may move past it.
    pub fn oldest_held(&self) -> Option<Mark> {
        self.chain.oldest_held()
    }

    fn release(&mut self, out: &mut Vec<Entry>) {
        out.extend(self.released.drain(..).map(|work| work.entry));
    }
}
