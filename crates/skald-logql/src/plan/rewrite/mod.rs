//! Rewrites: what makes a plan cheaper and leaves every answer as it is.
//!
//! Each has a name, a file and a test that compares answers with and without it. [`Rewrites::NONE`] is the plain plan: it reads all of
//! every entry of the selected streams, runs the stages row by row, and sums above the leaves. It may fail where the rewritten plan does not,
//! because it holds more series at a time; where both answer, they answer the same (sums of fractions within their rounding).
//!
//! Some of what looks like a rewrite is part of the language, because it can be seen in answers. It is no switch and is always done:
//! - Line filters move in front of the stages around them, up to the next label filter, `line_format` or `unpack`: a filter behind
//!   `decolorize` sees the coloured line.
//! - Parsers are told which labels the query uses, stop once they have them, and are left out where no label is used. So
//!   `sum(count_over_time({…} | json [1m]))` cannot fail on a line that is no JSON.
//! - The first plain label filter on a name is asked as soon as a parser writes that name, even if it stands before the parser.
//! - `line_format` goes where a range aggregation does not look at its line; a template there need not compile.
//! - Branches of a line filter that match everything are left out of it.

mod blocks_from_filters;
mod counts_from_directory;
mod filters_by_column;
mod literals_from_filters;
mod matchers_from_filters;
mod needed_columns;
mod series_by_column;
mod stop_at_limit;
mod sum_at_leaf;
#[cfg(test)]
pub(in crate::plan) mod tests;
mod top_at_leaf;

use crate::exec::{Hints, LineMatcher, Needs, Pipeline, PipelineParts, PlannedStage, StageRuns, Step};

pub(crate) use literals_from_filters::ImpliedFilter;
pub(crate) use matchers_from_filters::StreamTest;
pub(super) use {
    counts_from_directory::counts_runs,
    series_by_column::finds_series_by_column,
    stop_at_limit::stops,
    sum_at_leaf::{LeafGrouping, adds_up},
    top_at_leaf::top_of,
};

/// One rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rewrite {
    /// Reads only the columns that stages and result use, and of lines only what is looked at: nothing, lengths, or all.
    NeededColumns,
    /// Label filters become matchers where the labels of a stream decide them.
    MatchersFromFilters,
    /// A label filter behind a parser asks for lines that hold its value.
    LiteralsFromFilters,
    /// Blocks are skipped that cannot hold what filters ask for.
    BlocksFromFilters,
    /// Label filters in front of all other stages are decided column by column, before lines are searched.
    FiltersByColumn,
    /// Rows find their series by stream and dictionary word.
    SeriesByColumn,
    /// Sums of counts and sums are counted by group in the first place.
    SumAtLeaf,
    /// Only series are made that can be among the largest or smallest.
    TopAtLeaf,
    /// Rows are counted by the numbers in the directory of their object.
    CountsFromDirectory,
    /// A log query without filters reads from the end that it begins at and stops once it has its lines.
    StopAtLimit,
}

/// Which rewrites a plan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rewrites(u16);

impl Rewrite {
    /// Every rewrite, in the order in which they take effect.
    pub const ALL: [Rewrite; 10] = [
        Rewrite::NeededColumns,
        Rewrite::MatchersFromFilters,
        Rewrite::LiteralsFromFilters,
        Rewrite::BlocksFromFilters,
        Rewrite::FiltersByColumn,
        Rewrite::SeriesByColumn,
        Rewrite::SumAtLeaf,
        Rewrite::TopAtLeaf,
        Rewrite::CountsFromDirectory,
        Rewrite::StopAtLimit,
    ];

    /// As explanations and logs name it.
    pub fn name(self) -> &'static str {
        match self {
            Rewrite::NeededColumns => "needed_columns",
            Rewrite::MatchersFromFilters => "matchers_from_filters",
            Rewrite::LiteralsFromFilters => "literals_from_filters",
            Rewrite::BlocksFromFilters => "blocks_from_filters",
            Rewrite::FiltersByColumn => "filters_by_column",
            Rewrite::SeriesByColumn => "series_by_column",
            Rewrite::SumAtLeaf => "sum_at_leaf",
            Rewrite::TopAtLeaf => "top_at_leaf",
            Rewrite::CountsFromDirectory => "counts_from_directory",
            Rewrite::StopAtLimit => "stop_at_limit",
        }
    }
}

