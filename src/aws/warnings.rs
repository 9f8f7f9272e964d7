//! A row of DescribeInstanceStatus: what there is to say of it.

use aws_sdk_ec2::types::{
    InstanceStatus, InstanceStatusEvent, InstanceStatusSummary, SummaryStatus,
};

use super::ec2::timestamp;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::warning::{Part, Sign, Warning};

pub(super) fn of(row: &InstanceStatus, found: &mut Vec<Warning>) {
    let Some(id) = row.instance_id() else { return };
    let checks = [(Part::System, row.system_status()), (Part::Instance, row.instance_status())];
    let impaired = checks.into_iter().filter_map(|(part, summary)| impaired(part, summary?));
    let events = row.events().iter().filter_map(event);
    let warning = |sign| Warning { instance: InstanceId::new(id), sign };
    found.extend(impaired.chain(events).map(warning));
}

fn impaired(part: Part, summary: &InstanceStatusSummary) -> Option<Sign> {
    let since = summary.details().iter().find_map(|detail| timestamp(detail.impaired_since()?));
    let fails = summary.status() == Some(&SummaryStatus::Impaired);
    fails.then_some(Sign::Impaired { part, since })
}

/// One that is over is listed for a week, with a word before its description.
fn event(event: &InstanceStatusEvent) -> Option<Sign> {
    let text = event.description().unwrap_or_default();
    let over = ["[Completed]", "[Canceled]"].iter().any(|word| text.starts_with(word));
    let code = printable(event.code()?.as_str(), 40);
    let not_before = event.not_before().and_then(timestamp);
    (!over).then_some(Sign::Event { code, not_before })
}
