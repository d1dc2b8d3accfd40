//! The HTTP client: where the server is, who asks, and when to ask again.

use super::args::ConnectionArgs;
use super::console::Console;
use super::error::CliError;
use super::settings;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Read;
use std::time::Duration;
use ureq::config::AutoHeaderValue;

/// Everything but the unreserved characters of a URI.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Largest answer that is read.
const ANSWER_LEN_MAX: u64 = 1 << 30;
/// How much of an error text is shown.
const ERROR_LEN_MAX: u64 = 64 << 10;
/// Longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// A server, and who asks it.
pub struct Client {
    agent: ureq::Agent,
    /// Scheme, authority and path prefix, without a slash at the end.
    base: String,
    headers: HeaderMap,
    quiet: bool,
    /// How queries are retried.
    pub retry: Retry,
}

/// When to send a failed request again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often; `None` leaves it to the command.
    pub retries: Option<u32>,
    /// First wait; `None` leaves it to the command.
    pub min: Option<Duration>,
    /// Longest wait.
    pub max: Duration,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with something else than success.
    #[error("the server answered {status}: {}{}", words(*status, body), retry_hint(*status, *retry_after))]
    Refused {
        /// HTTP status.
        status: u16,
        /// The server's own words.
        body: String,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// No request can be made of this: its URL is too long, for example.
    #[error("the request cannot be sent: {0}")]
    Unsendable(#[source] http::Error),
    /// The server could not be reached, or the connection broke.
    #[error("no answer from {base}: {source}")]
    Transport {
        /// Which server.
        base: String,
        /// The cause.
        source: ureq::Error,
    },
    /// The answer is not what the API promises.
    #[error("answer of the server: {0}")]
    Answer(#[source] serde_json::Error),
}

impl ClientError {
    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { status: 400..=499, .. } => 3,
            Self::Refused { .. } | Self::Answer(_) => 1,
            Self::Unsendable(_) => 2,
            Self::Transport { .. } => 4,
        }
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unsendable(_) | Self::Transport { .. } | Self::Answer(_) => None,
        }
    }
}

/// What the server said, or else what its status means.
fn words(status: u16, body: &str) -> &str {
    let meaning = || StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    Some(body.trim_end()).filter(|body| !body.is_empty()).or_else(meaning).unwrap_or("no reason given")
}

fn retry_hint(status: u16, retry_after: Option<Duration>) -> String {
    match (status, retry_after) {
        (429 | 503, Some(wait)) => format!(" (try again in {} s)", wait.as_secs()),
        (429, None) => " (a limit was reached, try again later)".to_owned(),
        _ => String::new(),
    }
}

/// The error, and for a parse error the query with a mark under the place that the server names.
pub fn with_caret(error: &ClientError, query: &str) -> String {
    let text = error.to_string();
    let Some((line, column)) = error_place(&text) else { return text };
    let Some(line) = line.checked_sub(1).and_then(|i| query.split('\n').nth(i)) else { return text };
    if column == 0 || column > line.chars().count() + 1 {
        return text;
    }
    format!("{text}\n  {line}\n  {}^", " ".repeat(column - 1))
}

