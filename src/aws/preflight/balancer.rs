//! Judges the load balancer of a fleet: whether it takes instances, and gives traffic to those in the
//! zones of the fleet's subnets.
//!
//! An instance in a zone that is not enabled for its load balancer is registered and gets no traffic.
//! Cross-zone load balancing does not change that for classic and application load balancers; it is
//! about the zones that are enabled. For network load balancers AWS documents both: that such targets
//! get no traffic, and that cross-zone load balancing reaches a zone that cannot be enabled.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/availability-zones.html>
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/how-elastic-load-balancing-works.html>

use std::collections::BTreeSet;

use super::facts::{Front, FrontKind, Fronts, Subnet, TargetGroup};
use super::{Finding, Subject, listed};
use tidegate_engine::model::balancer::Balancer;

/// The subnets that a fleet launches into.
#[derive(Debug)]
pub(super) enum Subnets<'a> {
    /// Neither the policy nor the launch template names any.
    ChosenByEc2,
    /// Those of the named ones that exist.
    Named(Vec<&'a Subnet>),
}

/// Judges as far as the facts were read. A load balancer that does not exist is found when its members
/// are asked for.
pub(super) fn judge(
    subject: Subject<'_>,
    balancer: &Balancer,
    fronts: &Fronts,
    subnets: &Subnets<'_>,
) -> Vec<Finding> {
    let known: &[&Subnet] = match subnets {
        Subnets::ChosenByEc2 => &[],
        Subnets::Named(known) => known,
    };
    let scene = Scene { subject, balancer, subnets: known };
    let mut found = match balancer {
        Balancer::Classic(name) => {
            let front = fronts.classic.as_ref().ok().and_then(|all| all.get(name));
            let Some(front) = front else { return Vec::new() };
            let mut found = scene.vpc(front.vpc.as_deref());
            found.extend(scene.zones(front, None));
            found
        }
        Balancer::TargetGroup(name) => {
            let groups = fronts.groups.iter().flatten();
            let group = groups.into_iter().find(|group| group.name == *name || group.arn == *name);
            let Some(group) = group else { return Vec::new() };
            if group.target_type != "instance" {
                return vec![scene.wrong_targets(group)];
            }
            let mut found = scene.group(group);
            let Ok(balancers) = &fronts.balancers else { return found };
            for arn in &group.balancers {
                // A load balancer that was deleted after its group was read is not judged, and not called good.
                let Some(front) = balancers.get(arn) else { return found };
                found.extend(scene.zones(front, group.cross_zone));
            }
            found
        }
    };
    match subnets {
        Subnets::ChosenByEc2 => found.push(subject.unknown(&format!(
            "whether {balancer} covers the zones of its instances is not verified, since EC2 chooses \
             the subnet; name `subnets`"
        ))),
        Subnets::Named(known) if found.is_empty() && !known.is_empty() => {
            let zones: Vec<&str> = scene.fleet_zones().into_iter().collect();
            found.push(subject.good(&format!("{balancer} takes instances in {}", listed(&zones))));
        }
        Subnets::Named(_) => {}
    }
    found
}

/// A fleet and its load balancer.
struct Scene<'a> {
    subject: Subject<'a>,
    balancer: &'a Balancer,
    subnets: &'a [&'a Subnet],
}

impl Scene<'_> {
    fn fleet_zones(&self) -> BTreeSet<&str> {
        self.subnets.iter().map(|subnet| subnet.zone.as_str()).collect()
    }

    fn wrong_targets(&self, group: &TargetGroup) -> Finding {
        self.subject.problem(
            &format!(
                "{} takes targets of type {}, and tidegate registers instances",
                self.balancer, group.target_type
            ),
            "name a target group of type instance",
        )
    }

    fn group(&self, group: &TargetGroup) -> Vec<Finding> {
        let mut found = self.vpc(group.vpc.as_deref());
        if group.balancers.is_empty() {
            found.push(self.subject.problem(
                &format!(
                    "no load balancer forwards to {}, so that its instances get no traffic and stay \
                     unused (Target.NotInUse)",
                    self.balancer
                ),
                "add it to a listener or rule of a load balancer",
            ));
        }
        found
    }

    fn vpc(&self, vpc: Option<&str>) -> Vec<Finding> {
        let Some(vpc) = vpc else { return Vec::new() };
        let other = self.subnets.iter().find(|subnet| subnet.vpc != vpc);
        let problem = other.map(|subnet| {
            self.subject.problem(
                &format!(
                    "{} is of {vpc}, and {} of {}, so that its instances cannot be registered",
                    self.balancer, subnet.id, subnet.vpc
                ),
                &format!("name subnets of {vpc}, or a load balancer of {}", subnet.vpc),
            )
        });
        problem.into_iter().collect()
    }

    /// `of_group` is the setting of a target group for traffic across zones.
    fn zones(&self, front: &Front, of_group: Option<bool>) -> Vec<Finding> {
        let missing = self.fleet_zones().into_iter().filter(|zone| !front.zones.contains(*zone));
        missing.map(|zone| self.zone(front, of_group, zone)).collect()
    }

    fn zone(&self, front: &Front, of_group: Option<bool>, zone: &str) -> Finding {
        let ids = self.subnets.iter().filter(|subnet| subnet.zone == zone);
        let ids: Vec<&str> = ids.map(|subnet| subnet.id.as_str()).collect();
        let ids = listed(&ids);
        let kind = match front.kind {
            FrontKind::Classic => "classic load balancer",
            FrontKind::Application => "application load balancer",
            FrontKind::Network => "network load balancer",
            FrontKind::Gateway => "gateway load balancer",
        };
        let what = format!("{kind} {} is not enabled in {zone}, the zone of {ids}", front.name);
        let remedy = format!("add a subnet of {zone} to it, or take {ids} out of `subnets`");
        let crosses = match front.kind {
            FrontKind::Classic | FrontKind::Application => Some(false),
            FrontKind::Network | FrontKind::Gateway => of_group.or(front.cross_zone),
        };
        match crosses {
            Some(false) => {
                let text = format!("{what}, so that instances there get no traffic");
                self.subject.problem(&text, &remedy)
            }
            Some(true) => self.subject.unknown(&format!(
                "{what}; whether cross-zone load balancing reaches instances there is not verified: \
                 {remedy}"
            )),
            None => self.subject.unknown(&format!(
                "{what}; whether cross-zone load balancing is on could not be read \
                 (elasticloadbalancing:DescribeLoadBalancerAttributes): {remedy}"
            )),
        }
    }
}
