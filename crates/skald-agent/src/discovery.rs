//! From what discovery finds to the targets that are read.
//!
//! A task for each discovery puts groups of labels into the [`TargetTable`] of its scrape config, which relabels them, sorts out what is not to be read and says
//! why. Who reads the targets is woken after each change and takes the table as it is then.

mod targets;

pub use targets::{Found, Rules, TargetFailures, TargetTable};

use futures::future::{Either, select};
use parking_lot::Mutex;
use skald_discovery::{Discovery, Update};
use skald_model::seam::Spawner;
use skald_pipeline::LabelSet;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;

/// The discoveries of one scrape config at work. They end when this is dropped.
pub struct Discovering {
    _stop: watch::Sender<()>,
    synced: Synced,
}

/// Tells when all discoveries of a scrape config have found what was there when they began.
#[derive(Clone)]
pub struct Synced {
    count: watch::Receiver<usize>,
    of: usize,
}

impl Synced {
    /// Completes then, or when they have ended.
    pub async fn told(mut self) {
        let _ = self.count.wait_for(|count| *count >= self.of).await;
    }
}

impl Discovering {
    /// Starts a task for each of `discoveries`; `changed` is called after each change of `table`.
    pub fn start(
        discoveries: Vec<Box<dyn Discovery>>,
        table: &Arc<Mutex<TargetTable>>,
        changed: Arc<dyn Fn() + Send + Sync>,
        spawner: &dyn Spawner,
    ) -> Self {
        let (stop, stopped) = watch::channel(());
        let (count, counted) = watch::channel(0);
        let (count, synced) = (Arc::new(count), Synced { count: counted, of: discoveries.len() });
        for (number, discovery) in discoveries.into_iter().enumerate() {
            let follower = Follower { number, table: Arc::clone(table), changed: Arc::clone(&changed), synced: Arc::clone(&count) };
            spawner.spawn("discovery", Box::pin(follower.run(discovery, stopped.clone())));
        }
        Discovering { _stop: stop, synced }
    }

    /// Tells when all was found.
    pub fn synced(&self) -> Synced {
        self.synced.clone()
    }
}

/// Takes in what one discovery tells.
struct Follower {
    number: usize,
    table: Arc<Mutex<TargetTable>>,
    changed: Arc<dyn Fn() + Send + Sync>,
    synced: Arc<watch::Sender<usize>>,
}

impl Follower {
    async fn run(self, mut discovery: Box<dyn Discovery>, mut stopped: watch::Receiver<()>) {
        loop {
            // The sender says nothing: its end is the word.
            match select(pin!(discovery.next()), pin!(stopped.changed())).await {
                Either::Left((update, _)) => self.take(update),
                Either::Right(_) => return,
            }
        }
    }

    fn take(&self, update: Update) {
        match update {
            Update::Group(group) => {
                let targets: Vec<LabelSet> = group.targets.into_iter().map(|labels| labels.into_iter().collect()).collect();
                self.table.lock().replace(&format!("{}/{}", self.number, group.source), targets);
                (self.changed)();
            }
            Update::Synced => self.synced.send_modify(|count| *count += 1),
        }
    }
}
