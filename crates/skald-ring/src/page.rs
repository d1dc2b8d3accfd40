//! The ring as operators see it.

use crate::View;
use skald_model::Timestamp;
use std::fmt::Write;

impl View {
    /// The members for programs. `print_time` writes a time in RFC 3339.
    pub fn to_json(&self, now: Timestamp, print_time: impl Fn(Timestamp) -> String) -> serde_json::Value {
        let shard = |instance: &crate::Instance| {
            serde_json::json!({
                "id": instance.id,
                "state": instance.state,
                "address": instance.address,
                "timestamp": print_time(now),
                "registered_timestamp": print_time(instance.registered),
                "read_only": false,
                "read_only_updated_timestamp": "",
                "zone": instance.zone,
                "tokens": instance.tokens,
            })
        };
        let shards: Vec<serde_json::Value> = self.instances.iter().map(shard).collect();
        serde_json::json!({ "shards": shards, "now": print_time(now) })
    }

    /// The members for people.
    pub fn to_html(&self, now: Timestamp, print_time: impl Fn(Timestamp) -> String) -> String {
        let mut html = String::from("<!DOCTYPE html><html><head><meta charset=\"utf-8\"><title>Ring</title></head><body><h1>Ring</h1>");
        let _ = write!(html, "<p>Current time: {}</p>", print_time(now));
        html.push_str(
            "<table border=\"1\"><tr><th>Instance</th><th>Zone</th><th>State</th><th>Address</th><th>Registered</th><th>Tokens</th></tr>",
        );
        for instance in &self.instances {
            let _ = write!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&instance.id),
                escape(&instance.zone),
                format!("{:?}", instance.state).to_uppercase(),
                escape(&instance.address),
                print_time(instance.registered),
                instance.tokens.len()
            );
        }
        html.push_str("</table></body></html>");
        html
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
