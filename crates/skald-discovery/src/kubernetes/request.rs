//! What each request to the API server carries, and how many there are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use kube::client::Body;
use skald_model::seam::{Clock, Disk};
use tower::{BoxError, Service};

use crate::config::{HeaderValues, KubernetesSdConfig, Secret};

/// On average there is no more than one request in this time, whatever the server does.
const INTERVAL: Duration = Duration::from_millis(200);
/// So much of that time may be saved up for requests that come together.
const SAVED: Duration = Duration::from_secs(6);

/// Text of the configuration, or of a file that is read for each request, so that it may change.
#[derive(Debug, Clone)]
pub(super) enum Text {
    Here(Secret),
    File(PathBuf),
}

impl Text {
    fn of(here: Option<&Secret>, file: Option<&PathBuf>) -> Option<Self> {
        here.cloned().map(Self::Here).or_else(|| file.cloned().map(Self::File))
    }

    fn read(&self, disk: &dyn Disk) -> Result<String, UnreadSecret> {
        match self {
            Self::Here(secret) => Ok(secret.reveal().to_owned()),
            Self::File(path) => {
                let failed = |source| UnreadSecret { path: path.clone(), source };
                let bytes = disk.read(path).map_err(failed)?;
                let text = String::from_utf8(bytes).map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
                Ok(text.trim().to_owned())
            }
        }
    }
}

/// A file that a request needs cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("read '{}' for a request", path.display())]
pub(super) struct UnreadSecret {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// A header holds what may not stand in one.
#[derive(Debug, thiserror::Error)]
#[error("the value of header {name} has characters that it may not have")]
struct WrongHeader {
    name: HeaderName,
}

/// Who we are.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    None,
    Basic { user: Text, password: Option<Text> },
    Scheme { scheme: String, credentials: Text },
}

impl Credentials {
    pub(super) fn bearer(token: Text) -> Self {
        Credentials::Scheme { scheme: "Bearer".to_owned(), credentials: token }
    }

    /// Of a configuration without problems.
    pub(super) fn of(config: &KubernetesSdConfig) -> Self {
        if let Some(basic) = &config.basic_auth {
            let user =
                basic.username.as_ref().map(|user| Text::Here(Secret::new(user))).or_else(|| basic.username_file.clone().map(Text::File));
            let password = Text::of(basic.password.as_ref(), basic.password_file.as_ref());
            return user.map_or(Self::None, |user| Self::Basic { user, password });
        }
        if let Some(authorization) = &config.authorization {
            let scheme = authorization.scheme.as_deref().map(str::trim).filter(|scheme| !scheme.is_empty()).unwrap_or("Bearer");
            let credentials = Text::of(authorization.credentials.as_ref(), authorization.credentials_file.as_ref());
            return credentials.map_or(Self::None, |credentials| Self::Scheme { scheme: scheme.to_owned(), credentials });
        }
        Text::of(config.bearer_token.as_ref(), config.bearer_token_file.as_ref()).map_or(Self::None, Self::bearer)
    }

    fn header(&self, disk: &dyn Disk) -> Result<Option<String>, UnreadSecret> {
        Ok(match self {
            Self::None => None,
            Self::Basic { user, password } => {
                let password = password.as_ref().map(|password| password.read(disk)).transpose()?;
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", user.read(disk)?, password.unwrap_or_default()))))
            }
            Self::Scheme { scheme, credentials } => Some(format!("{scheme} {}", credentials.read(disk)?)),
        })
    }
}

/// The headers of each request.
pub(super) struct Headers {
    credentials: Credentials,
    others: Vec<(HeaderName, Text)>,
    disk: Arc<dyn Disk>,
}

impl Headers {
    /// The error is the name that cannot be that of a header.
    pub(super) fn new(credentials: Credentials, others: &BTreeMap<String, HeaderValues>, disk: Arc<dyn Disk>) -> Result<Self, String> {
        let mut texts = Vec::new();
        for (name, values) in others {
            let header = name.parse::<HeaderName>().map_err(|_| name.clone())?;
            let here = values.values.iter().map(|value| Text::Here(Secret::new(value)));
            let here = here.chain(values.secrets.iter().cloned().map(Text::Here));
            texts.extend(here.chain(values.files.iter().cloned().map(Text::File)).map(|text| (header.clone(), text)));
        }
        Ok(Headers { credentials, others: texts, disk })
    }

    fn add_to(&self, request: &mut Request<Body>) -> Result<(), BoxError> {
        let mut add = |name: HeaderName, text: &str, secret: bool| -> Result<(), BoxError> {
            let mut value = HeaderValue::from_str(text).map_err(|_| WrongHeader { name: name.clone() })?;
            value.set_sensitive(secret);
            request.headers_mut().append(name, value);
            Ok(())
        };
        add(USER_AGENT, concat!("skald-agent/", env!("CARGO_PKG_VERSION")), false)?;
        if let Some(text) = self.credentials.header(&*self.disk)? {
            add(AUTHORIZATION, &text, true)?;
        }
        for (name, text) in &self.others {
            add(name.clone(), &text.read(&*self.disk)?, true)?;
        }
        Ok(())
    }
}