impl Rewrites {
    /// The cheapest plan.
    pub const ALL: Rewrites = Rewrites((1 << Rewrite::ALL.len()) - 1);
    /// The plain plan.
    pub const NONE: Rewrites = Rewrites(0);

    /// Whether `rewrite` may be used.
    pub fn has(self, rewrite: Rewrite) -> bool {
        self.0 & (1 << rewrite as u16) != 0
    }

    /// The same with `rewrite`.
    #[must_use]
    pub fn with(self, rewrite: Rewrite) -> Self {
        Rewrites(self.0 | (1 << rewrite as u16))
    }

    /// The same without `rewrite`.
    #[must_use]
    pub fn without(self, rewrite: Rewrite) -> Self {
        Rewrites(self.0 & !(1 << rewrite as u16))
    }

    /// Those that are on.
    pub fn iter(self) -> impl Iterator<Item = Rewrite> {
        Rewrite::ALL.into_iter().filter(move |rewrite| self.has(*rewrite))
    }
}

/// Puts compiled stages together, with what the rewrites make of them. `texts` are those of the steps, `result` is what the use of their
/// result needs.
pub(super) fn pipeline(
    line_filters: Vec<(LineMatcher, String)>,
    steps: Vec<Step>,
    texts: Vec<String>,
    hints: Hints,
    result: Needs,
    rewrites: Rewrites,
) -> Pipeline {
    let useful = line_filters.into_iter().filter(|(filter, _)| !filter.is_always_true());
    let (line_filters, mut line_texts): (Vec<LineMatcher>, Vec<String>) = useful.unzip();
    let on = |rewrite| rewrites.has(rewrite);
    let mut applied = Rewrites::NONE;
    let mut note = |rewrite, changes: bool| {
        if changes {
            applied = applied.with(rewrite);
        }
    };
    let needs =
        if on(Rewrite::NeededColumns) { needed_columns::of_stages(&line_filters, &steps, &hints, result) } else { Needs::EVERYTHING };
    note(Rewrite::NeededColumns, needs != Needs::EVERYTHING);
    let stream_tests = if on(Rewrite::MatchersFromFilters) { matchers_from_filters::stream_tests(&steps) } else { Vec::new() };
    note(Rewrite::MatchersFromFilters, !stream_tests.is_empty());
    let (implied, literals) =
        if on(Rewrite::LiteralsFromFilters) { literals_from_filters::implied(&steps) } else { (Vec::new(), Vec::new()) };
    note(Rewrite::LiteralsFromFilters, !implied.is_empty());
    let probe = blocks_from_filters::probe(on(Rewrite::BlocksFromFilters), &line_filters, &steps, literals);
    note(Rewrite::BlocksFromFilters, !probe.is_anything());
    let by_column = if on(Rewrite::FiltersByColumn) { filters_by_column::leading(&steps) } else { 0 };
    note(Rewrite::FiltersByColumn, by_column > 0);
    let mut stages: Vec<PlannedStage> = Vec::new();
    let mut describe = |texts: &mut dyn Iterator<Item = String>, runs| stages.extend(texts.map(|text| PlannedStage { text, runs }));
    let mut texts = texts.into_iter();
    describe(&mut texts.by_ref().take(by_column), StageRuns::ByColumn);
    describe(&mut line_texts.drain(..), StageRuns::OverLines);
    describe(&mut implied.iter().map(|filter| filter.text().to_owned()), StageRuns::OverLinesImplied);
    describe(&mut texts, StageRuns::ByRow);
    Pipeline::new(PipelineParts { line_filters, implied, steps, stages, hints, needs, probe, stream_tests, by_column, applied })
}
