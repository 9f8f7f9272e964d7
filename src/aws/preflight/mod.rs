//! What `tidegate check` asks AWS before a policy goes live: whether the things it names exist, fit
//! each other, and may be used as it needs. Everything is read or dry-run; nothing is changed.

mod balancer;
mod facts;
mod fronts;
mod image;
mod network;
mod read;
mod template;

use aws_sdk_ec2::error::ProvideErrorMetadata as _;

use self::balancer::Subnets;
use self::facts::{Effective, Facts, template_of};
use super::Aws;
use super::fault::fault;
use crate::ports::{Balancers as _, Cloud as _};
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::drain::tag_value;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::{Instance, Lifecycle};
use tidegate_engine::model::launch::{LaunchRequest, tag};
use tidegate_engine::model::time::Timestamp;

/// What to ask about one fleet.
#[derive(Debug, Clone)]
pub struct Asked {
    pub fleet: FleetName,
    /// One request for each pool the fleet may launch from.
    pub requests: Vec<LaunchRequest>,
    pub balancer: Option<Balancer>,
    /// The line of the fleet's `launch` in the policy.
    pub launch_line: Option<usize>,
    pub balancer_line: Option<usize>,
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

impl Finding {
    fn good(text: String) -> Self {
        Self { verdict: Verdict::Good, text }
    }

    fn unknown(text: String) -> Self {
        Self { verdict: Verdict::Unknown, text }
    }
}

/// A part of a fleet's section that findings are about.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    fleet: &'a FleetName,
    line: Option<usize>,
}

impl Subject<'_> {
    fn good(self, text: &str) -> Finding {
        Finding::good(format!("{}: {text}", self.fleet))
    }

    /// A problem, with what to do about it.
    fn problem(self, text: &str, remedy: &str) -> Finding {
        let text = format!("{}: {text}; {remedy}{}", self.fleet, self.place());
        Finding { verdict: Verdict::Problem, text }
    }

    fn unknown(self, text: &str) -> Finding {
        Finding::unknown(format!("{}: {text}{}", self.fleet, self.place()))
    }

    fn place(self) -> String {
        self.line.map_or_else(String::new, |line| format!(" (line {line})"))
    }
}

/// Asks AWS about each fleet.
pub async fn preflight(aws: &Aws, asked: &[Asked]) -> Vec<Finding> {
    // One question first: where it cannot even be asked, the others need not be.
    if let Err(fault) = aws.instances("tidegate-check").await {
        let refused = matches!(fault.kind, FaultKind::Permission | FaultKind::Config);
        let verdict = if refused { Verdict::Problem } else { Verdict::Unknown };
        let text = format!("nothing could be verified, EC2 cannot be listed: {}", fault.whole());
        return vec![Finding { verdict, text }];
    }
    let facts = read::facts(aws, asked).await;
    let mut found = unread(&facts);
    for fleet in asked {
        found.extend(judge(&facts, fleet));
        for request in &fleet.requests {
            found.push(dry_run(aws, &fleet.fleet, request).await);
        }
        if let Some(request) = fleet.requests.first().filter(|request| request.drains) {
            found.extend(drain_tag(aws, &fleet.fleet, request).await);
        }
        if let Some(balancer) = &fleet.balancer {
            found.push(members(aws, &fleet.fleet, balancer).await);
        }
    }
    found
}

