//! What is told in lists: problems, servers, and what happened.

use maud::{Markup, html};

use super::Sheet;
use crate::admin::view::InstanceView;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{Told, id};
use tidegate_engine::model::ledger::EventKind;
use tidegate_engine::model::server::ServerName;
use tidegate_engine::model::time;

/// More lines are a file to be searched, which `tidegate history` does.
const LINES_AT_MOST: usize = 40;

/// A text from outside on the page, at the longest.
const TEXT_AT_MOST: usize = 600;

pub(super) fn problems(sheet: &Sheet<'_>) -> Markup {
    let ours = |fleet: &Option<FleetName>| match (&sheet.view.fleet, fleet) {
        (Some(asked), Some(fleet)) => asked == fleet,
        (Some(_), None) | (None, _) => true,
    };
    let problems: Vec<_> = sheet.status.problems.iter().filter(|p| ours(&p.fleet)).collect();
    if problems.is_empty() {
        return html! {
            section.problems.calm aria-label="Problems" {
                p { span aria-hidden="true" { "● " } "No problems." }
            }
        };
    }
    html! {
        section.problems aria-live="polite" aria-labelledby="problems-title" {
            h2 id="problems-title" { (problems.len()) @if problems.len() == 1 { " problem" } @else { " problems" } }
            ul {
                @for problem in problems {
                    li {
                        p.what {
                            span aria-hidden="true" { "■ " }
                            @if let Some(fleet) = &problem.fleet { strong { (fleet) ": " } }
                            (printable(&problem.text, TEXT_AT_MOST))
                        }
                        p.quiet {
                            "since " (sheet.clock.at(problem.since)) "; more: "
                            @match &problem.fleet {
                                Some(fleet) => code { "tidegate explain " (fleet) },
                                None => code { "tidegate status" },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where EC2's own page of an instance is; unknown for partitions with a console of their own.
fn console(region: Option<&str>, server: &ServerName) -> Option<String> {
    let ServerName::Instance(id) = server else { return None };
    let region = region.filter(|region| {
        let known = region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        known && !["cn-", "us-gov-", "us-iso"].iter().any(|other| region.starts_with(other))
    })?;
    Some(format!(
        "https://{region}.console.aws.amazon.com/ec2/home?region={region}#InstanceDetails:instanceId={id}"
    ))
}

pub(super) fn instances(sheet: &Sheet<'_>) -> Markup {
    let rows: Vec<(&str, &InstanceView)> = sheet
        .fleets()
        .flat_map(|fleet| fleet.instances.iter().map(|instance| (fleet.name.as_str(), instance)))
        .collect();
    let region = sheet.policy.region.as_deref();
    let one = sheet.view.fleet.is_some();
    html! {
        details id="instances-all" {
            summary { h2 { "Instances (" (rows.len()) ")" } }
            @if rows.is_empty() { p.quiet { "There are none." } }
            @else {
                div.scroll role="region" aria-label="Instances" tabindex="0" {
                    table.rows {
                        thead { tr {
                            th scope="col" { "instance" }
                            @if !one { th scope="col" { "fleet" } }
                            @for column in ["phase", "type", "subnet", "address", "launched", "paid until", "remarks"] {
                                th scope="col" { (column) }
                            }
                        } }
                        tbody { @for (fleet, row) in rows { (instance(sheet, (!one).then_some(fleet), row, region)) } }
                    }
                }
            }
        }
    }
}

fn instance(
    sheet: &Sheet<'_>,
    fleet: Option<&str>,
    row: &InstanceView,
    region: Option<&str>,
) -> Markup {
    // When it was launched, rather than its age, which would be another at every tick.
    let looked = sheet.status.last_tick;
    let launched = row.uptime.map(|up| sheet.clock.short(time::before(looked, up)));
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let says = |name: &str, text: &Option<String>| {
        text.as_ref().map(|text| format!("{name}: {}", printable(text, 200)))
    };
    let remarks = [
        says("balancer", &row.balancer),
        says("check", &row.ailing),
        says("drain", &row.drain),
        says("stays", &row.blocked),
    ];
    let remarks: Vec<String> = remarks.into_iter().flatten().collect();
    html! {
        tr {
            th scope="row" {
                @match console(region, &row.id) {
                    Some(href) => a href=(href) rel="noreferrer" { (row.id) },
                    None => (row.id),
                }
            }
            @if let Some(fleet) = fleet { td { (fleet) } }
            td { (row.phase) }
            td { (or_none(&row.instance_type)) }
            td { (or_none(&row.subnet)) }
            td { (or_none(&row.private_ip)) }
            td { (launched.unwrap_or_else(|| "-".to_owned())) }
            td { @if let Some(paid) = row.paid_until { (sheet.clock.at(paid)) } @else { "-" } }
            td.remarks { (remarks.join("; ")) }
        }
    }
}

fn sign(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Decision => "▲",
        EventKind::Problem => "■",
        EventKind::Recovered => "●",
        EventKind::Override => "◆",
        EventKind::Policy => "◇",
        EventKind::Action | EventKind::Failure | EventKind::Seen => "·",
    }
}

pub(super) fn timeline(sheet: &Sheet<'_>) -> Markup {
    let asked = sheet.view.fleet.as_ref();
    let ours = |told: &&Told| asked.is_none_or(|asked| told.event.fleet.as_ref() == Some(asked));
    let lines: Vec<&Told> =
        sheet.past().map_or_else(Vec::new, |past| past.told.iter().filter(ours).collect());
    let range = sheet.view.range;
    let of = asked.map_or_else(String::new, |fleet| format!(" {fleet}"));
    html! {
        h2 { "What happened in the last " (range.words()) }
        @if lines.is_empty() { p.quiet { "Nothing changed." } }
        ol.timeline {
            @for told in lines.iter().take(LINES_AT_MOST) { (line(sheet, told)) }
        }
        @if lines.len() > LINES_AT_MOST {
            p.quiet {
                "The latest " (LINES_AT_MOST) ". All of them: "
                code { "tidegate history" (of) " --since " (range.word()) }
            }
        }
    }
}

fn line(sheet: &Sheet<'_>, told: &Told) -> Markup {
    let event = &told.event;
    let text = printable(&event.text, TEXT_AT_MOST);
    let story = event.fleet.as_ref().filter(|_| event.kind == EventKind::Decision);
    html! {
        li class=(event.kind.as_str()) {
            span.when { (sheet.clock.at(event.at)) }
            span.kind { span aria-hidden="true" { (sign(event.kind)) } " " (event.kind.as_str()) }
            span.what {
                @if let Some(fleet) = &event.fleet { strong { (fleet) } " " }
                @match story {
                    Some(fleet) => {
                        @let (change, why) = text.split_once(": ").unwrap_or((&text, ""));
                        a href={ "decision?id=" (id(fleet, event.at)) } { (change) } " " (why)
                    }
                    None => (text),
                }
            }
        }
    }
}
