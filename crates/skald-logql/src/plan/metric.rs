use super::fragment::FragmentOf;
use super::hints::Wanted;
use super::rewrite::{self, LeafGrouping, Rewrite, Rewrites};
use super::{Params, PlanError, stages};
use crate::ast::{
    BinaryExpr, BinaryOp, Grouping, MatchOp, Matcher, MetricExpr, RangeAggregation, RangeOp, Stage, VectorAggregation, VectorMatching,
    VectorOp,
};
use crate::exec::{
    Account, Bounds, EvalError, LabelSet, LeafState, LeafValue, LineNeed, MetricResult, Needs, ProfileClock, RangeLeaf, Replacer,
    SampleFold, Selector, SeriesKey, StepVectors, Steps, Top, Unbounded, Windows, aggregate, apply, apply_scalar, join, result,
    scalar_result,
};
use skald_model::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// Most series that a leaf below other functions may count.
const INNER_SERIES_MAX: usize = 200_000;

/// A query that gives numbers.
#[derive(Debug)]
pub struct MetricPlan {
    pub(super) root: Node,
    pub(super) leaves: Vec<Arc<RangeLeaf>>,
    /// By leaf: how many of its series decide the answer, where not all do.
    pub(super) tops: Vec<Option<Top>>,
    /// By leaf: whether a sum above it is made by its groups.
    pub(super) sums: Vec<bool>,
    steps: Steps,
    instant: bool,
    keep_order: bool,
    series_max: usize,
}

/// A step of evaluation above the leaves.
#[derive(Debug)]
pub(super) enum Node {
    Leaf(usize),
    Number(f64),
    /// `vector(…)`
    Constant(f64),
    /// One at the steps where a leaf has no value.
    Absent {
        leaf: usize,
        labels: LabelSet,
    },
    LabelReplace {
        inner: Box<Node>,
        replacer: Replacer,
    },
    Aggregate {
        op: VectorOp,
        parameter: Option<u64>,
        grouping: Option<Grouping>,
        inner: Box<Node>,
    },
    Binary {
        op: BinaryOp,
        return_bool: bool,
        matching: VectorMatching,
        left: Box<Node>,
        right: Box<Node>,
    },
}

enum Value {
    Number(f64),
    Vectors(StepVectors),
}

impl MetricPlan {
    pub(super) fn new(expr: &MetricExpr, params: &Params) -> Result<Self, PlanError> {
        let steps = match params.step {
            None => Steps::instant(params.end),
            Some(step) if step.is_zero() && params.start == params.end => Steps::instant(params.end),
            Some(step) => Steps::range(params.start, params.end, step).ok_or(PlanError::TooManySteps)?,
        };
        let instant = params.step.is_none_or(|step| step.is_zero());
        let Params { max_series: series_max, now, rewrites, approx_topk, .. } = *params;
        let profile = params.profile.clone();
        let mut builder = Builder {
            steps,
            profile,
            instant,
            leaves: Vec::new(),
            tops: Vec::new(),
            sums: Vec::new(),
            template_cost: 0,
            series_max,
            now,
            rewrites,
            approx_topk,
        };
        let root = builder.node(expr, true)?;
        Ok(MetricPlan {
            root,
            leaves: builder.leaves,
            tops: builder.tops,
            sums: builder.sums,
            steps,
            instant,
            keep_order: sorts(expr),
            series_max: params.max_series,
        })
    }

    /// The range aggregations to count; none where only numbers are asked for.
    pub fn leaves(&self) -> &[Arc<RangeLeaf>] {
        &self.leaves
    }

    /// Times of evaluation.
    pub fn steps(&self) -> Steps {
        self.steps
    }

    /// The answer, from one state per leaf in the order of [`MetricPlan::leaves`].
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn finish(&self, states: Vec<LeafState>) -> Result<MetricResult, EvalError> {
        self.finish_within(states, &Unbounded)
    }

