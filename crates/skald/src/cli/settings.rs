//! What the connection flags mean: address, credentials, headers, TLS.

use super::args::ConnectionArgs;
use super::console::read_small_file;
use super::error::CliError;
use base64::Engine;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use std::path::Path;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};

/// Where a server listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "http://localhost:3100";

/// Splits `scheme://user:password@host:port/prefix` into the address without credentials, and them.
///
/// # Errors
/// Usage errors.
pub fn parse_address(address: &str) -> Result<(String, Option<(String, String)>), CliError> {
    // A variable that is set to nothing says nothing.
    let address = if address.is_empty() { DEFAULT_ADDRESS } else { address };
    let usage = |why: &str| CliError::Usage(format!("--addr {address:?}: {why}"));
    // The address may hold a password, so it is only repeated where it does not parse as one with credentials.
    let uri: Uri = address.parse().map_err(|_| usage("not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(usage("must begin with http:// or https:// and a host"));
    };
    if scheme != "http" && scheme != "https" {
        return Err(usage("must begin with http:// or https://"));
    }
    if uri.query().is_some() {
        return Err(CliError::Usage("--addr: must not hold a query string".to_owned()));
    }
    let (credentials, host) = match authority.as_str().rsplit_once('@') {
        None => (None, authority.as_str()),
        Some((credentials, host)) => {
            let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            (Some((decode(user), decode(password))), host)
        }
    };
    Ok((format!("{scheme}://{host}{}", uri.path().trim_end_matches('/')), credentials))
}

/// What every request carries; `user_info` are credentials from the address.
///
/// # Errors
/// Usage errors.
pub fn headers(args: &ConnectionArgs, user_info: Option<(String, String)>) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("skald/", env!("CARGO_PKG_VERSION"))));
    let mut add = |what: &str, name: &str, value: &str| -> Result<(), CliError> {
        let bad = |why: String| CliError::Usage(format!("{what}: {why}"));
        let name = HeaderName::try_from(name).map_err(|_| bad(format!("{name:?} is not the name of a header")))?;
        let value = HeaderValue::try_from(value).map_err(|_| bad("a header cannot hold this value".to_owned()))?;
        headers.append(name, value);
        Ok(())
    };
    if let Some(credentials) = credentials(args, user_info)? {
        add("--auth-header", &args.auth_header, &credentials)?;
    }
    for (what, name, value) in [("--org-id", "X-Scope-OrgID", &args.org_id), ("--query-tags", "X-Query-Tags", &args.query_tags)] {
        if !value.is_empty() {
            add(what, name, value)?;
        }
    }
    if args.nocache {
        add("--nocache", CACHE_CONTROL.as_str(), "no-cache")?;
    }
    if args.compress {
        add("--compress", ACCEPT_ENCODING.as_str(), "gzip")?;
    }
    for header in &args.header {
        let (name, value) = header.split_once(':').ok_or_else(|| CliError::Usage(format!("--header {header:?}: no colon")))?;
        add("--header", name.trim(), value.trim())?;
    }
    Ok(headers)
}

/// Value of the header that says who asks.
fn credentials(args: &ConnectionArgs, user_info: Option<(String, String)>) -> Result<Option<String>, CliError> {
    let given = (!args.username.is_empty() || !args.password.is_empty()).then(|| (args.username.clone(), args.password.clone()));
    let token = match (args.bearer_token.as_str(), args.bearer_token_file.as_str()) {
        ("", "") => None,
        (token, "") => Some(token.to_owned()),
        ("", file) => Some(String::from_utf8_lossy(&read(file)?).trim().to_owned()),
        _ => return Err(CliError::Usage("--bearer-token and --bearer-token-file exclude each other".to_owned())),
    };
    match (given.or(user_info), token) {
        (Some(_), Some(_)) => Err(CliError::Usage("basic authentication and a bearer token exclude each other".to_owned())),
        (Some((user, password)), None) => {
            Ok(Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))))
        }
        (None, Some(token)) => Ok(Some(format!("Bearer {token}"))),
        (None, None) => Ok(None),
    }
}

/// How to know the server and be known by it.
///
/// # Errors
/// Usage errors, among them files that cannot be read.
pub fn tls(args: &ConnectionArgs) -> Result<TlsConfig, CliError> {
    let mut tls = TlsConfig::builder().disable_verification(args.tls_skip_verify);
    if !args.ca_cert.is_empty() {
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates("--ca-cert", &args.ca_cert)?));
    }
    tls = match (args.cert.as_str(), args.key.as_str()) {
        ("", "") => tls,
        ("", _) | (_, "") => return Err(CliError::Usage("--cert and --key need each other".to_owned())),
        (cert, key) => {
            let key = PrivateKey::from_pem(&read(key)?).map_err(|source| CliError::Connection { what: "--key", source })?;
            tls.client_cert(Some(ClientCert::new_with_certs(&certificates("--cert", cert)?, key)))
        }
    };
    Ok(tls.build())
}

fn certificates(what: &'static str, file: &str) -> Result<Vec<Certificate<'static>>, CliError> {
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&read(file)?) {
        if let PemItem::Certificate(certificate) = item.map_err(|source| CliError::Connection { what, source })? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(CliError::Usage(format!("{what}: {file} holds no certificate"))),
        false => Ok(found),
    }
}

/// Reads a file that a flag names.
///
/// # Errors
/// [`CliError::File`].
pub fn read(file: &str) -> Result<Vec<u8>, CliError> {
    let path = Path::new(file);
    read_small_file(path).map_err(|source| CliError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_prefix_and_credentials() {
        let check = |address: &str, base: &str, credentials: Option<(&str, &str)>| {
            let (got, user) = parse_address(address).expect(address);
            assert_eq!((got.as_str(), user), (base, credentials.map(|(u, p)| (u.to_owned(), p.to_owned()))));
        };
        check("http://localhost:3100", "http://localhost:3100", None);
        check("", DEFAULT_ADDRESS, None);
        check("https://logs.example/loki/", "https://logs.example/loki", None);
        check("http://a:p%40ss@h:1/x", "http://h:1/x", Some(("a", "p@ss")));
        for bad in ["localhost:3100", "/x", "ftp://h", "http://h?x=1"] {
            assert_eq!(parse_address(bad).expect_err(bad).exit_code(), 2);
        }
    }
}
