//! From the text of a stream's labels to the stream.

use crate::labels::{LabelsParseError, parse_labels};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use skald_model::{Labels, quote};
use std::hash::{BuildHasher, Hash};

/// Label under which the service of a stream is kept.
pub const SERVICE_NAME: &str = "service_name";
/// Labels of streams that servers write for themselves: no limits on labels, no `service_name`.
const INTERNAL: [&str; 2] = ["__aggregated_metric__", "__pattern__"];
/// Labels that only a header may set.
pub const BACKFILL: &str = "__backfill__";
/// Value of the header.
pub const BACKFILL_SHARD: &str = "__backfill_shard__";

/// A stream of a push, its labels read and `service_name` added; not yet checked against limits.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A stream.
    Stream(Labels),
    /// A name comes twice; what names the stream in the error, and that name.
    Duplicate {
        /// Names and values, sorted by name.
        pairs: Vec<(String, String)>,
        /// The name.
        name: String,
    },
}

impl Identity {
    /// Whether servers write the stream for themselves.
    pub fn is_internal(&self) -> bool {
        match self {
            Identity::Stream(labels) => INTERNAL.iter().any(|name| labels.get(name).is_some()),
            Identity::Duplicate { .. } => false,
        }
    }
}

/// Agents send the same label texts again and again: a bounded cache of what they mean.
pub struct IdentityCache {
    cache: Cache<Key, Labels, TextWeight>,
}

/// Text of the labels, and a hash of the settings by which `service_name` is found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    settings: u64,
    text: Box<str>,
}

#[derive(Hash)]
struct KeyRef<'a> {
    settings: u64,
    text: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.settings == key.settings && *self.text == *key.text
    }
}

#[derive(Debug, Clone)]
struct TextWeight;

impl Weighter<Key, Labels> for TextWeight {
    fn weight(&self, key: &Key, labels: &Labels) -> u64 {
        (key.text.len() + labels.text_len() + 8 * labels.len() + 128) as u64
    }
}

/// Bytes that the cache may hold.
const CACHE_BYTES_MAX: u64 = 16 << 20;
const CACHE_ENTRIES_ESTIMATE: usize = 32 << 10;

impl Default for IdentityCache {
    fn default() -> Self {
        IdentityCache { cache: Cache::with_weighter(CACHE_ENTRIES_ESTIMATE, CACHE_BYTES_MAX, TextWeight) }
    }
}

impl IdentityCache {
    /// The stream that `text` means where `service_name` is found by `discover`, whose hash is `settings`.
    ///
    /// # Errors
    /// When the text is no label set; sets that name a label twice are told apart by [`Identity`].
    pub fn identify(&self, text: &str, discover: &[String], settings: u64) -> Result<Identity, LabelsParseError> {
        if let Some(labels) = self.cache.get(&KeyRef { settings, text }) {
            return Ok(Identity::Stream(labels));
        }
        let identity = identify(parse_labels(text)?, discover);
        if let Identity::Stream(labels) = &identity {
            self.cache.insert(Key { settings, text: text.into() }, labels.clone());
        }
        Ok(identity)
    }
}

/// Hash of the settings that decide on `service_name`, for [`IdentityCache::identify`].
pub fn settings_hash(discover: &[String]) -> u64 {
    rustc_hash::FxBuildHasher.hash_one(discover)
}

/// The stream that has `pairs` as labels, where `service_name` is found by `discover`.
///
/// Panics when the text of the labels is 4 GiB long.
pub fn identify(mut pairs: Vec<(String, String)>, discover: &[String]) -> Identity {
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let get = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let internal = INTERNAL.iter().any(|name| get(name).is_some());
    if !internal && !discover.is_empty() && get(SERVICE_NAME).is_none() {
        let found = discover.iter().find_map(|name| get(name)).unwrap_or("unknown_service").to_owned();
        let at = pairs.partition_point(|(name, _)| name.as_str() < SERVICE_NAME);
        pairs.insert(at, (SERVICE_NAME.to_owned(), found));
    }
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let name = twice[0].0.clone();
        return Identity::Duplicate { pairs, name };
    }
    Identity::Stream(Labels::from_pairs(pairs).expect("no name comes twice, and the text was shorter than 4 GiB"))
}

/// `pairs` as the text of a stream, a name that comes twice included.
pub fn pairs_text(pairs: &[(String, String)]) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        out.push_str(name);
        out.push('=');
        quote(&mut out, value);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_config::Limits;

    #[track_caller]
    fn check(text: &str, discover: &[String], want: &str) {
        let cache = IdentityCache::default();
        for _ in 0..2 {
            let found = match cache.identify(text, discover, settings_hash(discover)).expect("labels") {
                Identity::Stream(labels) => labels.to_string(),
                Identity::Duplicate { pairs, name } => format!("{name} twice in {}", pairs_text(&pairs)),
            };
            assert_eq!(found, want);
        }
    }

    #[test]
    fn service_name_is_the_first_label_of_the_list() {
        let discover = Limits::default().discover_service_name;
        check("{z=\"1\", job=\"j\", app=\"a\"}", &discover, r#"{app="a", job="j", service_name="a", z="1"}"#);
        check("{service_name=\"s\", app=\"a\"}", &discover, r#"{app="a", service_name="s"}"#);
        check("{app=\"\"}", &discover, r#"{service_name="unknown_service"}"#);
        check("{app=\"a\"}", &[], r#"{app="a"}"#);
        check("{__pattern__=\"p\", app=\"a\"}", &discover, r#"{__pattern__="p", app="a"}"#);
    }

    #[test]
    fn a_name_that_comes_twice_is_told() {
        let discover = Limits::default().discover_service_name;
        check("{app=\"a\", app=\"b\"}", &discover, r#"app twice in {app="a", app="b", service_name="a"}"#);
        check("{app=\"a\", app=\"\"}", &discover, r#"{app="a", service_name="a"}"#);
    }

    #[test]
    fn settings_are_part_of_what_is_cached() {
        let cache = IdentityCache::default();
        let of = |discover: &[String]| match cache.identify("{a=\"1\", b=\"2\"}", discover, settings_hash(discover)) {
            Ok(Identity::Stream(labels)) => labels.get(SERVICE_NAME).map(str::to_owned),
            other => panic!("{other:?}"),
        };
        assert_eq!(of(&["a".to_owned()]).as_deref(), Some("1"));
        assert_eq!(of(&["b".to_owned()]).as_deref(), Some("2"));
        assert_eq!(of(&[]), None);
    }
}