/// Everything that the facts say about a fleet.
fn judge(facts: &Facts, asked: &Asked) -> Vec<Finding> {
    let launch = Subject { fleet: &asked.fleet, line: asked.launch_line };
    let named = template_of(asked);
    let answer = named.as_ref().and_then(|named| facts.templates.get(named));
    let template = answer.and_then(|answer| answer.as_ref().ok()).and_then(Option::as_ref);
    let effective = Effective::of(asked, template);
    let subnets = facts.subnets.as_ref().ok();
    let mut found = Vec::new();
    if let (Some((name, version)), Some(answer)) = (&named, answer) {
        let named = template::named(name, version);
        found.extend(template::judge(launch, &named, answer, &asked.requests, subnets));
    }
    found.extend(image::judge(launch, &effective, facts.images.as_ref(), facts.types.as_ref()));
    found.extend(network::judge(launch, &effective, subnets, facts.groups.as_ref().ok()));
    if let Some(balancer) = &asked.balancer {
        let subject = Subject { fleet: &asked.fleet, line: asked.balancer_line };
        let known = named.is_none() || template.is_some();
        let subnets = if effective.subnets.is_empty() && known {
            Subnets::ChosenByEc2
        } else {
            let found = subnets.map(|all| effective.subnets.iter().filter_map(|id| all.get(id)));
            Subnets::Named(found.into_iter().flatten().collect())
        };
        found.extend(balancer::judge(subject, balancer, &facts.fronts, &subnets));
    }
    found
}

/// One finding for each kind of things that could not be read: the role lacks a right, or AWS did not
/// answer.
fn unread(facts: &Facts) -> Vec<Finding> {
    let Facts { subnets, groups, images, types, templates: _, fronts } = facts;
    let kinds = [
        (subnets.as_ref().err(), "subnets", "ec2:DescribeSubnets"),
        (groups.as_ref().err(), "security groups", "ec2:DescribeSecurityGroups"),
        (images.as_ref().err(), "images", "ec2:DescribeImages"),
        (types.as_ref().err(), "instance types", "ec2:DescribeInstanceTypes"),
        (
            fronts.classic.as_ref().err(),
            "the zones of classic load balancers",
            "elasticloadbalancing:DescribeLoadBalancers",
        ),
        (
            fronts.groups.as_ref().err(),
            "target groups",
            "elasticloadbalancing:DescribeTargetGroups",
        ),
        (
            fronts.balancers.as_ref().err(),
            "the zones of the load balancers of target groups",
            "elasticloadbalancing:DescribeLoadBalancers",
        ),
    ];
    let told = |(fault, what, right): (Option<&Fault>, &str, &str)| {
        Some(Finding::unknown(format!("{what} are not verified: {}", lacking(fault?, right))))
    };
    kinds.into_iter().filter_map(told).collect()
}

/// Why a question has no answer, with the right that the role lacks.
fn lacking(fault: &Fault, right: &str) -> String {
    if fault.kind == FaultKind::Permission {
        format!("the role lacks {right}, which `tidegate iam-policy` includes ({})", fault.whole())
    } else {
        format!("{right} failed: {}", fault.whole())
    }
}

/// A list for a sentence: `a`, `a and b`, `a, b and c`.
fn listed(texts: &[&str]) -> String {
    match texts.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
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
        Ok(()) => Finding::good(format!("{what} is allowed (dry run)")),
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

async fn members(aws: &Aws, fleet: &FleetName, balancer: &Balancer) -> Finding {
    let what = format!("{fleet}: {balancer}");
    match aws.members(balancer).await.map(|members| members.len()) {
        Ok(1) => Finding::good(format!("{what} has 1 member")),
        Ok(count) => Finding::good(format!("{what} has {count} members")),
        Err(fault) => answered(&what, &fault),
    }
}

/// EC2 answers a dry run with an error in any case; one of them means yes.
async fn dry_run(aws: &Aws, fleet: &FleetName, request: &LaunchRequest) -> Finding {
    let what = format!("{fleet}: launching {}", request.pool);
    let answer = aws.run_instances(request).dry_run(true).send().await;
    match answer {
        Err(error) if error.code() == Some("DryRunOperation") => {
            Finding::good(format!("{what} is allowed (dry run)"))
        }
        Err(error) => answered(&what, &fault(&error)),
        Ok(_) => {
            let text = format!("{what}: the endpoint ignored the dry run and may have launched");
            Finding { verdict: Verdict::Problem, text }
        }
    }
}

#[cfg(test)]
mod tests;