    /// As [`MetricPlan::finish`], asking `bounds` every now and then.
    ///
    /// # Errors
    /// See [`EvalError`].
    pub fn finish_within(&self, states: Vec<LeafState>, bounds: &dyn Bounds) -> Result<MetricResult, EvalError> {
        debug_assert_eq!(states.len(), self.leaves.len(), "one state per leaf");
        let account = Account::new(bounds);
        let mut values = Vec::with_capacity(states.len());
        for (at, state) in states.into_iter().enumerate() {
            let leaf = Arc::clone(state.leaf());
            let vectors = StepVectors::from_counts(&leaf, state.into_series(self.tops[at])?, &account)?;
            account.add(vectors.heap_bytes())?;
            values.push(Some(vectors));
        }
        match self.eval(&self.root, &mut values, &account)? {
            Value::Number(value) => Ok(scalar_result(value, &self.steps, self.instant)),
            Value::Vectors(vectors) => result(vectors, &self.steps, self.instant, self.keep_order, self.series_max, &account),
        }
    }

    /// Evaluates a node; what its value holds is added to the account, and what it was made of taken away.
    fn eval(&self, node: &Node, leaves: &mut [Option<StepVectors>], account: &Account<'_>) -> Result<Value, EvalError> {
        Ok(match node {
            Node::Number(value) => Value::Number(*value),
            Node::Constant(value) => Self::made(StepVectors::constant(*value, &self.steps), 0, account)?,
            Node::Leaf(at) => Value::Vectors(leaves[*at].take().expect("each leaf has one place in the expression")),
            Node::Absent { leaf, labels } => {
                let counted = leaves[*leaf].take().expect("each leaf has one place in the expression");
                let before = counted.heap_bytes();
                Self::made(counted.absent(labels.clone()), before, account)?
            }
            Node::LabelReplace { inner, replacer } => {
                let mut vectors = self.eval(inner, leaves, account)?.into_vectors(&self.steps);
                let before = vectors.heap_bytes();
                vectors.series.iter_mut().for_each(|labels| replacer.replace(labels));
                Self::made(vectors, before, account)?
            }
            Node::Aggregate { op, parameter, grouping, inner } => {
                let inner = self.eval(inner, leaves, account)?.into_vectors(&self.steps);
                let before = inner.heap_bytes();
                Self::made(aggregate(*op, *parameter, grouping.as_ref(), inner, account)?, before, account)?
            }
            Node::Binary { op, return_bool, matching, left, right } => {
                match (self.eval(left, leaves, account)?, self.eval(right, leaves, account)?) {
                    (Value::Number(left), Value::Number(right)) => Value::Number(apply(*op, left, right)),
                    (Value::Number(number), Value::Vectors(vectors)) => {
                        let before = vectors.heap_bytes();
                        Self::made(apply_scalar(*op, *return_bool, number, true, vectors), before, account)?
                    }
                    (Value::Vectors(vectors), Value::Number(number)) => {
                        let before = vectors.heap_bytes();
                        Self::made(apply_scalar(*op, *return_bool, number, false, vectors), before, account)?
                    }
                    (Value::Vectors(left), Value::Vectors(right)) => {
                        let before = left.heap_bytes() + right.heap_bytes();
                        Self::made(join(*op, *return_bool, matching, left, right, account)?, before, account)?
                    }
                }
            }
        })
    }

    /// A value that was made of others, which held `before` bytes.
    fn made(vectors: StepVectors, before: usize, account: &Account<'_>) -> Result<Value, EvalError> {
        account.add(vectors.heap_bytes())?;
        account.sub(before);
        Ok(Value::Vectors(vectors))
    }
}

impl Value {
    fn into_vectors(self, steps: &Steps) -> StepVectors {
        match self {
            Value::Number(value) => StepVectors::constant(value, steps),
            Value::Vectors(vectors) => vectors,
        }
    }
}

/// Whether samples are ordered by value somewhere.
fn sorts(expr: &MetricExpr) -> bool {
    match expr {
        MetricExpr::Range(_) | MetricExpr::Literal(_) | MetricExpr::VectorLiteral(_) => false,
        MetricExpr::Vector(vector) => matches!(vector.op, VectorOp::Sort | VectorOp::SortDesc) || sorts(&vector.inner),
        MetricExpr::Binary(binary) => sorts(&binary.left) || sorts(&binary.right),
        MetricExpr::LabelReplace(replace) => sorts(&replace.inner),
    }
}

struct Builder {
    steps: Steps,
    profile: Option<ProfileClock>,
    instant: bool,
    leaves: Vec<Arc<RangeLeaf>>,
    tops: Vec<Option<Top>>,
    sums: Vec<bool>,
    /// What the patterns in templates cost so far.
    template_cost: usize,
    series_max: usize,
    approx_topk: bool,
    now: Timestamp,
    rewrites: Rewrites,
}

