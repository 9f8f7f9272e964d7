//! The keys of the file itself, of `limits`, and of a fleet less its queue and its drain.

use super::Key;
use super::Shape::{
    Either, Flag, Formed, List, Named, Prices, Section, Span, Text, Texts, Whole, Words,
};
use super::form::{CRON, DATES, GROUP, IMAGE, INSTALL, MODES, NAME, RATE, ROUTE, SUBNET, URL};

pub const FILE: &[Key] = &[
    Key::new("version", Whole(1, 1), "required", "The version of this format.").called("`1`"),
    Key::new("install", Formed(INSTALL, "1 to 16 of `a-z`, `0-9`, `-`"), "`main`", "Which tidegate this is, among those that share an AWS account and region. It is in every tag and client token: two installs never touch each other's servers. Changing it orphans what runs."),
    Key::new("region", Text, "the AWS SDK's own chain", "The AWS region, `us-east-1`."),
    Key::new("timezone", Text, "`UTC`; required with a schedule", "The zone of every clock time in the file: `America/Winnipeg`. Abbreviations are refused: EST is not what New York keeps in July.").called("IANA name"),
    Key::new("mode", MODES, "`observe`", "`observe` decides, records and shows, and changes nothing."),
    Key::new("tick", Span("1s", "1m"), "`15s`", "How often the world is looked at."),
    Key::new("limits", Section("limits"), "see there", "What beats every fleet, always."),
    Key::new("defaults", Section("fleet"), "none", "What holds for every fleet that does not say otherwise.").called("a fleet"),
    Key::new("fleets", Named(NAME, "fleet"), "none", "The fleets. A name is 1 to 32 of `a-z`, `0-9`, `-`, beginning with a letter.").called("map of fleets by name"),
    Key::new("notify", Named(ROUTE, "notify"), "none", "Who is told of what.").called("map of routes by name"),
    Key::new("prices", Prices, "list prices", "What a server costs an hour, in US dollars, where reports name money. See [prices](#prices)."),
];

pub const LIMITS: &[Key] = &[
    Key::new(
        "instances",
        Whole(1, 100_000),
        "none",
        "Servers of all fleets together. It holds back launches and terminates no server.",
    ),
    Key::new(
        "launch",
        RATE,
        "see below",
        "Launches of all fleets together: a brake on servers that die as soon as they serve, and on wrong readings.",
    ),
    Key::new(
        "terminate",
        RATE,
        "`5 per 10m`",
        "Terminations of all fleets together: a brake on wrong edits and wrong readings. A server that is taken back while it drains does not count.",
    ),
];

pub const FLEET: &[Key] = &[
    Key::new("mode", MODES, "the file's", "As above, for one fleet: try `act` on one first."),
    Key::new("launch", Section("launch"), "required", "What a server is made of."),
    Key::new("load_balancer", Section("load_balancer"), "none", "Where servers are registered."),
    Key::new("health", Section("health"), "none", "How a server shows that it works."),
    Key::new("min", Whole(0, 10_000), "`0`", "Minimum capacity."),
    Key::new("max", Whole(0, 10_000), "required", "Maximum capacity."),
    Key::new("schedule", List(&Section("schedule")), "none", "Capacity by the clock."),
    Key::new("queue", Section("queue"), "none", "Capacity by the length of a queue."),
    Key::new("drain", Either(&[Words(&["none"]), Section("drain")]), "none", "How servers finish their jobs before they are terminated. `none` says that they need not. See [drain](#drain).").called("map or `none`"),
    Key::new("minimum_uptime", Span("0s", "30d"), "`0s`", "How long a server stays at least, once launched."),
    Key::new("billing", Words(&["hour", "second"]), "`second`", "With `hour`, what is paid for is kept until the end of its hour, and a surplus server in a paid hour is taken back before a new one is bought."),
    Key::new("keep_attached", Flag, "`true`", "Whether a volume or network interface that is attached to a server later than its `grace` keeps it, as somebody's. `false` where your servers attach them to themselves."),
];

