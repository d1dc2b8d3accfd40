//! Meta labels: their names, and the pieces that several roles share.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::LabelSet;

const PREFIX: &str = "__meta_kubernetes_";

/// Labels of a target in the making. Of two values for one name the later stays.
#[derive(Debug, Clone, Default)]
pub(super) struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Sets `__meta_kubernetes_<name>`.
    pub(super) fn meta(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(format!("{PREFIX}{name}"), value.into());
    }

    /// As [`Labels::meta`], but sets nothing when there is no value.
    pub(super) fn meta_if_any(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.meta(name, value);
        }
    }

    /// Sets a label under exactly this name.
    pub(super) fn plain(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Sets `__address__`: host and port.
    pub(super) fn address(&mut self, host: &str, port: i32) {
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        self.plain("__address__", address);
    }

    /// Sets `<kind>_label_<name>` and `<kind>_annotation_<name>` with their twins that say that they are there.
    pub(super) fn metadata(&mut self, kind: &str, metadata: &ObjectMeta) {
        for (what, values) in [("label", &metadata.labels), ("annotation", &metadata.annotations)] {
            for (name, value) in values.iter().flatten() {
                let name = sanitized(name);
                self.meta(&format!("{kind}_{what}_{name}"), value.as_str());
                self.meta(&format!("{kind}_{what}present_{name}"), "true");
            }
        }
    }

    /// All of `other`, over what is there.
    pub(super) fn extend(&mut self, other: &Labels) {
        self.0.extend(other.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// In order of their names.
    pub(super) fn into_set(self) -> LabelSet {
        self.0.into_iter().collect()
    }
}

/// `name` as a part of a label's name: what may not stand in one becomes `_`.
pub(super) fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
