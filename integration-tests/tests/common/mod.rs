//! The S3 server that tests share, processes on it, and what is in the bucket.

use integration_tests::load::unlimited;
use integration_tests::{FaultProxy, Server};
use prometheus_client::registry::Registry;
use skald_config::{S3Config, StoreUrl};
use skald_runtime::{SystemClock, TokioSpawner};
use skald_store::ObjectStore;
use skald_store::s3::{Credentials, Metrics, Parts, S3Store};
use skald_testkit::S3Server;
use std::sync::{Arc, LazyLock};

/// One for all tests of a program; each has a folder of its own.
pub static REMOTE: LazyLock<S3Server> = LazyLock::new(|| {
    let server = S3Server::start();
    server.create_bucket("logs");
    server
});

/// A proxy in front of it.
pub fn proxy() -> FaultProxy {
    FaultProxy::start(&REMOTE.endpoint())
}

/// A process on a folder of the bucket, behind the proxy, with a data directory of its own. It does not run yet.
pub fn skald(proxy: &FaultProxy, folder: &str) -> Server {
    skald_with(proxy, folder, "")
}

/// With more of a configuration.
pub fn skald_with(proxy: &FaultProxy, folder: &str, more: &str) -> Server {
    with_keys(Server::stopped(&format!("{}{more}{}", storage(&proxy.endpoint(), folder), unlimited())))
}

/// The part of a configuration that names the bucket.
pub fn storage(endpoint: &str, folder: &str) -> String {
    format!("storage:\n  url: s3://logs/{folder}\n  s3:\n    endpoint: {endpoint}\n    request_timeout: 1s\n    connect_timeout: 1s\n")
}

/// With the keys of the server.
pub fn with_keys(server: Server) -> Server {
    server.variable("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY).variable("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY)
}

/// A folder of the bucket, by the server's API.
pub struct Bucket {
    runtime: tokio::runtime::Runtime,
    store: S3Store,
}

impl Bucket {
    /// The folder `folder`, without any proxy.
    pub fn of(folder: &str) -> Self {
        let Ok(StoreUrl::S3(url)) = format!("s3://logs/{folder}").parse() else { panic!("{folder}") };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let credentials = Credentials::Given { access_key: S3Server::ACCESS_KEY.to_owned(), secret_key: S3Server::SECRET_KEY.to_owned() };
        let config = S3Config { endpoint: Some(REMOTE.endpoint()), ..S3Config::default() };
        let store = runtime.block_on(async {
            let (clock, spawner) = (Arc::new(SystemClock::new()), Arc::new(TokioSpawner::new(&skald_runtime::Metrics::new("test"))));
            let metrics = Metrics::register(&mut Registry::default());
            S3Store::connect(Parts { url, config, credentials, clock, spawner, metrics }).await.unwrap()
        });
        Bucket { runtime, store }
    }

    /// Names and sizes below `prefix`.
    pub fn sizes(&self, prefix: &str) -> Vec<(String, usize)> {
        let listed = self.runtime.block_on(self.store.list(prefix)).unwrap();
        listed.into_iter().map(|meta| (meta.name, meta.size as usize)).collect()
    }

    /// Names below `prefix`.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.sizes(prefix).into_iter().map(|(name, _)| name).collect()
    }

    /// Removes objects.
    pub fn delete(&self, names: &[String]) {
        self.runtime.block_on(self.store.delete_many(names)).unwrap();
    }
}
