use crate::testing::{WatchedStore, World, tenant};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::Value;
use skald_config::{Config, Limits};
use skald_model::{Day, DiskId, Generation, GenerationPart, Labels, Rows, RowsBuilder, TimeRange, Timestamp};
use skald_store::{ObjectName, ObjectStore, TableId};
use std::collections::{BTreeMap, BTreeSet};
use tower::ServiceExt;

/// 2026-01-15T00:00:00Z
const START: i64 = 1_768_435_200;
const DAY: i64 = 86_400;

fn world() -> World {
    World::over(WatchedStore::default(), Config { auth_enabled: true, ..Config::default() }, Limits::default())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// The answer to a request of tenant `t`, without what it cost.
fn ask(world: &World, path: &str, parameters: &[(&str, &str)]) -> Value {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let request = Request::get(format!("/loki/api/v1/{path}?{query}")).header("x-scope-orgid", "t").body(Body::empty()).expect("a request");
    block_on(async {
        let answer = world.querier.routes().oneshot(request).await.expect("routers do not fail");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("in memory").to_bytes();
        let mut json: Value = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status} {}", String::from_utf8_lossy(&body)));
        if let Some(data) = json["data"].as_object_mut() {
            data.remove("stats");
        }
        json
    })
}

const SELECTORS: [&str; 8] = [
    r#"{app="a"}"#,
    r#"{app=~"a|b"}"#,
    r#"{app=~".+", env!="p"}"#,
    r#"{app=~".*", pod=~"pod-[0-3]"}"#,
    r#"{app=~".+", env=""}"#,
    r#"{app!~"c", pod=~".+"}"#,
    r#"{app=~"(?i)A", env=~"p|q"}"#,
    r#"{app="none"}"#,
];

