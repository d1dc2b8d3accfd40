use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_pipeline::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Remembers how far each source with a cursor was read, so that one that is started again goes on from there.
pub(super) struct Cursors {
    intake: Arc<dyn Intake>,
    /// Under their keys in the positions file.
    known: Mutex<BTreeMap<String, String>>,
}

impl Cursors {
    /// In front of `intake`; `known` is what the positions file says.
    pub(super) fn new(intake: Arc<dyn Intake>, known: BTreeMap<String, String>) -> Self {
        Cursors { intake, known: Mutex::new(known) }
    }

    /// Where each source is, by its key in the positions file.
    pub(super) fn known(&self) -> BTreeMap<String, String> {
        self.known.lock().clone()
    }
}

impl Intake for Cursors {
    fn offer(&self, entries: &mut Vec<Entry>, position: Option<PositionUpdate>) -> Result<Ticket, NoRoom> {
        let Some(PositionUpdate::Cursor { key, value }) = &position else { return self.intake.offer(entries, position) };
        let (key, value) = (format!("cursor-{key}"), value.clone());
        // Held over the offer, so that of two offers the later one stays.
        let mut known = self.known.lock();
        let ticket = self.intake.offer(entries, position)?;
        known.insert(key, value);
        Ok(ticket)
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        self.intake.room()
    }

    fn durable(&self, ticket: Ticket) -> BoxFuture<'static, ()> {
        self.intake.durable(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fake::FakeIntake;
    use skald_model::Timestamp;
    use skald_pipeline::LabelSet;

    #[test]
    fn only_cursors_that_were_taken_are_known() {
        let fake = FakeIntake::with_room(1);
        let cursors = Cursors::new(Arc::clone(&fake) as _, [("cursor-a".to_owned(), "1".to_owned())].into());
        let entry = Entry { labels: LabelSet::new(), timestamp: Timestamp(0), line: String::new(), metadata: Vec::new() };
        let offer = |count: usize, key: &str, value: &str| {
            cursors.offer(&mut vec![entry.clone(); count], Some(PositionUpdate::Cursor { key: key.to_owned(), value: value.to_owned() }))
        };
        assert!(offer(1, "b", "2").is_ok() && offer(1, "a", "3").is_err());
        let known: Vec<String> = cursors.known().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(known, ["cursor-a=1", "cursor-b=2"]);
    }
}
