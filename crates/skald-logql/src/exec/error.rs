use skald_model::ErrorKind;

/// Why a query that was planned has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A sample's labels carry an error that no filter took away.
    #[error(
        "pipeline error: '{error}' for series: '{series}'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"
    )]
    Pipeline {
        /// Name of the error, such as `JSONParserErr`.
        error: String,
        /// All labels of the sample.
        series: String,
    },
    /// More series than the limit.
    #[error(
        "maximum number of series ({max}) reached for a single query; consider reducing query cardinality by adding more specific stream \
         selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()"
    )]
    TooManySeries {
        /// The limit.
        max: usize,
    },
    /// More intermediate values than a query may hold.
    #[error(
        "the query needs more than {max} {what} in memory; reduce the time range, enlarge the step or add more specific stream selectors"
    )]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// Nobody waits for the result any more, or it would take more memory than it may; who bounds the computation knows which.
    #[error("the evaluation was interrupted")]
    Interrupted,
    /// Series of two sides cannot be paired.
    #[error("{0}")]
    Matching(&'static str),
}

impl EvalError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Pipeline { .. } | Self::TooManySeries { .. } | Self::TooLarge { .. } => ErrorKind::InvalidInput,
            Self::Interrupted => ErrorKind::Cancelled,
            Self::Matching(_) => ErrorKind::Internal,
        }
    }
}
