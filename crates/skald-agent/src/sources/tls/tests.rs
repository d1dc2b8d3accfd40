use super::*;
use futures::future::join;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use skald_testkit::{SimDisk, SimNetwork};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

/// Certificates for tests alone: everybody has the keys.
pub(crate) const CA: &str = include_str!("ca.crt");
pub(crate) const SERVER: &str = include_str!("server.crt");
pub(crate) const SERVER_KEY: &str = include_str!("server.key");
pub(crate) const CLIENT: &str = include_str!("client.crt");
pub(crate) const CLIENT_KEY: &str = include_str!("client.key");

/// What connects to `localhost`, with a certificate or without.
pub(crate) fn connector(with_certificate: bool) -> TlsConnector {
    let disk = SimDisk::new();
    let mut roots = RootCertStore::empty();
    roots.add(certificates(Pem::Text(CA), "CA", &*disk).unwrap().remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = if with_certificate {
        let chain = certificates(Pem::Text(CLIENT), "certificate", &*disk).unwrap();
        builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(CLIENT_KEY.as_bytes()).unwrap()).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    TlsConnector::from(Arc::new(config))
}

pub(crate) fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

fn settings<'a>(client_ca: Option<Pem<'a>>, client_may_lack: bool) -> TlsSettings<'a> {
    TlsSettings { certificate: Pem::Text(SERVER), key: Pem::Text(SERVER_KEY), client_ca, client_may_lack, versions: ("", "") }
}

/// Whether a client with or without a certificate is served.
fn is_served(settings: &TlsSettings<'_>, with_certificate: bool) -> bool {
    let network = SimNetwork::new();
    let tls = TlsNetwork::new(Arc::clone(&network) as _, acceptor(settings, &*SimDisk::new()).unwrap());
    futures::executor::block_on(async {
        let listener = tls.listen("127.0.0.1:1000".parse().unwrap()).await.unwrap();
        let serve = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut byte = [0];
            let asked = connection.read_exact(&mut byte).await.is_ok();
            if asked {
                connection.write_all(&byte).await.unwrap();
                connection.flush().await.unwrap();
            } else {
                // One whose handshake failed is an error for ever, and no panic.
                assert!(connection.read_exact(&mut byte).await.is_err());
            }
            asked
        };
        let ask = async {
            let connection = tls.connect("127.0.0.1:1000").await.unwrap();
            let mut connection = connector(with_certificate).connect(localhost(), connection).await.ok()?;
            connection.write_all(b"x").await.ok()?;
            connection.flush().await.ok()?;
            let mut byte = [0];
            connection.read_exact(&mut byte).await.ok()
        };
        let (asked, answered) = join(serve, ask).await;
        assert_eq!(asked, answered.is_some());
        asked
    })
}

#[test]
fn clients_need_a_certificate_where_a_ca_is_given() {
    let ca = Some(Pem::Text(CA));
    assert!(is_served(&settings(None, false), false));
    assert!(is_served(&settings(ca, false), true));
    assert!(!is_served(&settings(ca, false), false));
    assert!(is_served(&settings(ca, true), false));
    assert!(is_served(&TlsSettings { versions: ("TLS12", "TLS12"), ..settings(ca, false) }, true));
}

#[test]
fn files_are_read_and_what_is_wrong_is_named() {
    let disk = SimDisk::new();
    for (path, text) in [("/c", SERVER), ("/k", SERVER_KEY), ("/ca", CA), ("/other", CLIENT_KEY), ("/empty", "")] {
        disk.plant(Path::new(path), text.as_bytes());
    }
    let refused = |certificate, key, client_ca| {
        let settings = TlsSettings { certificate: Pem::File(certificate), key: Pem::File(key), ..settings(client_ca, false) };
        acceptor(&settings, &*disk).err().map(|error| error.to_string())
    };
    assert_eq!(refused("/c", "/k", Some(Pem::File("/ca"))), None);
    assert_eq!(refused("/none", "/k", None).unwrap(), "cannot read the certificate from /none");
    assert_eq!(refused("/empty", "/k", None).unwrap(), "the certificate is not PEM that can be used: it has no certificate");
    assert!(refused("/c", "/c", None).unwrap().starts_with("the key is not PEM that can be used"));
    assert!(refused("/c", "/other", None).unwrap().starts_with("certificate and key cannot be used"));
    assert!(refused("/c", "/k", Some(Pem::File("/k"))).unwrap().starts_with("the client CA is not PEM"));
}

#[test]
fn versions_are_chosen_from_those_there_are() {
    let count = |lowest, highest| versions((lowest, highest)).map(|chosen| chosen.len()).ok();
    assert_eq!([count("", ""), count("TLS12", "TLS13"), count("TLS10", "")], [Some(2); 3]);
    assert_eq!([count("TLS13", ""), count("", "TLS12"), count("TLS13", "TLS13")], [Some(1); 3]);
    assert_eq!([count("TLS13", "TLS12"), count("SSL3", ""), count("", "TLS11")], [None; 3]);
}

#[test]
fn the_block_of_a_server_says_who_is_asked_for_a_certificate() {
    let config = |kind: &str, ca: &str| ServerTlsConfig {
        cert: Some("c".into()),
        key: Some(crate::config::settings::Hidden("k".into())),
        client_ca: Some(ca.into()),
        client_auth_type: Some(kind.into()),
        ..ServerTlsConfig::default()
    };
    let read = |kind: &str, ca: &str| {
        let config = config(kind, ca);
        TlsSettings::of_server(&config).map(|found| found.map(|found| (found.client_ca.is_some(), found.client_may_lack))).ok()
    };
    assert_eq!(read("", "ca"), Some(Some((false, true))));
    assert_eq!(read("NoClientCert", ""), Some(Some((false, true))));
    assert_eq!(read("VerifyClientCertIfGiven", "ca"), Some(Some((true, true))));
    assert_eq!(read("RequireAndVerifyClientCert", "ca"), Some(Some((true, false))));
    assert_eq!(read("RequireAndVerifyClientCert", ""), None);
    assert_eq!(read("RequestClientCert", "ca"), None);
    assert!(TlsSettings::of_server(&ServerTlsConfig::default()).unwrap().is_none());
    let half = ServerTlsConfig { cert_file: Some("c".into()), ..ServerTlsConfig::default() };
    assert!(matches!(TlsSettings::of_server(&half), Err(TlsError::Incomplete)));
}
