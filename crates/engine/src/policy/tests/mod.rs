//! Whole files: what good ones mean. Bad ones are in `problems`, hostile ones in `hostile`.

mod calendar;
mod clocks;
mod drain;
mod goal;
mod hostile;
mod large;
mod notify;
mod prices;
mod problems;
mod remedies;
mod span;
mod warnings;

use std::time::Duration;

use super::span::Window;
use super::*;
use crate::model::drain::Carrier;

const SHIPPED: &str = include_str!("../../../../../policies.yaml");

/// A small valid file; cases replace or add lines.
const BASE: &str = "\
version: 1
timezone: UTC
fleets:
  app:
    launch: { image: ami-0123456789abcdef0, types: [t3.small] }
    min: 1
    max: 3
";

fn read(text: &str) -> Loaded {
    load("policies.yaml", text, "2026-03-09T12:00:00Z".parse().unwrap())
}

#[track_caller]
fn good(text: &str) -> Policy {
    let loaded = read(text);
    assert!(loaded.policy.is_some(), "{}", show(text, &loaded));
    loaded.policy.unwrap()
}

fn show(text: &str, loaded: &Loaded) -> String {
    render(&loaded.problems, "policies.yaml", text, false)
}

/// `LINE:COLUMN severity message | label` of each problem.
fn list(text: &str) -> Vec<String> {
    let line = |p: &Problem| {
        let (line, column) = (p.at.line, p.at.column);
        format!("{line}:{column} {} {} | {}", p.severity.as_str(), p.message, p.label)
    };
    read(text).problems.iter().map(line).collect()
}

fn fleet<'p>(policy: &'p Policy, name: &str) -> &'p FleetPolicy {
    &policy.fleets[&FleetName::new(name).unwrap()]
}

/// The shipped file in few lines.
const SHORT: &str = r#"
# yaml-language-server: $schema=deploy/policies.schema.json
version: 1
region: us-east-1
timezone: America/Winnipeg           # for every clock time below; IANA names only
mode: observe                        # or act
tick: 15s                            # how often the world is looked at; queues have their own `every`

limits:                              # beat every fleet, always
  instances: 10
  terminate: 5 per 10m

defaults:                            # maps merge by key; lists and scalars replace
  launch:
    image: ami-0123456789abcdef0
    key_pair: main
    subnets: [subnet-0a1, subnet-0b2]
    user_data: { DB: 10.126.17.1 }   # sent as DB=10.126.17.1;ROLE=app

fleets:
  app:
    launch: { types: [t3.small, t3a.small] }      # the next when EC2 has none of the first
    load_balancer: { classic: smallpayroll-http, deregistration_delay: 30s }   # or { target_group: NAME-OR-ARN }
    health: { http: "http://{private_ip}/", expect: welcome, timeout: 5s, every: 5s, grace: 10m }
    min: 2
    max: 3
    schedule:
      - { cron: "0 8 * * mon-fri",  capacity: 3 }
      - { cron: "0 21 * * mon-fri", capacity: 2 }

  job:
    launch: { types: [t3.small] }
    min: 1
    max: 3
    queue:
      read: { http: "http://app.smallpayroll.ca/queue/length" }
      every: 5m
      scale_out: { above: 20, add: 1 }
      scale_in:  { below: 5, remove: 1, after: 0s }
      # or a goal instead of the two thresholds:
      # start_within: 15m            # how long a job may wait
      # job_takes: 40s               # or auto: learned from recorded history
      # jobs_at_once: 2              # on one server
      if_unreadable: hold            # or a number of servers; never scales in on missing data
    drain: { via: tag, deadline: 30m }   # or none, or { via: { http: URL }, deadline: 30m }
    minimum_uptime: 45m
    billing: hour                    # or second
"#;

