use super::FileReader;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use skald_tail::{FileStatus, Stats};
use std::collections::BTreeMap;
use std::fmt;

/// A look at all files.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Those that are being read.
    pub files: Vec<FileStatus>,
    /// Counts since the start.
    pub stats: Stats,
}

/// Metrics of files, as of the last look at them.
#[derive(Clone)]
pub struct FileMetrics(FileReader);

impl FileMetrics {
    /// Of the files that `reader` reads.
    pub fn new(reader: FileReader) -> Self {
        FileMetrics(reader)
    }
}

impl fmt::Debug for FileMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileMetrics")
    }
}

/// What one path shows; two targets may read it.
#[derive(Default)]
struct OfPath {
    read: u64,
    size: u64,
    lines: u64,
}

impl View {
    fn by_path(&self) -> BTreeMap<String, OfPath> {
        let mut paths: BTreeMap<String, OfPath> = BTreeMap::new();
        for file in &self.files {
            let path = paths.entry(file.path.display().to_string()).or_default();
            // A rotated file is followed under the path that it had.
            path.lines += file.lines;
            if !file.gone {
                path.read = path.read.max(file.offset);
                path.size = path.size.max(file.size);
            }
        }
        paths
    }
}

impl Collector for FileMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let view = self.0.last_view();
        let paths = view.by_path();
        let gauges: [(&str, &str, fn(&OfPath) -> u64); 2] = [
            ("promtail_read_bytes_total", "Bytes read of each file", |path| path.read),
            ("promtail_file_bytes_total", "Bytes of each file", |path| path.size),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (path, of_path) in &paths {
                ConstGauge::new(value(of_path) as i64).encode(family.encode_family(&[("path", path.as_str())])?)?;
            }
        }
        let mut family = encoder.encode_descriptor("promtail_read_lines", "Lines read of each file", None, MetricType::Counter)?;
        for (path, of_path) in &paths {
            ConstCounter::new(of_path.lines).encode(family.encode_family(&[("path", path.as_str())])?)?;
        }
        encode_stats(&view.stats, &mut encoder)
    }
}

fn encode_stats(stats: &Stats, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let gauges = [
        ("promtail_files_active_total", "Files being read", stats.files),
        ("promtail_files_gone", "Files being read that left their path", stats.files_gone),
        ("promtail_file_descriptors", "Files held open", stats.descriptors),
        ("promtail_watched_directories", "Directories whose changes the system reports", stats.watches),
        ("promtail_polled_files", "Files whose changes the system does not report", stats.polled),
    ];
    for (name, help, value) in gauges {
        let gauge = ConstGauge::new(value as i64);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    let counters = [
        ("promtail_file_rotations", "Files whose path came to hold another one, or none", stats.rotations),
        ("promtail_file_truncations", "Files whose content was replaced", stats.truncations),
        ("promtail_files_found_again", "Files whose rest was found under another name", stats.found_again),
        ("promtail_files_lost", "Files, or their rests, that could not be found again", stats.lost),
        ("promtail_file_failures", "Failures to open or read a file", stats.failures),
        ("promtail_files_unreadable", "Compressed files that are damaged or incomplete", stats.unreadable),
        ("promtail_encoding_failures", "Lines with bytes that are no characters", stats.lines_replaced),
        ("promtail_long_line_pieces", "Pieces of lines longer than allowed", stats.long_line_pieces),
        ("promtail_watch_overflows", "Times that the system lost reports of changes", stats.overflows),
    ];
    for (name, help, value) in counters {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
    }
    Ok(())
}
