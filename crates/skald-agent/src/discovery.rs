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
        for (number, discovery) in discoveries.into_iter().enumerate() {
            let task = follow(number, discovery, Arc::clone(table), Arc::clone(&changed), stopped.clone());
            spawner.spawn("discovery", Box::pin(task));
        }
        Discovering { _stop: stop }
    }
}

async fn follow(
    number: usize,
    mut discovery: Box<dyn Discovery>,
    table: Arc<Mutex<TargetTable>>,
    changed: Arc<dyn Fn() + Send + Sync>,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        // The sender says nothing: its end is the word.
        let update = match select(pin!(discovery.next()), pin!(stopped.changed())).await {
            Either::Left((update, _)) => update,
            Either::Right(_) => return,
        };
        let Update::Group(group) = update else { continue };
        let targets: Vec<LabelSet> = group.targets.into_iter().map(|labels| labels.into_iter().collect()).collect();
        table.lock().replace(&format!("{number}/{}", group.source), targets);
        changed();
    }
}