#[test]
fn the_shipped_file_is_the_article_s_system() {
    let policy = good(SHIPPED);
    let problems = list(SHIPPED);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("warning `welcome` does not tell your page"), "{problems:?}");
    let app = fleet(&policy, "app");
    assert_eq!((app.bounds.min(), app.bounds.max(), app.mode), (2, 3, Mode::Observe));
    assert_eq!(app.launch.user_data, "DB=10.126.17.1;ROLE=app");
    assert_eq!(app.launch.types, ["t3.small", "t3a.small"]);
    let balancer = app.balancer.as_ref().unwrap();
    assert_eq!(balancer.balancer, Balancer::Classic("smallpayroll-http".into()));
    let at_noon = "2026-03-09T17:00:00Z".parse().unwrap();
    assert_eq!(app.schedule.as_ref().unwrap().standing(at_noon).unwrap().capacity, 3);
    let job = fleet(&policy, "job");
    let queue = job.queue.as_ref().unwrap();
    let QueueRule::Thresholds(out, inn) = queue.rule else { panic!("{:?}", queue.rule) };
    assert_eq!((out.above, inn.below), (20, 5));
    assert_eq!(queue.if_unreadable, IfUnreadable::Hold);
    assert_eq!((job.bounds.min(), job.bounds.max()), (1, 3));
    let terms = job.drain_terms().unwrap();
    assert_eq!((&terms.carrier, terms.deadline), (&Carrier::Tag, Duration::from_mins(30)));
    assert!(terms.cancel && job.jobs_at_risk().is_none());
    assert_eq!((job.minimum_uptime, job.billing), (Duration::from_mins(45), Billing::Hour));
    assert_eq!(policy.limits.terminate, Some(Rate { count: 5, per: Duration::from_mins(10) }));
    assert_eq!(policy.digest.len(), 12);
}

#[test]
fn defaults_stand_where_the_file_is_silent() {
    let policy = good(BASE);
    assert_eq!((policy.install.as_str(), policy.region.as_deref()), ("main", None));
    assert_eq!(policy.tick, Duration::from_secs(15));
    assert_eq!(policy.limits.instances, None);
    assert_eq!(policy.limits.terminate, Some(Rate { count: 5, per: Duration::from_mins(10) }));
    let app = fleet(&policy, "app");
    assert_eq!((app.mode, app.billing), (Mode::Observe, Billing::Second));
    assert_eq!((app.grace, app.minimum_uptime), (Duration::from_mins(10), Duration::ZERO));
    assert_eq!((app.launch.role.as_str(), app.launch.user_data.as_str()), ("app", "ROLE=app"));
    assert!(app.balancer.is_none() && app.health.is_none() && app.keep_attached);
    assert!(app.schedule.is_none() && app.queue.is_none());
}

