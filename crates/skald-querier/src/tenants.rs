//! Queries over several tenants: each tenant's streams carry its name.

use skald_logql::ast::Matcher;
use skald_logql::exec::Selector;
use skald_model::{Labels, TenantId};
use std::borrow::Cow;

/// Label by which the streams of several tenants are told apart.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";
/// What a stream's own label of that name is called then.
const ORIGINAL: &str = "original___tenant_id__";

/// One of the tenants that a query asks for, and how its streams are seen.
#[derive(Debug, Clone)]
pub(crate) struct View {
    tenant: TenantId,
    selector: Selector,
    is_named: bool,
}

impl View {
    /// The tenants that a selector leaves in. Of several tenants, matchers on [`TENANT_LABEL`] choose, and are not asked of streams.
    pub(crate) fn of_all(tenants: &[TenantId], selector: &Selector) -> Vec<View> {
        if let [tenant] = tenants {
            return vec![View { tenant: tenant.clone(), selector: selector.clone(), is_named: false }];
        }
        let of_tenant = |matcher: &Matcher| matcher.name == TENANT_LABEL;
        let own = selector.without_label(TENANT_LABEL);
        let chosen = |tenant: &&TenantId| {
            let mut matchers = selector.matchers().iter().enumerate().filter(|(_, matcher)| of_tenant(matcher));
            matchers.all(|(i, _)| selector.matcher_matches(i, tenant.as_str()))
        };
        let view = |tenant: &TenantId| View { tenant: tenant.clone(), selector: own.clone(), is_named: true };
        tenants.iter().filter(chosen).map(view).collect()
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What is asked of the tenant's streams.
    pub(crate) fn selector(&self) -> &Selector {
        &self.selector
    }

    /// Labels of a stream as the query sees them.
    pub(crate) fn labels<'a>(&self, labels: &'a Labels) -> Cow<'a, Labels> {
        if !self.is_named {
            return Cow::Borrowed(labels);
        }
        let renamed = labels.iter().map(|(name, value)| (if name == TENANT_LABEL { ORIGINAL } else { name }, value));
        let named = Labels::from_pairs(renamed.chain([(TENANT_LABEL, self.tenant.as_str())]));
        // A stream that has both names keeps its own: nothing of it is lost but the tenant.
        named.map_or(Cow::Borrowed(labels), Cow::Owned)
    }

    /// Labels of a stream as lists of series show them: there a stream's own label keeps its name and hides the tenant.
    pub(crate) fn series_labels(&self, labels: &Labels) -> Labels {
        if labels.get(TENANT_LABEL).is_some() { labels.clone() } else { self.labels(labels).into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_logql::parse_matchers;

    fn tenants(ids: &[&str]) -> Vec<TenantId> {
        ids.iter().map(|id| TenantId::parse(id).expect("valid")).collect()
    }

    fn views(ids: &[&str], text: &str) -> Vec<View> {
        let selector = Selector::compile(&parse_matchers(text, true).expect("a selector")).expect("it compiles");
        View::of_all(&tenants(ids), &selector)
    }

    #[track_caller]
    fn check(ids: &[&str], text: &str, want: &[(&str, usize)]) {
        let views = views(ids, text);
        let found: Vec<_> = views.iter().map(|view| (view.tenant().as_str(), view.selector().matchers().len())).collect();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn matchers_on_the_tenant_choose_among_several() {
        check(&["a", "b"], r#"{app="x"}"#, &[("a", 1), ("b", 1)]);
        check(&["a", "b"], r#"{app="x", __tenant_id__="b"}"#, &[("b", 1)]);
        check(&["a", "b"], r#"{app="x", __tenant_id__!="b"}"#, &[("a", 1)]);
        check(&["a", "b"], r#"{__tenant_id__=~"a|b", __tenant_id__!~"a.*"}"#, &[("b", 0)]);
        check(&["a"], r#"{__tenant_id__="a"}"#, &[("a", 1)]);
    }

    #[test]
    fn streams_carry_their_tenant_and_keep_what_they_had() {
        let own = Labels::from_pairs([("app", "x"), (TENANT_LABEL, "own")]).expect("distinct");
        let several = &views(&["a", "b"], "{}")[0];
        assert_eq!(several.labels(&own).to_string(), r#"{__tenant_id__="a", app="x", original___tenant_id__="own"}"#);
        assert_eq!(several.series_labels(&own), own);
        assert_eq!(views(&["a"], "{}")[0].labels(&own).as_ref(), &own);
    }
}
