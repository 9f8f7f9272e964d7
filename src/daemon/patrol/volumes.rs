//! Volumes that servers left behind. Whether a volume ends with its server is in the image or the
//! launch template, and nobody notices one that does not, but for the bill.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::Cloud;
use tidegate_engine::model::fault::Fault;
use tidegate_engine::model::problem::{Problem, ProblemKind};
use tidegate_engine::model::volume::Volume;

/// A volume that is about to be deleted with its server is free for some seconds before.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// So many are told by name.
const NAMED: usize = 5;

/// What there is to tell.
pub(super) async fn look(cloud: Arc<dyn Cloud>, install: String) -> Result<Vec<Problem>, Fault> {
    left_behind(&*cloud, &install).await.map(|volumes| told(&volumes).into_iter().collect())
}

/// Those that are free at two looks.
async fn left_behind(cloud: &dyn Cloud, install: &str) -> Result<Vec<Volume>, Fault> {
    let first = cloud.free_volumes(install).await?;
    if first.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(AGAIN_AFTER).await;
    let ids: BTreeSet<String> = first.into_iter().map(|volume| volume.id).collect();
    let mut still = cloud.free_volumes(install).await?;
    still.retain(|volume| ids.contains(&volume.id));
    Ok(still)
}

fn told(volumes: &[Volume]) -> Option<Problem> {
    let count = volumes.len();
    let named: Vec<String> = volumes
        .iter()
        .take(NAMED)
        .map(|volume| match &volume.fleet {
            Some(fleet) => format!("{} of {fleet}", volume.id),
            None => volume.id.clone(),
        })
        .collect();
    let more = count.checked_sub(NAMED).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    let gib: u64 = volumes.iter().map(|volume| u64::from(volume.gib)).sum();
    let what = if count == 1 { "a volume that a server" } else { "volumes that servers" };
    let text = format!(
        "{count} left behind ({gib} GiB): {what} of ours did not take along and that AWS bills: {}{more}",
        named.join(", ")
    );
    (count > 0).then(|| Problem::new(ProblemKind::Volumes, None, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_engine::model::fleet::FleetName;

    fn volume(n: u32) -> Volume {
        Volume { id: format!("vol-{n}"), gib: 20, fleet: FleetName::new("app") }
    }

    #[test]
    fn a_few_are_named_and_all_are_counted() {
        assert_eq!(told(&[]), None);
        let one = told(&[volume(1)]).unwrap().text;
        assert!(
            one.starts_with("1 left behind (20 GiB)") && one.ends_with("vol-1 of app"),
            "{one}"
        );
        let many: Vec<Volume> = (1..=7).map(volume).collect();
        let many = told(&many).unwrap().text;
        assert!(many.contains("(140 GiB)") && many.ends_with("vol-5 of app and 2 more"), "{many}");
    }
}