/// The answers to everything that can be asked about a selector and a span of seconds.
fn answers(world: &World, selector: &str, span: (i64, i64)) -> Vec<(String, Value)> {
    let (start, end) = ((START + span.0).to_string(), (START + span.1).to_string());
    let within = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let all = [("start", start.as_str()), ("end", end.as_str())].into_iter().chain(more.iter().copied());
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let filtered = format!("{selector} | env=\"q\"");
    let counted = format!("sum by (app) (count_over_time({selector}[10h]))");
    let searched = format!("sum(count_over_time({selector} |= \"line 1\" [3h]))");
    let asked = [
        ("query_range", within(&[("query", selector), ("limit", "5000")])),
        ("query_range", within(&[("query", selector), ("limit", "3"), ("direction", "forward")])),
        ("query_range", within(&[("query", &filtered), ("limit", "5000")])),
        ("query_range", within(&[("query", &counted), ("step", "3600")])),
        ("query_range", within(&[("query", &searched), ("step", "7200")])),
        ("labels", within(&[])),
        ("labels", within(&[("query", selector)])),
        ("label/pod/values", within(&[])),
        ("label/env/values", within(&[("query", selector)])),
        ("label/none/values", within(&[])),
        ("series", within(&[("match[]", selector)])),
        ("series", within(&[("match[]", selector), ("match[]", r#"{env="p"}"#)])),
        ("index/stats", within(&[("query", selector)])),
        ("index/volume", within(&[("query", selector), ("targetLabels", "app,pod")])),
        ("index/volume_range", within(&[("query", selector), ("step", "3600"), ("targetLabels", "app")])),
        ("detected_labels", within(&[("query", selector)])),
    ];
    let one = |(path, parameters): (&str, Vec<(String, String)>)| {
        let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        (format!("{path} {parameters:?}"), ask(world, path, &parameters))
    };
    asked.into_iter().map(one).collect()
}

fn labels(stream: u8) -> Labels {
    let pod = format!("pod-{stream}");
    let all = [("app", ["a", "b", "c"][stream as usize % 3]), ("env", ["", "p", "q"][stream as usize / 3 % 3]), ("pod", pod.as_str())];
    Labels::from_pairs(all).expect("names differ")
}

fn rows(entries: &BTreeSet<(i64, u8)>, day: i64) -> Rows {
    let mut builder = RowsBuilder::default();
    for (secs, line) in entries {
        builder.push(Timestamp::from_secs(START + day * DAY + secs), format!("line {line}").as_bytes());
        builder.set_metadata("trace", format!("{line:x}").as_bytes(), false);
    }
    builder.finish()
}

/// Streams of one object of a day, in the order of their labels.
type Source = (i64, BTreeMap<u8, BTreeSet<(i64, u8)>>, usize);

fn store(world: &mut World, (day, streams, block_bytes): &Source) {
    let mut streams: Vec<(Labels, Rows)> = streams.iter().map(|(stream, entries)| (labels(*stream), rows(entries, *day))).collect();
    streams.sort_by(|one, other| one.0.cmp(&other.0));
    world.store(&tenant("t"), &streams, *block_bytes);
}

fn source() -> impl Strategy<Value = Source> {
    let entries = prop::collection::btree_set((0..DAY, 0..20u8), 1..12);
    (0..3i64, prop::collection::btree_map(0..9u8, entries, 1..6), 1..200usize)
}

proptest! {
    #![proptest_config(skald_testkit::property(16))]

    #[test]
    fn answers_do_not_depend_on_indexes(
        sources in prop::collection::vec(source(), 1..6),
        indexed in prop::collection::vec(any::<bool>(), 6),
        in_memory in source(),
        selector in prop::sample::select(&SELECTORS[..]),
        span in (0..3 * DAY, 0..3 * DAY),
    ) {
        let (mut plain, mut with_indexes) = (world(), world());
        for (source, is_indexed) in sources.iter().zip(indexed) {
            store(&mut plain, source);
            store(&mut with_indexes, source);
            if is_indexed {
                with_indexes.index(&tenant("t"));
            }
        }
        for world in [&plain, &with_indexes] {
            for (stream, entries) in &in_memory.1 {
                world.remember(&tenant("t"), &labels(*stream), rows(entries, in_memory.0));
            }
        }
        let some = (span.0.min(span.1), span.0.max(span.1));
        for span in [some, (0, 3 * DAY)] {
            for ((what, want), (_, found)) in answers(&plain, selector, span).into_iter().zip(answers(&with_indexes, selector, span)) {
                prop_assert_eq!(found, want, "{}", what);
            }
        }
    }
}

/// Objects of one day with a stream each, whose blocks are larger than what is read of an object's end at first.
fn large(world: &mut World, objects: u8) {
    for stream in 0..objects {
        let mut builder = RowsBuilder::default();
        let mut state = u64::from(stream) + 1;
        for i in 0..4000 {
            let word = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                format!("{state:016x}")
            };
            let line: String = std::iter::repeat_with(word).take(4).collect();
            builder.push(Timestamp::from_secs(START + i * 20), line.as_bytes());
            builder.set_metadata("id", format!("{i:x}").as_bytes(), false);
        }
        world.store(&tenant("t"), &[(labels(stream), builder.finish())], 64 << 10);
    }
    world.store.take_reads();
}

/// Names of the data objects that were read since the last call, and where the first byte behind their blocks stands.
fn objects_read(world: &World) -> BTreeMap<String, Vec<std::ops::Range<u64>>> {
    let mut read = BTreeMap::<String, Vec<_>>::new();
    world.store.take_reads().into_iter().filter(|(name, _)| name.contains("/incoming/")).for_each(|(name, ranges)| {
        read.entry(name).or_default().extend(ranges);
    });
    read
}

const METADATA: [(&str, &[(&str, &str)]); 8] = [
    ("labels", &[]),
    ("label/pod/values", &[]),
    ("label/pod/values", &[("query", r#"{app="a"}"#)]),
    ("series", &[("match[]", r#"{app=~".+"}"#)]),
    ("detected_labels", &[]),
    ("index/stats", &[("query", r#"{app=~".+"}"#)]),
    ("index/volume", &[("query", r#"{app=~".+"}"#)]),
    ("index/volume_range", &[("query", r#"{app=~".+"}"#), ("step", "600")]),
];

fn ask_metadata(world: &World, span: (i64, i64)) {
    let (start, end) = ((START + span.0).to_string(), (START + span.1).to_string());
    for (path, more) in METADATA {
        let parameters = [&[("start", start.as_str()), ("end", end.as_str())], more].concat();
        let answer = ask(world, path, &parameters);
        assert!(answer.get("warnings").is_none(), "{path}: {answer}");
    }
}

#[test]
fn questions_about_streams_read_no_block_with_and_without_an_index() {
    let mut world = world();
    large(&mut world, 3);
    let blocks_end: BTreeMap<String, u64> = block_on(async {
        let mut ends = BTreeMap::new();
        for object in world.catalog.objects(&tenant("t"), TimeRange::ALL).await {
            let (footer, _) = world.catalog.streams_of(&object, &skald_testkit::InlinePool).await.expect("it is there");
            let end = footer.blocks.last().expect("it has some").range().end;
            // What is read of the end at first is not asked for as blocks.
            assert!(end > 64 << 10);
            ends.insert(object.path.clone(), end.min(object.size - (16 << 10)));
        }
        ends
    });
    let check = |world: &World, when: &str| {
        world.store.take_reads();
        ask_metadata(world, (1000, 7777));
        let read = objects_read(world);
        assert_eq!(read.len(), 3, "{when}: directories are read where the range cuts");
        for (name, ranges) in read {
            assert!(ranges.iter().all(|range| range.start >= blocks_end[&name]), "{when}: {name} {ranges:?}");
        }
    };
    check(&world, "by footers");
    let mut indexed = self::world();
    large(&mut indexed, 3);
    indexed.index(&tenant("t"));
    check(&indexed, "by index and footers");
}

#[test]
fn what_an_index_covers_whole_opens_no_object() {
    let mut world = world();
    large(&mut world, 5);
    world.index(&tenant("t"));
    let asked = [&METADATA[..7], &[("index/volume_range", &[("query", r#"{app=~".+"}"#), ("step", "86400")])]].concat();
    for (path, more) in asked {
        let (start, end) = (START.to_string(), (START + DAY).to_string());
        ask(&world, path, &[&[("start", start.as_str()), ("end", end.as_str())], more].concat());
        assert_eq!(objects_read(&world), BTreeMap::new(), "{path}");
    }
}

#[test]
fn only_objects_with_wanted_streams_are_opened() {
    let mut world = world();
    large(&mut world, 9);
    world.index(&tenant("t"));
    let (start, end) = (START.to_string(), (START + DAY).to_string());
    let read = |query: &str| {
        let found = ask(&world, "query_range", &[("query", query), ("start", &start), ("end", &end), ("limit", "10")]);
        (found["data"]["result"].as_array().is_some_and(|result| !result.is_empty()), objects_read(&world).len())
    };
    assert_eq!(read(r#"{pod="pod-4"}"#), (true, 1));
    assert_eq!(read(r#"{pod="nowhere"}"#), (false, 0));
    assert_eq!(read(r#"{app=~".+"} | pod="pod-7""#), (true, 1));
    assert_eq!(read(r#"sum by (pod) (count_over_time({app="a", env=~"p|q"}[24h]))"#).1, 2);
}

#[test]
fn a_damaged_index_costs_nothing_of_the_answers() {
    let mut plain = world();
    large(&mut plain, 4);
    let want = answers(&plain, SELECTORS[1], (100, 50_000));
    for eighth in 0..8 {
        let mut world = world();
        large(&mut world, 4);
        world.index(&tenant("t"));
        block_on(async {
            let all = world.store.inner.list("").await.expect("in memory");
            let index = all.into_iter().find(|meta| meta.name.contains("/index/")).expect("there is one");
            let mut bytes = world.store.inner.get_range(&index.name, 0..index.size).await.expect("in memory").to_vec();
            let at = (bytes.len() - 1) * eighth / 7;
            bytes[at] ^= 0x20;
            world.store.inner.put(&index.name, bytes.into()).await.expect("in memory");
        });
        for ((what, want), (_, found)) in want.iter().zip(answers(&world, SELECTORS[1], (100, 50_000))) {
            assert_eq!(&found, want, "{eighth}: {what}");
        }
    }
}

#[test]
fn ten_thousand_tenants_cost_a_query_over_one_nothing() {
    let store = WatchedStore::default();
    block_on(async {
        for tenant in 0..10_000 {
            // Names are all that is known of them.
            let table = TableId { tenant: self::tenant(&format!("tenant-{tenant}")), day: Day::of(Timestamp::from_secs(START)) };
            let name = ObjectName::incoming(table, DiskId(1), GenerationPart { generation: Generation(7), part: 0 }, "default");
            store.put(&name.to_string(), vec![0; 10].into()).await.expect("in memory");
        }
    });
    let mut world = World::over(store, Config { auth_enabled: true, ..Config::default() }, Limits::default());
    large(&mut world, 1);
    world.index(&tenant("t"));
    answers(&world, SELECTORS[1], (0, 50_000));
    let names: BTreeSet<String> = world.store.take_reads().into_iter().map(|(name, _)| name).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("t/")), "{names:?}");
}

#[test]
fn what_is_kept_of_an_object_has_all_of_its_wanted_streams() {
    let (mut plain, mut indexed) = (world(), world());
    let entries = |from: i64| (0..50).map(|i| (from + i, i as u8)).collect::<BTreeSet<_>>();
    let source = (0, [(0, entries(7200)), (1, entries(40_000))].into(), 1 << 20);
    for world in [&mut plain, &mut indexed] {
        store(world, &source);
    }
    indexed.index(&tenant("t"));
    let count = |world: &World, span: (i64, i64)| {
        let (start, end) = ((START + span.0).to_string(), (START + span.1).to_string());
        let query = r#"sum by (app) (count_over_time({app=~"a|b"} |= "line" [1h]))"#;
        ask(world, "query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "3600")])
    };
    // The first leaves a stream out, whose rows are all later; the second wants it.
    for span in [(7200, 14_400), (0, DAY), (7200, 14_400), (36_000, DAY)] {
        assert_eq!(count(&indexed, span), count(&plain, span), "{span:?}");
    }
}

/// Bytes and requests by what they were for, of a query over everything for one line.
#[test]
fn a_needle_is_found_by_reading_little() {
    const OBJECTS: u8 = 6;
    let mut world = world();
    for object in 0..OBJECTS {
        let mut builder = RowsBuilder::default();
        let mut state = u64::from(object) + 77;
        for i in 0..30_000 {
            let mut number = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 16
            };
            let (status, millis, path) = ([200, 200, 201, 404, 500][number() as usize % 5], number() % 900, number() % 40);
            let trace = if i % 16 == 0 { format!(" trace={:08x}", number() as u32) } else { String::new() };
            let line = format!(
                "level=info method=GET path=/api/v1/items/{path}/detail status={status} duration={millis}ms{trace} msg=\"request done\""
            );
            builder.push(Timestamp::from_secs(START + i * 2), line.as_bytes());
        }
        world.store(&tenant("t"), &[(labels(object), builder.finish())], 1 << 20);
    }
    world.index(&tenant("t"));
    let (mut stored, mut ends) = (0, BTreeMap::new());
    block_on(async {
        for object in world.catalog.objects(&tenant("t"), TimeRange::ALL).await {
            let (footer, _) = world.catalog.streams_of(&object, &skald_testkit::InlinePool).await.expect("it is there");
            let needle = footer.blocks.last().expect("it has some").range().end;
            stored += object.size;
            ends.insert(object.path.clone(), (needle, footer.streams.offset));
        }
    });
    world.store.take_reads();
    let asked = ask(
        &world,
        "query_range",
        &[
            ("query", r#"{app=~".+"} |= "unexpected shutdown of the coordinator""#),
            ("start", &START.to_string()),
            ("end", &(START + DAY).to_string()),
            ("limit", "10"),
        ],
    );
    assert_eq!(asked["data"]["result"].as_array().map(Vec::len), Some(0), "{asked}");
    let mut by_kind = BTreeMap::<&str, (u64, u64)>::new();
    for (name, ranges) in world.store.take_reads() {
        let kind = match ends.get(&name) {
            Some((body, _)) if ranges[0].start < *body && ranges[0].end <= *body => "blocks",
            Some((_, streams)) if ranges[0].end <= *streams => "filters",
            Some(_) => "footers",
            None => "index",
        };
        let sum = by_kind.entry(kind).or_default();
        sum.0 += 1;
        sum.1 += ranges.iter().map(|range| range.end - range.start).sum::<u64>();
    }
    println!("of {stored} bytes stored in {OBJECTS} objects, requests and bytes: {by_kind:?}");
    assert_eq!(by_kind.get("blocks"), None, "filters rule the text out");
    let requests = |kind: &str| by_kind.get(kind).map_or(0, |(requests, _)| *requests);
    assert!(requests("footers") <= u64::from(OBJECTS) && requests("filters") <= u64::from(OBJECTS), "{by_kind:?}");
    assert!(requests("index") <= 2, "its core and its rows: {by_kind:?}");
}
