use crate::metrics::{CONTENT_TYPE, revision};
use crate::{LogControl, Metrics, Readiness};
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Form, Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE as CONTENT_TYPE_HEADER;
use serde_json::json;
use skald_config::{Loaded, LogLevel, render, render_diff};
use std::collections::HashMap;
use std::sync::Arc;

/// The version of Loki whose API this is, for clients that choose features by it.
pub const LOKI_VERSION: &str = "3.5.0";

/// What the common routes show.
#[derive(Clone)]
pub struct Common {
    /// The configuration and its defaults.
    pub loaded: Arc<Loaded>,
    /// `/metrics`.
    pub metrics: Metrics,
    /// `/ready` and `/services`.
    pub readiness: Readiness,
    /// `/log_level`.
    pub log_control: LogControl,
}

/// The routes that every process has: `/ready`, `/services`, `/metrics`, `/config`, `/log_level` and `/loki/api/v1/status/buildinfo`.
pub fn common_routes(common: Common) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/services", get(services))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/log_level", get(log_level).post(set_log_level))
        .route("/loki/api/v1/status/buildinfo", get(build_info))
        .with_state(common)
}

async fn ready(State(common): State<Common>) -> Response {
    match common.readiness.check() {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn services(State(common): State<Common>) -> String {
    common.readiness.parts().into_iter().map(|(name, state)| format!("{name} => {state}\n")).collect()
}

async fn metrics(State(common): State<Common>) -> Response {
    ([(CONTENT_TYPE_HEADER, CONTENT_TYPE)], common.metrics.encode()).into_response()
}

async fn config(State(common): State<Common>, Query(query): Query<HashMap<String, String>>) -> Response {
    let Loaded { config, defaults } = &*common.loaded;
    match query.get("mode").map_or("", String::as_str) {
        "" => render(config).into_response(),
        "diff" => render_diff(config, defaults).into_response(),
        "defaults" => render(defaults).into_response(),
        other => (StatusCode::BAD_REQUEST, format!("unknown mode {other:?}: diff or defaults\n")).into_response(),
    }
}

async fn log_level(State(common): State<Common>) -> Response {
    Json(json!({"message": format!("Current log level is {}", name_of(common.log_control.level()))})).into_response()
}

async fn set_log_level(
    State(common): State<Common>,
    RawQuery(query): RawQuery,
    form: Result<Form<HashMap<String, String>>, FormRejection>,
) -> Response {
    let of_query = || {
        let pairs = query.as_deref().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == "log_level").map(|(_, value)| value.to_owned())
    };
    let name = form.ok().and_then(|Form(mut fields)| fields.remove("log_level")).or_else(of_query).unwrap_or_default();
    let refused = |status, message: String| (status, Json(json!({"status": "failed", "message": message}))).into_response();
    let Some(level) = LEVELS.into_iter().find(|level| name_of(*level) == name) else {
        return refused(StatusCode::BAD_REQUEST, format!("unrecognized log level {name:?}"));
    };
    if !common.log_control.set_level(level) {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "nothing is logging".to_owned());
    }
    tracing::info!(level = name, "log level changed");
    Json(json!({"status": "success", "message": format!("Log level set to {name}")})).into_response()
}

const LEVELS: [LogLevel; 5] = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];

fn name_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

async fn build_info() -> Response {
    Json(json!({
        "version": LOKI_VERSION,
        "revision": revision(),
        "branch": format!("skald-{}", env!("CARGO_PKG_VERSION")),
        "buildUser": "skald",
        "buildDate": option_env!("SKALD_BUILD_DATE").unwrap_or("unknown"),
        "goVersion": "none",
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Logging;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use skald_config::{ByteSize, Config, LogFormat, Mode};
    use tower::ServiceExt;

    fn common() -> (Common, Logging) {
        let defaults = Config::defaults(Mode::Service, ByteSize::gib(4));
        let mut config = defaults.clone();
        config.server.http_listen_port = 4100;
        let logging = Logging::new(LogLevel::Info, LogFormat::Logfmt, std::io::sink);
        let loaded = Arc::new(Loaded { config, defaults });
        let log_control = logging.control.clone();
        (Common { loaded, metrics: Metrics::new("test"), readiness: Readiness::new(), log_control }, logging)
    }

    async fn ask(common: &Common, method: &str, path: &str, form: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE_HEADER, "application/x-www-form-urlencoded");
        let request = request.body(Body::from(form.to_owned())).expect("it is a request");
        let answer = common_routes(common.clone()).oneshot(request).await.expect("routers do not fail");
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.expect("the body is in memory").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("answers are text"))
    }

    async fn get_text(common: &Common, path: &str) -> (u16, String) {
        ask(common, "GET", path, "").await
    }

    #[tokio::test]
    async fn ready_and_services_show_the_parts() {
        let (common, _logging) = common();
        let part = common.readiness.register("ingester");
        let starting = "Some services are not Running:\nStarting: 1\n".to_owned();
        assert_eq!(get_text(&common, "/ready").await, (503, starting));
        part.ready();
        assert_eq!(get_text(&common, "/ready").await, (200, "ready\n".to_owned()));
        assert_eq!(get_text(&common, "/services").await, (200, "ingester => Running\n".to_owned()));
        common.readiness.set_stopping();
        assert_eq!(get_text(&common, "/ready").await, (503, "Application is stopping\n".to_owned()));
    }

    #[tokio::test]
    async fn config_shows_what_is_in_force_and_what_differs() {
        let (common, _logging) = common();
        assert_eq!(get_text(&common, "/config").await, (200, render(&common.loaded.config)));
        assert_eq!(get_text(&common, "/config?mode=defaults").await, (200, render(&common.loaded.defaults)));
        let (status, diff) = get_text(&common, "/config?mode=diff").await;
        assert_eq!((status, diff.trim()), (200, "server:\n  http_listen_port: 4100"));
        assert_eq!(get_text(&common, "/config?mode=x").await.0, 400);
    }

    #[tokio::test]
    async fn the_log_level_is_shown_and_set() {
        let (common, _logging) = common();
        let message = |text: &str| format!("{{\"message\":\"Current log level is {text}\"}}");
        assert_eq!(get_text(&common, "/log_level").await, (200, message("info")));
        let set = ask(&common, "POST", "/log_level", "log_level=debug").await;
        assert_eq!(set, (200, "{\"status\":\"success\",\"message\":\"Log level set to debug\"}".to_owned()));
        assert_eq!(get_text(&common, "/log_level").await, (200, message("debug")));
        assert_eq!(ask(&common, "POST", "/log_level?log_level=warn", "").await.0, 200);
        let refused = ask(&common, "POST", "/log_level", "log_level=foo").await;
        assert_eq!(refused, (400, "{\"status\":\"failed\",\"message\":\"unrecognized log level \\\"foo\\\"\"}".to_owned()));
        assert_eq!(get_text(&common, "/log_level").await, (200, message("warn")));
    }

    #[tokio::test]
    async fn metrics_and_build_information_are_served() {
        let (common, _logging) = common();
        let (status, text) = get_text(&common, "/metrics").await;
        assert!(status == 200 && text.contains("skald_build_info{"), "{text}");
        let (status, text) = get_text(&common, "/loki/api/v1/status/buildinfo").await;
        let info: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!((status, &info["version"]), (200, &LOKI_VERSION.into()));
        let keys: Vec<_> = info.as_object().expect("it is an object").keys().cloned().collect();
        assert_eq!(keys, ["version", "revision", "branch", "buildUser", "buildDate", "goVersion"]);
    }
}
