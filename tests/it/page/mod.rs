//! `tidegate backtest --html`: one file that needs no other, carries the figures of the report, and
//! lets nothing from outside become markup.

mod looks;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tidegate_engine::model::time;

use crate::hang::output;

const GOAL: &str = "version: 1\ntimezone: America/Winnipeg\nfleets:\n  job:\n    launch: { template: job, types: [t3.small] }\n    max: 10\n    billing: second\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://127.0.0.1:9/' }, start_within: 15m, job_takes: 2m, jobs_at_once: 2 }\n";

const STEPS: &str = "version: 1\ntimezone: America/Winnipeg\nfleets:\n  job:\n    launch: { template: job, types: [t3.small] }\n    min: 1\n    max: 3\n    billing: hour\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://127.0.0.1:9/' }, scale_out: { above: 20, add: 1 }, scale_in: { below: 5, remove: 1, after: 10m } }\n";

/// What a name may not do to a page.
const EVIL: &str = "a<b>&'\"--><script>x.yaml";

/// A folder with policies and a trace; gone with it.
struct Desk(PathBuf);

impl Drop for Desk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Desk {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidegate-page-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let desk = Self(path);
        desk.put("goal.yaml", GOAL);
        desk.put(EVIL, STEPS);
        // A busy afternoon: three hundred jobs of four minutes within two hours.
        let mut jobs = "submit_s,runtime_s\n".to_owned();
        for n in 0..300 {
            jobs += &format!("{},240\n", 50_400 + n * 24);
        }
        desk.put("load.csv", &jobs);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.current_dir(&self.0).env_clear().env("HOME", &self.0).arg("backtest").args(args);
        command
    }

    fn ask(&self, args: &[&str]) -> Output {
        output(&mut self.command(args))
    }

    #[track_caller]
    fn order(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The page of both policies, and what `--json` says of them.
    fn both(&self) -> (String, Value) {
        let args = ["--policy", "goal.yaml", "--policy", EVIL, "--trace", "load.csv"];
        let told = self.order(&[&args[..], &["--json", "--html", "page.html"]].concat());
        let page = std::fs::read_to_string(self.path("page.html")).unwrap();
        (page, serde_json::from_str(&told).unwrap())
    }
}

