use super::oauth2::Tokens;
use super::secret::{Files, Secret};
use super::{BuildError, PrepareError, sensitive};
use crate::delivery::config::ClientConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use skald_model::seam::Seams;

/// How a client says who it is.
pub(crate) enum Auth {
    None,
    /// User and password.
    Basic(Secret, Secret),
    /// A word and a credential.
    Credential(String, Secret),
    /// Tokens of an OAuth 2.0 server.
    Tokens(Box<Tokens>),
}

impl Auth {
    pub async fn open(config: &ClientConfig, seams: &Seams, files: &Files) -> Result<Self, BuildError> {
        let empty = || Secret::Inline(String::new());
        if let Some(basic) = &config.basic_auth {
            let user = basic.username.clone().map(Secret::Inline).or_else(|| basic.username_file.clone().map(Secret::File));
            let password = Secret::of(basic.password.as_ref(), basic.password_file.as_ref());
            return Ok(Auth::Basic(user.unwrap_or_else(empty), password.unwrap_or_else(empty)));
        }
        if let Some(given) = &config.authorization {
            let credentials = Secret::of(given.credentials.as_ref(), given.credentials_file.as_ref());
            return Ok(Auth::Credential(given.kind.trim().to_owned(), credentials.unwrap_or_else(empty)));
        }
        if let Some(token) = Secret::of(config.bearer_token.as_ref(), config.bearer_token_file.as_ref()) {
            return Ok(Auth::Credential("Bearer".to_owned(), token));
        }
        match &config.oauth2 {
            Some(oauth2) => Ok(Auth::Tokens(Box::new(Tokens::open(oauth2, config.timeout.0, seams, files).await?))),
            None => Ok(Auth::None),
        }
    }

    /// The header of a request that is sent now.
    pub async fn header(&self, files: &Files) -> Result<Option<HeaderValue>, PrepareError> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic(user, password) => basic(&user.read(files).await?, &password.read(files).await?),
            Self::Credential(kind, credential) => format!("{kind} {}", credential.read(files).await?),
            Self::Tokens(tokens) => tokens.header().await?,
        };
        sensitive(&text).map(Some)
    }

    /// The server did not accept what the header said.
    pub async fn refused(&self) {
        if let Self::Tokens(tokens) = self {
            tokens.forget().await;
        }
    }
}

/// User and password as the text of a header.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
