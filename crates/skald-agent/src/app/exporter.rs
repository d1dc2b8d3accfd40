use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use skald_discovery::DiscoveryStats;
use skald_model::seam::Clock;
use skald_pipeline::{Counters, CustomMetrics, Family, LabelSet, Now, Sample};
use std::fmt;
use std::sync::Arc;

/// What pipelines and discovery count; dropped lines and the metrics of `metrics` stages under the names that promtail has for them.
pub(super) struct CountedElsewhere {
    pub(super) counters: Arc<Counters>,
    pub(super) custom: Arc<CustomMetrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) discovery: Arc<DiscoveryStats>,
}

impl fmt::Debug for CountedElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CountedElsewhere")
    }
}

impl Collector for CountedElsewhere {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor("logentry_dropped_lines", "Lines that stages dropped", None, MetricType::Counter)?;
        for (reason, lines) in self.counters.reasons() {
            ConstCounter::new(lines).encode(family.encode_family(&[("reason", &*reason)])?)?;
        }
        let help = "Lines that limits of single labels dropped";
        let mut family = encoder.encode_descriptor("logentry_dropped_lines_by_label", help, None, MetricType::Counter)?;
        for (name, value, lines) in self.counters.labels() {
            ConstCounter::new(lines).encode(family.encode_family(&[("label_name", &*name), ("label_value", &*value)])?)?;
        }
        let discovery = [
            ("promtail_discovery_updates", "Groups of targets that discovery told", self.discovery.updates()),
            ("promtail_discovery_failures", "Failed attempts to find targets", self.discovery.failures()),
        ];
        for (name, help, count) in discovery {
            ConstCounter::new(count).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let now = Now { wall: self.clock.now(), monotonic: self.clock.monotonic() };
        self.custom.snapshot(now).iter().try_for_each(|family| encode_custom(family, &mut encoder))
    }
}

/// A metric of a stage, under exactly the name that the stage gives it: one that does not end in `_total` cannot be shown as a counter.
fn encode_custom(family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counter = family.name.strip_suffix("_total").filter(|_| family.kind == "counter");
    let kind = match (family.kind, counter) {
        (_, Some(_)) => MetricType::Counter,
        ("histogram", None) => MetricType::Histogram,
        ("counter", None) => MetricType::Unknown,
        _ => MetricType::Gauge,
    };
    let mut metric = encoder.encode_descriptor(counter.unwrap_or(&family.name), &family.help, None, kind)?;
    for (labels, sample) in &family.series {
        let labels = pairs(labels);
        let mut series = metric.encode_family(&labels)?;
        match sample {
            Sample::Value(value) if counter.is_some() => ConstCounter::new(*value).encode(series)?,
            Sample::Value(value) => ConstGauge::new(*value).encode(series)?,
            Sample::Histogram { buckets, sum } => {
                // They are cumulative there, and single here.
                let mut below = 0;
                let single: Vec<(f64, u64)> = buckets
                    .iter()
                    .map(|(bound, count)| {
                        let own = count.saturating_sub(below);
                        below = *count;
                        (*bound, own)
                    })
                    .collect();
                series.encode_histogram::<NoLabelSet>(*sum, below, &single, None)?;
            }
        }
    }
    Ok(())
}

fn pairs(labels: &LabelSet) -> Vec<(&str, &str)> {
    labels.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    #[derive(Debug)]
    struct Fixed(Vec<Family>);

    impl Collector for Fixed {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|family| encode_custom(family, &mut encoder))
        }
    }

    #[test]
    fn metrics_of_stages_keep_their_names() {
        let labels: LabelSet = [("app", "a\"b")].into_iter().collect();
        let family = |name: &str, kind, sample| Family {
            name: name.to_owned(),
            help: "Help".to_owned(),
            kind,
            series: vec![(labels.clone(), sample)],
        };
        let histogram = Sample::Histogram { buckets: vec![(0.5, 1), (1.0, 3), (f64::INFINITY, 4)], sum: 7.5 };
        let fixed = Fixed(vec![
            family("promtail_custom_lines_total", "counter", Sample::Value(2.0)),
            family("promtail_custom_hits", "counter", Sample::Value(3.5)),
            family("promtail_custom_size", "gauge", Sample::Value(-1.0)),
            family("promtail_custom_seconds", "histogram", histogram),
        ]);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(fixed));
        let mut text = String::new();
        encode(&mut text, &registry).expect("writing to a string succeeds");
        for want in [
            "# TYPE promtail_custom_lines counter\npromtail_custom_lines_total{app=\"a\\\"b\"} 2.0\n",
            "promtail_custom_hits{app=\"a\\\"b\"} 3.5\n",
            "promtail_custom_size{app=\"a\\\"b\"} -1.0\n",
            "promtail_custom_seconds_sum{app=\"a\\\"b\"} 7.5\n",
            "promtail_custom_seconds_count{app=\"a\\\"b\"} 4\n",
            "promtail_custom_seconds_bucket{le=\"0.5\",app=\"a\\\"b\"} 1\n",
            "promtail_custom_seconds_bucket{le=\"1.0\",app=\"a\\\"b\"} 3\n",
            "promtail_custom_seconds_bucket{le=\"+Inf\",app=\"a\\\"b\"} 4\n",
        ] {
            assert!(text.contains(want), "{want}\n{text}");
        }
    }
}
