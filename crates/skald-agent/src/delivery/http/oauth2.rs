use super::auth::basic;
use super::connection::{Connection, ConnectionSettings};
use super::secret::{FileError, Files, Secret};
use super::{AGENT, ANSWER_BYTES_MAX, BuildError};
use crate::delivery::config::OAuth2Config;
use crate::delivery::verdict::Cause;
use form_urlencoded::{Serializer, byte_serialize};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use skald_model::seam::{Clock, Seams};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long before its end a token is no longer used.
const EARLY: Duration = Duration::from_secs(10);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("ask the token server")]
    Request(#[source] reqwest::Error),
    #[error("the token server answers with status {0}")]
    Status(u16),
    #[error("the token server's answer holds no token")]
    Answer,
}

impl TokenError {
    pub fn cause(&self) -> Cause {
        match self {
            Self::File(_) => Cause::Local,
            Self::Request(_) => Cause::Connection,
            Self::Status(400..=403) => Cause::Unauthorized,
            Self::Status(500..) => Cause::Server,
            Self::Status(_) | Self::Answer => Cause::Misrouted,
        }
    }
}

/// Gets tokens by the grant of client credentials, and keeps the last one while it lives.
pub(crate) struct Tokens {
    url: Url,
    id: String,
    secret: Secret,
    /// What is asked for, as a form.
    form: String,
    connection: Connection,
    files: Files,
    clock: Arc<dyn Clock>,
    /// Held while a token is fetched, so that one request fetches it for all.
    token: Mutex<Option<Token>>,
    /// Whether the server wants the credentials in the form instead of the header.
    credentials_in_form: AtomicBool,
}

struct Token {
    header: String,
    /// By the monotonic clock; `None` lives until it is refused.
    ends: Option<Duration>,
}

/// What a token server says. Some write the number as a text.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: Option<String>,
    expires_in: Option<serde_json::Value>,
}

impl Tokens {
    pub async fn open(config: &OAuth2Config, timeout: Duration, seams: &Seams, files: &Files) -> Result<Self, BuildError> {
        let url = Url::parse(&config.token_url.0).map_err(|_| BuildError::Url(config.token_url.clone()))?;
        let connection = Connection::open(ConnectionSettings::of_oauth2(config, timeout), &url, seams, files.clone()).await?;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !config.scopes.is_empty() {
            form.append_pair("scope", &config.scopes.join(" "));
        }
        form.extend_pairs(&config.endpoint_params.0);
        let secret = Secret::of(config.client_secret.as_ref(), config.client_secret_file.as_ref());
        Ok(Tokens {
            url,
            id: config.client_id.clone(),
            secret: secret.unwrap_or_else(|| Secret::Inline(String::new())),
            form: form.finish(),
            connection,
            files: files.clone(),
            clock: seams.clock.clone(),
            token: Mutex::new(None),
            credentials_in_form: AtomicBool::new(false),
        })
    }

    /// The header of a request, with a token that lives.
    pub async fn header(&self) -> Result<String, TokenError> {
        let mut token = self.token.lock().await;
        let now = self.clock.monotonic();
        if let Some(token) = token.as_ref().filter(|token| token.ends.is_none_or(|ends| now < ends)) {
            return Ok(token.header.clone());
        }
        let fresh = self.fetch(now).await?;
        Ok(token.insert(fresh).header.clone())
    }

    /// The last token was refused: the next request gets another.
    pub async fn forget(&self) {
        *self.token.lock().await = None;
    }

    /// Servers differ in where they look for the credentials: a server that refuses them in the header is asked once more with them in the form, and from
    /// then on if that helps.
    async fn fetch(&self, now: Duration) -> Result<Token, TokenError> {
        let in_form = self.credentials_in_form.load(Ordering::Relaxed);
        match self.ask(in_form, now).await {
            Err(TokenError::Status(400..=401)) => {
                let token = self.ask(!in_form, now).await?;
                self.credentials_in_form.store(!in_form, Ordering::Relaxed);
                Ok(token)
            }
            asked => asked,
        }
    }

    async fn ask(&self, credentials_in_form: bool, now: Duration) -> Result<Token, TokenError> {
        let secret = self.secret.read(&self.files).await?;
        let client = self.connection.client().await;
        let failed = |error: reqwest::Error| TokenError::Request(error.without_url());
        let mut response = self.request(&client, &secret, credentials_in_form).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(TokenError::Status(response.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            text.extend_from_slice(&piece);
            if text.len() > ANSWER_BYTES_MAX {
                return Err(TokenError::Answer);
            }
        }
        read_token(&text, now).ok_or(TokenError::Answer)
    }

    fn request(&self, client: &Client, secret: &str, credentials_in_form: bool) -> RequestBuilder {
        let mut request = client.post(self.connection.address(&self.url));
        let mut form = Serializer::new(self.form.clone());
        if credentials_in_form {
            form.append_pair("client_id", &self.id).append_pair("client_secret", secret);
        } else {
            request = request.header(AUTHORIZATION, basic(&escape(&self.id), &escape(secret)));
        }
        if let Some(host) = self.connection.host_header(&self.url) {
            request = request.header(HOST, host);
        }
        request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, AGENT)
            .body(form.finish())
    }
}

fn read_token(text: &[u8], now: Duration) -> Option<Token> {
    let answer: TokenAnswer = serde_json::from_slice(text).ok().filter(|answer: &TokenAnswer| !answer.access_token.is_empty())?;
    let kind = match answer.token_type.as_deref().unwrap_or_default() {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        other => other,
    };
    let seconds = answer.expires_in.and_then(|lifetime| match lifetime {
        serde_json::Value::String(text) => text.trim().parse().ok(),
        other => other.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64),
    });
    // No lifetime, and one of 0, say nothing.
    let lifetime = seconds.filter(|seconds: &u64| *seconds > 0).map(Duration::from_secs);
    let ends = lifetime.map(|lifetime| now.saturating_add(lifetime.saturating_sub(EARLY.min(lifetime / 2))));
    Some(Token { header: format!("{kind} {}", answer.access_token), ends })
}

fn escape(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, want: Option<(&str, Option<u64>)>) {
        let now = Duration::from_secs(1000);
        let read = read_token(answer.as_bytes(), now).map(|token| (token.header, token.ends.map(|ends| ends.as_secs())));
        assert_eq!(read, want.map(|(header, ends)| (header.to_owned(), ends)), "{answer}");
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        check(r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#, Some(("Bearer t", Some(4590))));
        check(r#"{"access_token":"t","expires_in":"60"}"#, Some(("Bearer t", Some(1050))));
        check(r#"{"access_token":"t","expires_in":4}"#, Some(("Bearer t", Some(1002))));
        check(r#"{"access_token":"t","token_type":"MAC"}"#, Some(("MAC t", None)));
        check(r#"{"access_token":"t","expires_in":0}"#, Some(("Bearer t", None)));
        check(r#"{"access_token":"t","expires_in":-5}"#, Some(("Bearer t", None)));
        check(r#"{"access_token":""}"#, None);
        check("<html>", None);
    }
}
