//! What came of a request that failed: the SDK's errors and the store's codes onto ours.

use crate::{RemoteAnswer, RemoteProblem};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::error::Error;
use std::time::Duration;

/// Most characters of a store's words that a message repeats.
const WORDS_MAX: usize = 300;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Reason {
    /// No object of that name.
    NotFound,
    /// An object has the name already.
    Exists,
    /// The range begins behind the end.
    OutOfRange,
    /// Anything else.
    Problem { problem: RemoteProblem, answer: Option<Box<RemoteAnswer>>, source: Option<Box<dyn Error + Send + Sync>> },
}

impl Reason {
    pub(super) fn problem(problem: RemoteProblem) -> Self {
        Reason::Problem { problem, answer: None, source: None }
    }

    pub(super) fn caused_by(problem: RemoteProblem, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Reason::Problem { problem, answer: None, source: Some(source.into()) }
    }

    /// A short name for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::OutOfRange => "out_of_range",
            Self::Problem { problem, .. } => problem.label(),
        }
    }

    /// Whether the store is likely to charge for it: it does not for its own faults, nor for what it never got.
    pub(super) fn is_charged(&self) -> bool {
        match self {
            Self::NotFound | Self::Exists | Self::OutOfRange => true,
            Self::Problem { problem, answer, .. } => {
                answer.as_ref().map_or(*problem == RemoteProblem::Timeout, |answer| answer.status < 500)
            }
        }
    }
}

/// Reads the SDK's error.
pub(super) fn reason<E>(error: SdkError<E, HttpResponse>) -> Reason
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    if let Some(problem) = credentials_problem(&error) {
        return Reason::caused_by(problem, innermost(&error));
    }
    match error {
        SdkError::ServiceError(failed) => {
            let (code, message) = (failed.err().code(), failed.err().message());
            of_answer(answer(failed.raw(), code, message), failed.raw().headers().get("x-amz-bucket-region"))
        }
        SdkError::ResponseError(ref failed) if failed.raw().status().as_u16() >= 300 => {
            of_answer(answer(failed.raw(), None, None), failed.raw().headers().get("x-amz-bucket-region"))
        }
        SdkError::ResponseError(_) => Reason::caused_by(RemoteProblem::Broken, innermost(&error)),
        SdkError::TimeoutError(_) => Reason::problem(RemoteProblem::Timeout),
        SdkError::DispatchFailure(ref failed) if failed.is_timeout() => Reason::caused_by(RemoteProblem::Timeout, innermost(&error)),
        SdkError::DispatchFailure(ref failed) if failed.is_user() => Reason::caused_by(RemoteProblem::Refused, innermost(&error)),
        SdkError::DispatchFailure(_) => Reason::caused_by(RemoteProblem::Unreachable, innermost(&error)),
        // Construction, and kinds that later versions may add: never sent.
        _ => Reason::caused_by(RemoteProblem::Refused, innermost(&error)),
    }
}

/// The store's answer onto what it means.
pub(super) fn of_answer(answer: RemoteAnswer, region: Option<&str>) -> Reason {
    let problem = match (answer.status, answer.code.as_deref().unwrap_or_default()) {
        (_, "NoSuchBucket") => RemoteProblem::NoBucket,
        (
            _,
            "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequests" | "TooManyRequestsException" | "RequestLimitExceeded",
        ) => RemoteProblem::Throttled,
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect" | "IllegalLocationConstraintException") => {
            RemoteProblem::WrongRegion(region.map(str::to_owned))
        }
        // The SDK learns the difference from the answer: the next request is right.
        (_, "RequestTimeTooSkewed") => RemoteProblem::Failed,
        (_, "RequestTimeout") => RemoteProblem::Timeout,
        (_, "InternalError") => RemoteProblem::Failed,
        (_, "InvalidAccessKeyId" | "InvalidClientTokenId") => RemoteProblem::UnknownAccessKey,
        (_, "SignatureDoesNotMatch") => RemoteProblem::WrongSecretKey,
        // An upload that is gone was aborted, or completed by an attempt whose answer was lost: doing all of it again settles it.
        (_, "NoSuchUpload") => RemoteProblem::Conflict,
        (404, "NoSuchKey" | "NotFound" | "") => return Reason::NotFound,
        (412, _) => return Reason::Exists,
        (416, _) => return Reason::OutOfRange,
        (409, "ConditionalRequestConflict" | "OperationAborted" | "") => RemoteProblem::Conflict,
        (301 | 302 | 307 | 308, _) => RemoteProblem::WrongRegion(region.map(str::to_owned)),
        (401 | 403, _) => RemoteProblem::Denied,
        (408, _) => RemoteProblem::Timeout,
        (429, _) => RemoteProblem::Throttled,
        (501 | 505, _) => RemoteProblem::Refused,
        (500.., _) => RemoteProblem::Failed,
        // Not what a store answers.
        (200..=299, "") => RemoteProblem::Broken,
        _ => RemoteProblem::Refused,
    };
    Reason::Problem { problem, answer: Some(Box::new(answer)), source: None }
}

fn answer(raw: &HttpResponse, code: Option<&str>, message: Option<&str>) -> RemoteAnswer {
    let header = |name: &str| raw.headers().get(name).map(plain);
    RemoteAnswer {
        status: raw.status().as_u16(),
        code: code.map(plain),
        message: message.map(plain).filter(|words| !words.is_empty()),
        request_id: header("x-amz-request-id"),
        retry_after: raw.headers().get("retry-after").and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs),
    }
}

/// A text of the store as part of one line of ours.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(WORDS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// What is wrong with the credentials, if that is it.
fn credentials_problem(error: &(dyn Error + 'static)) -> Option<RemoteProblem> {
    let found = causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    Some(match found {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => RemoteProblem::NoCredentials,
        _ => RemoteProblem::CredentialsUnavailable,
    })
}

/// The first cause as a text with the ones behind it: the SDK's outer errors say only that there is one.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = causes(error).skip(1).map(|cause| plain(&cause.to_string())).collect();
    texts.dedup();
    if texts.is_empty() { plain(&error.to_string()) } else { texts.join(": ") }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
