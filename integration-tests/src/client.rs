use crate::Answer;
use std::time::Duration;

/// How long an answer may take. Generous: nothing here measures time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks a server that may be anywhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    /// Asks the server at `base`: `http://host:port`, and a path before all others if it has one.
    pub fn new(base: &str) -> Self {
        let settings = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Client { base: base.trim_end_matches('/').to_owned(), agent: settings.into() }
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request of any method. `path` holds the query string, if there is one.
    ///
    /// # Errors
    /// No answer.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ureq::Error> {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = match method {
            "POST" | "PUT" => self.agent.run(request.body(body)?),
            _ => self.agent.run(request.body(())?),
        };
        response.and_then(Answer::read)
    }
}

/// Parameters as a query string or a form.
pub fn form(params: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}
