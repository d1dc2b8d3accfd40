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
    let (stdout, stderr) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let mut command = Command::new(crate::skald_binary());
    command.env_clear().args(args).stdin(Stdio::null()).stdout(stdout.reopen().unwrap()).stderr(stderr.reopen().unwrap());
    let mut child = Running(command.spawn().unwrap());
    let status = until("the command ends", || child.0.try_wait().unwrap());
    let written = |file: &tempfile::NamedTempFile| std::fs::read(file.path()).unwrap();
    let stderr = String::from_utf8_lossy(&written(&stderr)).into_owned();
    Ran { code: status.code().unwrap_or(-1), stdout: written(&stdout), stderr }
}

/// A process that does not outlive the test that gave up on it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
