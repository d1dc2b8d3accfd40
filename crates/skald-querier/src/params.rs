//! Request parameters of the query API: from URL and form body to typed values, with the defaults and error texts that clients know.

use jiff::Timestamp as Instant;
use skald_model::Timestamp;
use std::time::Duration;

/// Most points of a series that a query may ask for.
const POINTS_MAX: i128 = 11_000;
/// How far back a query looks that does not say.
const SINCE_DEFAULT: Duration = Duration::from_secs(3600);
const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: i64 = u32::MAX as i64;
/// Longest that a tail waits for late entries.
const DELAY_SECS_MAX: i64 = 5;

/// Why a parameter is not taken; the text goes to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamError(pub String);

fn refuse<T>(text: impl Into<String>) -> Result<T, ParamError> {
    Err(ParamError(text.into()))
}

/// Names and values of a request, form body first, then URL; a name may come several times.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Joins what the URL and a form body say. Where both have a name that comes once, the body's value counts.
    pub fn parse(query: &str, form: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(form).chain(form_urlencoded::parse(query.as_bytes()));
        Params(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// First value of `name`, empty when there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Every value of any of `names`, in order.
    pub fn all<'a>(&'a self, names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(|(n, _)| names.contains(&n.as_str())).map(|(_, value)| value.as_str())
    }

    /// `start` and `end`, either of which may be derived from `since` and `now`.
    pub fn bounds(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), ParamError> {
        let named = |name: &str, error: ParamError| ParamError(format!("could not parse '{name}' parameter: {}", error.0));
        let end = timestamp(self.get("end")).map_err(|e| named("end", e))?;
        let since = match self.get("since") {
            "" => SINCE_DEFAULT,
            text => prometheus_duration(text).map_err(|why| named("since", ParamError(why)))?,
        };
        let start = timestamp(self.get("start")).map_err(|e| named("start", e))?;
        let end_or_now = end.unwrap_or(now);
        Ok((start.unwrap_or_else(|| end_or_now.min(now).minus(since)), end_or_now))
    }

    /// `time`, else `now`.
    pub fn time(&self, now: Timestamp) -> Result<Timestamp, ParamError> {
        Ok(timestamp(self.get("time"))?.unwrap_or(now))
    }

    /// Whether the plan and its cost are asked for instead of the answer.
    pub fn explain(&self) -> Result<bool, ParamError> {
        match self.get("explain") {
            "" | "false" => Ok(false),
            "true" => Ok(true),
            other => Err(ParamError(format!("invalid explain parameter {other:?}: it is true or false"))),
        }
    }

    /// `limit`, else 100.
    pub fn limit(&self) -> Result<u64, ParamError> {
        self.positive(&["limit"], LIMIT_DEFAULT)
    }

    /// The first of `names` that is there, a positive number; else `default`.
    pub fn positive(&self, names: &[&str], default: u64) -> Result<u64, ParamError> {
        let Some(text) = names.iter().map(|name| self.get(name)).find(|text| !text.is_empty()) else { return Ok(default) };
        let Ok(limit) = text.parse::<i64>() else {
            let why = if is_integer(text) { "value out of range" } else { "invalid syntax" };
            return refuse(format!("strconv.Atoi: parsing {}: {why}", go_quote(text)));
        };
        if limit <= 0 {
            return refuse("limit must be a positive value");
        }
        if limit > LIMIT_MAX {
            return refuse(format!("limit value {limit} is out of range [0, {LIMIT_MAX}]"));
        }
        Ok(limit as u64)
    }

    /// `delay_for` of a tail: whole seconds, at most five.
    pub fn delay_for(&self) -> Result<Duration, ParamError> {
        let text = self.get("delay_for");
        if text.is_empty() {
            return Ok(Duration::ZERO);
        }
        match text.parse::<i64>() {
            Ok(seconds @ 0..=DELAY_SECS_MAX) => Ok(Duration::from_secs(seconds as u64)),
            Err(_) if !is_integer(text) => refuse(format!("strconv.Atoi: parsing {}: invalid syntax", go_quote(text))),
            _ => refuse(format!("delay_for can't be greater than {DELAY_SECS_MAX}")),
        }
    }

    /// `limit` of a volume request, where 0 asks for the default too.
    pub fn volume_limit(&self) -> Result<u64, ParamError> {
        match self.get("limit").parse::<i64>() {
            Ok(0) => Ok(LIMIT_DEFAULT),
            _ => self.limit(),
        }
    }

    /// Whether `direction` says forward; the default is backward.
    pub fn forward(&self) -> Result<bool, ParamError> {
        match self.get("direction") {
            "" => Ok(false),
            text if text.eq_ignore_ascii_case("forward") => Ok(true),
            text if text.eq_ignore_ascii_case("backward") => Ok(false),
            text => refuse(format!("invalid direction '{text}'")),
        }
    }

    /// `step` in nanoseconds, else a 250th of the range and at least a second; checked against the range.
    pub fn step(&self, start: Timestamp, end: Timestamp) -> Result<Duration, ParamError> {
        let range = i128::from(end.0) - i128::from(start.0);
        let step = match self.get("step") {
            "" => (range / 1_000_000_000 / 250).max(1) * 1_000_000_000,
            text => i128::from(step_nanos(text)?),
        };
        if step <= 0 {
            return refuse("zero or negative query resolution step widths are not accepted. Try a positive integer");
        }
        if range / step > POINTS_MAX {
            return refuse("exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter");
        }
        Ok(Duration::from_nanos(step as u64))
    }

    /// `interval`, else none.
    pub fn interval(&self) -> Result<Duration, ParamError> {
        match self.get("interval") {
            "" => Ok(Duration::ZERO),
            text => match step_nanos(text)? {
                nanos if nanos < 0 => refuse("interval must be >= 0"),
                nanos => Ok(Duration::from_nanos(nanos as u64)),
            },
        }
    }
}

