use super::*;
use crate::caller::QueryTags;
use crate::service::QueryRequest;
use crate::testing::{World, tenant};
use skald_config::{Config, Limits};
use skald_model::{Labels, Rows, RowsBuilder, Timestamp};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("distinct names")
}

fn rows(from: i64, lines: &[&str]) -> Rows {
    let mut builder = RowsBuilder::default();
    lines.iter().enumerate().for_each(|(at, line)| builder.push(Timestamp::from_secs(from + at as i64), line.as_bytes()));
    builder.finish()
}

/// An object of two streams in a block each, and rows in memory.
fn world() -> World {
    let mut world = World::new(Config::default(), Limits { reject_old_samples: false, ..Limits::default() });
    let lines = [r#"{"id":"abcd1"}"#, r#"{"id":"abcd2"}"#, "plain"];
    let streams = [(labels(&[("app", "a")]), rows(10, &lines)), (labels(&[("app", "b")]), rows(10, &lines))];
    world.store(&tenant("t"), &streams, 16);
    world.remember(&tenant("t"), &labels(&[("app", "a")]), rows(100, &[r#"{"id":"abcd2"}"#]));
    world
}

fn explained(query: &str, step: Option<Duration>) -> Value {
    let world = world();
    let caller = world.querier.caller(vec![tenant("t")], QueryTags::default());
    let profiler = caller.work().profile(world.querier.clock().clone());
    let (start, end) = (Timestamp::from_secs(0), Timestamp::from_secs(200));
    let request = QueryRequest { text: query.to_owned(), start, end, step, interval: Duration::ZERO, limit: 100, forward: true };
    let encode = move |answer: Answer| encode(&profiler, &answer);
    let body = futures::executor::block_on(world.querier.query_and(&caller, request, encode)).expect("has an answer");
    serde_json::from_slice(&body).expect("is JSON")
}

#[test]
fn a_log_query_says_what_each_stage_let_pass() {
    let body = explained(r#"{app="a"} | json | id="abcd2""#, Some(Duration::from_secs(1)));
    let (plan, stats) = (&body["data"]["plan"], &body["data"]["stats"]);
    assert_eq!((plan["type"].as_str(), plan["root"]["operator"].as_str()), (Some("log"), Some("limit")));
    let read = &plan["root"]["inputs"][0];
    let stages: Vec<_> =
        read["stages"].as_array().expect("stages").iter().map(|s| (s["rows_in"].as_u64(), s["rows_out"].as_u64())).collect();
    assert_eq!(read["stages"][0]["runs"], "over lines, implied");
    assert_eq!(stages.iter().map(|(_, out)| out.unwrap_or_default()).collect::<Vec<_>>(), [2, 2, 2], "{read}");
    let measured = &read["measured"];
    assert_eq!((measured["objects"].as_u64(), measured["chunks_in_memory"].as_u64()), (Some(1), Some(1)), "{measured}");
    assert_eq!(measured["streams_ruled_out_by_index"], 1);
    let blocks = &measured["blocks"];
    let number = |name: &str| blocks[name].as_u64().unwrap_or_default();
    assert!(number("ruled_out_by_index") > 0 && number("ruled_out_by_filter") > 0, "{blocks}");
    let left = number("of_objects") - number("ruled_out_by_index") - number("ruled_out_by_time") - number("ruled_out_by_filter");
    assert_eq!(left, number("read"), "{blocks}");
    assert_eq!(stats["summary"]["totalEntriesReturned"], 2);
    assert!(
        measured["times"]
            .as_object()
            .is_some_and(|times| ["index", "filters", "fetch", "decode", "evaluate"].iter().all(|step| times.contains_key(*step)))
    );
}

#[test]
fn a_metric_query_says_what_was_counted_without_reading() {
    let body = explained(r#"sum by (app) (count_over_time({app=~".+"}[1h]))"#, None);
    let leaf = &body["data"]["plan"]["root"];
    assert_eq!((leaf["operator"].as_str(), leaf["groups"].as_str()), (Some("count_over_time"), Some("by (app)")));
    let lines = &leaf["measured"]["lines"];
    assert_eq!((lines["counted_without_reading"].as_u64(), lines["read"].as_u64()), (Some(6), Some(1)), "{leaf}");
    assert!(leaf["rewrites"].as_array().is_some_and(|list| list.contains(&json!("counts_from_directory"))));
    assert_eq!(leaf["measured"]["blocks"]["read"], 0);
}

#[test]
fn both_sides_of_an_operator_are_measured() {
    let body = explained(r#"sum(rate({app="a"}[1h])) / sum(rate({app=~".+"} |= "plain" [1h]))"#, None);
    let inputs = body["data"]["plan"]["root"]["inputs"].as_array().expect("two").clone();
    let passed: Vec<_> = inputs.iter().map(|input| input["measured"]["lines"]["passed"].as_u64()).collect();
    assert_eq!(passed, [Some(4), Some(2)]);
    assert_eq!(inputs[1]["stages"][0]["stage"], "|= \"plain\"");
}
