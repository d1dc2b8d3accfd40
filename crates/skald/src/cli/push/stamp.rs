use super::leading;
use jiff::tz::TimeZone;
use skald_model::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How many distinct times are remembered.
const TIMES_MAX: usize = 4096;

/// Gives each line its time.
pub struct Stamper {
    /// Whether lines carry their time.
    parse: bool,
    zone: TimeZone,
    /// Latest time that was given because a line was read then.
    last_now: Timestamp,
    /// The time that lines without one follow; none in a file that has had none so far.
    base: Option<Timestamp>,
    /// For each time that lines had, the next one to give.
    next: HashMap<Timestamp, Timestamp>,
    /// The times in `next`, oldest first.
    order: VecDeque<Timestamp>,
    timeless: u64,
}

impl Stamper {
    /// A stamper; `zone` is that of times in lines which name none.
    pub fn new(parse: bool, zone: TimeZone) -> Self {
        Stamper { parse, zone, last_now: Timestamp::MIN, base: None, next: HashMap::new(), order: VecDeque::new(), timeless: 0 }
    }

    /// Begins a file that begins with `bytes`. Lines before the first time among these get that time too.
    pub fn begin_file(&mut self, bytes: &[u8], now: Timestamp) {
        if self.parse {
            let lines = bytes.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
            self.base = lines.into_iter().find_map(|line| leading::time(line, now, &self.zone));
        }
    }

    /// The time of `line`, which is read at `now`. Lines with equal times get times one nanosecond apart.
    pub fn stamp(&mut self, line: &str, now: Timestamp) -> Timestamp {
        if self.parse {
            self.base = leading::time(line, now, &self.zone).or(self.base);
            if let Some(base) = self.base {
                return self.after(base);
            }
            self.timeless += 1;
        }
        self.last_now = now.max(self.last_now.plus(Duration::from_nanos(1)));
        self.last_now
    }

    /// Lines that should have carried a time and neither did nor followed one that does.
    pub fn timeless(&self) -> u64 {
        self.timeless
    }

    fn after(&mut self, base: Timestamp) -> Timestamp {
        if let Some(next) = self.next.get_mut(&base) {
            let at = *next;
            *next = at.plus(Duration::from_nanos(1));
            return at;
        }
        if self.order.len() == TIMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.next.remove(&oldest);
        }
        self.order.push_back(base);
        self.next.insert(base, base.plus(Duration::from_nanos(1)));
        base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(parse: bool, lines: &str, now: i64) -> Vec<i64> {
        let mut stamper = Stamper::new(parse, TimeZone::UTC);
        stamper.begin_file(lines.as_bytes(), Timestamp(now));
        lines.lines().map(|line| stamper.stamp(line, Timestamp(now)).0).collect()
    }

    #[test]
    fn lines_that_are_read_at_once_are_one_nanosecond_apart() {
        assert_eq!(stamps(false, "a\n1970-01-01T00:00:01Z b\nc", 7), [7, 8, 9]);
        let mut stamper = Stamper::new(false, TimeZone::UTC);
        let got = [5, 5, 100, 3].map(|now| stamper.stamp("", Timestamp(now)).0);
        assert_eq!(got, [5, 6, 100, 101], "also when the clock goes back");
    }

    #[test]
    fn equal_times_advance_and_lines_without_one_follow() {
        const S: i64 = 1_000_000_000;
        let lines = "1970-01-01T00:00:01Z a\n1970-01-01T00:00:01Z b\n  at c\n1970-01-01T00:00:02Z d\n1970-01-01T00:00:01Z late\n  at e";
        assert_eq!(stamps(true, lines, 0), [S, S + 1, S + 2, 2 * S, S + 3, S + 4]);
    }

    #[test]
    fn lines_before_the_first_time_get_it_too() {
        const S: i64 = 1_000_000_000;
        assert_eq!(stamps(true, "# header\n\n1970-01-01T00:00:01Z a", 0), [S, S + 1, S + 2]);
        assert_eq!(stamps(true, "no\ntime", 7), [7, 8]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut stamper = Stamper::new(true, TimeZone::UTC);
        for second in 0..3 * TIMES_MAX {
            stamper.stamp(&format!("{} x", 1_700_000_000 + second), Timestamp(0));
        }
        assert_eq!((stamper.next.len(), stamper.order.len()), (TIMES_MAX, TIMES_MAX));
    }
}