impl Builder {
    fn node(&mut self, expr: &MetricExpr, is_root: bool) -> Result<Node, PlanError> {
        Ok(match expr {
            MetricExpr::Range(range) if range.op == RangeOp::AbsentOverTime => {
                let labels = absent_labels(&range.log.matchers);
                let counted = RangeAggregation { op: RangeOp::CountOverTime, ..range.clone() };
                self.leaf(&counted, Some(None), false)?;
                Node::Absent { leaf: self.leaves.len() - 1, labels }
            }
            MetricExpr::Range(range) => self.leaf(range, None, is_root)?,
            MetricExpr::Vector(vector) => self.aggregation(vector, is_root)?,
            MetricExpr::Binary(binary) => self.binary(binary)?,
            MetricExpr::Literal(value) => Node::Number(*value),
            MetricExpr::VectorLiteral(value) => Node::Constant(*value),
            MetricExpr::LabelReplace(replace) => {
                let replacer = Replacer::compile(replace).map_err(PlanError::Regex)?;
                Node::LabelReplace { inner: Box::new(self.node(&replace.inner, false)?), replacer }
            }
        })
    }

    fn aggregation(&mut self, vector: &VectorAggregation, is_root: bool) -> Result<Node, PlanError> {
        match (vector.op, &*vector.inner) {
            (VectorOp::ApproxTopk, _) if !self.approx_topk => return Err(PlanError::ApproxTopkOff),
            (VectorOp::ApproxTopk, _) if !self.instant => return Err(PlanError::ApproxTopkOverSteps),
            (_, MetricExpr::Literal(_)) => return Err(PlanError::NoSeries("*syntax.LiteralExpr")),
            // Counts and sums add up, so the sum over groups is counted in the first place.
            (VectorOp::Sum, MetricExpr::Range(range)) if rewrite::adds_up(range) => {
                return self.leaf(range, Some(vector.grouping.as_ref()), is_root);
            }
            _ => {}
        }
        let inner = Box::new(self.node(&vector.inner, false)?);
        if let Node::Leaf(leaf) = *inner {
            self.tops[leaf] = rewrite::top_of(self.rewrites.has(Rewrite::TopAtLeaf), vector);
        }
        Ok(Node::Aggregate { op: vector.op, parameter: vector.parameter, grouping: vector.grouping.clone(), inner })
    }

    fn binary(&mut self, binary: &BinaryExpr) -> Result<Node, PlanError> {
        let (left, right) = (Box::new(self.node(&binary.left, false)?), Box::new(self.node(&binary.right, false)?));
        Ok(Node::Binary { op: binary.op, return_bool: binary.return_bool, matching: binary.matching.clone(), left, right })
    }

