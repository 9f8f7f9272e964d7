//! One health check: status 200, and the page says what it should.

use std::time::Duration;

use super::{body, cause, guard};
use crate::ports::HealthQuery;
use crate::probe::health::{SEARCHED, says};

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
    let page = body(response, SEARCHED).await.map_err(|error| cause(&error, limit))?;
    says(page.beginning(), expect)
}
