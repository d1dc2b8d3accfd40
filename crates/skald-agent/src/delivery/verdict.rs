use super::transport::Answer;
use skald_model::Timestamp;
use std::time::Duration;

/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What an answer means for what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was taken.
    Accepted,
    /// Some of it will never be taken.
    Refused,
    /// It is too much for one request.
    TooLarge,
    /// It may be taken later.
    Later(Cause),
}

/// Why a batch waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// There was no answer.
    Connection,
    /// The server has a fault, or no room.
    Server,
    /// The tenant sends more than it may.
    RateLimited,
    /// The credentials are not accepted. An operator repairs that, and nothing is lost meanwhile.
    Unauthorized,
    /// Who answers is not a log server that takes pushes at this address: a wrong address or a wrong rule in a proxy, which an operator repairs.
    Misrouted,
    /// The spool could not be read, or a secret or token be had.
    Local,
}

impl Cause {
    pub const ALL: [Cause; 6] = [Cause::Connection, Cause::Server, Cause::RateLimited, Cause::Unauthorized, Cause::Misrouted, Cause::Local];

    /// The cause as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Server => "server",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Misrouted => "misrouted",
            Self::Local => "local",
        }
    }
}

impl Answer {
    /// What the answer means. A page for people is never the word of a log server: a login page with status 200 took nothing, and a proxy's 400 refuses
    /// a connection, not entries.
    pub fn verdict(&self) -> Verdict {
        match self.status {
            200..=299 | 400 | 422 if self.page => Verdict::Later(Cause::Misrouted),
            200..=299 => Verdict::Accepted,
            400 | 422 => Verdict::Refused,
            413 => Verdict::TooLarge,
            429 => Verdict::Later(Cause::RateLimited),
            401 | 403 | 407 => Verdict::Later(Cause::Unauthorized),
            408 | 425 => Verdict::Later(Cause::Server),
            500..=599 => Verdict::Later(Cause::Server),
            _ => Verdict::Later(Cause::Misrouted),
        }
    }

    /// How long the server asks to wait: seconds, or until a date.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        let asked = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
                let wait = date.as_nanosecond() - i128::from(now.0);
                Duration::from_nanos(u64::try_from(wait.max(0)).ok()?)
            }
        };
        Some(asked.min(RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statuses: &[u16], plain: Verdict, page: Verdict) {
        for &status in statuses {
            let answer = Answer { status, ..Answer::default() };
            assert_eq!(answer.verdict(), plain, "{status}");
            assert_eq!(Answer { page: true, ..answer }.verdict(), page, "{status} with a page");
        }
    }

    #[test]
    fn each_status_has_its_meaning() {
        let misrouted = Verdict::Later(Cause::Misrouted);
        check(&[200, 202, 204], Verdict::Accepted, misrouted);
        check(&[400, 422], Verdict::Refused, misrouted);
        check(&[413], Verdict::TooLarge, Verdict::TooLarge);
        check(&[429], Verdict::Later(Cause::RateLimited), Verdict::Later(Cause::RateLimited));
        check(&[401, 403, 407], Verdict::Later(Cause::Unauthorized), Verdict::Later(Cause::Unauthorized));
        check(&[408, 425, 500, 502, 503, 504, 599], Verdict::Later(Cause::Server), Verdict::Later(Cause::Server));
        check(&[100, 301, 302, 303, 307, 404, 405, 406, 409, 410, 415, 451, 600], misrouted, misrouted);
    }

    #[track_caller]
    fn check_wait(header: &str, want: Option<u64>) {
        let answer = Answer { retry_after: Some(header.to_owned()), ..Answer::default() };
        let now = Timestamp::from_secs(784_111_777);
        assert_eq!(answer.retry_after(now), want.map(Duration::from_secs), "{header}");
    }

    #[test]
    fn the_server_says_how_long_to_wait() {
        check_wait("7", Some(7));
        check_wait(" 0 ", Some(0));
        check_wait("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check_wait("Sun, 06 Nov 1994 08:49:27 GMT", Some(0));
        check_wait("99999999999", Some(3600));
        check_wait("Sat, 06 Nov 2094 08:49:37 GMT", Some(3600));
        for wrong in ["", "soon", "-1", "1.5"] {
            check_wait(wrong, None);
        }
        assert_eq!(Answer::default().retry_after(Timestamp(0)), None);
    }
}
