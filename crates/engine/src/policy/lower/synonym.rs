//! Keys as other tools call them, and what they are called here.

/// By section, words and the key that they mean. Words are in lower case, without `_` and `-`. A key of
/// another section is given with its path.
const SYNONYMS: &[(&str, &[&str], &str)] = &[
    ("file", &["tz", "zone"], "timezone"),
    ("file", &["fleet", "groups", "pools", "asg", "autoscalinggroups"], "fleets"),
    ("file", &["awsregion"], "region"),
    ("file", &["interval", "period"], "tick"),
    ("file", &["dryrun", "act", "observe"], "mode"),
    ("file", &["notifications", "alerts", "alerting"], "notify"),
    ("file", &["default"], "defaults"),
    ("file", &["price", "cost", "costs", "pricing", "pricelist"], "prices"),
    ("limits", &["max", "maxinstances", "servers"], "instances"),
    ("limits", &["launches", "maxlaunch"], "launch"),
    ("limits", &["terminations", "terminates"], "terminate"),
    (
        "fleet",
        &[
            "minsize",
            "minimum",
            "mincapacity",
            "mincount",
            "minservers",
            "minreplicas",
            "mininstances",
        ],
        "min",
    ),
    (
        "fleet",
        &[
            "maxsize",
            "maximum",
            "maxcapacity",
            "maxcount",
            "maxservers",
            "maxreplicas",
            "maxinstances",
        ],
        "max",
    ),
    (
        "fleet",
        &[
            "desired",
            "desiredcapacity",
            "desiredcount",
            "desiredsize",
            "capacity",
            "count",
            "replicas",
            "servers",
            "size",
        ],
        "min",
    ),
    (
        "fleet",
        &["healthcheck", "healthchecks", "probe", "readinessprobe", "livenessprobe"],
        "health",
    ),
    ("fleet", &["elb", "alb", "nlb", "lb", "balancer", "loadbalancers"], "load_balancer"),
    ("fleet", &["classic", "loadbalancername"], "load_balancer.classic"),
    (
        "fleet",
        &["targetgroup", "targetgroups", "targetgrouparn", "targetgrouparns"],
        "load_balancer.target_group",
    ),
    ("fleet", &["cron", "schedules", "scheduled", "scheduledactions"], "schedule"),
    ("fleet", &["queues", "sqs", "backlog"], "queue"),
    ("fleet", &["minuptime", "uptime", "minimumage", "minimumlifetime"], "minimum_uptime"),
    ("fleet", &["gracefulshutdown", "lifecyclehook", "terminationgraceperiod"], "drain"),
    ("fleet", &["graceperiod", "healthcheckgraceperiod"], "health.grace"),
    ("fleet", &["cooldown", "stabilizationwindow", "scaleincooldown"], "queue.scale_in.after"),
    ("fleet", &["scaleout", "scaleup"], "queue.scale_out"),
    ("fleet", &["scalein", "scaledown"], "queue.scale_in"),
    ("fleet", &["ami", "amiid", "image", "imageid"], "launch.image"),
    ("fleet", &["launchtemplate", "template"], "launch.template"),
    ("fleet", &["instancetype", "instancetypes", "types", "machinetype"], "launch.types"),
    (
        "fleet",
        &["subnet", "subnets", "subnetid", "subnetids", "vpczoneidentifier"],
        "launch.subnets",
    ),
    (
        "fleet",
        &["securitygroup", "securitygroups", "securitygroupids", "sg"],
        "launch.security_groups",
    ),
    ("fleet", &["keyname", "keypair", "sshkey"], "launch.key_pair"),
    ("fleet", &["instanceprofile", "iaminstanceprofile", "iamrole"], "launch.instance_profile"),
    ("fleet", &["userdata"], "launch.user_data"),
    ("fleet", &["tags", "labels"], "launch.tags"),
    ("launch", &["ami", "amiid", "imageid"], "image"),
    ("launch", &["launchtemplate", "launchtemplateid", "launchtemplatename"], "template"),
    (
        "launch",
        &["instancetype", "instancetypes", "type", "machinetype", "size", "overrides"],
        "types",
    ),
    ("launch", &["subnet", "subnetid", "subnetids", "vpczoneidentifier"], "subnets"),
    (
        "launch",
        &["securitygroup", "securitygroupid", "securitygroupids", "sg", "sgs"],
        "security_groups",
    ),
    ("launch", &["keyname", "key", "sshkey"], "key_pair"),
    ("launch", &["iaminstanceprofile", "iamrole", "iamprofile", "profile"], "instance_profile"),
    ("launch", &["env", "environment", "cloudinit"], "user_data"),
    ("launch", &["labels"], "tags"),
    ("load_balancer", &["name", "elb", "loadbalancername"], "classic"),
    ("load_balancer", &["arn", "tg", "targetgrouparn", "targetgroups"], "target_group"),
    (
        "load_balancer",
        &["delay", "draintimeout", "connectiondraining", "deregistration"],
        "deregistration_delay",
    ),
    ("health", &["url", "path", "check", "endpoint", "httpget", "target"], "http"),
    ("health", &["contains", "match", "body", "text", "content"], "expect"),
    ("health", &["interval", "period", "periodseconds"], "every"),
    ("health", &["timeoutseconds"], "timeout"),
    ("health", &["graceperiod", "initialdelay", "initialdelayseconds", "startperiod"], "grace"),
    (
        "schedule",
        &["desired", "desiredcapacity", "count", "servers", "size", "min", "minsize"],
        "capacity",
    ),
    ("schedule", &["recurrence", "expression", "time", "when", "start"], "cron"),
    ("schedule", &["hours", "between", "window"], "during"),
    ("schedule", &["date", "days", "day"], "dates"),
    ("queue", &["url", "source", "http", "endpoint"], "read"),
    ("queue", &["interval", "period", "poll", "pollinterval", "pollinginterval"], "every"),
    ("queue", &["scaleup", "out", "up", "grow"], "scale_out"),
    ("queue", &["scaledown", "in", "down", "shrink"], "scale_in"),
    ("queue", &["goal", "maxwait", "waitwithin", "latency"], "start_within"),
    ("queue", &["jobtime", "jobduration", "duration"], "job_takes"),
    ("queue", &["concurrency", "workers", "jobsperserver", "slots"], "jobs_at_once"),
    ("queue", &["boot", "boottime", "warmup", "instancewarmup"], "boot_takes"),
    ("queue", &["onerror", "unreadable", "fallback"], "if_unreadable"),
    ("read", &["url", "endpoint", "uri"], "http"),
    ("read", &["path", "field", "pointer", "jsonpath", "jsonpointer", "key"], "json"),
    ("read", &["headers", "auth", "authorization"], "header"),
    ("json", &["length", "depth", "ready", "visible", "queued"], "waiting"),
    ("json", &["active", "inflight", "unacked", "processing"], "running"),
    ("json", &["oldest", "oldestage", "age"], "oldest_seconds"),
    ("header", &["key", "header"], "name"),
    ("header", &["value", "token", "password"], "secret"),
    ("scale_out", &["threshold", "over", "greaterthan", "when", "target"], "above"),
    ("scale_out", &["by", "step", "count", "adjustment", "scalingadjustment"], "add"),
    ("scale_in", &["threshold", "under", "lessthan", "when", "target"], "below"),
    ("scale_in", &["by", "step", "count", "adjustment", "scalingadjustment"], "remove"),
    (
        "scale_in",
        &[
            "for",
            "cooldown",
            "stabilizationwindow",
            "stabilizationwindowseconds",
            "period",
            "delay",
        ],
        "after",
    ),
    ("drain", &["timeout", "grace", "graceperiod", "max", "limit"], "deadline"),
    ("drain", &["method", "signal", "with", "by"], "via"),
    ("drain", &["cancellable", "reclaim", "resume"], "cancel"),
];

