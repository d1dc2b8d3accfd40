mod crash;
mod damage;
mod delivery;
mod trouble;

use super::*;
use crate::batcher::DropReason;
use crate::intake::{Intake, NoRoom, PositionUpdate, Ticket};
use prost::Message;
use skald_model::Timestamp;
use skald_pipeline::{Entry, LabelSet};
use skald_proto::loki::v1;
use skald_tail::{FileId, FilePosition, Fingerprint};
use skald_testkit::{SimSpawner, SimWorld};
use std::path::Path;
use std::time::Duration;

const DIR: &str = "/var/lib/agent/spool";
const POSITIONS: &str = "/var/lib/agent/positions.yaml";
const SYNC: Duration = Duration::from_secs(10);

/// Nobody counts.
struct NoLosses;

impl Losses for NoLosses {
    fn dropped(&self, _: Option<&str>, _: DropReason, _: u64, _: u64) {}
    fn mutated(&self, _: Option<&str>, _: DropReason, _: u64, _: u64) {}
}

/// A line: its source and its number there.
type Line = (u64, u64);

/// One life of an agent: sources whose lines are numbered, a spool, and clients.
struct Node {
    world: SimWorld,
    spool: Spool,
    registry: Registry,
    start: StartPositions,
    /// Lines of each source that were offered.
    offered: BTreeMap<u64, u64>,
    clients: Vec<Client>,
}

/// One client and what it was given.
struct Client {
    name: String,
    reader: SpoolReader,
    /// Given and not acknowledged.
    open: Vec<Batch>,
}

struct Setup<'a> {
    max_size: u64,
    clients: &'a [&'a str],
}

const USUAL: Setup<'_> = Setup { max_size: 1 << 20, clients: &["a"] };

impl Node {
    fn open(world: &SimWorld, setup: &Setup<'_>) -> Result<Node, SpoolError> {
        // Tasks of an earlier life are dead.
        let world = SimWorld { spawner: SimSpawner::new(), ..world.clone() };
        let clients: Vec<String> = setup.clients.iter().map(|name| (*name).to_owned()).collect();
        let mut registry = Registry::default();
        let parts = SpoolParts {
            config: SpoolConfig { dir: DIR.into(), max_size: setup.max_size },
            positions: PositionsConfig { filename: POSITIONS.into(), sync_period: SYNC, ..PositionsConfig::default() },
            limits: BatchLimits { batch_size: 1000, ..BatchLimits::default() },
            losses: Arc::new(NoLosses),
            clients: &clients,
            seams: &world.seams(),
        };
        let spool = Spool::open(parts, &mut registry)?;
        let start = spool.start_positions().now_or_never().expect("nothing to wait for")?;
        let offered = start.known.iter().map(|file| (file.id.0, file.offset)).collect();
        spool.start();
        let clients = clients.into_iter().map(|name| Client { reader: spool.reader(&name), name, open: Vec::new() }).collect();
        let node = Node { world, spool, registry, start, offered, clients };
        node.settle();
        Ok(node)
    }

    fn settle(&self) {
        self.world.spawner.run_until_idle();
    }

    fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
        self.settle();
    }

    /// Time for what is open to be cut and written.
    fn cut(&self) {
        self.advance(Duration::from_secs(1));
    }

    /// Offers the next lines of a source, with its position.
    fn offer(&mut self, source: u64, lines: u64) -> Result<Ticket, NoRoom> {
        let first = self.offered.get(&source).copied().unwrap_or_default();
        let mut entries = (first..first + lines).map(|number| entry(source, number)).collect();
        let ticket = self.spool.intake().offer(&mut entries, Some(position(source, first + lines)))?;
        self.offered.insert(source, first + lines);
        Ok(ticket)
    }

    fn is_durable(&self, ticket: Ticket) -> bool {
        self.spool.intake().durable(ticket).now_or_never().is_some()
    }

    /// The next batch of a client, if there is one now.
    fn receive(&mut self, client: usize) -> Option<Vec<Line>> {
        let Client { reader, open, .. } = &mut self.clients[client];
        let batch = reader.next().now_or_never()?;
        let lines = lines_of(&batch);
        open.push(batch);
        Some(lines)
    }

    /// All that a client is given now.
    fn receive_all(&mut self, client: usize) -> Vec<Line> {
        std::iter::from_fn(|| self.receive(client)).flatten().collect()
    }

    fn ack_all(&mut self, client: usize) {
        self.clients[client].open.drain(..).for_each(|batch| batch.ack());
        self.settle();
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// The process dies: its tasks stop, and the disk forgets its handles.
    fn kill(self) {
        self.world.spawner.drop_tasks();
        self.world.disk.kill();
    }
}

fn entry(source: u64, number: u64) -> Entry {
    Entry {
        labels: [("source", source.to_string())].into_iter().collect::<LabelSet>(),
        timestamp: Timestamp(number as i64),
        line: format!("{source}:{number}"),
        metadata: Vec::new(),
    }
}

fn position(source: u64, offset: u64) -> PositionUpdate {
    PositionUpdate::File(FilePosition {
        id: FileId(source),
        target_key: "job".into(),
        path: log_path(source).into(),
        device: 1,
        inode: source,
        fingerprint: Fingerprint::default(),
        offset,
        compressed: false,
    })
}

fn log_path(source: u64) -> String {
    format!("/var/log/{source}.log")
}

fn lines_of(batch: &Batch) -> Vec<Line> {
    let payload = batch.payload().now_or_never().expect("the disk does not wait").expect("the payload is there");
    let request = decode(&payload);
    let entries = request.streams.iter().flat_map(|stream| &stream.entries);
    let lines: Vec<Line> = entries.map(|entry| parse(std::str::from_utf8(&entry.line).unwrap())).collect();
    assert_eq!(lines.len() as u64, batch.entries());
    lines
}

fn decode(payload: &[u8]) -> v1::PushRequest {
    v1::PushRequest::decode(&snap::raw::Decoder::new().decompress_vec(payload).unwrap()[..]).unwrap()
}

fn parse(line: &str) -> Line {
    let (source, number) = line.split_once(':').expect("a line of ours");
    (source.parse().unwrap(), number.parse().unwrap())
}

/// Lines `numbers` of a source.
fn lines(source: u64, numbers: std::ops::Range<u64>) -> Vec<Line> {
    numbers.map(|number| (source, number)).collect()
}

/// Offset of each file of the positions at start.
fn offsets(start: &StartPositions) -> BTreeMap<u64, u64> {
    start.known.iter().map(|file| (file.id.0, file.offset)).collect()
}

/// A world in which the files of the sources exist.
fn world(seed: u64) -> SimWorld {
    let world = SimWorld::new(seed);
    (0..8).for_each(|source| world.disk.plant(Path::new(&log_path(source)), b"x"));
    world
}
