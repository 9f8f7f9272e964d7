//! The client side of the daemon's socket.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::{FAILED, Failure, UNREACHABLE};

/// `adopt` waits for EC2, and for the tick in hand, which waits for AWS: so long at most, as a rule.
const PATIENCE: Duration = Duration::from_secs(90);

/// The host of the URL means nothing on a unix socket, but HTTP wants one.
const BASE: &str = "http://tidegate";

pub(super) async fn get(socket: &Path, route: &str) -> Result<String, Failure> {
    answer(socket, connect(socket)?.get(format!("{BASE}{route}"))).await
}

pub(super) async fn post<T: serde::Serialize + Sync>(
    socket: &Path,
    route: &str,
    body: &T,
) -> Result<String, Failure> {
    answer(socket, connect(socket)?.post(format!("{BASE}{route}")).json(body)).await
}

fn connect(socket: &Path) -> Result<reqwest::Client, Failure> {
    let client = reqwest::Client::builder()
        .unix_socket(socket.to_owned())
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .context("failed to prepare the call")?;
    Ok(client)
}

async fn answer(socket: &Path, request: reqwest::RequestBuilder) -> Result<String, Failure> {
    let response = request.send().await.map_err(|error| unreachable(socket, &error))?;
    let status = response.status();
    let body = response.text().await.context("failed to read the daemon's answer")?;
    if status.is_success() { Ok(body) } else { Err(Failure::Error(FAILED, anyhow!(body))) }
}

/// Why the daemon did not answer, and what to do.
fn unreachable(socket: &Path, error: &reqwest::Error) -> Failure {
    let at = socket.display();
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let text = match kind {
        _ if error.is_timeout() => format!(
            "the daemon at {at} took the request and did not answer within {} s; its log says why",
            PATIENCE.as_secs()
        ),
        Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => format!(
            "no daemon listens at {at}; start it with `systemctl start tidegate` or `tidegate run`, \
             or name its socket with --socket"
        ),
        Some(ErrorKind::PermissionDenied) => format!(
            "{at} is not open to this user; ask as root or as a member of the socket's group"
        ),
        _ => format!("the daemon cannot be reached at {at}: {cause}"),
    };
    Failure::Error(UNREACHABLE, anyhow!(text))
}