    /// A leaf, under the grouping of a sum that it counts for: `Some(None)` is the sum over everything.
    fn leaf(&mut self, range: &RangeAggregation, sum: Option<Option<&Grouping>>, is_root: bool) -> Result<Node, PlanError> {
        let on = |rewrite| self.rewrites.has(rewrite);
        let value = leaf_value(range)?;
        let LeafGrouping { wanted, key, sum_above } = LeafGrouping::new(on(Rewrite::SumAtLeaf), range, sum);
        let lines = if value.counts_bytes() { LineNeed::Lengths } else { LineNeed::None };
        let log_stages = &without_idle_formats(&range.log.stages, value);
        let unwrap = range.unwrap.as_ref().map(stages::unwrapper).transpose()?;
        let mut columns = key.columns();
        unwrap.iter().for_each(|unwrap| unwrap.each_name(&mut |name| columns.add(name)));
        let wanted = if let Some(SeriesKey::By(names)) = &wanted { Wanted::Groups(names) } else { Wanted::All };
        let pipeline = stages::compile(log_stages, range.unwrap.as_ref(), self.now, wanted, Needs { lines, columns }, self.rewrites)?;
        self.template_cost += pipeline.template_cost();
        stages::patterns_fit(self.template_cost)?;
        let selector = Selector::compile(&range.log.matchers).map_err(PlanError::Regex)?;
        let length = i64::try_from(range.range.as_nanos()).unwrap_or(i64::MAX);
        let windows = Windows { steps: self.steps, range: length, offset: range.offset_nanos };
        let series_max = if is_root && !sum_above { self.series_max } else { INNER_SERIES_MAX };
        let by_column = rewrite::finds_series_by_column(on(Rewrite::SeriesByColumn), &pipeline, unwrap.as_ref());
        let counts_runs = rewrite::counts_runs(on(Rewrite::CountsFromDirectory), &pipeline, unwrap.as_ref());
        let parts =
            FragmentOf { matchers: &range.log.matchers, stages: log_stages, unwrap: range.unwrap.as_ref(), key: &key, value, windows };
        let fragment = parts.text(&pipeline, self.rewrites);
        self.leaves.push(Arc::new(RangeLeaf {
            selector,
            pipeline,
            unwrap,
            windows,
            value,
            key,
            series_max,
            fragment,
            by_column,
            counts_runs,
            profile: self.profile.clone(),
        }));
        self.tops.push(None);
        self.sums.push(sum.is_some() && !sum_above);
        let leaf = Node::Leaf(self.leaves.len() - 1);
        Ok(match sum {
            Some(grouping) if sum_above => {
                Node::Aggregate { op: VectorOp::Sum, parameter: None, grouping: grouping.cloned(), inner: Box::new(leaf) }
            }
            _ => leaf,
        })
    }
}

/// Labels of a selector that every stream it could find would have: those with one matcher, an equality.
fn absent_labels(matchers: &[Matcher]) -> LabelSet {
    let mut counts = HashMap::<&str, usize>::new();
    matchers.iter().for_each(|matcher| *counts.entry(&matcher.name).or_default() += 1);
    let alone = |matcher: &&Matcher| counts[matcher.name.as_str()] == 1;
    let equal = matchers.iter().filter(|matcher| matcher.op == MatchOp::Equal).filter(alone);
    LabelSet::from_pairs(equal.map(|matcher| (matcher.name.clone(), matcher.value.clone())).collect())
}

/// What a leaf makes of its entries.
fn leaf_value(range: &RangeAggregation) -> Result<LeafValue, PlanError> {
    let unwraps = range.unwrap.is_some();
    let fold = match range.op {
        RangeOp::CountOverTime | RangeOp::AbsentOverTime => return Ok(LeafValue::Count),
        RangeOp::Rate if !unwraps => return Ok(LeafValue::Rate),
        RangeOp::BytesOverTime => return Ok(LeafValue::Bytes),
        RangeOp::BytesRate => return Ok(LeafValue::BytesRate),
        RangeOp::Rate => SampleFold::Rate,
        RangeOp::SumOverTime => SampleFold::Sum,
        RangeOp::AvgOverTime => SampleFold::Avg,
        RangeOp::MinOverTime => SampleFold::Min,
        RangeOp::MaxOverTime => SampleFold::Max,
        RangeOp::StdvarOverTime => SampleFold::Stdvar,
        RangeOp::StddevOverTime => SampleFold::Stddev,
        RangeOp::QuantileOverTime => SampleFold::Quantile(range.parameter.unwrap_or(f64::NAN)),
        RangeOp::FirstOverTime => SampleFold::First,
        RangeOp::LastOverTime => SampleFold::Last,
        RangeOp::RateCounter => SampleFold::RateCounter,
    };
    if unwraps { Ok(LeafValue::Folded(fold)) } else { Err(PlanError::not_implemented(format!("{} without unwrap", range.op))) }
}

/// The stages without `line_format` where nobody looks at the line that it makes.
fn without_idle_formats(stages: &[Stage], value: LeafValue) -> Vec<Stage> {
    let mut kept = stages.to_vec();
    if !value.counts_bytes() {
        let looks = |stage: &Stage| {
            !matches!(
                stage,
                Stage::LabelFilter(_) | Stage::LineFormat(_) | Stage::LabelFormat(_) | Stage::Decolorize | Stage::Drop(_) | Stage::Keep(_)
            )
        };
        let last = kept.iter().rposition(looks).map_or(0, |at| at + 1);
        let mut at = 0;
        kept.retain(|stage| {
            at += 1;
            at <= last || !matches!(stage, Stage::LineFormat(_))
        });
    }
    kept
}
