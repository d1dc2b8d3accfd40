//! Data sources that read several tenants.

use crate::shop::{QUERY, QUERY_RANGE, START, result, rows};
use integration_tests::{GENEROUS, Server, push_body, strings};
use serde_json::json;

#[test]
fn several_tenants_are_read_as_one_with_a_label_that_tells_them_apart() {
    let server = Server::start(&format!("auth_enabled: true\nquerier:\n  multi_tenant_queries_enabled: true\n{GENEROUS}"));
    for (tenant, lines) in [("a", 2), ("b", 3), ("c", 5)] {
        let entries: Vec<(i64, String)> = (0..lines).map(|i| (START + i, format!("line {i} of {tenant}"))).collect();
        server.push(tenant, &push_body(&[("app", "x")], &entries));
    }
    let (start, end) = (START.to_string(), (START + 10).to_string());
    let window = [("start", &*start), ("end", &*end)];
    let headers = [("x-scope-orgid", "b|a"), ("x-loki-response-encoding-flags", "categorize-labels")];
    for when in ["in memory", "flushed"] {
        let ask = |query: &str| rows(&server.ask_with(QUERY_RANGE, &[&[("query", query)], &window[..]].concat(), &headers).json());
        let found = ask("{app=\"x\"}");
        let of = |tenant: &str| found.iter().filter(|row| row.labels.contains(&format!("\"__tenant_id__\":\"{tenant}\""))).count();
        assert_eq!((found.len(), of("a"), of("b")), (5, 2, 3), "{when}");
        assert_eq!(ask("{app=\"x\", __tenant_id__=\"b\"}").len(), 3, "{when}");
        assert_eq!(ask("{app=\"x\", __tenant_id__=\"c\"}").len(), 0, "not among those that were named, {when}");
        let sum = [("query", "sum by (__tenant_id__) (count_over_time({app=\"x\"}[1m]))"), ("time", &*end)];
        let answer = server.ask_with(QUERY, &sum, &headers).json();
        let found: Vec<_> = result(&answer).iter().map(|sample| (sample["metric"].clone(), sample["value"][1].clone())).collect();
        let want = [(json!({"__tenant_id__": "a"}), json!("2")), (json!({"__tenant_id__": "b"}), json!("3"))];
        assert_eq!(found, want, "{when}");
        let names = server.ask_with("/loki/api/v1/labels", &window, &headers).json();
        assert_eq!(strings(&names["data"]), ["__tenant_id__", "app", "service_name"], "{when}");
        let values = server.ask_with("/loki/api/v1/label/__tenant_id__/values", &window, &headers).json();
        assert_eq!(strings(&values["data"]), ["a", "b"], "{when}");
        server.flush();
    }
    let closed = Server::start(&format!("auth_enabled: true\n{GENEROUS}"));
    let refused = closed.ask_with(QUERY_RANGE, &[("query", "{app=\"x\"}")], &headers);
    assert!(refused.status >= 400 && refused.text().contains("multiple org IDs present"), "{} {}", refused.status, refused.text());
}
