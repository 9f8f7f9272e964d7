//! Lines on their way to stderr, which may be a pipe that nobody reads: the loop never waits for its
//! log. What does not fit is dropped, counted, and told once there is room again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use tidegate_engine::model::fault::visible;

/// Lines that wait at most: a tick over hundreds of servers, and little memory.
const WAITING_AT_MOST: usize = 4096;

/// The queue between the loop and a thread that writes. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    writing: bool,
    lost: u64,
}

impl Lines {
    /// Starts the thread that writes to `out`, for as long as the process lives.
    pub(super) fn to(mut out: impl Write + Send + 'static) -> Self {
        let lines = Self::default();
        let queue = lines.clone();
        std::thread::spawn(move || {
            loop {
                let (line, lost) = queue.next();
                // A log that nobody can read is no reason to stop.
                out.write_all(&line).ok();
                if lost > 0 {
                    writeln!(out, "{lost} lines of this log were lost: nobody read them").ok();
                }
                out.flush().ok();
            }
        });
        lines
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line, and how many were lost since the one before. Being asked for another, the last
    /// one is written.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut state = self.state();
        state.writing = false;
        self.0.changed.notify_all();
        loop {
            if let Some(line) = state.waiting.pop_front() {
                state.writing = true;
                return (line, std::mem::take(&mut state.lost));
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all is written, for a bounded time.
    pub(super) fn flush(&self, within: Duration) {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        let waited = self.0.changed.wait_timeout_while(self.state(), within, busy);
        drop(waited);
    }
}

impl Write for &Lines {
    /// One call is one line; it always succeeds.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.waiting.len() < WAITING_AT_MOST {
            // Of text from outside, at the one place through which every line goes.
            let line = String::from_utf8_lossy(line);
            state.waiting.push_back(visible(&line).into_owned().into_bytes());
        } else {
            state.lost = state.lost.saturating_add(1);
        }
        self.0.changed.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes when it is let.
    struct Gate(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().ok();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_not_read_and_what_is_lost_is_told() {
        let (gate, written) = (mpsc::channel(), Arc::new(Mutex::new(Vec::new())));
        let lines = Lines::to(Gate(gate.1, written.clone()));
        for n in 0..WAITING_AT_MOST + 10 {
            (&lines).write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        lines.flush(Duration::from_millis(1));
        drop(gate.0);
        lines.flush(Duration::from_secs(30));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let (told, lost): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.parse::<u32>().is_ok());
        assert_eq!(told.first(), Some(&"0"));
        assert!(told.len() >= WAITING_AT_MOST, "{}", told.len());
        let count: usize =
            lost.iter().map(|l| l.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(told.len() + count, WAITING_AT_MOST + 10, "{lost:?}");
    }

    #[test]
    fn hidden_characters_reach_no_log() {
        let (gate, written) = (mpsc::channel(), Arc::new(Mutex::new(Vec::new())));
        let lines = Lines::to(Gate(gate.1, written.clone()));
        (&lines).write_all("a\u{61c}b\u{2028}c\u{e0041}\n".as_bytes()).unwrap();
        drop(gate.0);
        lines.flush(Duration::from_secs(30));
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "a\\u061cb\\u2028c\\udb40\\udc41\n");
    }
}
