//! A terminal with a program in it, as a person has one before them.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Folder, wait_for};

/// By `script`, which every Debian has: it gives the program a pseudo-terminal, and hands on what is
/// written to it.
pub(crate) struct Terminal {
    script: Child,
    /// What came so far.
    written: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    folder: Folder,
}

impl Terminal {
    pub(crate) fn open(program: &Command, columns: u32, lines: u32) -> Self {
        let folder = Folder::new();
        let pid = folder.path().join("pid");
        let quoted = |part: &std::ffi::OsStr| format!("'{}'", part.to_str().unwrap());
        let args: Vec<String> = program.get_args().map(quoted).collect();
        let line = format!(
            "stty cols {columns} rows {lines}; echo $$ > '{}.new'; mv '{0}.new' '{0}'; exec {} {}",
            pid.display(),
            quoted(program.get_program()),
            args.join(" ")
        );
        let mut script = Command::new("script");
        script.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        for (name, value) in program.get_envs() {
            script.env(name, value.unwrap_or_default());
        }
        script.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().unwrap();
        let mut from = script.stdout.take().unwrap();
        let written = Arc::new(Mutex::new(String::new()));
        let to = written.clone();
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            let mut bytes = Vec::new();
            while let Ok(n @ 1..) = from.read(&mut part) {
                bytes.extend_from_slice(&part[..n]);
                *to.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        Self { script, written, reader, folder }
    }

    /// The last whole picture, without its colours.
    pub(crate) fn shown(&self) -> String {
        let written = self.written.lock().unwrap();
        let whole = written.rsplit_once("\u{1b}[J").map_or("", |(whole, _)| whole);
        let picture = whole.rsplit_once("\u{1b}[H").map_or("", |(_, picture)| picture);
        let mut escape = false;
        let seen = |c: &char| match (escape, c) {
            (false, '\u{1b}') => {
                escape = true;
                false
            }
            (true, c) => {
                escape = !c.is_ascii_alphabetic();
                false
            }
            (false, c) => *c != '\r',
        };
        picture.chars().filter(seen).collect()
    }

    /// Until the picture has it.
    #[track_caller]
    pub(crate) fn wait(&self, text: &str) -> String {
        wait_for(text, || Some(self.shown()).filter(|shown| shown.contains(text)))
    }

    /// Ctrl-C; with what code it ended, and all that it wrote.
    pub(crate) fn interrupt(&mut self) -> (i32, String) {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        assert!(Command::new("kill").args(["-INT", pid.trim()]).status().unwrap().success());
        let ended = wait_for("it ends", || self.script.try_wait().unwrap());
        // The thread may be behind `script`, and ends with what `script` has handed on.
        wait_for("all is read", || self.reader.is_finished().then_some(()));
        (ended.code().unwrap(), self.written.lock().unwrap().clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.folder.path().join("pid")) {
            Command::new("kill").args(["-KILL", pid.trim()]).stderr(Stdio::null()).status().ok();
        }
        self.script.kill().ok();
        self.script.wait().ok();
    }
}
