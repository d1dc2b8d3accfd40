//! How far a container has been read, and what of a log that is read again is known already.

use super::frames::Stream;
use std::fmt::{self, Write};

const NANOS: i64 = 1_000_000_000;
/// How far before the last line reading begins anew: lines of the two streams stand in a log in nearly, not exactly, the order of their times.
const SLACK_SECONDS: i64 = 2;
/// Most lines of one instant that are told apart. Of more, the first come again, with the same time.
const HASHES_MAX: usize = 64;

/// The last lines that were taken of a container.
///
/// As text: the second of the last line, which is all that promtail keeps; then, each in a line of its own, for standard output and standard error the
/// nanosecond of its last line, and hashes of its lines of that instant; then the nanosecond of the earliest line that was not whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    seconds: Option<i64>,
    streams: [Option<Last>; 2],
    /// The time of a line that came in part, if there was one.
    begun: Option<i64>,
}

/// The last lines of a stream: those of one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Last {
    at: i64,
    hashes: Vec<u64>,
}

impl Place {
    /// Of a text that is no place: the beginning.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.split('\n');
        let seconds = lines.next().and_then(|seconds| seconds.trim().parse().ok());
        let mut stream = || lines.next().and_then(Last::parse);
        let streams = [stream(), stream()];
        Place { seconds, streams, begun: lines.next().and_then(|begun| begun.parse().ok()) }
    }

    /// The second to ask the engine from on; 0 is the beginning.
    pub(super) fn since(&self) -> i64 {
        let newest = self.streams.iter().flatten().map(|last| last.at).max();
        let since = newest.map(|at| at.div_euclid(NANOS) - SLACK_SECONDS).or(self.seconds);
        let begun = self.begun.map_or(i64::MAX, |begun| begun.div_euclid(NANOS));
        since.unwrap_or_default().min(begun).max(0)
    }

    /// The time of the last line, in seconds.
    pub(super) fn seconds(&self) -> Option<i64> {
        self.seconds
    }

    /// A line was taken; `begun` is the time of the earliest that is not whole yet.
    pub(super) fn take(&mut self, stream: Stream, at: i64, hash: u64, begun: Option<i64>) {
        self.begun = begun;
        self.seconds = Some(at.div_euclid(NANOS));
        let last = self.streams[stream as usize].get_or_insert_default();
        if last.at != at {
            last.at = at;
            last.hashes.clear();
        }
        if last.hashes.len() == HASHES_MAX {
            last.hashes.remove(0);
        }
        last.hashes.push(hash);
    }

    /// What to leave out when the log is read again from [`Place::since`] on.
    pub(super) fn replay(&self) -> Replay {
        Replay(self.streams.clone())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds.unwrap_or_default())?;
        for last in &self.streams {
            f.write_char('\n')?;
            if let Some(last) = last {
                write!(f, "{}", last.at)?;
                last.hashes.iter().try_for_each(|hash| write!(f, " {hash:x}"))?;
            }
        }
        self.begun.map_or(Ok(()), |begun| write!(f, "\n{begun}"))
    }
}

impl Last {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let at = words.next()?.parse().ok()?;
        let hashes = words.take(HASHES_MAX).map(|hash| u64::from_str_radix(hash, 16)).collect::<Result<_, _>>().ok()?;
        Some(Last { at, hashes })
    }
}

/// Tells lines that were taken from those that were not.
#[derive(Debug)]
pub(super) struct Replay([Option<Last>; 2]);

