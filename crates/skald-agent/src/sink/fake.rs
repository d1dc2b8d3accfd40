//! An intake in memory, and parts of sinks over it.

use super::SinkParts;
use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use futures::future::{BoxFuture, Either, select};
use parking_lot::Mutex;
use skald_model::seam::Clock;
use skald_pipeline::{Entry, Pipeline, PipelineContext, Relabel};
use skald_testkit::SeededRandom;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Keeps what it is given, and has room as a test says.
pub(crate) struct FakeIntake {
    taken: Mutex<Vec<Entry>>,
    positions: Mutex<Vec<PositionUpdate>>,
    /// Entries for which there is room.
    room: watch::Sender<usize>,
    /// Whether tickets are on disk.
    durable: watch::Sender<bool>,
    /// Changes with every offer.
    come: watch::Sender<()>,
}

impl FakeIntake {
    /// With room for so many entries.
    pub(crate) fn with_room(room: usize) -> Arc<Self> {
        Arc::new(FakeIntake {
            taken: Mutex::default(),
            positions: Mutex::default(),
            room: watch::Sender::new(room),
            durable: watch::Sender::new(true),
            come: watch::Sender::new(()),
        })
    }

    /// Makes room for more.
    pub(crate) fn make_room(&self, more: usize) {
        self.room.send_modify(|room| *room += more);
    }

    /// Decides whether what is taken is on disk at once.
    pub(crate) fn set_durable(&self, durable: bool) {
        self.durable.send_replace(durable);
    }

    /// What was taken since the last call.
    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.taken.lock())
    }

    /// Waits for so many entries, and takes all there are.
    pub(crate) async fn next(&self, count: usize, clock: &dyn Clock) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut come = self.come.subscribe();
        let patience = clock.sleep(Duration::from_secs(30));
        let enough = async {
            loop {
                come.borrow_and_update();
                entries.append(&mut self.taken.lock());
                if entries.len() >= count || come.changed().await.is_err() {
                    return;
                }
            }
        };
        let is_late = matches!(select(pin!(enough), patience).await, Either::Right(_));
        if is_late {
            panic!("{} of {count} entries came", entries.len());
        }
        entries
    }

    /// Number of entries taken and not yet asked for.
    pub(crate) fn len(&self) -> usize {
        self.taken.lock().len()
    }

    /// Entries taken since the last call, each as its labels and its line.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|entry| format!("{} {}", entry.labels, entry.line)).collect()
    }

    /// Values of the cursors offered since the last call, in order.
    pub(crate) fn cursors(&self) -> Vec<String> {
        let cursor = |update| match update {
            PositionUpdate::Cursor { key, value } => format!("{key}={value}"),
            other => panic!("{other:?} is no cursor"),
        };
        std::mem::take(&mut *self.positions.lock()).into_iter().map(cursor).collect()
    }
}

impl Intake for FakeIntake {
    fn offer(&self, entries: &mut Vec<Entry>, position: Option<PositionUpdate>) -> Result<Ticket, NoRoom> {
        let fits = self.room.send_if_modified(|room| {
            let fits = *room >= entries.len();
            *room -= if fits { entries.len() } else { 0 };
            fits
        });
        if !fits {
            return Err(NoRoom);
        }
        let mut taken = self.taken.lock();
        taken.append(entries);
        self.positions.lock().extend(position);
        self.come.send_replace(());
        Ok(Ticket(taken.len() as u64))
    }

    fn room(&self) -> BoxFuture<'static, ()> {
        let mut room = self.room.subscribe();
        Box::pin(async move { drop(room.wait_for(|room| *room > 0).await) })
    }

    fn durable(&self, _ticket: Ticket) -> BoxFuture<'static, ()> {
        let mut durable = self.durable.subscribe();
        Box::pin(async move { drop(durable.wait_for(|durable| *durable).await) })
    }
}

fn context() -> PipelineContext {
    PipelineContext {
        job: "test".into(),
        counters: Arc::default(),
        metrics: Arc::default(),
        random: Arc::new(SeededRandom::new(1)),
        inspector: None,
    }
}

/// Parts of sinks with these stages and rules, both as JSON lists.
pub(crate) fn parts(intake: &Arc<FakeIntake>, clock: Arc<dyn Clock>, stages: &str, rules: &str) -> SinkParts {
    let stages: Vec<_> = serde_json::from_str(stages).expect("stages");
    let rules: Vec<_> = serde_json::from_str(rules).expect("rules");
    SinkParts {
        relabel: Arc::new(Relabel::new(&rules).expect("rules that compile")),
        pipeline: Pipeline::new(&stages, &context()).expect("stages that compile"),
        intake: Arc::clone(intake) as _,
        clock,
    }
}
