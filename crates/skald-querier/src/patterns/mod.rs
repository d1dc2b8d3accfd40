//! Patterns of lines: what their messages look like, and how many there were when.
//!
//! Templates are learned from a bounded sample of the lines, then every line is read and counted under exactly one of them, or under none. A line
//! counts only where the pattern, as a line filter `|>`, matches it. What a line is counted under depends on the line and on the templates alone,
//! so the counts are exact and the same however the work is split; those of all patterns and the rest add up to the number of lines.

mod count;
mod learn;
mod render;
mod sample;
mod templates;
#[cfg(test)]
mod tests;
mod tokens;

use crate::caller::Caller;
use crate::checks;
use crate::error::QueryError;
use crate::read::{Laziness, Reading, State, Unit, units};
use crate::service::Querier;
use crate::stats::QueryStats;
use count::{Buckets, Counting, Sampling};
use sample::Sample;
use skald_logql::ast::{Expr, LogExpr};
use skald_logql::exec::Columns;
use skald_logql::plan::{Direction, LogPlan, Params as PlanParams};
use skald_model::{Level, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;
use templates::{Template, Templates};

/// Lines that templates are learned from.
const SAMPLE_LINES: usize = 1 << 15;
/// Memory that they take.
const SAMPLE_MEMORY: usize = 8 << 20;
/// Raw bytes of rows that are read for the sample; then again as many, so that it has lines of all streams.
const SAMPLE_BYTES: u64 = 24 << 20;
/// Lines below which a sample of a part is not enough: a filter passes few, so all are read for it.
const SAMPLE_LINES_MIN: usize = 1 << 12;
/// Lines, of those that no template takes, from which more templates are learned.
const MISSED_LINES: usize = 1 << 13;
/// Memory that they take.
const MISSED_MEMORY: usize = 2 << 20;
/// It is worth to learn again for more than one of so many lines.
const GAIN_SHARE: u64 = 100;
/// How often templates are learned at most.
const ROUNDS_MAX: usize = 2;
/// Patterns of fewer lines are left out.
const LINES_MIN: u64 = 30;
/// Patterns of an answer.
const PATTERNS_MAX: usize = 300;
/// Least width of a bucket.
const STEP_MIN: Duration = Duration::from_secs(10);

/// A request for patterns, its parameters read.
#[derive(Debug, Clone)]
pub struct PatternsRequest {
    /// LogQL of a log query.
    pub text: String,
    /// First instant.
    pub start: Timestamp,
    /// First instant after.
    pub end: Timestamp,
    /// Width of the buckets; at least ten seconds are taken, and whole seconds.
    pub step: Duration,
}

/// The patterns of lines.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Those of most lines, the most frequent first.
    pub patterns: Vec<Pattern>,
    /// Lines of none of them.
    pub rest: u64,
    /// What is missing from it, if anything.
    pub warnings: Vec<String>,
}

/// Lines of one level that a pattern matches.
#[derive(Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The text, `<_>` where lines differ; matches all of its lines behind `|>`.
    pub text: String,
    /// The level of its lines.
    pub level: Level,
    /// Number of its lines.
    pub lines: u64,
    /// Start of each bucket with lines, in seconds, and their number.
    pub samples: Vec<(i64, u64)>,
}

impl Querier {
    /// The patterns of the lines that a query selects.
    ///
    /// # Errors
    /// When the query is wrong or a limit is passed, or what it needs does not answer.
    pub async fn patterns(&self, caller: &Caller, request: PatternsRequest) -> Result<Patterns, QueryError> {
        let limits = caller.limits();
        caller.work().record().asked("patterns", &request.text, (request.start, request.end), Some(request.step));
        let expr = skald_logql::parse(&request.text)?;
        checks::blocked(&expr, &request.text, caller)?;
        checks::length(request.start, request.end, limits)?;
        let start = checks::lookback(request.start, request.end, limits, self.now())?;
        checks::selectors(&expr, limits)?;
        let Expr::Log(log) = expr else { return Err(QueryError::Unsupported("only log selector is supported")) };
        let buckets = Buckets::new(start, whole_seconds(request.step.max(STEP_MIN)));
        let (end, now) = (request.end, self.now());
        let (started, mut read) = (self.monotonic(), Read::default());
        let mine = async {
            let plan = caller.work().on_pool(move || plan(&log, start, end, now)).await?;
            self.mine(caller, Arc::new(plan), buckets, &mut read).await
        };
        let found = self.in_turn(caller, mine).await?;
        let Read { warnings, mut stats } = read;
        stats.entries_returned = found.patterns.len() as u64;
        stats.exec_time = self.monotonic() - started;
        caller.work().record().answered(&stats, warnings.len());
        Ok(Patterns { warnings: warnings.into_iter().collect(), ..found })
    }

