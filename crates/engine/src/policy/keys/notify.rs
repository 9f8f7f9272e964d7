//! The keys of a route of `notify`.

use super::Key;
use super::Shape::{Either, Formed, List, Span, Text, Words};
use super::form::{MAIL, PLACE, SECRET, SENT, TOPIC, URL};

pub(crate) const NOTIFY: &[Key] = &[
    Key::new(
        "slack",
        SECRET,
        "one target",
        "The URL of an incoming webhook of Slack, or of a chat that takes the same (Mattermost, Rocket.Chat).",
    ),
    Key::new("webhook", PLACE, "one target", "Where our own JSON is posted; its shape is below."),
    Key::new(
        "pagerduty",
        SECRET,
        "one target",
        "The integration key of an Events API v2 service. A problem triggers, its end resolves.",
    ),
    Key::new(
        "email",
        Either(&[MAIL, List(&MAIL)]),
        "one target",
        "To whom mail goes, twenty at most.",
    )
    .called("address or list of them"),
    Key::new(
        "sns",
        Formed(TOPIC, "ARN of a topic"),
        "one target",
        "A standard topic of SNS, in any region; no `.fifo`. Published to with the daemon's own AWS credentials: `tidegate iam-policy` has the right for it.",
    ),
    Key::new(
        "ping",
        PLACE,
        "one target",
        "A heartbeat: asked for with GET as long as ticks succeed, as healthchecks services want it. Carries no words.",
    ),
    Key::new(
        "send",
        Either(&[SENT, List(&SENT)]),
        "`[problem, recovered]`; for PagerDuty `[emergency]`",
        "What goes over the route, below. Not for `ping`.",
    )
    .called("word, list of words, or `all`"),
    Key::new(
        "url",
        URL,
        "`https://events.pagerduty.com/v2/enqueue`",
        "PagerDuty's address, if yours is another: `https://events.eu.pagerduty.com/v2/enqueue`.",
    ),
    Key::new("from", MAIL, "required with `email`", "The sender."),
    Key::new(
        "via",
        Formed("^\\S+:[0-9]+$", "host:port"),
        "required with `email`",
        "The mail server. Quote it.",
    ),
    Key::new(
        "tls",
        Words(&["starttls", "implicit", "none"]),
        "`starttls`",
        "How the mail server is spoken to. Both of the first fail rather than go on in clear. `none` is for a relay on this host.",
    ),
    Key::new("user", Text, "none", "With `password`: a login at the mail server."),
    Key::new("password", SECRET, "none", "Its password. Never sent in clear."),
    Key::new("every", Span("10s", "1h"), "`1m`", "How often a heartbeat beats."),
];
