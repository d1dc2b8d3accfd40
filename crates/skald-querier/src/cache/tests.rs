use super::*;
use crate::caller::QueryTags;
use futures::executor::block_on;
use skald_block::{ObjectInfo, ObjectWriter, WriterOptions};
use skald_config::Limits;
use skald_logql::exec::{Batch, LeafState, Selection};
use skald_logql::plan::{Params, Plan, plan};
use skald_model::{Day, DiskId, Generation, GenerationPart, TimeRange};
use skald_store::{ObjectName, TableId};
use skald_testkit::{labels, rows};
use std::time::Duration;

fn owner() -> TenantId {
    TenantId::parse("t").expect("valid")
}

fn caller() -> Caller {
    Caller::new([owner()].into(), &Limits::default(), QueryTags::default(), crate::work::tests::work(1 << 20))
}

/// A catalogue with an object on each of the first days.
fn catalog(objects: i64) -> Catalog {
    let sizes = skald_store::CacheSizes { footers: 1 << 20, pages: 1 << 20, indexes: 1 << 20 };
    let metrics = skald_store::Metrics::register(&mut Default::default(), sizes);
    let catalog =
        block_on(Catalog::open(Arc::new(skald_store::MemoryStore::new()), skald_testkit::SimClock::new(Timestamp(0)), sizes, metrics))
            .expect("it is empty");
    for day in 0..objects {
        let at = Timestamp(day * 86_400_000_000_000);
        let (tenant, day, class) = (owner(), Day::of(at), "default".to_owned());
        let info = ObjectInfo { tenant, day, class, disk: DiskId(1), generation: Generation(1), part: 0, replaces: Vec::new() };
        let mut writer = ObjectWriter::new(info, WriterOptions::default()).expect("valid");
        writer.add_stream(&labels(&[("app", "a")]), &rows(&[(at.0, "line")])).expect("in order");
        let name = ObjectName::incoming(
            TableId { tenant: owner(), day },
            DiskId(1),
            GenerationPart { generation: Generation(1), part: 0 },
            "default",
        );
        block_on(catalog.publish(name, writer.finish().expect("has rows"))).expect("published");
    }
    catalog
}

fn leaf(text: &str) -> Arc<RangeLeaf> {
    let params = Params { step: Some(Duration::from_secs(10)), ..Params::over(Timestamp(0), Timestamp::from_secs(1000)) };
    match plan(&skald_logql::parse(text).expect("a query"), &params).expect("plans") {
        Plan::Metric(metric) => metric.leaves()[0].clone(),
        Plan::Log(_) => panic!("a metric query"),
    }
}

const COUNT: &str = r#"count_over_time({app="a"}[10s])"#;

/// A state of so many series.
fn state(leaf: &Arc<RangeLeaf>, series: usize) -> Arc<PartialState> {
    let mut state = LeafState::of_part(leaf.clone(), Timestamp(0), Timestamp(0)).expect("few steps");
    for i in 0..series {
        let (labels, rows) = (labels(&[("app", "a"), ("pod", &i.to_string())]), rows(&[(0, "line")]));
        state.add_batch(&Batch::new(&labels, &rows), &Selection::All).expect("counts");
    }
    Arc::new(state.into_partial())
}

fn cache(size: u64) -> Arc<ResultCache> {
    Arc::new(ResultCache::new(size, Metrics::register(&mut Default::default())))
}

#[test]
fn the_cache_is_bounded_and_large_states_stay_out() {
    let (cache, catalog, leaf) = (cache(64 << 10), catalog(40), leaf(COUNT));
    let shelf = Shelf::of(&cache, &catalog, &caller(), &leaf).expect("may be kept");
    let objects = block_on(catalog.objects(&owner(), TimeRange::ALL));
    shelf.keep(&objects[0], state(&leaf, 1000));
    assert_eq!((shelf.kept().stored, cache.entries.len()), (0, 0));
    let small = state(&leaf, 20);
    for object in &objects {
        shelf.keep(object, small.clone());
        assert!(cache.entries.weight() <= 64 << 10);
    }
    assert_eq!(shelf.kept(), CacheStats { stored: 40, stored_bytes: 40 * small.heap_bytes() as u64, ..CacheStats::default() });
    let held = cache.entries.len();
    assert!((1..40).contains(&held), "{held} of {} bytes", small.heap_bytes());
    assert_eq!(cache.metrics.result_cache_bytes.get(), cache.entries.weight() as i64);
}

#[test]
fn states_of_removed_objects_go() {
    let (cache, catalog, leaf) = (cache(1 << 20), catalog(3), leaf(COUNT));
    let shelf = Shelf::of(&cache, &catalog, &caller(), &leaf).expect("may be kept");
    for object in block_on(catalog.objects(&owner(), TimeRange::ALL)) {
        shelf.keep(&object, state(&leaf, 1));
    }
    let by = skald_store::Publisher { disk: DiskId(1), random: Arc::new(skald_testkit::SeededRandom::new(1)) };
    block_on(catalog.remove_day(&owner(), Day::of(Timestamp(0)), &by)).expect("the store takes it");
    assert_eq!(cache.entries.len(), 3);
    Shelf::of(&cache, &catalog, &caller(), &leaf).expect("may be kept");
    assert_eq!(cache.entries.len(), 2);
}

#[test]
fn what_is_kept_is_found_by_the_same_question_until_something_is_deleted() {
    let (cache, catalog, leaf) = (cache(1 << 20), catalog(1), leaf(COUNT));
    let object = block_on(catalog.objects(&owner(), TimeRange::ALL)).remove(0);
    let shelf = |text: &str, caller: &Caller| Shelf::of(&cache, &catalog, caller, &self::leaf(text)).expect("may be kept");
    shelf(COUNT, &caller()).keep(&object, state(&leaf, 1));
    let found = |shelf: Shelf| cache.entries.get(&shelf.key(&object)).is_some();
    assert!(found(shelf(COUNT, &caller())));
    assert!(!found(shelf(r#"bytes_over_time({app="a"}[10s])"#, &caller())));
    let two = vec![owner(), TenantId::parse("u").expect("valid")];
    assert!(
        !found(shelf(COUNT, &Caller::new(two.into(), &Limits::default(), QueryTags::default(), crate::work::tests::work(1 << 20)))),
        "streams carry their tenant there"
    );
    let before = shelf(COUNT, &caller());
    cache.deletes_changed(&owner());
    assert!(!found(shelf(COUNT, &caller())));
    before.keep(&object, state(&leaf, 1));
    assert!(!found(shelf(COUNT, &caller())), "a query that began before the delete keeps nothing for those after");
}

#[test]
fn nothing_is_kept_that_must_not_be() {
    let catalog = catalog(1);
    let has = |size: u64, caller: &Caller, text: &str| Shelf::of(&cache(size), &catalog, caller, &leaf(text)).is_some();
    assert!(has(1 << 20, &caller(), COUNT));
    assert!(!has(0, &caller(), COUNT));
    assert!(!has(1 << 20, &caller().without_cache(), COUNT));
    assert!(!has(1 << 20, &caller(), r#"count_over_time({app="a"} | label_format t=`{{ now }}` [10s])"#));
}
