//! Where SQLite's calls run.

use crate::ports::StoreFault;

/// Runs `work` on a thread that may block.
///
/// Each commit waits for the disk, each lock for another process up to seconds, and a week of
/// history takes long to read. On a worker of the runtime, one slow disk would stop the socket,
/// the page and every call to AWS; beside a sync to disk, the change of threads costs little.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreFault> + Send + 'static,
) -> Result<T, StoreFault> {
    let ended = match tokio::task::spawn_blocking(work).await {
        Ok(done) => return done,
        Err(ended) => ended,
    };
    match ended.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // The runtime shuts down.
        Err(cancelled) => Err(StoreFault::Unreachable(cancelled.to_string())),
    }
}