    async fn mine(&self, caller: &Caller, plan: Arc<LogPlan>, buckets: Buckets, read: &mut Read) -> Result<Patterns, QueryError> {
        let mut sources = self.sources(caller, plan.clone(), plan.range()).await?;
        let units = units(&mut sources);
        read.add(sources.warnings, &sources.stats);
        let sample = self.sample(caller, &plan, &units, read).await?;
        let mut rounds = vec![self.learn(caller, sample).await?];
        loop {
            let templates = Arc::new(Templates::new(&rounds));
            let new_state = {
                let (plan, templates) = (plan.clone(), templates.clone());
                move || Counting::new(plan.clone(), templates.clone(), buckets, Sample::new(MISSED_LINES, MISSED_MEMORY))
            };
            let mut counting = new_state();
            let states = self.read(caller, &plan, units.clone(), new_state, read).await?;
            states.into_iter().for_each(|state| counting.merge(state));
            let (missed, sample) = (counting.missed, counting.take_sample());
            let answer = finish(&templates, counting, buckets);
            if rounds.len() == ROUNDS_MAX || missed < LINES_MIN {
                return Ok(answer);
            }
            // What the first sample had no line of may be much of the whole: then its own sample is learned from, once.
            let sampled = sample.len() as u64;
            let more = self.learn(caller, sample).await?;
            if !answer.would_gain(more.iter().map(|template| template.weight as u64 * missed / sampled.max(1))) {
                return Ok(answer);
            }
            rounds.push(more);
        }
    }

    /// Lines of a part of `units` that is chosen by their order and streams; of all of them, when the part has too few.
    async fn sample(&self, caller: &Caller, plan: &Arc<LogPlan>, units: &[Unit], read: &mut Read) -> Result<Sample, QueryError> {
        let chosen = choose(units);
        let part =
            |wanted: bool| units.iter().zip(&chosen).filter(move |(_, chosen)| **chosen == wanted).map(|(unit, _)| unit.clone()).collect();
        let mut sample = self.sample_of(caller, plan, part(true), read).await?;
        if sample.len() < SAMPLE_LINES_MIN && sample.heap_bytes() < SAMPLE_MEMORY / 2 && chosen.contains(&false) {
            sample.merge(self.sample_of(caller, plan, part(false), read).await?);
        }
        Ok(sample)
    }

    async fn sample_of(&self, caller: &Caller, plan: &Arc<LogPlan>, units: Vec<Unit>, read: &mut Read) -> Result<Sample, QueryError> {
        let new_state = {
            let plan = plan.clone();
            move || Sampling::new(plan.clone(), Sample::new(SAMPLE_LINES, SAMPLE_MEMORY))
        };
        let states = self.read(caller, plan, units, new_state, read).await?;
        let mut all = Sample::new(SAMPLE_LINES, SAMPLE_MEMORY);
        states.into_iter().for_each(|state| all.merge(state.sample));
        Ok(all)
    }

    async fn read<S: State>(
        &self,
        caller: &Caller,
        plan: &LogPlan,
        units: Vec<Unit>,
        new_state: impl Fn() -> S + Send + Sync + 'static,
        read: &mut Read,
    ) -> Result<Vec<S>, QueryError> {
        let pipeline = plan.pipeline();
        let reading = Reading { needs: pipeline.needs().clone(), probe: pipeline.block_probe().clone(), laziness: Laziness::Whole };
        let (states, outcome) = self.reader(caller).evaluate(units, reading, new_state).await?;
        read.add(outcome.warnings, &outcome.stats);
        Ok(states)
    }

    async fn learn(&self, caller: &Caller, sample: Sample) -> Result<Vec<Template>, QueryError> {
        caller.work().on_pool(move || Ok(learn::learn(&sample.into_lines()))).await
    }
}

