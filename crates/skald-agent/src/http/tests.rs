use super::*;
use crate::source::TargetStatus;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tower::ServiceExt;

struct Fake {
    sources: Vec<SourceStatus>,
    needs_target: bool,
    reloads: Mutex<Vec<Result<(), String>>>,
}

#[async_trait]
impl Operations for Fake {
    fn config(&self) -> String {
        "server:\n".to_owned()
    }
    async fn sources(&self) -> Vec<SourceStatus> {
        self.sources.clone()
    }
    async fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
    fn needs_target(&self) -> bool {
        self.needs_target
    }
    async fn reload(&self) -> Result<(), String> {
        self.reloads.lock().pop().unwrap_or(Ok(()))
    }
}

fn source(ready: bool) -> SourceStatus {
    let labels = [("app", "<script>")].into_iter().collect();
    let target = TargetStatus { labels, details: vec![("path".to_owned(), "/var/log/a".to_owned())], ..TargetStatus::default() };
    let dropped = TargetStatus { reason: "no_path".to_owned(), ..TargetStatus::default() };
    SourceStatus { job: "pods".to_owned(), kind: "file", ready, active: vec![target], dropped: vec![dropped] }
}

fn fake(ready: bool, needs_target: bool) -> Fake {
    Fake { sources: vec![source(ready)], needs_target, reloads: Mutex::default() }
}

const ALL: RouteOptions = RouteOptions { prefix: String::new(), metrics: true, reload: true };

async fn ask(fake: Fake, options: &RouteOptions, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).expect("it is a request");
    let answer = routes(Arc::new(fake), options).oneshot(request).await.expect("routers do not fail");
    let location = answer.headers().get("location").map(|value| value.to_str().expect("it is text").to_owned());
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("it is in memory").to_bytes();
    (status, location.unwrap_or_else(|| String::from_utf8(body.to_vec()).expect("it is text")))
}

#[tokio::test]
async fn ready_is_who_reads_something_or_need_not() {
    assert_eq!(ask(fake(true, true), &ALL, "/ready").await, (200, "Ready\n".to_owned()));
    assert_eq!(ask(fake(false, false), &ALL, "/ready").await.0, 200);
    let (status, why) = ask(fake(false, true), &ALL, "/ready").await;
    assert!(status == 500 && why.starts_with("Not ready: nothing to read was found"), "{why}");
}

#[tokio::test]
async fn pages_show_targets_and_no_markup_of_theirs() {
    let (status, page) = ask(fake(true, true), &ALL, "/targets").await;
    assert!(status == 200 && page.contains("pods") && page.contains("/var/log/a"), "{page}");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && !page.contains("no_path"), "{page}");
    let (_, page) = ask(fake(true, true), &ALL, "/service-discovery").await;
    assert!(page.contains("no_path") && !page.contains("/var/log/a"), "{page}");
}

#[tokio::test]
async fn a_reload_says_why_it_failed() {
    assert_eq!(ask(fake(true, true), &ALL, "/reload").await.0, 200);
    let failing = fake(true, true);
    failing.reloads.lock().push(Err("config has not changed".to_owned()));
    assert_eq!(ask(failing, &ALL, "/reload").await, (500, "failed to reload config: config has not changed\n".to_owned()));
}

#[tokio::test]
async fn routes_are_those_that_were_asked_for_behind_the_prefix() {
    assert_eq!(ask(fake(true, true), &ALL, "/").await, (303, "/targets".to_owned()));
    assert_eq!(ask(fake(true, true), &ALL, "/config").await, (200, "server:\n".to_owned()));
    assert_eq!(ask(fake(true, true), &ALL, "/metrics").await, (200, "# EOF\n".to_owned()));
    let few = RouteOptions { prefix: "/agent".to_owned(), metrics: false, reload: false };
    for (path, status) in [("/agent/ready", 200), ("/agent/metrics", 404), ("/agent/reload", 404), ("/ready", 404)] {
        assert_eq!(ask(fake(true, true), &few, path).await.0, status, "{path}");
    }
    assert_eq!(ask(fake(true, true), &few, "/agent").await, (303, "/agent/targets".to_owned()));
}