/// Refuses a range that ends before it starts; an empty one is allowed.
pub fn check_order(start: Timestamp, end: Timestamp) -> Result<(), ParamError> {
    if end < start {
        return refuse("end timestamp must not be before or equal to start time");
    }
    Ok(())
}

/// A time in any of the accepted forms: a float of seconds, up to 10 digits of seconds, more digits of nanoseconds, or RFC 3339.
fn timestamp(text: &str) -> Result<Option<Timestamp>, ParamError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains('.')
        && let Ok(secs) = text.parse::<f64>()
        && secs.is_finite()
    {
        let millis = (secs.fract() * 1000.0).round() as i64;
        return Ok(Some(Timestamp((secs.trunc() as i64).saturating_mul(1_000_000_000).saturating_add(millis * 1_000_000))));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some(if text.len() <= 10 { Timestamp::from_secs(number) } else { Timestamp(number) }));
    }
    if let Some(at) = rfc3339(text) {
        return Ok(Some(at));
    }
    let why = if is_integer(text) { "value out of range" } else { "invalid syntax" };
    refuse(format!("strconv.ParseInt: parsing {}: {why}", go_quote(text)))
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let nanos = text.parse::<Instant>().ok()?.as_nanosecond();
    i64::try_from(nanos).ok().map(Timestamp)
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn go_quote(text: &str) -> String {
    let mut out = String::new();
    skald_model::quote(&mut out, text);
    out
}

/// A number of seconds or a Prometheus duration, in nanoseconds.
fn step_nanos(text: &str) -> Result<i64, ParamError> {
    let invalid = || ParamError(format!("cannot parse {} to a valid duration", go_quote(text)));
    if let Ok(secs) = text.parse::<f64>() {
        let nanos = secs * 1e9;
        if nanos.is_nan() {
            return Err(invalid());
        }
        if nanos.abs() >= i64::MAX as f64 {
            return refuse(format!("cannot parse {} to a valid duration. It overflows int64", go_quote(text)));
        }
        return Ok(nanos as i64);
    }
    let duration = prometheus_duration(text).map_err(|_| invalid())?;
    i64::try_from(duration.as_nanos()).map_err(|_| invalid())
}