#[test]
fn what_a_fleet_may_say() {
    let launch = |text: &str| {
        let policy =
            good(&BASE.replace("{ image: ami-0123456789abcdef0, types: [t3.small] }", text));
        fleet(&policy, "app").launch.clone()
    };
    let template = |name: &str, version: &str| Image::Template {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    assert_eq!(launch("{ template: web }").image, template("web", "$Default"));
    assert_eq!(launch("{ template: web:7 }").image, template("web", "7"));
    let ssm = launch("{ image: \"resolve:ssm:/images/web\", types: [t3.small] }");
    assert_eq!(ssm.image, Image::Id("resolve:ssm:/images/web".into()));
    let data = |text: &str| launch(&format!("{{ template: web, {text} }}")).user_data;
    assert_eq!(data("role: web"), "", "the template may have user data of its own");
    let by_image = launch("{ image: ami-0123456789abcdef0, types: [t3.small], role: web }");
    assert_eq!(by_image.user_data, "ROLE=web");
    assert_eq!(data("user_data: { B: 1.10, A: yes }"), "B=1.10;A=yes;ROLE=app");
    assert_eq!(data("user_data: { ROLE: x, A: }"), "ROLE=x;A=");
    assert_eq!(data("user_data: \"#!/bin/sh\""), "#!/bin/sh");
}

#[test]
fn defaults_merge_by_key_and_pairs_replace_each_other() {
    let policy = good(
        "\
version: 1
defaults:
  mode: act
  launch: { image: ami-0123456789abcdef0, types: [t3.small], user_data: { A: 1, B: 2 } }
  load_balancer: { classic: front, drain: 1m }
  min: 1
  max: 2
fleets:
  app:
  job:
    max: 5
    launch: { template: jobs, types: [], user_data: { C: 3, A: 9 } }
    load_balancer: { target_group: back }
  odd:
    mode: observe
    load_balancer:
",
    );
    assert_eq!(fleet(&policy, "app").mode, Mode::Act);
    assert_eq!(fleet(&policy, "app").launch.user_data, "A=1;B=2;ROLE=app");
    let job = fleet(&policy, "job");
    assert_eq!((job.bounds.min(), job.bounds.max()), (1, 5));
    assert_eq!(job.launch.user_data, "A=9;B=2;C=3;ROLE=job");
    assert!(job.launch.types.is_empty());
    assert!(matches!(&job.launch.image, Image::Template { name, .. } if name == "jobs"));
    let balancer = job.balancer.as_ref().unwrap();
    assert_eq!(balancer.balancer, Balancer::TargetGroup("back".into()));
    assert_eq!(balancer.deregistration_delay, Duration::from_mins(1));
    assert!(fleet(&policy, "odd").balancer.is_none(), "an empty section undoes the default");
}

#[test]
fn anchors_and_merge_keys() {
    let policy = good(
        "\
version: 1
fleets:
  app: &app
    launch: &small { image: ami-0123456789abcdef0, types: [t3.small] }
    min: 1
    max: 3
  job:
    <<: *app
    max: 2
  cron: { launch: *small, max: 1 }
",
    );
    let job = fleet(&policy, "job");
    assert_eq!((job.bounds.min(), job.bounds.max()), (1, 2));
    assert_eq!(fleet(&policy, "cron").launch.types, ["t3.small"]);
}

#[test]
fn every_key_is_in_the_reference() {
    let reference = include_str!("../../../../../docs/policies.md");
    for (section, keys) in keys::SECTIONS {
        let title = if *section == "file" { "The file" } else { section };
        let body = reference
            .split("\n#")
            .find(|part| part.trim_start_matches('#').lines().next() == Some(&format!(" {title}")))
            .unwrap_or_else(|| panic!("no heading for {section}"));
        let listed: Vec<&str> =
            body.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        assert_eq!(listed, names, "{section}");
    }
}

#[test]
fn the_short_form_says_the_same() {
    assert_eq!(list(SHORT).len(), 1, "only `welcome` is remarked on");
    let told = |text| {
        let mut fleets = good(text).fleets;
        for fleet in fleets.values_mut() {
            fleet.lines = Lines::default();
        }
        let schedules = fleets.values_mut().filter_map(|fleet| fleet.schedule.as_mut());
        schedules.flat_map(|schedule| &mut schedule.lines).for_each(|line| line.at_line = 0);
        format!("{fleets:?}")
    };
    assert_eq!(told(SHORT), told(SHIPPED));
}

/// Six an hour for each server that there may be, and thirty at the least; never over more than the
/// journal's picture of the past.
#[test]
fn launches_have_a_limit_also_where_the_file_names_none() {
    let text = |limits: &str, max: u32| {
        format!(
            "version: 1\ntimezone: UTC\n{limits}fleets:\n  app: {{ launch: {{ template: web }}, max: {max} }}\n"
        )
    };
    let launch = |limits: &str, max| {
        let loaded = load("test.yaml", &text(limits, max), Timestamp::UNIX_EPOCH);
        loaded.policy.and_then(|policy| policy.limits.launch)
    };
    let an_hour = |count| Some(Rate { count, per: Duration::from_hours(1) });
    assert_eq!(launch("", 2), an_hour(30));
    assert_eq!(launch("", 10), an_hour(60));
    assert_eq!(launch("limits: { launch: 4 per 1h }\n", 10), an_hour(4));
    assert_eq!(launch("limits: { launch: 4 per 25h }\n", 10), None, "an error of the file");
}
