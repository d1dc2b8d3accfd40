//! Role `ingress`: one target for each path of each rule.

use super::View;
use crate::kubernetes::labels::Labels;
use crate::kubernetes::object::{Ingress, IngressRule};

pub(super) fn targets(ingress: &Ingress, view: View<'_>) -> Vec<Labels> {
    let metadata = &ingress.metadata;
    let mut common = view.namespace_labels(metadata.namespace.as_deref());
    common.meta("ingress_name", metadata.name.clone().unwrap_or_default());
    common.meta_if_any("ingress_class_name", &ingress.spec.ingress_class_name);
    common.metadata("ingress", metadata);

    let mut targets = Vec::new();
    for rule in &ingress.spec.rules {
        for path in paths(rule) {
            let mut labels = common.clone();
            labels.plain("__address__", rule.host.as_str());
            labels.meta("ingress_scheme", scheme(ingress, &rule.host));
            labels.meta("ingress_path", path);
            targets.push(labels);
        }
    }
    targets
}

/// Paths of a rule; one that names none stands for all below `/`.
fn paths(rule: &IngressRule) -> Vec<&str> {
    let Some(http) = &rule.http else { return vec!["/"] };
    http.paths.iter().map(|path| if path.path.is_empty() { "/" } else { path.path.as_str() }).collect()
}

/// `https` where the ingress has a certificate for the host.
fn scheme(ingress: &Ingress, host: &str) -> &'static str {
    let mut named = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
    if named.any(|pattern| covers(pattern, host)) { "https" } else { "http" }
}

/// Whether a certificate for `pattern` is one for `host`: the same, or `*.` in the place of its first part.
fn covers(pattern: &str, host: &str) -> bool {
    let Some(domain) = pattern.strip_prefix("*.") else { return pattern == host };
    !host.starts_with("*.") && host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == domain) || pattern == host
}