/// What was read for an answer: lines that are read twice count twice.
#[derive(Default)]
struct Read {
    warnings: BTreeSet<String>,
    stats: QueryStats,
}

impl Read {
    fn add(&mut self, warnings: Vec<String>, stats: &QueryStats) {
        self.warnings.extend(warnings);
        self.stats.add(stats);
    }
}

impl Patterns {
    /// Whether patterns of about so many lines, now in the rest, would add much to the answer.
    fn would_gain(&self, lines: impl Iterator<Item = u64>) -> bool {
        let counted: u64 = self.patterns.iter().map(|pattern| pattern.lines).sum();
        let least = self.patterns.get(PATTERNS_MAX - 1).map_or(LINES_MIN, |last| last.lines + 1);
        let gain: u64 = lines.filter(|lines| *lines >= least).sum();
        gain > (counted + self.rest) / GAIN_SHARE
    }
}

fn plan(log: &LogExpr, start: Timestamp, end: Timestamp, now: Timestamp) -> Result<LogPlan, QueryError> {
    let params = PlanParams { direction: Direction::Forward, now, ..PlanParams::over(start, end) };
    Ok(LogPlan::with_columns(log, &params, Columns::Names([Level::METADATA_NAME.to_owned()].into()))?)
}

/// Nanoseconds of `step`, rounded up to whole seconds.
fn whole_seconds(step: Duration) -> i64 {
    let seconds = step.as_secs() + u64::from(step.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)
}

/// Units for a sample: evenly spaced, and others with a stream that those have not, each within [`SAMPLE_BYTES`].
fn choose(units: &[Unit]) -> Vec<bool> {
    let total: u64 = units.iter().map(Unit::raw_bytes).sum();
    let every = total.div_ceil(SAMPLE_BYTES).max(1) as usize;
    let mut chosen: Vec<bool> = (0..units.len()).map(|at| at % every == every / 2).collect();
    let mut streams: HashSet<u64> = HashSet::new();
    for (unit, _) in units.iter().zip(&chosen).filter(|(_, chosen)| **chosen) {
        streams.extend(streams_of(unit));
    }
    let mut left = SAMPLE_BYTES;
    for (unit, chosen) in units.iter().zip(&mut chosen).filter(|(_, chosen)| !**chosen) {
        if unit.raw_bytes() <= left && streams_of(unit).any(|stream| !streams.contains(&stream)) {
            *chosen = true;
            left -= unit.raw_bytes();
            streams.extend(streams_of(unit));
        }
    }
    chosen
}

fn streams_of(unit: &Unit) -> impl Iterator<Item = u64> {
    let (one, several) = match unit {
        Unit::Memory { labels, .. } => (Some(labels), &[][..]),
        Unit::Block { runs, .. } => (None, runs.as_slice()),
    };
    one.into_iter().chain(several.iter().map(|run| &run.labels)).map(|labels| labels.fingerprint().0)
}

fn finish(templates: &Templates, counting: Counting, buckets: Buckets) -> Patterns {
    let mut by_pattern: BTreeMap<u32, Vec<(u32, u64)>> = BTreeMap::new();
    for ((pattern, bucket), count) in counting.counts {
        by_pattern.entry(pattern).or_default().push((bucket, count));
    }
    let (mut patterns, mut rest) = (Vec::new(), counting.missed);
    for (number, mut samples) in by_pattern {
        let lines = samples.iter().map(|(_, count)| count).sum();
        if lines < LINES_MIN {
            rest += lines;
            continue;
        }
        samples.sort_unstable();
        let (level, text) = templates.pattern(number);
        let samples = samples.into_iter().map(|(bucket, count)| (buckets.seconds(bucket), count)).collect();
        patterns.push(Pattern { text: text.to_owned(), level, lines, samples });
    }
    patterns.sort_by(|a, b| b.lines.cmp(&a.lines).then_with(|| (&a.text, a.level).cmp(&(&b.text, b.level))));
    rest += patterns.iter().skip(PATTERNS_MAX).map(|pattern| pattern.lines).sum::<u64>();
    patterns.truncate(PATTERNS_MAX);
    Patterns { patterns, rest, warnings: Vec::new() }
}
