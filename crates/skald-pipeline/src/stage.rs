use crate::extracted::Extracted;
use crate::{Entry, Mark, Now, StageError, Text};
use std::sync::Arc;
use std::time::Duration;

/// An entry inside a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    pub(crate) entry: Entry,
    pub(crate) extracted: Extracted,
    /// Where the (first) line of the entry begins in its source.
    pub(crate) mark: Mark,
}

impl Work {
    pub(crate) fn new(entry: Entry, mark: Mark) -> Self {
        Work { extracted: Extracted::of(&entry.labels), entry, mark }
    }

    /// A copy with an empty line.
    pub(crate) fn without_line(&self) -> Self {
        let Entry { labels, timestamp, metadata, .. } = &self.entry;
        let entry = Entry { labels: labels.clone(), timestamp: *timestamp, line: String::new(), metadata: metadata.clone() };
        Work { entry, extracted: self.extracted.clone(), mark: self.mark }
    }
}

/// What a stage decided about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On to the next stage.
    Keep,
    /// The entry ends here; the stage has counted why.
    Drop,
    /// On to the next stage, but the source shall wait so long before its next line.
    Pause(Duration),
}

/// A stage that looks at one entry at a time and keeps nothing that could hold an entry back.
///
/// One per [`crate::Instance`], so it may have state of that source; what all instances share stands behind an `Arc`. That goes for regular
/// expressions too: a clone of one has scratch space of its own, and there may be thousands of instances.
pub(crate) trait Stage: Send {
    /// Changes the entry or drops it. What fails inside leaves the entry as it is.
    fn process(&mut self, work: &mut Work, now: Now) -> Verdict;
}

/// A stage that may keep an entry for later, or let several go at once.
pub(crate) trait Holding: Send {
    /// Takes one entry. What was held and goes now is appended to `released`, in order; the answer goes after it.
    fn process(&mut self, work: Work, run: &mut Run, released: &mut Vec<Work>) -> Option<Work>;

    /// Lets go of what has waited too long.
    fn tick(&mut self, run: &mut Run, released: &mut Vec<Work>);

    /// Lets go of everything.
    fn flush(&mut self, run: &mut Run, released: &mut Vec<Work>);

    /// When `tick` has something to do, monotonic.
    fn next_deadline(&self) -> Option<Duration>;

    /// The lowest mark of what is held.
    fn oldest_held(&self) -> Option<Mark>;
}

/// One passage through a pipeline.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) now: Now,
    /// How long the source shall wait: the longest that any stage asked for.
    pub(crate) pause: Duration,
}

impl Run {
    pub(crate) fn at(now: Now) -> Self {
        Run { now, pause: Duration::ZERO }
    }
}

/// A stage of one instance.
pub(crate) enum Step {
    Each(Box<dyn Stage>),
    Holding(Box<dyn Holding>),
}

impl Step {
    pub(crate) fn process(&mut self, mut work: Work, run: &mut Run, released: &mut Vec<Work>) -> Option<Work> {
        match self {
            Step::Each(stage) => match stage.process(&mut work, run.now) {
                Verdict::Keep => Some(work),
                Verdict::Drop => None,
                Verdict::Pause(pause) => {
                    run.pause = run.pause.max(pause);
                    Some(work)
                }
            },
            Step::Holding(stage) => stage.process(work, run, released),
        }
    }
}

/// A compiled stage: makes the step of each new instance.
#[derive(Clone)]
pub(crate) struct Compiled(Arc<dyn Fn() -> Step + Send + Sync>);

impl Compiled {
    /// Each instance begins with a clone of `prototype`.
    pub(crate) fn each<S: Stage + Clone + Sync + 'static>(prototype: S) -> Self {
        Compiled(Arc::new(move || Step::Each(Box::new(prototype.clone()))))
    }

    /// Each instance begins with what `make` gives.
    pub(crate) fn holding<S: Holding + 'static>(make: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Compiled(Arc::new(move || Step::Holding(Box::new(make()))))
    }

    pub(crate) fn step(&self) -> Step {
        (self.0)()
    }
}

/// What a stage is compiled with.
pub(crate) struct Build<'a> {
    pub(crate) context: &'a crate::PipelineContext,
    /// The whole pipeline as text.
    pub(crate) text: &'a str,
}

impl Build<'_> {
    /// The name of a value that costs something to extract: `None` when nothing in the pipeline has the word, be it as a source, in a template
    /// or by chance, and so no one can look at it.
    pub(crate) fn if_mentioned(&self, name: &str) -> Option<Text> {
        (self.context.inspector.is_some() || self.text.contains(name)).then(|| name.into())
    }
}

/// The options of one kind of stage.
pub(crate) trait Options {
    /// Checks the options and makes the stage.
    fn compile(&self, build: &Build<'_>) -> Result<Compiled, StageError>;
}
