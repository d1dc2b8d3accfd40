//! How the API server is found and spoken to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use skald_model::ErrorKind;
use skald_model::seam::{Clock, Disk};

use super::request::{Credentials, Gate, Headers, Text};
use crate::config::{InvalidKubernetesSd, KubernetesSdConfig, TlsConfig};

/// A connection that says nothing for this long is dead; watches end after five minutes at the latest.
const READ_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(310);

/// Why Kubernetes cannot be asked for targets.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum KubernetesError {
    #[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid { problems: Vec<InvalidKubernetesSd> },
    #[error("read the kubeconfig file '{}'", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: KubeconfigError,
    },
    #[error("find the API server of the cluster that this process runs in (set api_server or kubeconfig_file elsewhere)")]
    InCluster(#[source] kube::config::InClusterError),
    #[error("read '{}'", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the certificates of tls_config are not PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("there are no certificates in the ca of tls_config")]
    NoCertificates,
    #[error("'{name}' is not a header")]
    Header { name: String },
    #[error("build a client of the API server")]
    Client(#[source] kube::Error),
}

impl KubernetesError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. }
            | Self::Kubeconfig { .. }
            | Self::InCluster(_)
            | Self::Pem(_)
            | Self::NoCertificates
            | Self::Header { .. }
            | Self::Client(_) => ErrorKind::InvalidInput,
            Self::Read { .. } => ErrorKind::Internal,
        }
    }
}

/// A client of the API server, and the namespace that is ours there.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) own_namespace: String,
}

/// Builds the client; nothing is sent yet.
pub(super) async fn connect(
    config: &KubernetesSdConfig,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
) -> Result<Connection, KubernetesError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(KubernetesError::Invalid { problems });
    }
    let (mut server, credentials) = server(config, &*disk).await?;
    server.read_timeout = Some(READ_TIMEOUT);
    server.reset_reader_on_write = true;
    // Failures are counted, told, and followed by a pause here.
    server.default_retry = false;

    let own_namespace = server.default_namespace.clone();
    let headers = Headers::new(credentials, &config.http_headers, disk).map_err(|name| KubernetesError::Header { name })?;
    let headers = Arc::new(headers);
    let gate = tower::layer::layer_fn(|service| Gate::new(service, headers.clone(), clock.clone()));
    let client = ClientBuilder::try_from(server).map_err(KubernetesError::Client)?.with_layer(&gate).build();
    Ok(Connection { client, own_namespace })
}

/// Where the server is, how TLS is done, and who we are.
async fn server(config: &KubernetesSdConfig, disk: &dyn Disk) -> Result<(Config, Credentials), KubernetesError> {
    if let Some(path) = &config.kubeconfig_file {
        let failed = |source| KubernetesError::Kubeconfig { path: path.clone(), source };
        let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
        // Who we are says the file, and kube does what it says.
        return Ok((Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(failed)?, Credentials::None));
    }
    let Some(url) = &config.api_server else {
        let mut server = Config::incluster().map_err(KubernetesError::InCluster)?;
        let token = server.auth_info.token_file.take();
        return Ok((server, token.map_or(Credentials::None, |path| Credentials::bearer(Text::File(path.into())))));
    };
    let wrong_url = || KubernetesError::Invalid { problems: vec![InvalidKubernetesSd::ServerUrl { url: url.clone() }] };
    let mut server = Config::new(url.parse().map_err(|_| wrong_url())?);
    if let Some(tls) = &config.tls_config {
        set_tls(&mut server, tls, disk)?;
    }
    Ok((server, Credentials::of(config)))
}

fn set_tls(server: &mut Config, tls: &TlsConfig, disk: &dyn Disk) -> Result<(), KubernetesError> {
    let ca = match (&tls.ca, &tls.ca_file) {
        (Some(ca), _) => Some(ca.clone().into_bytes()),
        // The file is read again while the process runs.
        (None, Some(path)) => {
            server.root_cert_file = Some(path.clone());
            Some(read(disk, path)?)
        }
        (None, None) => None,
    };
    if let Some(ca) = ca {
        let certificates = CertificateDer::pem_slice_iter(&ca).map(|certificate| certificate.map(|der| der.to_vec()));
        let certificates: Vec<Vec<u8>> = certificates.collect::<Result<_, _>>().map_err(KubernetesError::Pem)?;
        if certificates.is_empty() {
            return Err(KubernetesError::NoCertificates);
        }
        server.root_cert = Some(certificates);
    }
    let own = &mut server.auth_info;
    own.client_certificate = tls.cert_file.as_ref().map(|path| path.display().to_string());
    own.client_certificate_data = tls.cert.as_ref().map(|pem| BASE64_STANDARD.encode(pem));
    own.client_key = tls.key_file.as_ref().map(|path| path.display().to_string());
    own.client_key_data = tls.key.as_ref().map(|pem| BASE64_STANDARD.encode(pem.reveal()).into());
    server.tls_server_name = tls.server_name.clone();
    server.accept_invalid_certs = tls.insecure_skip_verify;
    Ok(())
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, KubernetesError> {
    disk.read(path).map_err(|source| KubernetesError::Read { path: path.to_owned(), source })
}
