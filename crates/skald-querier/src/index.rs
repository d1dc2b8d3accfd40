//! What is known of streams without reading their lines.

use crate::caller::Caller;
use crate::error::QueryError;
use crate::gather::{self, Matched, Matching};
use crate::service::Querier;
use crate::stats::QueryStats;
use crate::tenants::View;
use crate::volume::Counter;
use crate::work::Work;
use skald_logql::ast::{Expr, LogExpr, Matcher};
use skald_logql::exec::Selector;
use skald_logql::plan::{LogPlan, Params as PlanParams, Plan, plan};
use skald_model::{Labels, TenantId, TimeRange, Timestamp};
use skald_rpc::{LabelMatcher, SelectRequest, Selected};
use skald_store::OpenObject;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Counts of an index/stats answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct IndexStats {
    /// Streams with entries.
    pub streams: u64,
    /// Runs of blocks and chunks of memory that a query reads.
    pub chunks: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// The streams of a selector between two instants, both inside.
pub(crate) fn plan_of(matchers: Vec<Matcher>, start: Timestamp, end: Timestamp) -> Result<LogPlan, QueryError> {
    let params = PlanParams::over(start, end);
    match plan(&Expr::Log(LogExpr { matchers, stages: Vec::new() }), &params)? {
        Plan::Log(plan) => Ok(plan),
        Plan::Metric(_) => Err(QueryError::Unsupported("only label matchers are supported")),
    }
}

impl Querier {
    /// Label sets of all streams with entries in `range` that any of `selectors` wants, in order.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn series(
        &self,
        caller: &Caller,
        selectors: &[Selector],
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let find = async {
            let mut by_tenant = BTreeMap::<TenantId, Vec<View>>::new();
            for selector in selectors {
                for view in View::of_all(caller.tenants(), selector) {
                    by_tenant.entry(view.tenant().clone()).or_default().push(view);
                }
            }
            let (mut found, mut warnings) = (BTreeSet::new(), Vec::new());
            let mut held = caller.work().budget().hold_nothing();
            for (tenant, views) in by_tenant {
                let (streams, missing) = self.series_of(caller, &tenant, views, range).await?;
                found.extend(streams);
                held.resize(found.iter().map(label_bytes).sum())?;
                warnings.extend(missing);
            }
            caller.work().keep(held);
            Ok((found, warnings))
        };
        let started = self.monotonic();
        let (found, warnings) = self.in_turn(caller, find).await?;
        let stats = QueryStats {
            unreadable: warnings.len() as u64,
            entries_returned: found.len() as u64,
            exec_time: self.monotonic() - started,
            ..QueryStats::default()
        };
        caller.work().record().answered(&stats, warnings.len());
        Ok((found, warnings))
    }

    /// The streams of a tenant that any of `views` wants, all from one look at memory and store.
    async fn series_of(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        views: Vec<View>,
        range: TimeRange,
    ) -> Result<(BTreeSet<Labels>, Vec<String>), QueryError> {
        let selectors: Vec<Selector> = views.iter().map(|view| view.selector().clone()).collect();
        let matcher = AnyOf(selectors.iter().cloned().map(Matching).collect());
        let request = SelectRequest { matcher: Arc::new(matcher), range, labels_only: true };
        let selected = self.ingester().select(tenant, request).await.map_err(QueryError::Select)?;
        let streams = move |open: &OpenObject| {
            let all: BTreeSet<u32> = selectors.iter().flat_map(|selector| gather::matching_streams(open, selector, &[])).collect();
            all.into_iter().collect()
        };
        let opened = gather::open_objects(&self.reader(caller), tenant, streams, range, &selected).await?;
        let work = caller.work().clone();
        let find = move || labels_of(&work, &views, selected, &opened.objects, range);
        Ok((caller.work().on_pool(find).await?, opened.warnings))
    }

    /// What a selector has between two instants, both inside: exactly, and each entry once.
    ///
    /// # Errors
    /// When the ingester does not answer, or not in time.
    pub async fn index_stats(
        &self,
        caller: &Caller,
        matchers: Vec<Matcher>,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<(IndexStats, Vec<String>), QueryError> {
        let plan = Arc::new(caller.work().on_pool(move || plan_of(matchers, start, end)).await?);
        let count = async {
            let range = TimeRange::new(start, Timestamp(end.0.saturating_add(1)));
            let sources = self.sources_to_count(caller, plan, range).await?;
            let chunks = sources.streams.iter().map(|stream| stream.runs.len() as u64).sum();
            let (totals, warnings, stats) = self.count_entries(caller, Counter::of_streams(&sources, start, end), sources).await?;
            let sum = totals.sum();
            let streams = totals.series_count() as u64;
            Ok((IndexStats { streams, chunks, bytes: sum.bytes, entries: sum.entries }, warnings, stats))
        };
        let started = self.monotonic();
        let (found, warnings, mut stats) = self.in_turn(caller, count).await?;
        stats.exec_time = self.monotonic() - started;
        caller.work().record().answered(&stats, warnings.len());
        Ok((found, warnings))
    }
}

/// Streams that any of several selectors wants.
struct AnyOf(Vec<Matching>);

impl LabelMatcher for AnyOf {
    fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().any(|selector| selector.matches(labels))
    }
}

/// Label sets of a tenant's streams that have entries in `range`.
fn labels_of(
    work: &Work,
    views: &[View],
    selected: Selected,
    objects: &[Matched],
    range: TimeRange,
) -> Result<BTreeSet<Labels>, QueryError> {
    let Some(any) = views.first() else { return Ok(BTreeSet::new()) };
    let mut found: BTreeSet<Labels> = selected.streams.into_iter().map(|stream| any.series_labels(&stream.labels)).collect();
    let mut held = work.budget().hold(found.iter().map(label_bytes).sum())?;
    for Matched { open, streams } in objects {
        work.check()?;
        let (min, max) = open.footer.summary.time_span();
        let whole = range.covers(min, max);
        for stream in streams {
            if whole || open.footer.runs_of(*stream).any(|(_, run)| range.overlaps(run.min_time, run.max_time)) {
                let labels = any.series_labels(&open.labels[*stream as usize]);
                let bytes = label_bytes(&labels);
                if found.insert(labels) {
                    held.grow(bytes)?;
                }
            }
        }
    }
    Ok(found)
}

/// What a label set in an answer takes, and its text.
fn label_bytes(labels: &Labels) -> u64 {
    (2 * labels.text_len() + 16 * labels.len() + 64) as u64
}
