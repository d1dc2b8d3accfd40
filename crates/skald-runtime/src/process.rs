use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Ticks a second in `/proc/self/stat`: fixed by the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory, processor time and open files, read from `/proc` when they are asked for. What cannot be read is left out.
#[derive(Debug)]
pub(crate) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut write = |name, help, metric: &dyn EncodeMetric| {
            let described = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(described)
        };
        if let Some(bytes) = read("/proc/self/status").and_then(|status| resident_bytes(&status)) {
            write("process_resident_memory_bytes", "Memory in use.", &ConstGauge::new(bytes))?;
        }
        if let Some(stat) = read("/proc/self/stat").and_then(|stat| Stat::parse(&stat)) {
            write("process_threads", "Threads.", &ConstGauge::new(stat.threads))?;
            write("process_cpu_seconds", "Processor time used.", &ConstCounter::new(stat.ticks as f64 / TICKS_PER_SECOND))?;
        }
        if let Some(open) = open_files() {
            write("process_open_fds", "Open files.", &ConstGauge::new(open))?;
        }
        Ok(())
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}

#[allow(clippy::disallowed_methods, reason = "the process looks at itself; nothing of this is data")]
fn open_files() -> Option<i64> {
    // Less the one through which the directory is read.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count() as i64 - 1)
}

#[derive(Debug, PartialEq)]
struct Stat {
    ticks: u64,
    threads: i64,
}

impl Stat {
    /// The process name, which may hold anything, ends at the last parenthesis.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat { ticks: field(14)? + field(15)?, threads: field(20)? as i64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_understood() {
        let stat = "42 (a) b)) S 1 42 42 0 -1 4194560 2 0 0 0 150 50 0 0 20 0 7 0 100 1 1";
        assert_eq!(Stat::parse(stat), Some(Stat { ticks: 200, threads: 7 }));
        assert_eq!(Stat::parse("42 (a"), None);
        assert_eq!(resident_bytes("VmPeak:\t9 kB\nVmRSS:\t     12 kB\n"), Some(12_288));
        assert_eq!(resident_bytes("nothing"), None);
        assert!(open_files().is_some_and(|open| open > 0));
    }
}
