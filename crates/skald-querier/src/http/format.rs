//! Queries in their readable form.

use super::{Refused, params_of};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The query in its readable form; it needs no tenant, and its errors are JSON.
pub(super) async fn format_query(request: Request) -> Result<Response, Refused> {
    let params = params_of(request).await?;
    let (status, answer) = match skald_logql::parse(params.get("query")) {
        Ok(expr) => (StatusCode::OK, serde_json::json!({ "status": "success", "data": skald_logql::pretty(&expr) })),
        Err(error) => (StatusCode::BAD_REQUEST, serde_json::json!({ "status": "invalid-query", "error": error.to_string() })),
    };
    Ok((status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], answer.to_string()).into_response())
}