/// Reads a page as strictly as XML: every element is closed in its turn, but for those that HTML
/// never closes. Gives the names of the elements in order.
#[track_caller]
fn elements(page: &str) -> Vec<String> {
    const NEVER_CLOSED: [&str; 1] = ["meta"];
    let mut open: Vec<String> = Vec::new();
    let mut all = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag has an end");
        assert!(!text.contains('>'), "a bare `>` after <{tag}>");
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;"].iter().any(|e| entity.starts_with(e));
            assert!(known, "a bare `&` after <{tag}>: {entity}");
        }
        if tag.starts_with('!') {
            assert_eq!(tag, "!DOCTYPE html");
        } else if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in its turn");
        } else {
            let name = tag.split_whitespace().next().unwrap().to_owned();
            assert_eq!(tag.matches('"').count() % 2, 0, "quotes in pairs: <{tag}>");
            if !NEVER_CLOSED.contains(&name.as_str()) {
                open.push(name.clone());
            }
            all.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

/// The style sheet has `>` of its own.
fn without_style(page: &str) -> String {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    format!("{before}<style></style>{after}")
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let (page, _) = Desk::new().both();
    let found = elements(&without_style(&page));
    let count = |name: &str| found.iter().filter(|found| *found == name).count();
    assert_eq!((count("h1"), count("figure"), count("table")), (1, 8, 3));
    assert_eq!(count("desc"), 8, "every chart is told in words");
    assert_eq!(page.matches("role=\"img\"").count(), 8);
    for id in page.split("aria-labelledby=\"").skip(1) {
        for id in id.split('"').next().unwrap().split(' ') {
            assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        }
    }
    for bad in
        ["http:", "https:", "//", "src=", "href=", "@import", "@font-face", "<script", "<link"]
    {
        assert!(!page.contains(bad), "`{bad}` in the page");
    }
    assert_eq!(page.matches("url(").count(), page.matches("url(#").count());
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

#[test]
fn what_comes_from_outside_is_escaped() {
    let (page, _) = Desk::new().both();
    assert!(!page.contains("<b>") && !page.contains("-->"), "a name became markup");
    assert!(page.contains("a&lt;b&gt;&amp;'&quot;--&gt;&lt;script&gt;x.yaml"));
}

#[test]
fn the_page_has_the_figures_of_the_report() {
    let desk = Desk::new();
    let (page, told) = desk.both();
    let cells = |text: String| page.contains(&format!("<td>{text}</td>"));
    for (nth, policy) in told["policies"].as_array().unwrap().iter().enumerate() {
        let number = |key: &str| policy[key].as_f64().unwrap();
        let own = |billing: &str| if (billing == "second") == (nth == 0) { " *" } else { "" };
        let (by_hour, by_second) = (own("hour"), own("second"));
        assert!(cells(format!("${:.2}{by_hour}", number("cost_by_hour_dollars"))), "{policy}");
        assert!(cells(format!("${:.2}{by_second}", number("cost_by_second_dollars"))), "{policy}");
        assert!(cells(format!("{:.1} h", number("idle_seconds") / 3600.0)), "{policy}");
        assert!(cells(policy["launches"].to_string()) && cells("300".to_owned()), "{policy}");
        for percent in ["wait_p95_s", "wait_max_s"] {
            let seconds = policy["jobs"][percent].as_u64().unwrap();
            // The page knows parts of a second below one; such waits do not occur here.
            assert!(cells(time::text(Duration::from_secs(seconds))), "{percent}: {policy}");
        }
        let over = policy["jobs"]["waited_over"].as_f64().unwrap() * 100.0;
        assert!(cells(format!("{over:.1} % over 15m")), "{policy}");
        let decision = policy["worst"]["decision"].as_str().unwrap().replace('>', "&gt;");
        assert!(page.contains(&format!("<blockquote>{decision}</blockquote>")), "{decision}");
    }
    assert_eq!(page.matches("Time in America/Winnipeg, from Mon 2 Mar 2026").count(), 8);
    assert!(page.contains("2026-03-02 08:00-06:00"), "the load begins by the zone's clock");
    let (again, _) = desk.both();
    assert!(again == page, "the same run is the same page");
}

#[test]
fn the_report_names_the_page_and_json_stays_json() {
    let desk = Desk::new();
    let args = ["--policy", "goal.yaml", "--trace", "load.csv"];
    let with = |more: &[&str]| desk.order(&[&args[..], more].concat());
    let plain = with(&[]);
    assert_eq!(with(&["--html", "page.html"]), format!("{plain}Charts: page.html\n"));
    assert_eq!(with(&["--json", "--html", "page.html"]), with(&["--json"]));
}

#[test]
fn a_reader_of_the_report_that_goes_away_does_not_cost_the_page() {
    let desk = Desk::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let args = ["--policy", "goal.yaml", "--trace", "load.csv", "--html", "page.html"];
    let status = desk.command(&args).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(141));
    let page = std::fs::read_to_string(desk.path("page.html")).unwrap();
    assert!(page.ends_with("</html>"));
}

#[test]
fn a_page_that_cannot_be_written_is_told_before_the_run() {
    let desk = Desk::new();
    let args = ["--policy", "goal.yaml", "--trace", "load.csv", "--html", "nowhere/page.html"];
    let output = desk.ask(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("failed to write the page nowhere/page.html: No such file"), "{said}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_queue_that_tells_its_length_alone_has_a_page() {
    let desk = Desk::new();
    desk.put(
        "lengths.csv",
        "time,waiting\n2026-03-02T08:00:00Z,40\n2026-03-02T09:00:00Z,7\n2026-03-02T10:00:00Z,0\n",
    );
    desk.order(&["--policy", "goal.yaml", "--trace", "lengths.csv", "--html", "page.html"]);
    let page = std::fs::read_to_string(desk.path("page.html")).unwrap();
    assert_eq!(elements(&without_style(&page)).iter().filter(|name| *name == "desc").count(), 3);
    assert!(page.contains("nobody's wait is known") && page.contains("40 at most"));
    assert!(page.contains("in service") && !page.contains("idle</li>"));
}

/// A year of readings: a page that can still be mailed.
#[test]
fn a_long_trace_makes_no_long_page() {
    let desk = Desk::new();
    let mut jobs = "submit_s,runtime_s\n".to_owned();
    // Bursts of forty, and no two alike.
    for burst in 0..100_u32 {
        for n in 0..40 {
            let at = burst * 315_360 + n * (7 + (burst + n) % 11);
            jobs += &format!("{at},{}\n", 60 + (burst * 40 + n) * 37 % 900);
        }
    }
    desk.put("year.csv", &jobs);
    desk.put("hourly.yaml", &GOAL.replace("start_within", "every: 1h, start_within"));
    desk.order(&["--policy", "hourly.yaml", "--trace", "year.csv", "--html", "page.html"]);
    let size = std::fs::metadata(desk.path("page.html")).unwrap().len();
    assert!(size < 200_000, "{size} bytes");
}
