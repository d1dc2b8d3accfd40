use super::auth::Auth;
use super::secret::{Files, Secret};
use super::{AGENT, BuildError, PrepareError, sensitive};
use crate::delivery::config::ClientConfig;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, USER_AGENT};
use skald_model::seam::Seams;

/// The headers by which a server knows us: those of the configuration, and credentials.
pub(super) struct Identity {
    headers: HeaderMap,
    /// Values of `http_headers` that stand in files.
    file_headers: Vec<(HeaderName, Secret)>,
    auth: Auth,
    files: Files,
}

impl Identity {
    pub async fn open(config: &ClientConfig, url: &Url, seams: &Seams, files: &Files) -> Result<Self, BuildError> {
        let (headers, file_headers) = fixed_headers(config)?;
        let own_credentials = headers.contains_key(AUTHORIZATION) || !url.username().is_empty() || url.password().is_some();
        let auth = if own_credentials { Auth::None } else { Auth::open(config, seams, files).await? };
        Ok(Identity { headers, file_headers, auth, files: files.clone() })
    }

    /// The headers of a request that is sent now.
    pub async fn headers(&self) -> Result<HeaderMap, PrepareError> {
        let mut headers = self.headers.clone();
        for (name, value) in &self.file_headers {
            headers.append(name, sensitive(&value.read(&self.files).await?)?);
        }
        headers.insert(USER_AGENT, reqwest::header::HeaderValue::from_static(AGENT));
        if let Some(credentials) = self.auth.header(&self.files).await? {
            headers.insert(AUTHORIZATION, credentials);
        }
        Ok(headers)
    }

    /// The server did not accept who we say we are.
    pub async fn refused(&self) {
        self.auth.refused().await;
    }
}

/// Headers whose values do not change, and those that stand in files.
fn fixed_headers(config: &ClientConfig) -> Result<(HeaderMap, Vec<(HeaderName, Secret)>), BuildError> {
    let (mut headers, mut in_files) = (HeaderMap::new(), Vec::new());
    let name_of = |name: &str| HeaderName::from_bytes(name.as_bytes()).map_err(|_| BuildError::Header(name.to_owned()));
    let value_of = |name: &str, value: &str| sensitive(value).map_err(|_| BuildError::Header(name.to_owned()));
    for (name, value) in &config.headers.0 {
        headers.insert(name_of(name)?, value_of(name, &value.0)?);
    }
    for (name, header) in &config.http_headers {
        for value in header.values.iter().chain(header.secrets.iter().map(|secret| &secret.0)) {
            headers.append(name_of(name)?, value_of(name, value)?);
        }
        for file in &header.files {
            in_files.push((name_of(name)?, Secret::File(file.clone())));
        }
    }
    Ok((headers, in_files))
}
