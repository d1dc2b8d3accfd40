//! What waits to be sent to the client of a tail.

use super::entry::TailEntry;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use skald_model::seam::Clock;
use skald_rpc::Missed;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::Notify;

/// Entries of one message at most.
const MESSAGE_ENTRIES_MAX: usize = 100;
/// Bytes of one message at most, beside the entry that passes the bound.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages that wait at most, those of the history not counted.
const MESSAGES_MAX: usize = 10;
/// How long a client may take nothing before entries are dropped.
const GRACE: Duration = Duration::from_secs(1);

/// Messages for one client. What it is too slow for is dropped, and it is told with the next message.
pub(crate) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    dropped: Counter,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Packed>,
    /// How many of the first messages are history.
    history: usize,
    missed: Missed,
    warnings: Vec<String>,
    /// The client was given its time and did not take anything since.
    is_behind: bool,
    closed: bool,
}

/// Stream objects with commas between.
#[derive(Default)]
struct Packed {
    streams: Vec<u8>,
    entries: usize,
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Stream objects with commas between.
    pub(crate) streams: Vec<u8>,
    /// Number of their entries.
    pub(crate) entries: usize,
    /// What is missing among them and before.
    pub(crate) missed: Missed,
    /// What is to be said of the history.
    pub(crate) warnings: Vec<String>,
}

impl Packed {
    fn has_room(&self) -> bool {
        self.entries < MESSAGE_ENTRIES_MAX && self.streams.len() < MESSAGE_BYTES_MAX
    }

    fn push(&mut self, entry: &TailEntry) {
        if self.entries > 0 {
            self.streams.push(b',');
        }
        self.streams.extend_from_slice(&entry.json);
        self.entries += 1;
    }
}

impl State {
    fn live(&self) -> usize {
        self.messages.len() - self.history
    }

    /// The message that takes the next live entry, if one does.
    fn room(&mut self) -> Option<&mut Packed> {
        if self.live() == 0 || !self.messages.back().is_some_and(Packed::has_room) {
            if self.live() >= MESSAGES_MAX {
                return None;
            }
            self.messages.push_back(Packed::default());
        }
        self.messages.back_mut()
    }
}

impl Outbox {
    /// An empty one; `dropped` counts what the client is told that it does not get.
    pub(crate) fn new(dropped: Counter) -> Self {
        Outbox { state: Mutex::default(), filled: Notify::new(), emptied: Notify::new(), dropped }
    }

    /// Puts the history before everything else. It is not dropped, however slow the client.
    pub(crate) fn put_history(&self, entries: &[TailEntry], warnings: Vec<String>) {
        let mut state = self.state.lock();
        for entry in entries {
            if !state.messages.back().is_some_and(Packed::has_room) {
                state.messages.push_back(Packed::default());
            }
            if let Some(last) = state.messages.back_mut() {
                last.push(entry);
            }
        }
        state.history = state.messages.len();
        state.warnings = warnings;
        drop(state);
        self.filled.notify_one();
    }

