//! Power cuts and kills at every operation of the disk.

use super::*;
use skald_model::seam::Random;
use skald_testkit::SeededRandom;
use std::collections::BTreeSet;

const CLIENTS: Setup<'_> = Setup { max_size: 20_000, clients: &["a", "b"] };
const SOURCES: u64 = 3;

/// What clients have, over all lives.
#[derive(Default)]
struct Delivered {
    /// Given to each client and acknowledged.
    acknowledged: [BTreeSet<Line>; 2],
    /// Lines of which it was said that they are on disk.
    durable: BTreeSet<Line>,
}

impl Delivered {
    /// One life: sources that offer, clients that acknowledge as they like, until the power goes at the operation `cut` or the work is done. What happens
    /// in the same breath as the cut has not happened.
    fn live(&mut self, node: &mut Node, random: &SeededRandom, cut: u64) -> bool {
        let disk = node.world.disk.clone();
        let is_cut = || disk.operations() >= cut;
        let mut waiting: Vec<(Ticket, Vec<Line>)> = Vec::new();
        for _ in 0..25 {
            let source = random.below(SOURCES);
            let first = node.offered.get(&source).copied().unwrap_or_default();
            match random.below(6) {
                0 | 1 => {
                    let count = random.below(12);
                    if let Ok(ticket) = node.offer(source, count) {
                        waiting.push((ticket, lines(source, first..first + count)));
                    }
                }
                2 => node.cut(),
                3 => node.advance(SYNC),
                client => self.acknowledge(node, client as usize - 4, random, is_cut),
            }
            node.settle();
            if is_cut() {
                return true;
            }
            let durable = waiting.extract_if(.., |(ticket, _)| node.is_durable(*ticket));
            self.durable.extend(durable.flat_map(|(_, lines)| lines));
            node.settle();
        }
        is_cut()
    }

    fn acknowledge(&mut self, node: &mut Node, client: usize, random: &SeededRandom, is_cut: impl Fn() -> bool) {
        for _ in 0..random.below(3) {
            if node.receive(client).is_none() {
                break;
            }
        }
        if is_cut() {
            return;
        }
        let open = &mut node.clients[client].open;
        if !open.is_empty() {
            let batch = open.remove(random.below(open.len() as u64) as usize);
            let given = lines_of(&batch);
            batch.ack();
            self.acknowledged[client].extend(given);
        }
    }

    /// What the new life must find.
    fn check(&self, node: &mut Node, context: &str) {
        let starts = offsets(&node.start);
        for client in 0..2 {
            let spooled = node.receive_all(client);
            let unique: BTreeSet<Line> = spooled.iter().copied().collect();
            assert_eq!(unique.len(), spooled.len(), "{context}: a line is in the spool twice");
            for (source, number) in &spooled {
                assert!(
                    *number < starts.get(source).copied().unwrap_or_default(),
                    "{context}: {source}:{number} is in the spool and read again"
                );
            }
            for (source, start) in &starts {
                for line in lines(*source, 0..*start) {
                    assert!(
                        unique.contains(&line) || self.acknowledged[client].contains(&line),
                        "{context}: {line:?} is lost for client {client}"
                    );
                }
            }
        }
        for (source, number) in &self.durable {
            assert!(starts.get(source).is_some_and(|start| number < start), "{context}: {source}:{number} was on disk");
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_no_line_and_leaves_none_twice() {
    let mut cuts = 0;
    for seed in 0..8 {
        for nth in 1.. {
            let (world, random) = (world(seed), SeededRandom::new(seed));
            let mut delivered = Delivered::default();
            let cut = world.disk.operations() + nth;
            world.disk.cut_power_at(nth);
            let was_cut = match Node::open(&world, &CLIENTS) {
                Ok(mut node) => {
                    let was_cut = delivered.live(&mut node, &random, cut);
                    node.world.spawner.drop_tasks();
                    was_cut
                }
                Err(_) => true,
            };
            if random.below(4) == 0 {
                world.disk.kill()
            } else {
                world.disk.power_cut(random.next_u64())
            }
            let mut node = Node::open(&world, &CLIENTS).expect("opens again");
            delivered.check(&mut node, &format!("seed {seed}, operation {nth}"));
            node.kill();
            if !was_cut {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 8 * 30, "only {cuts} cuts");
}

#[test]
fn lives_in_a_row_deliver_every_line_to_every_client() {
    for seed in 0..40 {
        let (world, random) = (world(seed), SeededRandom::new(seed));
        let mut delivered = Delivered::default();
        for life in 0..6 {
            let nth = 1 + random.below(120);
            let cut = world.disk.operations() + nth;
            world.disk.cut_power_at(nth);
            if let Ok(mut node) = Node::open(&world, &CLIENTS) {
                if disk_is_whole(&world, cut) {
                    delivered.check(&mut node, &format!("seed {seed}, life {life}"));
                    node.clients.iter_mut().for_each(|client| client.reader = node.spool.reader(&client.name));
                    node.clients.iter_mut().for_each(|client| client.open.clear());
                    delivered.live(&mut node, &random, cut);
                }
                node.world.spawner.drop_tasks();
            }
            if random.below(2) == 0 { world.disk.kill() } else { world.disk.power_cut(random.next_u64()) }
        }
        let mut node = Node::open(&world, &CLIENTS).expect("opens again");
        delivered.check(&mut node, &format!("seed {seed}, at the end"));
        assert_eq!(node.metric("promtail_spool_lost_groups_total"), 0.0);
        for client in 0..2 {
            node.ack_all(client);
        }
        node.advance(SYNC);
        let starts = offsets(&node.start);
        node.kill();
        let mut node = Node::open(&world, &CLIENTS).expect("opens again");
        assert_eq!(offsets(&node.start), starts, "positions are those of the acknowledged spool");
        assert_eq!((node.receive_all(0), node.receive_all(1)), (vec![], vec![]));
    }
}

fn disk_is_whole(world: &SimWorld, cut: u64) -> bool {
    world.disk.operations() < cut
}
