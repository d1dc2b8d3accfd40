//! Why a query is not answered.

use crate::budget::BudgetError;
use crate::params::ParamError;
use skald_logql::exec::EvalError;
use skald_logql::plan::PlanError;
use skald_logql::{MatchersError, ParseError};
use skald_model::ErrorKind;
use skald_rpc::{SelectError, TailError};
use skald_store::ReadError;

/// Why a query is not answered; the text goes to the client.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A parameter is wrong.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// The text is not LogQL.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The text is not a selector.
    #[error(transparent)]
    Matchers(#[from] MatchersError),
    /// It is LogQL and cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It failed on the data.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A limit of the tenant.
    #[error("{0}")]
    Limit(String),
    /// The request asks for what this endpoint does not do.
    #[error("{0}")]
    Unsupported(&'static str),
    /// This is switched off for the tenant.
    #[error("not found")]
    NotFound,
    /// The body of the request is larger than it may be.
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// An ingester did not answer, so the answer would not be complete.
    #[error("ask the ingester")]
    Select(#[source] SelectError),
    /// An ingester's entries cannot be followed, so the tail would not be complete.
    #[error("follow the ingester")]
    Follow(#[source] TailError),
    /// No ingester is left whose entries could be followed.
    #[error("all ingesters closed the connection")]
    IngestersGone,
    /// A tail lasted as long as one may.
    #[error("reached tail max duration limit")]
    TailDuration,
    /// The store did not give what the answer needs.
    #[error("read stored data")]
    Read(#[source] ReadError),
    /// Too many queries wait.
    #[error("too many outstanding requests")]
    QueueFull,
    /// Queries of the tenant are switched off.
    #[error("querying is disabled, please contact your Loki operator")]
    Disabled,
    /// It would hold more memory than it may.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// Nobody waits for the answer any more.
    #[error("the request was cancelled by the client")]
    Cancelled,
    /// The deadline passed.
    #[error(
        "request timed out, decrease the duration of the request or add more label matchers (prefer exact match over regex match) to reduce the \
         amount of data processed"
    )]
    Timeout,
    /// A job on the CPU pool ended without a result: it panicked, or the process is stopping.
    #[error("the query ended without a result, the log says why")]
    Stopped,
}

impl QueryError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Param(_) | Self::Parse(_) | Self::Matchers(_) | Self::Limit(_) | Self::Unsupported(_) => ErrorKind::InvalidInput,
            Self::NotFound => ErrorKind::NotFound,
            Self::BodyTooLarge { .. } => ErrorKind::TooLarge,
            Self::Plan(error) => error.kind(),
            Self::Eval(error) => error.kind(),
            Self::Select(error) => error.kind(),
            Self::Follow(error) => error.kind(),
            Self::IngestersGone => ErrorKind::Unavailable,
            Self::TailDuration => ErrorKind::LimitExceeded,
            Self::Read(error) => error.kind(),
            Self::QueueFull | Self::Disabled => ErrorKind::LimitExceeded,
            Self::Budget(error) => error.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Timeout => ErrorKind::DeadlineExceeded,
            Self::Stopped => ErrorKind::Internal,
        }
    }
}
