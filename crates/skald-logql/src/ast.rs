//! What a LogQL text says, as types. Built by [`crate::parse()`], printed by `Display` in Loki's canonical form.

use std::time::Duration;

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Asks for lines.
    Log(LogExpr),
    /// Asks for numbers.
    Metric(MetricExpr),
}

/// A stream selector and the stages that its entries pass.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    /// All must hold.
    pub matchers: Vec<Matcher>,
    /// In the order written.
    pub stages: Vec<Stage>,
}

/// `name op "value"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Text or regular expression.
    pub value: String,
}

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "x" or "y"`
    LineFilter(LineFilter),
    /// `| json`, `| json a="b.c"`
    Json(Vec<Extraction>),
    /// `| logfmt --strict --keep-empty a="b"`
    Logfmt {
        /// Stop at the first malformed pair.
        strict: bool,
        /// Keep keys without a value.
        keep_empty: bool,
        /// What to take; empty means everything.
        extractions: Vec<Extraction>,
    },
    /// `| regexp "…"`
    Regexp(String),
    /// `| pattern "…"`
    Pattern(String),
    /// `| unpack`
    Unpack,
    /// `| a="b" and c>5`
    LabelFilter(LabelFilter),
    /// `| line_format "…"`
    LineFormat(String),
    /// `| label_format a=b,c="…"`
    LabelFormat(Vec<LabelFormat>),
    /// `| decolorize`
    Decolorize,
    /// `| drop a, b="c"`
    Drop(Vec<NamedOrMatcher>),
    /// `| keep a, b="c"`
    Keep(Vec<NamedOrMatcher>),
}

/// A line filter with its `or` operands. Negative filters with several operands are split by the parser into one filter each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFilter {
    /// Comparison.
    pub op: LineOp,
    /// At least one; any of them may match (for negative filters there is exactly one).
    pub operands: Vec<LineOperand>,
}

/// How a line filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

/// What a line filter looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineOperand {
    /// A text, regular expression or pattern, by the operator.
    Text(String),
    /// `ip("…")`
    Ip(String),
}

/// `name="expression"` of `json` and `logfmt`; a bare name means itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extraction {
    /// Label to set.
    pub name: String,
    /// Path or key.
    pub expression: String,
}

/// One item of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFormat {
    /// `dst=src`
    Rename {
        /// Label to set.
        dst: String,
        /// Label to take and remove.
        src: String,
    },
    /// `dst="template"`
    Template {
        /// Label to set.
        dst: String,
        /// Template text.
        template: String,
    },
}

/// One item of `drop` and `keep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedOrMatcher {
    /// A label by name.
    Name(String),
    /// A label by name and value.
    Matcher(Matcher),
}

/// A condition on labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// Both hold.
    And(Box<LabelFilter>, Box<LabelFilter>),
    /// One holds.
    Or(Box<LabelFilter>, Box<LabelFilter>),
    /// Text comparison.
    Text(Matcher),
    /// Comparison as a number.
    Number {
        /// Label name.
        name: String,
        /// Comparison.
        op: CompareOp,
        /// Right side.
        value: f64,
    },
    /// Comparison as a Go duration; the right side in nanoseconds, possibly negative.
    Duration {
        /// Label name.
        name: String,
        /// Comparison.
        op: CompareOp,
        /// Right side, nanoseconds.
        nanos: i64,
    },
    /// Comparison as a size.
    Bytes {
        /// Label name.
        name: String,
        /// Comparison.
        op: CompareOp,
        /// Right side, bytes.
        bytes: u64,
    },
    /// `a = ip("…")`; only `Equal` and `NotEqual`.
    Ip {
        /// Label name.
        name: String,
        /// Whether the sense is inverted (`!=`).
        negated: bool,
        /// Address, prefix or range as written.
        pattern: String,
    },
}

/// How numbers compare. `=` and `==` are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

/// An expression that gives numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// `rate({…}[5m])`
    Range(RangeAggregation),
    /// `sum by (a) (…)`
    Vector(VectorAggregation),
    /// `a + b`
    Binary(Box<BinaryExpr>),
    /// A number.
    Literal(f64),
    /// `vector(1)`
    VectorLiteral(f64),
    /// `label_replace(v, "dst", "replacement", "src", "regex")`
    LabelReplace(Box<LabelReplace>),
}

/// An aggregation over the entries of a window.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// The function.
    pub op: RangeOp,
    /// First argument of `quantile_over_time`.
    pub parameter: Option<f64>,
    /// Entries aggregated.
    pub log: LogExpr,
    /// Where values come from, if not from lines.
    pub unwrap: Option<Unwrap>,
    /// Length of the window.
    pub range: Duration,
    /// How far the window lies in the past, nanoseconds; negative means the future.
    pub offset_nanos: i64,
    /// Labels kept or left out.
    pub grouping: Option<Grouping>,
}

/// `| unwrap conversion(label) | filter…`
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// Label whose value is taken.
    pub label: String,
    /// How its text becomes a number.
    pub conversion: Option<Conversion>,
    /// Label filters after it.
    pub filters: Vec<LabelFilter>,
}

/// How an unwrapped label becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    /// `bytes(x)`
    Bytes,
    /// `duration(x)`
    Duration,
    /// `duration_seconds(x)`
    DurationSeconds,
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// Whether the labels are left out instead of kept.
    pub without: bool,
    /// Label names as written.
    pub labels: Vec<String>,
}

/// Functions over a window of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are LogQL's")]
pub enum RangeOp {
    Rate,
    RateCounter,
    CountOverTime,
    BytesRate,
    BytesOverTime,
    AvgOverTime,
    SumOverTime,
    MinOverTime,
    MaxOverTime,
    StdvarOverTime,
    StddevOverTime,
    QuantileOverTime,
    FirstOverTime,
    LastOverTime,
    AbsentOverTime,
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    /// The function.
    pub op: VectorOp,
    /// `k` of `topk`, `bottomk`, `approx_topk`.
    pub parameter: Option<u64>,
    /// What is aggregated.
    pub inner: Box<MetricExpr>,
    /// Labels kept or left out; none means one group.
    pub grouping: Option<Grouping>,
}

/// Functions over series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are LogQL's")]
pub enum VectorOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    ApproxTopk,
    Sort,
    SortDesc,
}

/// Two expressions and what joins them.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryExpr {
    /// Operator.
    pub op: BinaryOp,
    /// Whether a comparison gives 0 and 1 instead of filtering.
    pub return_bool: bool,
    /// How series are paired.
    pub matching: VectorMatching,
    /// Left side.
    pub left: MetricExpr,
    /// Right side.
    pub right: MetricExpr,
}

/// How series of two sides are paired.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VectorMatching {
    /// Whether `labels` are the ones to pair on, instead of the ones to ignore.
    pub on: bool,
    /// `on (…)` or `ignoring (…)`.
    pub labels: Vec<String>,
    /// Which side may have many partners.
    pub group: MatchGroup,
    /// Labels taken from the one side.
    pub include: Vec<String>,
}

/// Which side may have many partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MatchGroup {
    /// None.
    #[default]
    OneToOne,
    /// `group_left`
    Left,
    /// `group_right`
    Right,
}

/// Operators between metric expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the operators'")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    And,
    Or,
    Unless,
}

/// Arguments of `label_replace`.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    /// Series.
    pub inner: MetricExpr,
    /// Label to set.
    pub dst: String,
    /// Its new value, with `$1` for what the regex captured.
    pub replacement: String,
    /// Label looked at.
    pub src: String,
    /// Anchored regular expression.
    pub regex: String,
}
