//! One health check: status 200, and the page says what it should.

use std::error::Error;
use std::io;

use nix::errno::Errno;

use super::{body, cause, guard};
use crate::ports::HealthQuery;
use crate::probe::health::{SEARCHED, says};

/// `None`: it could not be made, for a reason that lies with this host.
pub(super) async fn check(
    client: &reqwest::Client,
    query: &HealthQuery,
) -> Option<Result<(), String>> {
    let url = match guard::allowed(&query.url) {
        Ok(url) => url,
        Err(why) => return Some(Err(why)),
    };
    match client.get(url).timeout(query.timeout).send().await {
        Ok(response) => Some(judge(response, query).await),
        Err(error) if is_out_of_files(&error) => None,
        Err(error) => Some(Err(cause(&error, query.timeout))),
    }
}

async fn judge(response: reqwest::Response, query: &HealthQuery) -> Result<(), String> {
    let status = response.status();
    if status != reqwest::StatusCode::OK {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    let Some(expect) = &query.expect else { return Ok(()) };
    let page = body(response, SEARCHED).await.map_err(|error| cause(&error, query.timeout))?;
    says(page.beginning(), expect)
}

/// This process or this host has no file left for a connection: nobody was asked.
fn is_out_of_files(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let chain = std::iter::from_fn(|| {
        let error = next?;
        next = error.source();
        Some(error)
    });
    let mut codes = chain.filter_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
    codes.any(|code| matches!(Errno::from_raw(code), Errno::ENFILE | Errno::EMFILE))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{client, endless};
    use super::*;
    use tidegate_engine::model::instance::InstanceId;

    #[tokio::test(flavor = "multi_thread")]
    async fn endless_pages_of_a_server_are_cut() {
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        let (url, taken) = endless::server(head, "<p>");
        let timeout = Duration::from_mins(1);
        let expect = Some("welcome".to_owned());
        let query =
            HealthQuery { instance: InstanceId::new("i-1"), url, expect, timeout, every: timeout };
        assert!(check(&client().unwrap(), &query).await.unwrap().is_err());
        assert!(taken.recv().unwrap() < endless::BUFFERED);
    }
}