pub const LAUNCH: &[Key] = &[
    Key::new("image", Formed(IMAGE, "`ami-…` or `resolve:ssm:PARAMETER`"), "this or `template`", "The image. EC2 resolves the parameter at each launch."),
    Key::new("template", Text, "this or `image`", "A launch template by name or id. The version is a number, `$Default` (unless said) or `$Latest`.").called("`NAME` or `NAME:VERSION`"),
    Key::new("types", List(&Text), "the template's; required with `image`", "Instance types in order of preference: the next when EC2 has none of the first."),
    Key::new("subnets", List(&SUBNET), "the template's, or the default subnet", "Servers are spread evenly over them. A type in a subnet where launches fail is avoided while another works. Where there are several, at most four first servers are started in each until one has passed its health check."),
    Key::new("security_groups", List(&GROUP), "the template's, or the default group", ""),
    Key::new("key_pair", Text, "the template's, or none", "The name of an EC2 key pair."),
    Key::new("instance_profile", Text, "the template's, or none", "What the server may do in AWS.").called("name or ARN"),
    Key::new("user_data", Either(&[Texts, Text]), "`ROLE=` and the role; the template's own with `template`", "A map is sent as `KEY=VALUE;KEY=VALUE` in the order of the file, with `ROLE=` and the role at the end unless it has a `ROLE`. A text is sent as it is, with nothing added. At most 16 KB."),
    Key::new("tags", Texts, "none", "Your own tags, at most 45. Keys beginning with `aws:` or `tidegate:` are refused."),
    Key::new("role", Text, "the fleet's name", "The role that the server reads from its user data."),
];

pub(crate) const LOAD_BALANCER: &[Key] = &[
    Key::new("classic", Text, "this or `target_group`", "A classic load balancer.").called("name"),
    Key::new(
        "target_group",
        Text,
        "this or `classic`",
        "A target group of an application or network load balancer.",
    )
    .called("name or ARN"),
    Key::new(
        "deregistration_delay",
        Span("0s", "1h"),
        "`30s`",
        "How long a server that was deregistered may finish its connections. With `billing: hour` at most 45m, so that it ends within the paid hour.",
    ),
    Key::new(
        "drain",
        Span("0s", "1h"),
        "none",
        "The old spelling of `deregistration_delay`, still accepted. Both at once are an error.",
    ),
];

pub(crate) const HEALTH: &[Key] = &[
    Key::new(
        "http",
        URL,
        "required",
        "What is asked of each server. `{private_ip}`, `{public_ip}`, `{private_dns}` and `{instance_id}` are filled in.",
    ),
    Key::new(
        "expect",
        Text,
        "any page",
        "A text the page must contain, without regard to case. A warning when a default page of a web server has it too.",
    ),
    Key::new("timeout", Span("1s", "1m"), "`5s`", "How long an answer may take."),
    Key::new("every", Span("1s", "1h"), "`5s`", "How often a server is asked."),
    Key::new(
        "grace",
        Span("10s", "1d"),
        "`10m`",
        "How long a new server may take to come into service before it is replaced. Holds without a check too.",
    ),
];

pub(crate) const SCHEDULE: &[Key] = &[
    Key::new("cron", Formed(CRON, "five fields"), "one of the three", "From when on, until another line fires: minute, hour, day of month, month, day of week."),
    Key::new("during", Text, "one of the three", "For some hours of the week: `mon-fri 08:00-21:00`, `sat,sun 10:00-18:00`, `daily 22:00-06:00`. The end is excluded, and `24:00` is the end of a day. A span over midnight belongs to the day it starts on.").called("days and times"),
    Key::new("dates", Formed(DATES, "one or two dates"), "one of the three", "For whole days, the last included: `2026-12-25`, `2026-12-24..2027-01-02`."),
    Key::new("capacity", Whole(0, 10_000), "required", "The capacity while the line holds.").called("within `min` and `max`"),
    Key::new("ready", Flag, "`false`", "Whether a higher capacity is in service when the line begins to hold: its launches begin as much earlier as a server takes to come into service."),
];