/// A Prometheus duration: integers with the units y w d h m s ms, each once, in this order.
fn prometheus_duration(text: &str) -> Result<Duration, String> {
    skald_logql::units::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

    fn params(query: &str) -> Params {
        Params::parse(query, b"")
    }

    #[track_caller]
    fn check_start(text: &str, want: Result<i64, &str>) {
        let query = format!("start={}", form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
        let found = params(&query).bounds(NOW).map(|(start, _)| start.0).map_err(|error| error.0);
        assert_eq!(found, want.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn times_are_read_in_every_form() {
        check_start("1768435200", Ok(1_768_435_200_000_000_000));
        check_start("1768435200000000001", Ok(1_768_435_200_000_000_001));
        check_start("1768435200123", Ok(1_768_435_200_123));
        check_start("1768435200.5004", Ok(1_768_435_200_500_000_000));
        check_start("2026-01-15T00:00:13.25Z", Ok(1_768_435_213_250_000_000));
        check_start("2026-01-15T02:00:00+02:00", Ok(1_768_435_200_000_000_000));
        check_start("bogus", Err("could not parse 'start' parameter: strconv.ParseInt: parsing \"bogus\": invalid syntax"));
        check_start(
            "2026-13-01T00:00:00Z",
            Err("could not parse 'start' parameter: strconv.ParseInt: parsing \"2026-13-01T00:00:00Z\": invalid syntax"),
        );
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        assert_eq!(params("").bounds(NOW), Ok((NOW.minus(SINCE_DEFAULT), NOW)));
        assert_eq!(
            params("end=1768442400&since=2h").bounds(NOW),
            Ok((Timestamp::from_secs(1_768_435_200), Timestamp::from_secs(1_768_442_400)))
        );
        assert_eq!(params("").limit(), Ok(100));
        assert_eq!(params("").forward(), Ok(false));
        let hours = |n: i64| (Timestamp(0), Timestamp::from_secs(n * 3600));
        assert_eq!(params("").step(hours(1).0, hours(1).1), Ok(Duration::from_secs(14)));
        assert_eq!(params("").step(Timestamp(0), Timestamp(5)), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn steps_and_limits_are_checked() {
        let step = |text: &str| params(&format!("step={text}")).step(Timestamp(0), Timestamp::from_secs(600)).map_err(|error| error.0);
        assert_eq!(step("7.5"), Ok(Duration::from_millis(7500)));
        assert_eq!(step("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(step("0.5m"), Err("cannot parse \"0.5m\" to a valid duration".into()));
        assert!(step("0").is_err_and(|text| text.starts_with("zero or negative query resolution")));
        assert!(step("10ms").is_err_and(|text| text.starts_with("exceeded maximum resolution of 11,000 points")));
        let limit = |text: &str| params(&format!("limit={text}")).limit().map_err(|error| error.0);
        let volume_limit = |text: &str| params(&format!("limit={text}")).volume_limit().map_err(|error| error.0);
        assert_eq!([volume_limit("0"), volume_limit(""), volume_limit("7")], [Ok(100), Ok(100), Ok(7)]);
        assert_eq!(volume_limit("-1"), Err("limit must be a positive value".into()));
        assert_eq!(limit("x"), Err("strconv.Atoi: parsing \"x\": invalid syntax".into()));
        assert_eq!(limit("0"), Err("limit must be a positive value".into()));
        assert_eq!(limit("4294967296"), Err("limit value 4294967296 is out of range [0, 4294967295]".into()));
    }

    #[test]
    fn a_delay_is_at_most_five_seconds() {
        let delay = |text: &str| params(&format!("delay_for={text}")).delay_for().map(|d| d.as_secs()).map_err(|error| error.0);
        assert_eq!([delay(""), delay("0"), delay("5")], [Ok(0), Ok(0), Ok(5)]);
        for text in ["6", "-1", "99999999999999999999"] {
            assert_eq!(delay(text), Err("delay_for can't be greater than 5".into()));
        }
        assert_eq!(delay("x"), Err("strconv.Atoi: parsing \"x\": invalid syntax".into()));
    }

    #[test]
    fn url_and_form_are_joined() {
        let params = Params::parse("match[]=a&x=1", b"match=b&x=2");
        assert_eq!(params.all(&["match[]", "match"]).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(params.get("x"), "2");
    }
}
