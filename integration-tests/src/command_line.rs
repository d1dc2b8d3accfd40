use crate::until;
use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

/// What a run of the command line left.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output of a run that succeeded.
    #[track_caller]
    pub fn ok(self) -> Vec<u8> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// Standard output of a run that succeeded, as text.
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.ok()).unwrap()
    }
}

/// Runs `skald` with `args` and nothing of this process's environment, and waits until it has ended.
#[track_caller]
pub fn run_skald<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    start_skald(args).ended()
}

/// Starts `skald` with `args` and nothing of this process's environment.
#[track_caller]
pub fn start_skald<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Running {
    start_skald_in(&[], args)
}

/// Starts `skald` with `args` and these environment variables alone.
#[track_caller]
pub(crate) fn start_skald_in<A: AsRef<OsStr>>(environment: &[(String, String)], args: impl IntoIterator<Item = A>) -> Running {
    let (stdout, stderr) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let mut command = Command::new(crate::skald_binary());
    command
        .env_clear()
        .envs(environment.iter().cloned())
        .args(args)
        .stdin(Stdio::null())
        .stdout(stdout.reopen().unwrap())
        .stderr(stderr.reopen().unwrap());
    Running { child: command.spawn().unwrap(), stdout, stderr }
}

/// A process that does not outlive the test that gave up on it.
pub struct Running {
    child: Child,
    stdout: tempfile::NamedTempFile,
    stderr: tempfile::NamedTempFile,
}

impl Running {
    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.stdout.path()).unwrap()).into_owned()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.stderr.path()).unwrap()).into_owned()
    }

    /// Sends a signal and does not wait: `-INT`.
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn ended(mut self) -> Ran {
        let status = until("the command ends", || self.child.try_wait().unwrap());
        Ran { code: status.code().unwrap_or(-1), stdout: std::fs::read(self.stdout.path()).unwrap(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
