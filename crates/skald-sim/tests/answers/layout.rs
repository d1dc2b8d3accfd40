//! The same pushes, stored in different ways.

use crate::data::{Data, Dice, batch};
use futures::future::{Either, select};
use skald_config::ByteSize;
use skald_sim::{Node, World};
use std::pin::pin;
use std::time::Duration;

/// Who owns the entries.
pub const TENANT: &str = "t";

/// How the pushes of a test are stored when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In one open memtable.
    Memory,
    /// In a sealed memtable that cannot be flushed.
    Sealed,
    /// One flush after the last push.
    Flushed,
    /// Flushes between pushes, so that repetitions lie in several objects and in memory.
    Pieces,
    /// Generations of a few entries that are sealed and flushed as they come.
    Small,
    /// Killed and started again between pushes and after them.
    Restarted,
    /// As in pieces, and the tables' indexes are built anew now and then.
    Indexed,
}

pub const LAYOUTS: [Layout; 7] =
    [Layout::Memory, Layout::Sealed, Layout::Flushed, Layout::Pieces, Layout::Small, Layout::Restarted, Layout::Indexed];

impl Layout {
    /// Whether no entry stands in an object.
    pub fn is_in_memory(self) -> bool {
        matches!(self, Layout::Memory | Layout::Sealed)
    }
}

/// A node with the pushes of `data`, and what it runs on.
pub fn stored(layout: Layout, data: &Data, seed: u64) -> (World, Node) {
    let dice = Dice::new(seed);
    let mut world = roomy(seed);
    if layout == Layout::Small {
        world.config.ingester.generation.target_size = ByteSize(3000);
    }
    let mut node = world.start().expect("an empty disk is fine");
    for push in &data.pushes {
        node.push_streams(TENANT, batch(push)).expect("acknowledged");
        match layout {
            Layout::Pieces if dice.chance(20) => node.flush(),
            Layout::Restarted if dice.chance(5) => node.flush(),
            Layout::Restarted if dice.chance(5) => node = again(&world, node),
            Layout::Indexed if dice.chance(20) => node.flush(),
            Layout::Indexed if dice.chance(10) => index(&node),
            _ => {}
        }
    }
    match layout {
        Layout::Sealed => seal(&world, &node),
        Layout::Flushed => node.flush(),
        Layout::Restarted => node = again(&world, node),
        Layout::Indexed if dice.chance(50) => {
            node.flush();
            index(&node);
        }
        Layout::Memory | Layout::Pieces | Layout::Small | Layout::Indexed => {}
    }
    (world, node)
}

/// Builds and publishes the indexes of all tables.
fn index(node: &Node) {
    node.spawner.run(async {
        for table in node.catalog.tables(&skald_sim::tenant(TENANT), skald_model::TimeRange::ALL).await {
            let built = skald_compactor::build_index(&node.catalog, &table, &skald_testkit::InlinePool).await.expect("it can be read");
            node.catalog.publish_index(&table.id, &built.considered, built.bytes, &node.publisher()).await.expect("nobody else publishes");
        }
    });
}

/// A node with each push of `data` for one of the tenants, some of it flushed.
pub fn stored_for(tenants: &[&str], data: &Data, seed: u64) -> (World, Node) {
    let (dice, world) = (Dice::new(seed), roomy(seed));
    let node = world.start().expect("an empty disk is fine");
    for push in &data.pushes {
        node.push_streams(dice.pick(tenants), batch(push)).expect("acknowledged");
        if dice.chance(5) {
            node.flush();
        }
    }
    (world, node)
}

/// A world whose limits are not in the way of any entry or series.
fn roomy(seed: u64) -> World {
    let mut world = World::new(seed);
    world.limits.max_query_series = 1_000_000;
    world.limits.out_of_order_time_window = Duration::from_secs(10 * 86_400);
    world
}

fn again(world: &World, node: Node) -> Node {
    drop(node);
    world.disk.kill();
    world.start().expect("it starts again")
}

/// Seals, and leaves no room for what the flush would write.
fn seal(world: &World, node: &Node) {
    world.disk.set_free(50);
    let idle = world.clock.sleepers();
    node.spawner.run(async {
        let flush = pin!(node.ingester.flush("test"));
        let failed = pin!(until_asleep(world, idle));
        match select(flush, failed).await {
            Either::Left(_) => panic!("flushed without room"),
            Either::Right(_) => {}
        }
    });
}

/// Until a task waits for its next attempt.
async fn until_asleep(world: &World, idle: usize) {
    while world.clock.sleepers() <= idle {
        std::thread::yield_now();
        let mut yielded = false;
        std::future::poll_fn(|ctx| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            ctx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}
