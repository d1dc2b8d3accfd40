use skald_model::ErrorKind;

/// Why a query cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// LogQL that this version does not evaluate.
    #[error("{stage} is not implemented")]
    NotImplemented {
        /// Name of the stage or function.
        stage: String,
    },
    /// A stage does not compile.
    #[error("parse error : stage '{stage}' : {cause}")]
    Stage {
        /// Text of the stage.
        stage: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A regular expression of a matcher is wrong.
    #[error("parse error : {0}")]
    Regex(String),
    /// An aggregation of something that has no series.
    #[error("unexpected expr type ({0}) for Evaluator type (*logql.DefaultEvaluator) ")]
    NoSeries(&'static str),
    /// `approx_topk` where it is not allowed.
    #[error("approx_topk is not enabled. See -limits.shard_aggregations")]
    ApproxTopkOff,
    /// `approx_topk` over several steps.
    #[error("count min sketches are only supported on instant queries")]
    ApproxTopkOverSteps,
    /// More steps than a query may have.
    #[error("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter")]
    TooManySteps,
}

impl PlanError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotImplemented { .. } => ErrorKind::NotImplemented,
            Self::Stage { .. } | Self::Regex(_) | Self::TooManySteps => ErrorKind::InvalidInput,
            Self::NoSeries(_) | Self::ApproxTopkOff | Self::ApproxTopkOverSteps => ErrorKind::Internal,
        }
    }

    pub(crate) fn not_implemented(stage: impl Into<String>) -> Self {
        PlanError::NotImplemented { stage: stage.into() }
    }
}
