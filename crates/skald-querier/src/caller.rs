//! Who asks.

use crate::params::ParamError;
use crate::request_limits;
use crate::work::Work;
use axum::http::HeaderMap;
use skald_config::{Limits, TenantLimits};
use skald_model::TenantId;
use std::sync::Arc;

/// Header with tags of a query, `name=value` and commas between.
const QUERY_TAGS: &str = "x-query-tags";
/// Longest tags that are kept, in bytes.
const TAGS_MAX: usize = 1024;

/// Who asks: for which tenants, under which limits, on behalf of what; and the work for it. One is made for each request.
#[derive(Debug, Clone)]
pub struct Caller {
    tenants: Arc<[TenantId]>,
    /// The tenants' ids, joined.
    key: Arc<str>,
    limits: Arc<Limits>,
    tags: QueryTags,
    takes_cached: bool,
    work: Work,
}

impl Caller {
    /// Asks for `tenants`, of which there is at least one, sorted, each once.
    pub(crate) fn new(tenants: Arc<[TenantId]>, limits: &dyn TenantLimits, tags: QueryTags, work: Work) -> Self {
        let of_each = tenants.iter().map(|tenant| limits.limits(tenant));
        let limits = of_each.reduce(|one, other| Arc::new(one.strictest(&other))).unwrap_or_default();
        let key = tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join("|");
        work.record().of_caller(&key, tags.as_str(), work.budget());
        Caller { tenants, key: key.into(), limits, tags, takes_cached: true, work }
    }

    /// The caller with the limits that the request itself asks for, where they are tighter.
    pub(crate) fn tightened(mut self, headers: &HeaderMap) -> Result<Self, ParamError> {
        if let Some(limits) = request_limits::tightened(&self.limits, headers)? {
            self.limits = Arc::new(limits);
        }
        Ok(self)
    }

    /// The work for this request.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// The tenants, as what shares a queue and a lane.
    pub(crate) fn shared_tenants(&self) -> &Arc<[TenantId]> {
        &self.tenants
    }

    /// Wants everything counted anew, and nothing of it kept.
    pub fn without_cache(self) -> Self {
        Caller { takes_cached: false, ..self }
    }

    /// Whether states of the cache will do.
    pub fn takes_cached(&self) -> bool {
        self.takes_cached
    }

    /// Whose data is asked for.
    pub fn tenants(&self) -> &[TenantId] {
        &self.tenants
    }

    /// The tenants as one text.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Limits that hold for all of the tenants.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the client says of the query.
    pub fn tags(&self) -> &QueryTags {
        &self.tags
    }
}

/// What a client says of its query, for the log. Characters that have no place in a log line are `_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryTags(String);

impl QueryTags {
    /// The tags in a request's headers; none is empty.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(QUERY_TAGS).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
        QueryTags(harmless(&text, TAGS_MAX))
    }

    /// All of them, as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Grafana's Logs Drilldown asks.
    pub fn is_drilldown(&self) -> bool {
        self.0.split(',').any(|tag| tag.trim().eq_ignore_ascii_case("Source=grafana-lokiexplore-app"))
    }
}

/// At most `chars_max` characters of a text that a client made up; those that have no place in a log line are `_`.
pub(crate) fn harmless(text: &str, chars_max: usize) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-=.@, ".contains(c);
    text.chars().take(chars_max).map(|c| if allowed(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn tags(text: &[u8]) -> QueryTags {
        QueryTags::of(&HeaderMap::from_iter([(QUERY_TAGS.parse().expect("a name"), HeaderValue::from_bytes(text).expect("a value"))]))
    }

    #[test]
    fn tags_are_made_harmless() {
        assert_eq!(tags(b"Source=logvolhist,a=b\tc\"d").as_str(), "Source=logvolhist,a=b_c_d");
        assert_eq!(tags(b"a=\xff").as_str(), "a=_");
        assert_eq!(tags(&[b'a'; 5000]).as_str().len(), TAGS_MAX);
        assert_eq!(QueryTags::of(&HeaderMap::new()), QueryTags::default());
    }

    #[test]
    fn drilldown_is_known_by_its_source() {
        assert!(tags(b"x=y, Source=grafana-lokiexplore-app").is_drilldown());
        assert!(!tags(b"Source=logsample").is_drilldown());
    }

    #[test]
    fn several_tenants_share_the_strictest_limits() {
        struct ByName;
        impl TenantLimits for ByName {
            fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
                let max_query_series = if tenant.as_str() == "a" { 0 } else { 7 };
                Arc::new(Limits { max_query_series, ..Limits::default() })
            }
        }
        let tenants = ["a", "b"].map(|id| TenantId::parse(id).expect("valid"));
        let caller = Caller::new(tenants.into(), &ByName, QueryTags::default(), crate::work::tests::work(1));
        assert_eq!((caller.key(), caller.limits().max_query_series), ("a|b", 7));
    }
}
