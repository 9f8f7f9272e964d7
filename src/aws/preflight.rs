//! What `tidegate check` asks AWS before a policy goes live: whether the things it names exist, and
//! whether we may do what it needs. Everything is read or dry-run; nothing is changed.

use std::collections::BTreeMap;

use aws_sdk_ec2::error::ProvideErrorMetadata as _;

use super::Aws;
use super::fault::fault;
use crate::model::balancer::Balancer;
use crate::model::drain::tag_value;
use crate::model::fault::{Fault, FaultKind};
use crate::model::fleet::FleetName;
use crate::model::instance::{Instance, Lifecycle};
use crate::model::launch::{Image, LaunchRequest, tag};
use crate::model::time::Timestamp;
use crate::ports::{Balancers as _, Cloud as _};

/// What to ask about one fleet.
#[derive(Debug, Clone)]
pub struct Asked {
    pub fleet: FleetName,
    /// One request for each pool the fleet may launch from.
    pub requests: Vec<LaunchRequest>,
    pub balancer: Option<Balancer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Problem,
    /// Could not be asked.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    pub text: String,
}

/// Asks AWS about each fleet.
pub async fn preflight(aws: &Aws, asked: &[Asked]) -> Vec<Finding> {
    let mut found = Vec::new();
    // One question first: where it cannot even be asked, the others need not be.
    if let Err(fault) = aws.instances("tidegate-check").await {
        let refused = matches!(fault.kind, FaultKind::Permission | FaultKind::Config);
        let verdict = if refused { Verdict::Problem } else { Verdict::Unknown };
        let text = format!("nothing could be verified, EC2 cannot be listed: {}", fault.whole());
        return vec![Finding { verdict, text }];
    }
    let mut subnets = BTreeMap::new();
    for fleet in asked {
        for request in &fleet.requests {
            if let Some(subnet) = &request.pool.subnet {
                subnets.insert(subnet.clone(), fleet.fleet.clone());
            }
        }
        if let Some(request) = fleet.requests.first() {
            found.extend(image(aws, &fleet.fleet, request).await);
        }
        for request in &fleet.requests {
            found.push(dry_run(aws, &fleet.fleet, request).await);
        }
        if let Some(request) = fleet.requests.first().filter(|request| request.drains) {
            found.extend(drain_tag(aws, &fleet.fleet, request).await);
        }
        if let Some(balancer) = &fleet.balancer {
            let members = aws.members(balancer).await.map(|members| members.len());
            let text = format!("{}: {balancer}", fleet.fleet);
            found.push(judged(&text, members.map(|n| format!("has {n} members"))));
        }
    }
    for (subnet, fleet) in subnets {
        let answer = aws.ec2.describe_subnets().subnet_ids(&*subnet).send().await;
        let zone = answer.map_err(|error| fault(&error)).map(|answer| {
            let zone = answer.subnets().iter().find_map(|subnet| subnet.availability_zone());
            format!("in {}", zone.unwrap_or("an unknown zone"))
        });
        found.push(judged(&format!("{fleet}: {subnet}"), zone));
    }
    found
}

/// Asks whether a server of the fleet may be given the tag of a drain. `None` while it has none that
/// runs: the right is bound to the tags of an instance, so that it cannot be asked without one.
async fn drain_tag(aws: &Aws, fleet: &FleetName, request: &LaunchRequest) -> Option<Finding> {
    let install = request.tags.get(tag::INSTALL)?;
    let what = format!("{fleet}: setting {}", tag::DRAIN);
    let servers = match aws.instances(install).await {
        Ok(servers) => servers,
        Err(fault) => return Some(answered(&what, &fault)),
    };
    let runs = |server: &&Instance| {
        server.lifecycle == Lifecycle::Running && server.tags.fleet.as_ref() == Some(fleet)
    };
    let server = servers.iter().find(runs)?;
    let what = format!("{what} on {}", server.id);
    Some(match aws.may_tag_drain(&server.id, &tag_value(Timestamp::UNIX_EPOCH)).await {
        Ok(()) => Finding { verdict: Verdict::Good, text: format!("{what} is allowed (dry run)") },
        Err(fault) => answered(&what, &fault),
    })
}

/// The finding of a question that was answered with a fault.
fn answered(what: &str, fault: &Fault) -> Finding {
    let unsaid =
        matches!(fault.kind, FaultKind::Ambiguous | FaultKind::Throttled | FaultKind::Credentials);
    let verdict = if unsaid { Verdict::Unknown } else { Verdict::Problem };
    Finding { verdict, text: format!("{what}: {}", fault.whole()) }
}

fn judged(what: &str, answer: Result<String, Fault>) -> Finding {
    match answer {
        Ok(text) => Finding { verdict: Verdict::Good, text: format!("{what} {text}") },
        Err(fault) => {
            let asked = matches!(
                fault.kind,
                FaultKind::Config
                    | FaultKind::BalancerNotFound
                    | FaultKind::Quota
                    | FaultKind::SubnetFull
            );
            let verdict = if asked { Verdict::Problem } else { Verdict::Unknown };
            Finding { verdict, text: format!("{what}: {}", fault.whole()) }
        }
    }
}

async fn image(aws: &Aws, fleet: &FleetName, request: &LaunchRequest) -> Option<Finding> {
    let Image::Id(id) = &request.image else { return None };
    if !id.starts_with("ami-") {
        // A parameter is resolved by EC2 itself: the dry run tells.
        return None;
    }
    let answer = aws.ec2.describe_images().image_ids(id).send().await;
    let found = answer.map_err(|error| fault(&error)).and_then(|answer| {
        let name = answer.images().iter().find_map(|image| image.name().map(str::to_owned));
        if answer.images().is_empty() {
            let text = "there is no such image, or it is not shared with this account";
            return Err(Fault::new(FaultKind::Config, "InvalidAMIID.NotFound", text));
        }
        Ok(name.map_or_else(|| "exists".to_owned(), |name| format!("is {name}")))
    });
    Some(judged(&format!("{fleet}: {id}"), found))
}

/// EC2 answers a dry run with an error in any case; one of them means yes.
async fn dry_run(aws: &Aws, fleet: &FleetName, request: &LaunchRequest) -> Finding {
    let what = format!("{fleet}: launching {}", request.pool);
    let answer = aws.run_instances(request).dry_run(true).send().await;
    match answer {
        Err(error) if error.code() == Some("DryRunOperation") => {
            Finding { verdict: Verdict::Good, text: format!("{what} is allowed (dry run)") }
        }
        Err(error) => answered(&what, &fault(&error)),
        Ok(_) => {
            let text = format!("{what}: the endpoint ignored the dry run and may have launched");
            Finding { verdict: Verdict::Problem, text }
        }
    }
}