/// Lets requests through one by one, with their headers: a server whose answers end at once is not asked without end.
pub(super) struct Gate<S> {
    inner: S,
    headers: Arc<Headers>,
    clock: Arc<dyn Clock>,
    /// When the requests so far would have been through at one in each interval.
    through: Duration,
    waiting: Option<BoxFuture<'static, ()>>,
}

impl<S> Gate<S> {
    pub(super) fn new(inner: S, headers: Arc<Headers>, clock: Arc<dyn Clock>) -> Self {
        Gate { inner, headers, clock, through: Duration::ZERO, waiting: None }
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(waiting) = &mut self.waiting {
            if waiting.poll_unpin(context).is_pending() {
                return Poll::Pending;
            }
            self.waiting = None;
        }
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let now = self.clock.monotonic();
        self.through = self.through.max(now) + INTERVAL;
        let ahead = (self.through - now).saturating_sub(SAVED);
        if !ahead.is_zero() {
            self.waiting = Some(self.clock.sleep(ahead));
        }
        match self.headers.add_to(&mut request) {
            Ok(()) => self.inner.call(request).boxed(),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::Timestamp;
    use skald_testkit::{SimClock, SimDisk};

    struct Server;

    impl Service<Request<Body>> for Server {
        type Response = http::HeaderMap;
        type Error = BoxError;
        type Future = BoxFuture<'static, Result<http::HeaderMap, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            std::future::ready(Ok(request.headers().clone())).boxed()
        }
    }

    fn gate(headers: Headers, clock: Arc<dyn Clock>) -> Gate<Server> {
        Gate::new(Server, Arc::new(headers), clock)
    }

    fn send(gate: &mut Gate<Server>) -> Option<Result<http::HeaderMap, BoxError>> {
        let ready = gate.poll_ready(&mut Context::from_waker(std::task::Waker::noop()));
        ready.is_ready().then(|| gate.call(Request::new(Body::empty())).now_or_never().expect("the server answers at once"))
    }

    #[test]
    fn requests_come_together_for_a_while_and_then_one_by_one() {
        let clock = SimClock::new(Timestamp::from_secs(0));
        let mut gate = gate(Headers { credentials: Credentials::None, others: Vec::new(), disk: SimDisk::new() }, clock.clone());
        let at_once = (0..1000).take_while(|_| send(&mut gate).is_some()).count() as u128;
        assert_eq!(at_once, SAVED.as_nanos() / INTERVAL.as_nanos() + 1);
        for _ in 0..3 {
            clock.advance(INTERVAL);
            assert!(send(&mut gate).is_some());
            assert!(send(&mut gate).is_none());
        }
        clock.advance(SAVED * 2);
        assert_eq!((0..1000).take_while(|_| send(&mut gate).is_some()).count() as u128, at_once);
    }

    #[track_caller]
    fn check(yaml: &str, want: &[(&str, &str)]) {
        let config: KubernetesSdConfig =
            serde_saphyr::from_str(&format!("role: pod\napi_server: http://a\n{yaml}")).expect("a configuration");
        assert_eq!(config.problems(), [], "{yaml}");
        let disk = SimDisk::new();
        disk.plant("/secret".as_ref(), b"from file\n");
        let headers = Headers::new(Credentials::of(&config), &config.http_headers, disk).expect("headers");
        let sent = send(&mut gate(headers, SimClock::new(Timestamp::from_secs(0)))).expect("room").expect("an answer");
        let mut got: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        got.retain(|(name, _)| *name != "user-agent");
        assert_eq!(got, want, "{yaml}");
    }

    #[test]
    fn requests_carry_what_the_configuration_says() {
        check("", &[]);
        check("bearer_token: t", &[("authorization", "Bearer t")]);
        check("bearer_token_file: /secret", &[("authorization", "Bearer from file")]);
        check("authorization: {credentials: t}", &[("authorization", "Bearer t")]);
        check("authorization: {type: Token, credentials_file: /secret}", &[("authorization", "Token from file")]);
        check("basic_auth: {username: u, password: p}", &[("authorization", "Basic dTpw")]);
        check("basic_auth: {username: u, password_file: /secret}", &[("authorization", "Basic dTpmcm9tIGZpbGU=")]);
        check("basic_auth: {username_file: /secret}", &[("authorization", "Basic ZnJvbSBmaWxlOg==")]);
        check(
            "http_headers: {X-A: {values: [one], secrets: [two], files: [/secret]}}",
            &[("x-a", "one"), ("x-a", "two"), ("x-a", "from file")],
        );
    }

    #[test]
    fn a_request_whose_secret_cannot_be_read_is_not_sent() {
        let clock = SimClock::new(Timestamp::from_secs(0));
        let missing = Credentials::bearer(Text::File("/missing".into()));
        let mut gate = gate(Headers { credentials: missing, others: Vec::new(), disk: SimDisk::new() }, clock);
        let error = send(&mut gate).expect("room").expect_err("no such file");
        assert_eq!(error.to_string(), "read '/missing' for a request");
    }
}