/// Line and column of `… at line L, col C: …`.
fn error_place(text: &str) -> Option<(usize, usize)> {
    let (_, rest) = text.split_once("at line ")?;
    let (line, rest) = rest.split_once(", col ")?;
    let column = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

impl Retry {
    /// The wait before retry number `attempt` (from 0), or `None` when that is one too many.
    pub fn wait(&self, attempt: u32, retries: u32, min: Duration, asked: Option<Duration>) -> Option<Duration> {
        if attempt >= self.retries.unwrap_or(retries) {
            return None;
        }
        let backoff = self.min.unwrap_or(min).saturating_mul(1 << attempt.min(16)).min(self.max);
        Some(backoff.max(asked.unwrap_or_default().min(RETRY_AFTER_MAX)))
    }
}

impl Client {
    /// Checks the settings. Nothing is sent yet.
    ///
    /// # Errors
    /// Those of settings that cannot be used: all are usage errors.
    pub fn new(args: &ConnectionArgs, quiet: bool) -> Result<Self, CliError> {
        let (base, user_info) = settings::parse_address(&args.addr)?;
        let proxy = match args.proxy_url.as_str() {
            "" if args.envproxy => ureq::Proxy::try_from_env(),
            "" => None,
            url => Some(ureq::Proxy::new(url).map_err(|source| CliError::Connection { what: "--proxy-url", source })?),
        };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(AutoHeaderValue::None)
            .accept_encoding(AutoHeaderValue::None)
            .timeout_connect(Some(Duration::from_secs(30)))
            .proxy(proxy)
            .tls_config(settings::tls(args)?)
            .build()
            .new_agent();
        let retry = Retry {
            retries: args.retries,
            min: args.min_backoff.map(Duration::from_secs),
            max: args.max_backoff.filter(|s| *s > 0).map_or(Duration::from_secs(30), Duration::from_secs),
        };
        Ok(Client { agent, base, headers: settings::headers(args, user_info)?, quiet, retry })
    }

    /// Asks for `path` and reads the JSON answer, again as often as the user wants.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub fn get(&self, path: &str, parameters: &[(&str, String)], console: &mut Console) -> Result<serde_json::Value, ClientError> {
        let url = self.url(path, parameters);
        let mut attempt = 0;
        loop {
            if !self.quiet {
                console.notice(&url);
            }
            let error = match self.send(Method::GET, &url, HeaderMap::new(), &[]) {
                Ok((_, body)) => return serde_json::from_slice(&body).map_err(ClientError::Answer),
                Err(error) => error,
            };
            if matches!(error, ClientError::Unsendable(_)) {
                return Err(error);
            }
            let Some(wait) = self.retry.wait(attempt, 0, Duration::ZERO, error.retry_after()) else { return Err(error) };
            if !self.quiet {
                console.notice(&format!("{error}; sending again in {:.1} s", wait.as_secs_f64()));
            }
            console.clock.sleep(wait);
            attempt += 1;
        }
    }

    /// Posts `body` once and returns the status, which is 2xx.
    ///
    /// # Errors
    /// A refusal of the server or the loss of the connection.
    pub fn post(&self, path: &str, content_type: &'static str, body: &[u8]) -> Result<u16, ClientError> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        self.send(Method::POST, &self.url(path, &[]), headers, body).map(|(status, _)| status)
    }

    /// The URL of a request, which the user is told unless he wants it quiet.
    pub fn announce(&self, path: &str, parameters: &[(&str, String)], console: &mut Console) -> String {
        let url = self.url(path, parameters);
        if !self.quiet {
            console.notice(&url);
        }
        url
    }

    /// What every request carries.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    fn url(&self, path: &str, parameters: &[(&str, String)]) -> String {
        let mut url = format!("{}{path}", self.base);
        for (i, (name, value)) in parameters.iter().enumerate() {
            let before = if i == 0 { '?' } else { '&' };
            url.push_str(&format!("{before}{name}={}", escape(value)));
        }
        url
    }

    fn send(&self, method: Method, url: &str, more: HeaderMap, body: &[u8]) -> Result<(u16, Vec<u8>), ClientError> {
        let lost = |source| ClientError::Transport { base: self.base.clone(), source };
        let mut request = Request::builder().method(&method).uri(url);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.extend(more);
        }
        let mut response = match method {
            Method::GET => self.agent.run(request.body(()).map_err(ClientError::Unsendable)?),
            _ => self.agent.run(request.body(body).map_err(ClientError::Unsendable)?),
        }
        .map_err(lost)?;
        let status = response.status();
        // 260 is how a server says that it takes nothing for this tenant at the moment.
        if status.is_success() && status.as_u16() != 260 {
            let bytes = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec().map_err(lost)?;
            return Ok((status.as_u16(), bytes));
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(parse_retry_after);
        let mut bytes = Vec::new();
        // What arrived of an error text is worth showing even if the connection broke then.
        let _ = response.body_mut().as_reader().take(ERROR_LEN_MAX).read_to_end(&mut bytes);
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Err(ClientError::Refused { status: status.as_u16(), body, retry_after })
    }
}

/// `text` as a part of a path or of a query string.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// Whole seconds. (The other form, a date, needs two clocks to agree; the backoff serves as well.)
fn parse_retry_after(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_honour_the_server() {
        let retry = Retry { retries: None, min: None, max: Duration::from_secs(4) };
        let wait = |attempt, asked| retry.wait(attempt, 5, Duration::from_secs(1), asked).map(|w| w.as_secs());
        assert_eq!([0, 1, 2, 3, 4, 5].map(|a| wait(a, None)), [Some(1), Some(2), Some(4), Some(4), Some(4), None]);
        assert_eq!(wait(0, Some(Duration::from_secs(9))), Some(9));
        assert_eq!(wait(0, Some(Duration::from_secs(90_000))), Some(300));
        assert_eq!(Retry { retries: Some(0), ..retry }.wait(0, 5, Duration::ZERO, None), None);
    }

    #[test]
    fn a_parse_error_is_shown_at_its_place() {
        let refused = |body: &str| ClientError::Refused { status: 400, body: body.to_owned(), retry_after: None };
        let text = with_caret(&refused("parse error at line 2, col 3: oops\n"), "{a=\"b\"}\n| !");
        assert_eq!(text, "the server answered 400: parse error at line 2, col 3: oops\n  | !\n    ^");
        for body in ["parse error at line 0, col 20: x", "parse error : x", "parse error at line 1, col 99: x"] {
            assert_eq!(with_caret(&refused(body), "{a=\"b\"}"), format!("the server answered 400: {body}"));
        }
    }
}
