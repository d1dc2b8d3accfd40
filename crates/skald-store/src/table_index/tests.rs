use super::*;
use crate::{Fault, FaultyStore, MemoryStore, ObjectName, Operation, TableId};
use futures::executor::block_on;
use skald_index::{IndexWriter, LabelValues, Matcher, Reference, Test};
use skald_model::{Day, DiskId, Generation, GenerationPart, TenantId, TimeRange};
use skald_testkit::{InlinePool, SeededRandom, SimClock, labels};

const STREAMS: usize = 20_000;

fn name(generation: u64) -> ObjectName {
    let table = TableId { tenant: TenantId::parse("t").expect("valid"), day: Day(1) };
    ObjectName::incoming(table, DiskId(7), GenerationPart { generation: Generation(generation), part: 0 }, "default")
}

fn world() -> (Arc<FaultyStore>, Arc<TableIndex>) {
    let mut streams: Vec<(skald_model::Labels, Vec<Reference>)> = Vec::new();
    for stream in 0..STREAMS {
        let at = Timestamp(stream as i64);
        let of =
            |object| Reference { object, stream: stream as u32, min_time: at, max_time: at, rows: 1, line_bytes: 2, metadata_bytes: 3 };
        let (pod, app) = (format!("pod-{stream:06}"), if stream % 1000 == 0 { "rare" } else { "common" });
        streams.push((labels(&[("pod", &pod), ("app", app)]), (0..1 + stream as u32 % 2).map(of).collect()));
    }
    streams.sort_by(|a, b| a.0.cmp(&b.0));
    let mut writer = IndexWriter::new(vec![name(1).to_string(), name(2).to_string()]).expect("names differ");
    streams.iter().for_each(|(labels, references)| writer.add(labels, references).expect("in order"));
    let bytes = writer.finish().expect("it is small");
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), SimClock::new(Timestamp(0)), Arc::new(SeededRandom::new(1)));
    let size = bytes.len() as u64;
    block_on(store.put("t/1970-01-02/index/x", bytes)).expect("in memory");
    let shelf = Shelf::new(store.clone(), 64 << 20, IndexMetrics::default());
    (store, Arc::new(TableIndex::new(shelf, "t/1970-01-02/index/x".to_owned(), size)))
}

fn open(index: &Arc<TableIndex>) -> Arc<OpenIndex> {
    block_on(index.open(&InlinePool)).expect("it is whole")
}

fn app(value: &str) -> Vec<Matcher> {
    vec![Matcher { name: "app".to_owned(), negated: false, test: Test::Equals(value.to_owned()) }]
}

#[test]
fn the_core_is_read_once_and_rows_by_range() {
    let (store, index) = world();
    let opened = open(&index);
    let reads = || store.traffic(Operation::Get);
    assert!(reads().requests <= 2, "the tail, and the core where that is longer");
    assert_eq!(open(&index).len(), STREAMS);
    let before = reads();
    let selection = block_on(opened.select(app("rare"), TimeRange::ALL, &InlinePool)).expect("a plain question");
    assert_eq!((selection.len(), reads()), (20, before), "nothing is read for a selection");
    let mut streams = Vec::new();
    for read in selection.reads() {
        streams.extend(block_on(selection.read(read, &InlinePool)).expect("it is whole"));
    }
    assert_eq!(streams.len(), 20);
    assert!(streams.is_sorted_by(|a, b| a.labels < b.labels) && streams.iter().all(|stream| stream.labels.get("app") == Some("rare")));
    assert_eq!(reads().bytes - before.bytes, selection.bytes());
    assert!(selection.bytes() < index.size() / 20 && selection.reads().len() <= 20);
    let all = opened.select_all();
    assert!(all.reads().iter().all(|read| read.bytes() <= 1 << 20), "in pieces");
    let values = block_on(opened.label_values("app", None, &InlinePool)).expect("it is whole");
    assert_eq!(values, LabelValues::Known(vec!["common".to_owned(), "rare".to_owned()]));
    assert_eq!(block_on(opened.label_names(Some(&selection), &InlinePool)).expect("it is whole"), ["app", "pod"]);
}

#[test]
fn an_index_answers_for_the_objects_that_it_covers() {
    let (_, index) = world();
    let opened = open(&index);
    let object = |generation| DataObject::new(generation, name(generation), 1);
    assert!(opened.covers(&object(1)) && opened.covers(&object(2)) && !opened.covers(&object(3)));
    assert_eq!(opened.number_of(&object(2)), Some(1));
}

#[test]
fn damage_is_an_error_from_then_on_and_a_store_that_fails_is_asked_again() {
    let (store, index) = world();
    store.inject(Fault::Fail.on(Operation::Get).times(1));
    assert!(matches!(block_on(index.open(&InlinePool)), Err(IndexError::Store { .. })));
    let opened = open(&index);
    let selection = block_on(opened.select(app("rare"), TimeRange::ALL, &InlinePool)).expect("a plain question");
    store.inject(Fault::Truncate.on(Operation::Get).times(1));
    assert!(matches!(block_on(selection.read(&selection.reads()[0], &InlinePool)), Err(IndexError::Store { .. })), "it can be asked again");
    store.inject(Fault::FlipBit.on(Operation::Get));
    assert!(matches!(block_on(selection.read(&selection.reads()[0], &InlinePool)), Err(IndexError::Damaged { .. })));
    assert!(index.is_damaged());
}
