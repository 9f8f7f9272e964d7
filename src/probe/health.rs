//! One health check: status 200, and the page says what it should.

use std::time::Duration;

use super::{body, cause, guard};
use crate::ports::HealthQuery;

/// As much of a page as is searched.
const SEARCHED: usize = 64 * 1024;

pub(super) async fn check(client: &reqwest::Client, query: &HealthQuery) -> Result<(), String> {
    let url = guard::allowed(&query.url)?;
    let limit: Duration = query.timeout;
    let request = client.get(url).timeout(limit);
    let response = request.send().await.map_err(|error| cause(&error, limit))?;
    let status = response.status();
    if status != reqwest::StatusCode::OK {
        return Err(format!("HTTP {}", status.as_u16()));
    }
    let Some(expect) = &query.expect else { return Ok(()) };
    let (page, _) = body(response, SEARCHED).await.map_err(|error| cause(&error, limit))?;
    let page = String::from_utf8_lossy(&page).to_lowercase();
    if page.contains(&expect.to_lowercase()) {
        Ok(())
    } else {
        let expect = crate::model::fault::printable(expect, 40);
        Err(format!("HTTP 200, but the page does not say \"{expect}\""))
    }
}