/// Returns what `key` of a section is called here.
pub(super) fn synonym(section: &str, key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let key = plain(key);
    let of_section = SYNONYMS.iter().filter(|(of, _, _)| *of == section);
    of_section
        .into_iter()
        .find(|(_, words, _)| words.contains(&key.as_str()))
        .map(|(_, _, meant)| *meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::keys::{SECTIONS, find};

    #[test]
    fn synonyms_name_keys_that_exist() {
        let keys = |path: &str| {
            let ends = |name: &str| name == path || name.ends_with(&format!(".{path}"));
            SECTIONS.iter().find(|(name, _)| ends(name)).map(|(_, keys)| *keys)
        };
        for (section, words, meant) in SYNONYMS {
            let (of, key) = meant.rsplit_once('.').unwrap_or((section, meant));
            assert!(keys(of).is_some_and(|keys| find(keys, key).is_some()), "{section}: {meant}");
            let own = keys(section).unwrap();
            for word in *words {
                assert!(find(own, word).is_none(), "{section}: `{word}` is a key");
                assert_eq!(
                    synonym(section, &word.to_uppercase()),
                    Some(*meant),
                    "{section}: {word}"
                );
            }
        }
        assert_eq!(synonym("launch", "InstanceType"), Some("types"));
        assert_eq!(synonym("fleet", "max-size"), Some("max"));
        assert_eq!(synonym("launch", "max-size"), None);
    }
}