impl Replay {
    /// Whether this line, the next of its stream, was taken before.
    pub(super) fn knows(&mut self, stream: Stream, at: i64, hash: u64) -> bool {
        let known = &mut self.0[stream as usize];
        let Some(last) = known else { return false };
        if at > last.at {
            // From here on all is new, also where the clock is put back.
            *known = None;
            return false;
        }
        if at < last.at {
            return true;
        }
        let place = last.hashes.iter().position(|taken| *taken == hash);
        place.map(|place| last.hashes.swap_remove(place)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Stream::{Stderr, Stdout};
    use proptest::prelude::*;

    const SECOND: i64 = NANOS;

    #[test]
    fn what_promtail_left_is_the_second_to_begin_with() {
        for (text, since) in [("1718000000", 1_718_000_000), ("", 0), ("rubbish", 0), ("-5", 0)] {
            let place = Place::parse(text);
            assert_eq!(place.since(), since, "{text}");
            assert!(!place.replay().knows(Stdout, 1, 1));
        }
    }

    #[test]
    fn the_text_begins_with_the_second_that_promtail_reads() {
        let mut place = Place::default();
        place.take(Stdout, 100 * SECOND + 5, 0xab, None);
        place.take(Stdout, 100 * SECOND + 5, 0xcd, None);
        assert_eq!(place.to_string(), "100\n100000000005 ab cd\n");
        place.take(Stderr, 101 * SECOND, 1, None);
        assert_eq!(place.to_string(), "101\n100000000005 ab cd\n101000000000 1");
        assert_eq!((place.since(), place.seconds()), (99, Some(101)));
    }

    #[test]
    fn a_line_that_is_not_whole_is_read_from_its_beginning() {
        let mut place = Place::default();
        place.take(Stdout, 100 * SECOND, 1, Some(50 * SECOND + 7));
        assert_eq!((place.to_string().as_str(), place.since()), ("100\n100000000000 1\n\n50000000007", 50));
        assert_eq!(Place::parse(&place.to_string()), place);
        place.take(Stderr, 50 * SECOND + 7, 2, None);
        assert_eq!(place.since(), 98);
    }

    #[test]
    fn lines_of_one_instant_are_known_by_what_they_say_and_how_often() {
        let mut place = Place::default();
        [1, 1, 2].iter().for_each(|hash| place.take(Stdout, 50, *hash, None));
        let mut replay = place.replay();
        let lines = [(49, 9), (50, 1), (50, 2), (50, 3), (50, 1), (50, 1), (51, 1), (40, 1)];
        let known = lines.map(|(at, hash)| replay.knows(Stdout, at, hash));
        assert_eq!(known, [true, true, true, false, true, false, false, false]);
    }

    #[test]
    fn a_stream_does_not_hide_earlier_lines_of_the_other() {
        let mut place = Place::default();
        place.take(Stderr, 10, 1, None);
        place.take(Stdout, 60, 1, None);
        let mut replay = place.replay();
        assert!(!replay.knows(Stderr, 55, 7));
        assert!(replay.knows(Stdout, 55, 7));
    }

    #[test]
    fn the_lines_of_one_instant_are_bounded() {
        let mut place = Place::default();
        (0..1000).for_each(|hash| place.take(Stdout, 7, hash, None));
        assert!(place.to_string().len() < 64 * 17 + 16);
        assert_eq!(Place::parse(&place.to_string()), place);
        assert!(place.replay().knows(Stdout, 7, 999));
    }

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn after_a_stop_anywhere_each_line_is_taken_once(
            lines in prop::collection::vec((any::<bool>(), 0i64..3, 0u64..3), 0..40),
            stop in 0usize..40,
        ) {
            // Each stream in the order of time, as an engine writes it.
            let (mut at, mut log) = ([0, 0], Vec::new());
            for (is_error, step, hash) in lines {
                let stream = if is_error { Stderr } else { Stdout };
                at[stream as usize] += step;
                log.push((stream, at[stream as usize], hash));
            }
            let (mut place, stop) = (Place::default(), stop.min(log.len()));
            log[..stop].iter().for_each(|(stream, at, hash)| place.take(*stream, *at, *hash, None));
            let mut replay = Place::parse(&place.to_string()).replay();
            let new: Vec<_> = log.iter().filter(|(stream, at, hash)| !replay.knows(*stream, *at, *hash)).collect();
            // Equal lines of one instant cannot be told apart, and need not be.
            let (mut want, mut got): (Vec<_>, Vec<_>) = (log[stop..].iter().collect(), new);
            want.sort_by_key(|(stream, at, hash)| (*stream as usize, *at, *hash));
            got.sort_by_key(|(stream, at, hash)| (*stream as usize, *at, *hash));
            prop_assert_eq!(want, got);
        }
    }
}
