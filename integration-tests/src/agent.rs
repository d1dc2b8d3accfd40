use crate::server::until;
use crate::{Answer, Client, binary};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// One `skald-agent`, its folder and its address. Killed and removed with the value.
#[derive(Debug)]
pub struct Agent {
    folder: TempDir,
    child: Option<Child>,
    environment: Vec<(String, String)>,
    starts: usize,
    client: Client,
}

impl Agent {
    /// An agent that does not run yet. In `config` the word `FOLDER` stands for its folder; the server listens on a free port, and positions and spool lie in the folder.
    pub fn stopped(config: &str) -> Self {
        let agent =
            Agent { folder: tempfile::tempdir().unwrap(), child: None, environment: Vec::new(), starts: 0, client: Client::new("") };
        agent.configure(config);
        agent
    }

    /// A running agent.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        let mut agent = Self::stopped(config);
        agent.restart();
        agent
    }

    /// Writes another configuration; a running agent does not know of it yet.
    pub fn configure(&self, config: &str) {
        let head = "server: {http_listen_address: 127.0.0.1, http_listen_port: 0, grpc_listen_port: 0}\npositions: {filename: FOLDER/state/positions.yaml, sync_period: 100ms}\n";
        let folder = self.path().display().to_string();
        std::fs::write(self.path().join("agent.yaml"), format!("{head}{config}").replace("FOLDER", &folder)).unwrap();
    }

    /// With an environment variable, of which the process has no others.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the process, which must not run, and waits until it listens.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "runs already");
        self.starts += 1;
        let log = File::create(self.log_path()).unwrap();
        let mut command = Command::new(binary("skald-agent"));
        let command = command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .arg(format!("-config.file={}", self.path().join("agent.yaml").display()));
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let line = until("the log names the address", || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("ended with {status}: {}", self.log());
            }
            self.log().lines().find(|line| line.contains("msg=listening")).map(str::to_owned)
        });
        let address = line.split(' ').find_map(|field| field.strip_prefix("http=")).unwrap().to_owned();
        self.client = Client::new(&format!("http://{address}"));
    }

    /// Kills the process, by SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal and does not wait: `-HUP`, `-TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Asks the process to stop, by SIGTERM, and waits until it has.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("-TERM");
        let mut child = self.child.take().expect("it runs");
        until("it ends", || child.try_wait().unwrap())
    }

    /// The folder with the configuration, the log, and `state` with positions and spool.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `GET` of a path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.client.call("GET", path, &[], b"").unwrap()
    }

    /// The sum of the samples of a metric whose labels contain `labels`; 0 when it has no sample.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let answer = self.get("/metrics");
        let samples = answer.text().lines().filter(|line| line.contains(labels)).filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        });
        samples.sum()
    }

    /// The positions file, as text; empty while there is none.
    pub fn positions(&self) -> String {
        std::fs::read_to_string(self.path().join("state/positions.yaml")).unwrap_or_default()
    }

    /// What the process that was started last wrote to standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.path().join(format!("agent.log.{}", self.starts))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself; there is nothing more to do about it.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() && self.starts > 0 {
            for start in 1..=self.starts {
                let log = std::fs::read(self.path().join(format!("agent.log.{start}"))).unwrap_or_default();
                eprintln!("--- log of the agent's start {start}\n{}---", String::from_utf8_lossy(&log));
            }
        }
    }
}
