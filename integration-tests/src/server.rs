use crate::{Answer, Client, Ran, files_below, form, run_skald, skald_binary, start_skald_in};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it. Generous: no test measures time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `probe` gives something.
#[track_caller]
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One `skald serve`, its directory and its addresses. Killed and removed with the value.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    child: Option<Child>,
    environment: Vec<(String, String)>,
    starts: usize,
    /// Of HTTP; 0 for any that is free.
    port: u16,
    client: Client,
    grpc: String,
}

impl Server {
    /// A server with this configuration, started and ready.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        let mut server = Self::stopped(config);
        server.restart();
        server
    }

    /// A server that does not run yet.
    pub fn stopped(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("skald.yaml"), config).unwrap();
        Server { folder, child: None, environment: Vec::new(), starts: 0, port: 0, client: Client::new(""), grpc: String::new() }
    }

    /// With an environment variable, of which the process has no others.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// On one port at every start, for clients that wait for it.
    pub fn on_one_port(mut self) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        self.port = free.local_addr().unwrap().port();
        self
    }

    /// The port of [`Server::on_one_port`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the process, which must not run, and waits until it is ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.begin();
        self.wait_until_ready();
    }

    /// Starts the process, which must not run, and waits until it listens.
    #[track_caller]
    pub fn begin(&mut self) {
        self.spawn();
        let line = until("the log names the addresses", || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("ended with {status}: {}", self.log());
            }
            self.log().lines().find(|line| line.contains("msg=listening")).map(str::to_owned)
        });
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)).unwrap().to_owned();
        (self.client, self.grpc) = (Client::new(&format!("http://{}", field("http="))), field("grpc="));
    }

    /// Waits until it takes pushes and queries.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        until("ready", || (self.get("/ready").status == 200).then_some(()));
    }

    fn spawn(&mut self) {
        assert!(self.child.is_none(), "runs already");
        self.starts += 1;
        let log = File::create(self.log_path()).unwrap();
        let mut command = Command::new(skald_binary());
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Starts the process, expects it to end by itself without success, and gives its log.
    #[track_caller]
    pub fn fails(&mut self) -> String {
        self.spawn();
        assert!(!self.ended().success());
        self.log()
    }

    /// The arguments with which the process is started: port 0 lets it pick a free one.
    pub fn arguments(&self) -> Vec<String> {
        let (config, data_dir) = (self.path().join("skald.yaml"), self.data_dir());
        let (config, data_dir) = (config.display(), data_dir.display());
        let addresses = [format!("--http-listen=127.0.0.1:{}", self.port), "--grpc-listen=127.0.0.1:0".to_owned()];
        ["serve".to_owned(), format!("--config={config}"), format!("--data-dir={data_dir}")].into_iter().chain(addresses).collect()
    }

    /// Kills the process, by SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal and does not wait: `-KILL`, `-TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Asks the process to stop, by SIGTERM, and waits until it has.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.ended()
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        until("it ends", || child.try_wait().unwrap())
    }

    /// The folder with the configuration, the logs and the data directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// What the process that was started last wrote to standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.path().join(format!("log.{}", self.starts))
    }

    /// Where its HTTP port is: `http://127.0.0.1:…`.
    pub fn address(&self) -> &str {
        self.client.base()
    }

    /// Where its gRPC port is: `127.0.0.1:…`.
    pub fn grpc_address(&self) -> &str {
        &self.grpc
    }

    /// `GET` of a path with its query string.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// `GET` with headers.
    #[track_caller]
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call("GET", path, headers, b"").unwrap()
    }

    /// `GET` with parameters, which are encoded.
    #[track_caller]
    pub fn ask(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.ask_with(path, params, &[])
    }

    /// `GET` with parameters and headers.
    #[track_caller]
    pub fn ask_with(&self, path: &str, params: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        self.get_with(&format!("{path}?{}", form(params)), headers)
    }

    /// `POST` of a body.
    #[track_caller]
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.call("POST", path, headers, body).unwrap()
    }

    /// A request of any method; may meet a server that is gone.
    ///
    /// # Errors
    /// No answer.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ureq::Error> {
        self.client.call(method, path, headers, body)
    }

    /// `POST` of a form.
    #[track_caller]
    pub fn post_form(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.post(path, &[("content-type", "application/x-www-form-urlencoded")], form(params).as_bytes())
    }

    /// Pushes a JSON body for a tenant (none when empty) and expects it to be taken.
    #[track_caller]
    pub fn push(&self, tenant: &str, body: &str) {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend((!tenant.is_empty()).then_some(("x-scope-orgid", tenant)));
        let answer = self.post("/loki/api/v1/push", &headers, body.as_bytes());
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// The answer to a log query from `start` to `end`, up to 5000 entries, oldest first.
    #[track_caller]
    pub fn select(&self, query: &str, start: i64, end: i64) -> Value {
        let (start, end) = (start.to_string(), end.to_string());
        let params = [("query", query), ("start", &start), ("end", &end), ("limit", "5000"), ("direction", "forward")];
        self.ask("/loki/api/v1/query_range", &params).json()
    }

    /// The sum of the values of an instant query.
    #[track_caller]
    pub fn total(&self, query: &str) -> f64 {
        crate::vector_values(&self.ask("/loki/api/v1/query", &[("query", query)]).json()).iter().sum()
    }

    /// The sum of a metric over its labels; 0 when it has no sample.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let samples = text.text().lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        });
        samples.sum()
    }

    /// Flushes everything and waits until it is done.
    #[track_caller]
    pub fn flush(&self) {
        assert_eq!(self.post("/flush", &[], b"").status, 204);
        self.wait_until_flushed();
    }

    /// Waits until every entry is in a data object: no segment of the write-ahead log is left, and no sealed generation.
    #[track_caller]
    pub fn wait_until_flushed(&self) {
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wal");
        until("everything is flushed", || {
            let segments = files_below(&self.data_dir().join("wal")).iter().any(is_segment);
            (!segments && self.metric("skald_ingester_sealed_generations") == 0.0).then_some(())
        });
    }

    /// Runs the command line against this server, without its notices.
    pub fn cli(&self, args: &[&str]) -> Ran {
        run_skald(["--addr", self.address(), "-q"].iter().chain(args))
    }

    /// `skald fsck` over the data directory of a stopped server.
    pub fn fsck(&self) -> Ran {
        self.fsck_with(&[])
    }

    /// `skald fsck` with more arguments, and the environment of the server.
    pub fn fsck_with(&self, arguments: &[&str]) -> Ran {
        let data_dir = self.data_dir().display().to_string();
        let arguments = ["fsck", "--data-dir", &data_dir].into_iter().chain(arguments.iter().copied());
        start_skald_in(&self.environment, arguments).ended()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself; there is nothing more to do about it.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() && self.starts > 0 {
            eprintln!("--- log of the server\n{}---", self.log());
        }
    }
}