    /// Puts entries behind what waits. Waits for a client that is slow, but not for long: then they are dropped.
    pub(crate) async fn offer(&self, entries: Vec<TailEntry>, clock: &dyn Clock) {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            if self.put_some(&mut entries) {
                continue;
            }
            // No time for a client that had its time already.
            if !self.state.lock().is_behind {
                tokio::select! {
                    () = self.emptied.notified() => continue,
                    () = clock.sleep(GRACE) => self.state.lock().is_behind = true,
                }
            }
            self.drop_rest(&mut entries);
        }
    }

    /// Fills what room there is; whether there was any.
    fn put_some(&self, entries: &mut impl Iterator<Item = TailEntry>) -> bool {
        let mut state = self.state.lock();
        let mut any = false;
        while let Some(message) = state.room() {
            let Some(entry) = entries.next() else { break };
            message.push(&entry);
            any = true;
        }
        // Room that nothing came for.
        if state.live() > 0 && state.messages.back().is_some_and(|last| last.entries == 0) {
            state.messages.pop_back();
        }
        drop(state);
        self.filled.notify_one();
        any
    }

    fn drop_rest(&self, entries: &mut impl Iterator<Item = TailEntry>) {
        let mut state = self.state.lock();
        for entry in entries {
            state.missed.add(&entry.labels, entry.at);
            self.dropped.inc();
        }
    }

    /// Notes what an ingester says is missing.
    pub(crate) fn note_missed(&self, missed: Missed) {
        if missed.is_empty() {
            return;
        }
        self.dropped.inc_by(missed.entries);
        self.state.lock().missed.merge(missed);
        self.filled.notify_one();
    }

    /// Nothing more comes: [`Outbox::next`] ends once everything is taken.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.filled.notify_one();
    }

    /// The next message, as soon as there is something to say; nothing once closed and empty. Nothing is lost when this is given up.
    pub(crate) async fn next(&self) -> Option<Message> {
        loop {
            {
                let mut state = self.state.lock();
                let packed = state.messages.pop_front();
                if packed.is_some() || !state.missed.is_empty() || !state.warnings.is_empty() {
                    state.history = state.history.saturating_sub(1);
                    state.is_behind = false;
                    let (missed, warnings) = (std::mem::take(&mut state.missed), std::mem::take(&mut state.warnings));
                    self.emptied.notify_one();
                    let Packed { streams, entries } = packed.unwrap_or_default();
                    return Some(Message { streams, entries, missed, warnings });
                }
                if state.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::EntryId;
    use super::*;
    use futures::FutureExt;
    use skald_model::{Labels, Timestamp};
    use skald_testkit::SimClock;

    fn entries(ids: std::ops::Range<i64>) -> Vec<TailEntry> {
        let entry = |id: i64| TailEntry {
            at: Timestamp(id),
            id: EntryId(id as u128),
            labels: Labels::empty(),
            json: id.to_string().into_bytes().into(),
        };
        ids.map(entry).collect()
    }

    fn outbox() -> Outbox {
        Outbox::new(Counter::default())
    }

    fn ids(message: &Message) -> Vec<i64> {
        let text = std::str::from_utf8(&message.streams).expect("numbers");
        text.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().expect("a number")).collect()
    }

    fn take(outbox: &Outbox) -> Message {
        outbox.next().now_or_never().expect("something waits").expect("it is open")
    }

    #[test]
    fn entries_fill_messages_of_a_hundred_in_order() {
        let (outbox, clock) = (outbox(), SimClock::new(Timestamp(0)));
        assert!(outbox.next().now_or_never().is_none());
        for ids in [0..30, 30..250] {
            outbox.offer(entries(ids), &*clock).now_or_never().expect("there is room");
        }
        let taken: Vec<_> = (0..3).map(|_| ids(&take(&outbox))).collect();
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
        assert_eq!(taken.concat(), (0..250).collect::<Vec<_>>());
        assert!(outbox.next().now_or_never().is_none());
    }

    #[test]
    fn large_entries_make_smaller_messages() {
        let (outbox, clock) = (outbox(), SimClock::new(Timestamp(0)));
        let mut large = entries(0..3);
        large.iter_mut().for_each(|entry| entry.json = vec![b'1'; MESSAGE_BYTES_MAX / 2].into());
        outbox.offer(large, &*clock).now_or_never().expect("there is room");
        assert_eq!([take(&outbox), take(&outbox)].map(|message| ids_len(&message)), [2, 1]);
    }

    fn ids_len(message: &Message) -> usize {
        message.streams.split(|byte| *byte == b',').count()
    }

    #[test]
    fn a_client_who_takes_nothing_loses_entries_after_a_while_and_is_told_with_the_next_message() {
        let (outbox, clock) = (outbox(), SimClock::new(Timestamp(0)));
        let mut offer = Box::pin(outbox.offer(entries(0..1500), &*clock));
        assert!((&mut offer).now_or_never().is_none(), "it gets its time");
        clock.advance(GRACE);
        offer.now_or_never().expect("its time is over");
        // No more time until it takes something.
        outbox.offer(entries(1500..1600), &*clock).now_or_never().expect("it is behind");
        let first = take(&outbox);
        assert_eq!((ids(&first), first.missed.entries, first.missed.named.len()), ((0..100).collect(), 600, 600));
        assert_eq!(first.missed.span, Some((Timestamp(1000), Timestamp(1599))));
        outbox.offer(entries(1600..1601), &*clock).now_or_never().expect("there is room again");
        let rest: Vec<Message> = (0..10).map(|_| take(&outbox)).collect();
        assert!(rest.iter().all(|message| message.missed.is_empty()));
        assert_eq!(rest.iter().flat_map(ids).collect::<Vec<_>>(), (100..1000).chain([1600]).collect::<Vec<_>>());
        assert_eq!(outbox.dropped.get(), 600);
    }

    #[test]
    fn a_client_who_keeps_up_loses_nothing_of_a_large_push() {
        let (outbox, clock) = (outbox(), SimClock::new(Timestamp(0)));
        let mut offer = Box::pin(outbox.offer(entries(0..5000), &*clock)).fuse();
        let mut taken = Vec::new();
        while taken.len() < 5000 {
            let _ = (&mut offer).now_or_never();
            taken.extend(ids(&take(&outbox)));
        }
        assert_eq!(taken, (0..5000).collect::<Vec<_>>());
        assert_eq!(outbox.dropped.get(), 0);
    }

    #[test]
    fn history_comes_first_and_whole() {
        let (outbox, clock) = (outbox(), SimClock::new(Timestamp(0)));
        outbox.put_history(&entries(0..3000), vec!["something is missing".to_owned()]);
        outbox.offer(entries(3000..3001), &*clock).now_or_never().expect("there is room");
        let first = take(&outbox);
        assert_eq!(first.warnings, ["something is missing"]);
        let rest: Vec<i64> = (0..30).flat_map(|_| ids(&take(&outbox))).collect();
        assert_eq!([ids(&first), rest].concat(), (0..3001).collect::<Vec<_>>());
    }

    #[test]
    fn what_an_ingester_dropped_is_told_at_once_and_a_closed_outbox_is_emptied_first() {
        let (outbox, clock) = (outbox(), SimClock::new(Timestamp(0)));
        let mut missed = Missed::default();
        missed.add(&Labels::empty(), Timestamp(7));
        outbox.note_missed(missed.clone());
        assert_eq!(take(&outbox), Message { streams: Vec::new(), entries: 0, missed, warnings: Vec::new() });
        outbox.offer(entries(0..1), &*clock).now_or_never().expect("there is room");
        outbox.close();
        assert_eq!(ids(&take(&outbox)), [0]);
        assert_eq!(outbox.next().now_or_never(), Some(None));
    }
}
