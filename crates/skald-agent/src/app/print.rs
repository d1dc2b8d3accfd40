//! `-dry-run`: entries on standard output in the place of sending them.

use super::inspect::jiff_text;
use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use skald_pipeline::Entry;
use std::io::Write;

/// An intake that prints entries, one a line: time, labels, line. Positions go nowhere.
pub struct PrintIntake(Mutex<Box<dyn Write + Send>>);

impl PrintIntake {
    /// Prints to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        PrintIntake(Mutex::new(out))
    }
}

impl Intake for PrintIntake {
    fn offer(&self, entries: &mut Vec<Entry>, _position: Option<PositionUpdate>) -> Result<Ticket, NoRoom> {
        let mut out = self.0.lock();
        for entry in entries.drain(..) {
            // Nobody listens any more, and nothing is lost by that: positions stay as they are.
            let _ = writeln!(out, "{}\t{}\t{}", jiff_text(entry.timestamp), entry.labels, entry.line);
        }
        let _ = out.flush();
        Ok(Ticket(0))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }

    fn durable(&self, _ticket: Ticket) -> BoxFuture<'static, ()> {
        futures::future::ready(()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::buffer::Buffer;
    use skald_model::Timestamp;

    #[test]
    fn entries_are_printed_with_time_and_labels() {
        let buffer = Buffer::default();
        let intake = PrintIntake::new(Box::new(buffer.clone()));
        let labels = [("job", "a")].into_iter().collect();
        let mut entries = vec![Entry { labels, timestamp: Timestamp(1_500_000_000), line: "hello".to_owned(), metadata: Vec::new() }];
        intake.offer(&mut entries, None).expect("there is always room");
        assert_eq!((entries.len(), buffer.text().as_str()), (0, "1970-01-01T00:00:01.500000000Z\t{job=\"a\"}\thello\n"));
    }
}
