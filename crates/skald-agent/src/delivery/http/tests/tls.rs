use super::*;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::process::Command;

/// A certificate authority, made with the `openssl` of the system.
pub struct Authority(Files);

impl Authority {
    pub fn new() -> Self {
        let authority = Authority(Files::new());
        let name = "/CN=Authority of a test";
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            name,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.0.path()).output().expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes `<name>.pem` and `<name>.key`.
    fn issue(&self, name: &str) {
        let [key, request, certificate] = ["key", "csr", "pem"].map(|ending| format!("{name}.{ending}"));
        self.0.write("ext", &format!("subjectAltName=DNS:{name}\nbasicConstraints=CA:FALSE\n"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=x",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            &certificate,
        ]);
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    pub fn ca_file(&self) -> String {
        self.path("ca.pem")
    }

    #[allow(clippy::disallowed_methods, reason = "the client under test has a real disk")]
    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("it was made")
    }

    /// A server with a certificate for `name`.
    pub fn server(&self, name: &str) -> ServerConfig {
        self.server_of(name, rustls::ALL_VERSIONS)
    }

    fn server_of(&self, name: &str, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        self.issue(name);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions");
        builder.with_no_client_auth().with_single_cert(self.chain(name), self.key(name)).expect("they fit")
    }

    /// The same, which demands a certificate of ours from clients.
    fn mutual_server(&self, name: &str) -> ServerConfig {
        self.issue(name);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.ca_file()).expect("PEM")).expect("a certificate");
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().expect("roots");
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        builder.with_client_cert_verifier(verifier).with_single_cert(self.chain(name), self.key(name)).expect("they fit")
    }

    fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(self.path(&format!("{name}.pem"))).expect("PEM")]
    }

    fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).expect("PEM")
    }
}

async fn fails(config: &str) -> String {
    let error = open(config).await.push(None, body()).await.expect_err("the connection is refused");
    assert_eq!(error.cause(), Cause::Connection);
    skald_runtime::chain(&error)
}

#[tokio::test]
async fn only_configured_authorities_are_trusted() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server("localhost"), |_| Reply::status(204)).await;
    let url = format!("url: https://localhost:{}/push", server.port());
    assert_eq!(push(&open(&format!("{url}\ntls_config: {{ca_file: '{}'}}", authority.ca_file())).await).await.status, 204);
    let inline = authority.text("ca.pem").replace('\n', "\n    ");
    assert_eq!(push(&open(&format!("{url}\ntls_config:\n  ca: |\n    {inline}")).await).await.status, 204);
    assert_eq!(push(&open(&format!("{url}\ntls_config: {{insecure_skip_verify: true}}")).await).await.status, 204);
    assert!(fails(&url).await.contains("certificate"), "an authority of a test is none of the system's");
    let other = Authority::new();
    assert!(fails(&format!("{url}\ntls_config: {{ca_file: '{}'}}", other.ca_file())).await.contains("certificate"));
}

#[tokio::test]
async fn the_servers_name_can_be_another_than_the_addresss() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server("logs.test"), |_| Reply::status(204)).await;
    let (ca, url) = (authority.ca_file(), server.url());
    assert!(fails(&format!("url: {url}\ntls_config: {{ca_file: '{ca}'}}")).await.contains("certificate"));
    let config = format!("url: {url}/push\ntls_config: {{ca_file: '{ca}', server_name: logs.test}}");
    assert_eq!(push(&open(&config).await).await.status, 204);
    let host = format!("127.0.0.1:{}", server.port());
    assert_eq!(server.requests()[0].all("host"), [host]);
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.mutual_server("localhost"), |_| Reply::status(204)).await;
    authority.issue("agent");
    let url = format!("url: https://localhost:{}/push", server.port());
    let ca = authority.ca_file();
    let (cert, key) = (authority.path("agent.pem"), authority.path("agent.key"));
    let config = format!("{url}\ntls_config: {{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}");
    assert_eq!(push(&open(&config).await).await.status, 204);
    fails(&format!("{url}\ntls_config: {{ca_file: '{ca}'}}")).await;
}

#[tokio::test]
async fn versions_are_bounded() {
    let authority = Authority::new();
    let server = Server::start_tls(authority.server_of("localhost", &[&rustls::version::TLS12]), |_| Reply::status(204)).await;
    let config =
        |more: &str| format!("url: https://localhost:{}\ntls_config: {{ca_file: '{}', {more}}}", server.port(), authority.ca_file());
    assert_eq!(push(&open(&config("min_version: TLS10")).await).await.status, 204);
    fails(&config("min_version: TLS13")).await;
    let newer = Server::start_tls(authority.server_of("localhost", &[&rustls::version::TLS13]), |_| Reply::status(204)).await;
    let ca = authority.ca_file();
    fails(&format!("url: https://localhost:{}\ntls_config: {{ca_file: '{ca}', max_version: TLS12}}", newer.port())).await;
}

#[tokio::test]
async fn certificates_that_change_are_used_and_damaged_ones_are_not() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new();
    let ca = files.write("ca", &old.text("ca.pem"));
    let first = Server::start_tls(old.server("localhost"), |_| Reply::status(204)).await;
    let world = skald_testkit::SimWorld::new(1);
    let seams = Seams { clock: world.clock.clone(), ..seams() };
    let config = settings(&format!("url: https://localhost:{}\ntls_config: {{ca_file: '{ca}'}}", first.port()));
    let transport = HttpTransport::open(&config, &seams).await.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(push(&transport).await.status, 204);

    files.write("ca", "half a certifi");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(push(&transport).await.status, 204, "the old one still holds");

    let address = format!("127.0.0.1:{}", first.port()).parse().expect("an address");
    first.stop().await;
    let second = Server::start_tls_at(address, new.server("localhost"), |_| Reply::status(204)).await;
    files.write("ca", &new.text("ca.pem"));
    transport.push(None, body()).await.expect_err("files are not looked at with each request");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(push(&transport).await.status, 204);
    assert_eq!(second.requests().len(), 1);
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named() {
    let files = Files::new();
    let (empty, junk) = (files.write("empty", ""), files.write("junk", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"));
    for (tls, want) in [
        ("ca_file: /does/not/exist".to_owned(), "read /does/not/exist: No such file"),
        (format!("ca_file: '{empty}'"), "tls: ca holds no certificate"),
        (format!("ca_file: '{junk}'"), "tls: ca is not PEM"),
        (format!("cert_file: '{junk}', key_file: '{empty}'"), "tls: key is not PEM"),
    ] {
        let config = settings(&format!("url: https://localhost\ntls_config: {{{tls}}}"));
        let error = HttpTransport::open(&config, &seams()).await.err().expect("they are wrong");
        assert!(skald_runtime::chain(&error).starts_with(want), "{}", skald_runtime::chain(&error));
    }
}
