//! How the tests wait: as long as the machine needs, and [`HANG`] for what never comes.
#![expect(clippy::panic, reason = "a wait that ends in vain fails the test")]

use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest wait for anything that must happen. Only a hang reaches it: the same work takes
/// seconds at most, and a slow machine has two hundred times as long.
pub(crate) const HANG: Duration = Duration::from_mins(4);

/// Looks every 50 ms until `look` finds something, and fails after [`HANG`].
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or_tell(|| what.to_owned(), look)
}

/// The same, with a message that is made when the wait fails.
#[track_caller]
pub(crate) fn wait_or_tell<T>(
    what: impl FnOnce() -> String,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < HANG, "not within {HANG:?}: {}", what());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command to its end and captures what it writes.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    output_of(command.spawn().unwrap())
}

/// Waits for the end of `child` and returns what it wrote to its pipes. Kills a child that runs for
/// longer than [`HANG`], and fails.
#[track_caller]
pub(crate) fn output_of(child: Child) -> Output {
    let pid = child.id().to_string();
    let Some(output) = ends(move || child.wait_with_output()) else {
        Command::new("kill").args(["-KILL", &pid]).status().ok();
        panic!("not within {HANG:?}: the end of a command");
    };
    output.unwrap()
}

/// Does `work` on another thread and returns its result, or `None` after [`HANG`].
pub(crate) fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()).ok());
    match result.recv_timeout(HANG) {
        Ok(found) => Some(found),
        Err(mpsc::RecvTimeoutError::Timeout) => None,
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("the work itself failed, see above"),
    }
}
