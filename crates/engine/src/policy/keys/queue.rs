//! The keys of a queue and of a drain.

use super::Key;
use super::Shape::{Either, Flag, Section, Span, Text, Whole, Words};
use super::form::{JOBS_MAX, LEARNED, POINTER, URL};

pub(crate) const QUEUE: &[Key] = &[
    Key::new("read", Section("queue.read"), "required", "Where the number of waiting jobs is read."),
    Key::new("every", Span("5s", "1d"), "`5m`; `1m` with a goal", "How often it is read."),
    Key::new("scale_out", Section("queue.scale_out"), "required without a goal", "When to add servers."),
    Key::new("scale_in", Section("queue.scale_in"), "required without a goal", "When to remove servers."),
    Key::new("start_within", Span("1m", "1d"), "none", "A goal instead of the two: 95 of 100 jobs start within this time, at the least cost. See below."),
    Key::new("job_takes", LEARNED, "`auto`", "With a goal, how long a job runs, to begin with; what is seen soon outweighs it. With thresholds a span alone: how long a job may take, for `drain: none`; 15m without it."),
    Key::new("jobs_at_once", Whole(1, 1_000), "required with a goal", "How many jobs one server runs at once."),
    Key::new("boot_takes", LEARNED, "`auto`", "From launch to in service. `auto`: the median of the last twenty; 5m before there is one. A declared time that is shorter than the median of at least three measured boots gives way to it."),
    Key::new("if_unreadable", Either(&[Words(&["hold"]), Whole(0, 10_000)]), "`hold`", "What holds while the queue cannot be read: what there is, or at least so many servers. Neither ever removes one.").called("`hold` or a number"),
];

pub const READ: &[Key] = &[
    Key::new("http", URL, "required", "Answers with the number of waiting jobs."),
    Key::new(
        "json",
        Either(&[POINTER, Section("queue.read.json")]),
        "the whole body",
        "Where the number is in a JSON answer: `/queues/0/length`. Beside the number, or at the top, the answer may tell more; see below. A map has a pointer for each field.",
    ),
    Key::new("header", Section("queue.read.header"), "none", "A header with a secret value."),
];

pub(crate) const READ_JSON: &[Key] = &[
    Key::new("waiting", POINTER, "required", "Where the number of waiting jobs is."),
    Key::new("running", POINTER, "not told", "Where the number of running jobs is."),
    Key::new("oldest_seconds", POINTER, "not told", "Where the age of the oldest waiting job is."),
    Key::new("busy", POINTER, "not told", "Where the object of job counts by server is."),
    Key::new("arrived", POINTER, "not told", "Where the total of jobs that ever arrived is."),
    Key::new("completed", POINTER, "not told", "Where the total of jobs that ever ended is."),
];

pub(crate) const HEADER: &[Key] = &[
    Key::new("name", Text, "required", "The header: `Authorization`."),
    Key::new("secret", Text, "required", "Where its value is: `$CREDENTIALS_DIRECTORY/NAME`, else `/etc/tidegate/secrets/NAME`, else an absolute path. Never the secret itself. A file that anybody on the host may read is refused.").called("name or path"),
];

pub(crate) const SCALE_OUT: &[Key] = &[
    Key::new("above", Whole(0, JOBS_MAX), "required", "Over so many waiting jobs …")
        .called("number of jobs"),
    Key::new("add", Whole(1, 1_000), "`1`", "… so many servers are added."),
];

pub(crate) const SCALE_IN: &[Key] = &[
    Key::new("below", Whole(0, JOBS_MAX), "required", "Under so many waiting jobs …")
        .called("number of jobs, `above` + 1 at most"),
    Key::new("remove", Whole(1, 1_000), "`1`", "… so many servers are removed …"),
    Key::new("after", Span("0s", "1d"), "`0s`", "… once it has been so for this long."),
];

pub const DRAIN: &[Key] = &[
    Key::new(
        "via",
        Either(&[Words(&["tag"]), Section("drain.via")]),
        "required",
        "What carries the signal to the server: the instance tag, or an HTTP receiver.",
    ),
    Key::new(
        "deadline",
        Span("1m", "48h"),
        "required",
        "How long a server may take to finish, from the first signal on. Then it is terminated, with its jobs. Choose it longer than the longest job.",
    ),
    Key::new(
        "cancel",
        Flag,
        "`true`",
        "Whether a server goes back to work when its drain is cancelled, because it is needed again. Write `false` for a receiver that cannot do so.",
    ),
];

pub(crate) const DRAIN_VIA: &[Key] = &[
    Key::new(
        "http",
        URL,
        "required",
        "Where the signal is posted. `{instance_id}`, `{private_ip}` and `{private_dns}` are filled in.",
    ),
    Key::new(
        "header",
        Section("queue.read.header"),
        "none",
        "A header with a secret value, as [in a queue](#queuereadheader).",
    ),
];
