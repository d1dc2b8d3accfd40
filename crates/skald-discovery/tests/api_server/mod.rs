//! A real API server of Kubernetes with its etcd, on the loopback interface and with a directory of their own.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::Client;
use skald_discovery::config::{Authorization, KubernetesSdConfig, Role, Secret, TlsConfig};
use tempfile::TempDir;

/// Variable with the folder of both programs, which `scripts/kubernetes-api.sh` prints.
const PROGRAMS: &str = "SKALD_KUBERNETES_API";
/// Runs a program, and kills it when told so or when its own input ends, since the test died.
const GUARD: &str = r#""$@" < /dev/null & pid=$!; read -r _; kill -9 $pid; wait $pid"#;
/// The token that the server knows.
pub const TOKEN: &str = "test-token";
/// Tries at 100 ms for the server to become ready.
const PATIENCE: u32 = 1200;

/// The two processes. Killed with the value, or with the test.
pub struct ApiServer {
    folder: TempDir,
    port: u16,
    etcd_port: u16,
    _etcd: Guarded,
    server: Option<Guarded>,
}

impl ApiServer {
    /// Starts both and waits until the API server is ready.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("skald-kubernetes-").tempdir().expect("a temporary directory");
        write_secrets(folder.path());
        let [etcd_port, peer_port, port] = free_ports();
        let (client, peer) = (format!("http://127.0.0.1:{etcd_port}"), format!("http://127.0.0.1:{peer_port}"));
        let data = folder.path().join("etcd").display().to_string();
        let etcd = Guarded::start(
            folder.path(),
            "etcd",
            &[
                "--data-dir",
                &data,
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
                "--initial-cluster",
                &format!("default={peer}"),
            ],
        );
        let mut server = ApiServer { folder, port, etcd_port, _etcd: etcd, server: None };
        server.start_again().await;
        server
    }

    /// Kills the API server; what it knows stays in etcd.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Starts the API server on the same port and waits until it is ready.
    pub async fn start_again(&mut self) {
        let path = |name: &str| self.path(name).display().to_string();
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--tls-cert-file={}", path("server.crt")),
            format!("--tls-private-key-file={}", path("server.key")),
            format!("--client-ca-file={}", path("ca.crt")),
            format!("--token-auth-file={}", path("tokens.csv")),
            format!("--service-account-key-file={}", path("server.key")),
            format!("--service-account-signing-key-file={}", path("server.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // Pods would need service accounts, which a controller makes.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.server = Some(Guarded::start(self.folder.path(), "kube-apiserver", &arguments));
        let client = self.client().await;
        for _ in 0..PATIENCE {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            if client.request_text(request).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the API server does not become ready: {}", std::fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default());
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.kubeconfig()).expect("a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a configuration");
        config.default_retry = false;
        Client::try_from(config).expect("a client")
    }

    /// Asks this server with a token.
    pub fn by_token(&self, role: Role) -> KubernetesSdConfig {
        KubernetesSdConfig {
            api_server: Some(self.url()),
            authorization: Some(Authorization { credentials_file: Some(self.path("token")), ..Authorization::default() }),
            tls_config: Some(TlsConfig { ca_file: Some(self.path("ca.crt")), ..TlsConfig::default() }),
            ..KubernetesSdConfig::new(role)
        }
    }

    /// Asks this server with a certificate, all of it in the configuration itself.
    pub fn by_inline_certificate(&self, role: Role) -> KubernetesSdConfig {
        let text = |name: &str| std::fs::read_to_string(self.path(name)).expect("it was written");
        let tls = TlsConfig {
            ca: Some(text("ca.crt")),
            cert: Some(text("client.crt")),
            key: Some(Secret::new(text("client.key"))),
            server_name: Some("kubernetes.test".to_owned()),
            ..TlsConfig::default()
        };
        KubernetesSdConfig { api_server: Some(self.url()), tls_config: Some(tls), ..KubernetesSdConfig::new(role) }
    }

    /// Asks this server with certificate files, and looks at none of its own.
    pub fn by_certificate_files(&self, role: Role) -> KubernetesSdConfig {
        let tls = TlsConfig {
            insecure_skip_verify: true,
            cert_file: Some(self.path("client.crt")),
            key_file: Some(self.path("client.key")),
            ..TlsConfig::default()
        };
        KubernetesSdConfig { api_server: Some(self.url()), tls_config: Some(tls), ..KubernetesSdConfig::new(role) }
    }

    /// Writes a file that [`ApiServer::by_token`] reads.
    pub fn write_token(&self, token: &str) {
        std::fs::write(self.path("token"), token).expect("the directory takes files");
    }

    /// Asks this server with a certificate, as a kubeconfig says.
    pub fn by_certificate(&self, role: Role) -> KubernetesSdConfig {
        KubernetesSdConfig { kubeconfig_file: Some(self.kubeconfig()), ..KubernetesSdConfig::new(role) }
    }

    fn kubeconfig(&self) -> PathBuf {
        let path = self.path("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
             clusters: [{{name: test, cluster: {{server: '{}', certificate-authority: ca.crt}}}}]\n\
             users: [{{name: test, user: {{client-certificate: client.crt, client-key: client.key}}}}]\n",
            self.url()
        );
        std::fs::write(&path, text).expect("the directory takes files");
        path
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A running program.
struct Guarded(Child);

impl Guarded {
    /// Its output goes to a file beside its data.
    fn start(folder: &Path, program: &str, arguments: &[&str]) -> Self {
        let programs = std::env::var_os(PROGRAMS)
            .unwrap_or_else(|| panic!("{PROGRAMS} says where etcd and kube-apiserver are: run `make kubernetes`"));
        let log = std::fs::File::create(folder.join(format!("{program}.log"))).expect("the directory takes files");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(Path::new(&programs).join(program)).args(arguments).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        Guarded(command.spawn().expect("sh runs"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(mut input) = self.0.stdin.take() {
            let _ = input.write_all(b"stop\n");
        }
        let _ = self.0.wait();
    }
}

/// Certificates of an authority of its own, and a token.
fn write_secrets(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("the directory takes files");
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca -addext basicConstraints=critical,CA:TRUE",
    );
    write("server.ext", "subjectAltName=IP:127.0.0.1,DNS:kubernetes.test\nextendedKeyUsage=serverAuth\n");
    write("client.ext", "extendedKeyUsage=clientAuth\n");
    for (name, subject) in [("server", "/CN=kube-apiserver"), ("client", "/O=system:masters/CN=test")] {
        openssl(&format!("req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"));
        openssl(&format!("x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.crt"));
    }
    write("tokens.csv", &format!("{TOKEN},agent,1,\"system:masters\"\n"));
    write("token", TOKEN);
}

fn free_ports() -> [u16; 3] {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let from = 25_000 + (std::process::id() % 900) as u16;
    let ports: Vec<u16> = (from..26_000).filter(is_free).take(3).collect();
    ports.try_into().expect("three of many ports are free")
}
