use http::{HeaderMap, StatusCode};
use skald_model::{ErrorKind, TenantId, TenantIdError};

/// Header that names the tenant, or several for a query, joined by `|`.
pub const TENANT_HEADER: &str = "x-scope-orgid";

/// The tenant of every request where authentication is off.
pub const NO_AUTH_TENANT: &str = "fake";

/// Why a request has no tenant that it may use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenancyError {
    /// No header, or an empty one.
    #[error("no org id")]
    Missing,
    /// A tenant id is not valid.
    #[error(transparent)]
    Invalid(TenantIdError),
    /// Several tenants where one is wanted.
    #[error("multiple org IDs present")]
    Multiple,
}

impl TenancyError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing | Self::Invalid(_) | Self::Multiple => ErrorKind::InvalidInput,
        }
    }

    /// Status of the answer: 401 where no tenant was named, which no [`ErrorKind`] says.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Missing => StatusCode::UNAUTHORIZED,
            Self::Invalid(_) | Self::Multiple => StatusCode::BAD_REQUEST,
        }
    }

    /// Body of the answer. Only the missing tenant's ends with a newline; routes whose errors all do add theirs.
    pub fn body(&self) -> String {
        match self {
            Self::Missing => format!("{self}\n"),
            Self::Invalid(_) | Self::Multiple => self.to_string(),
        }
    }
}

/// The one tenant of a request.
///
/// # Errors
/// See [`TenancyError`]. The same tenant named twice is one tenant.
pub fn tenant(headers: &HeaderMap, auth_enabled: bool) -> Result<TenantId, TenancyError> {
    let mut tenants = tenants(headers, auth_enabled)?;
    match (tenants.pop(), tenants.is_empty()) {
        (Some(tenant), true) => Ok(tenant),
        (Some(_), false) => Err(TenancyError::Multiple),
        (None, _) => Err(TenancyError::Missing),
    }
}

/// The tenants of a query: at least one, sorted, each once. Text after a `:` is no part of an id.
///
/// # Errors
/// [`TenancyError::Missing`] and [`TenancyError::Invalid`].
pub fn tenants(headers: &HeaderMap, auth_enabled: bool) -> Result<Vec<TenantId>, TenancyError> {
    if !auth_enabled {
        return Ok(vec![TenantId::parse(NO_AUTH_TENANT).expect("the name of the tenant without authentication is valid")]);
    }
    let header = headers.get(TENANT_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    if header.is_empty() {
        return Err(TenancyError::Missing);
    }
    let mut tenants = header.split('|').map(parse_one).collect::<Result<Vec<_>, _>>()?;
    tenants.sort();
    tenants.dedup();
    Ok(tenants)
}

fn parse_one(part: &str) -> Result<TenantId, TenancyError> {
    let id = part.split_once(':').map_or(part, |(id, _)| id);
    TenantId::parse(id).map_err(|error| match error {
        TenantIdError::Missing => TenancyError::Missing,
        TenantIdError::TooLong | TenantIdError::UnsafeSegment | TenantIdError::UnsupportedCharacter { .. } => TenancyError::Invalid(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(TENANT_HEADER.parse().expect("a header name"), HeaderValue::from_bytes(value).expect("a header value"))])
    }

    #[track_caller]
    fn check(value: &str, want: Result<&[&str], (u16, &str)>) {
        let found = tenants(&headers(value.as_bytes()), true);
        let found = found.as_ref().map(|list| list.iter().map(TenantId::as_str).collect::<Vec<_>>());
        let found = found.as_deref().map_err(|error| (error.status().as_u16(), error.body()));
        assert_eq!(found, want.map_err(|(status, body)| (status, body.to_owned())), "{value:?}");
    }

    #[test]
    fn tenants_are_sorted_and_each_comes_once() {
        check("a", Ok(&["a"]));
        check("b|a|b", Ok(&["a", "b"]));
        check("a:key=value|b", Ok(&["a", "b"]));
        check("a:one:two", Ok(&["a"]));
    }

    #[test]
    fn bad_tenants_are_refused() {
        check("", Err((401, "no org id\n")));
        check(":k=v", Err((401, "no org id\n")));
        check("a|", Err((401, "no org id\n")));
        check("..", Err((400, "tenant ID is '.' or '..'")));
        check("a|b/c", Err((400, "tenant ID 'b/c' contains unsupported character '/'")));
        check(&"a".repeat(151), Err((400, "tenant ID is too long: max 150 characters")));
        assert_eq!(tenants(&HeaderMap::new(), true), Err(TenancyError::Missing));
        assert!(matches!(tenants(&headers(b"\xff"), true), Err(TenancyError::Invalid(_))));
    }

    #[test]
    fn one_tenant_is_one_tenant() {
        let id = |value: &str| tenant(&headers(value.as_bytes()), true).map(|tenant| tenant.to_string());
        assert_eq!(id("a|a"), Ok("a".to_owned()));
        assert_eq!(id("a|b"), Err(TenancyError::Multiple));
        assert_eq!(TenancyError::Multiple.to_string(), "multiple org IDs present");
    }

    #[test]
    fn without_authentication_the_header_is_not_read() {
        let id = |headers: HeaderMap| tenant(&headers, false).map(|tenant| tenant.to_string());
        assert_eq!(id(headers(b"a|b")), Ok("fake".to_owned()));
        assert_eq!(id(HeaderMap::new()), Ok("fake".to_owned()));
    }
}
