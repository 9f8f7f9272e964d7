//! Money in what the commands print: by the region's list, by the policy's `prices`, and not at all
//! where no price is known.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::hang::output;

const POLICY: &str = "\
version: 1
timezone: UTC
fleets:
  job:
    launch: LAUNCH
    max: 4
    billing: second
    drain: { via: tag, deadline: 30m }
    queue: { read: { http: 'http://127.0.0.1:9/' }, start_within: 15m, job_takes: 2m, jobs_at_once: 2 }
";

const IMAGE: &str = "{ image: ami-0123456789abcdef0, types: [TYPE] }";

/// A folder with a load; gone with it.
struct Desk(PathBuf);

impl Drop for Desk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Desk {
    fn new(name: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prices-{name}"));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).unwrap();
        let jobs: Vec<String> = (0..100).map(|n| format!("{},240\n", n * 30)).collect();
        std::fs::write(path.join("load.csv"), format!("submit_s,runtime_s\n{}", jobs.concat()))
            .unwrap();
        Self(path)
    }

    #[track_caller]
    fn order(&self, policy: &str, region: Option<&str>, args: &[&str]) -> String {
        std::fs::write(self.0.join("policies.yaml"), policy).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.current_dir(&self.0).env_clear().env("HOME", &self.0);
        command.envs(region.map(|region| ("AWS_REGION", region)));
        let output = output(command.args(["--config", "policies.yaml"]).args(args));
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The row of a backtest in `--json`.
    #[track_caller]
    fn row(&self, policy: &str, region: Option<&str>) -> Value {
        let args = ["backtest", "--json", "--policy", "policies.yaml", "--trace", "load.csv"];
        let told: Value = serde_json::from_str(&self.order(policy, region, &args)).unwrap();
        told["policies"][0].clone()
    }

    #[track_caller]
    fn text(&self, policy: &str, region: Option<&str>) -> String {
        let args = ["backtest", "--policy", "policies.yaml", "--trace", "load.csv"];
        self.order(policy, region, &[&args[..], &["--html", "page.html"]].concat())
    }

    fn page(&self) -> String {
        std::fs::read_to_string(self.0.join("page.html")).unwrap()
    }
}

/// A policy that launches `types`, with lines at the top.
fn policy(types: &str, top: &str) -> String {
    let launch = IMAGE.replace("TYPE", types);
    format!("{}{top}", POLICY.replace("LAUNCH", &launch))
}

/// The cost by the second of each server-hour.
#[track_caller]
fn per_hour(row: &Value) -> f64 {
    let hours = row["server_seconds"].as_f64().unwrap() / 3600.0;
    assert!(hours > 1.0, "{row}");
    row["cost_by_second_dollars"].as_f64().unwrap() / hours
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < expected * 0.1, "{found} for {expected}");
}

#[test]
fn backtest_without_a_price_says_so_and_sums_nothing() {
    let desk = Desk::new("unknown");
    let policy = policy("m9z.large", "region: eu-west-9\n");
    let row = desk.row(&policy, None);
    assert_eq!(
        (&row["cost_by_hour_dollars"], &row["cost_by_second_dollars"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(row["types_without_price"], serde_json::json!(["m9z.large"]));
    assert!(row["server_seconds"].as_u64().unwrap() > 3600, "{row}");
    let text = desk.text(&policy, None);
    let line = "fleet job: no price known for m9z.large in eu-west-9: add it to `prices:`";
    assert!(text.lines().any(|said| said == line), "{text}");
    let cost = text.lines().find(|line| line.starts_with("cost, by the second")).unwrap();
    assert!(cost.ends_with("no price known *"), "{cost}");
    assert!(!text.contains('$'), "{text}");
    let page = desk.page();
    assert!(page.contains(line) && page.contains("<p>No price is known for any server"), "{line}");
    assert!(!page.contains('$'), "a sum without a price");
}

#[test]
fn type_of_a_launch_template_has_no_price() {
    let desk = Desk::new("template");
    let policy = POLICY.replace("LAUNCH", "{ template: job }");
    let row = desk.row(&policy, Some("eu-west-1"));
    assert_eq!(row["types_without_price"], serde_json::json!(["launch template"]));
    assert!(row["cost_by_second_dollars"].is_null(), "{row}");
    let text = desk.text(&policy, Some("eu-west-1"));
    assert!(
        text.contains("whose launch template names the instance type: name it in `launch.types`"),
        "{text}"
    );
}

#[test]
fn prices_of_the_policy_beat_the_list() {
    let desk = Desk::new("own");
    let row =
        desk.row(&policy("m9z.large", "region: eu-west-9\nprices: { m9z.large: 2.5 }\n"), None);
    near(per_hour(&row), 2.5);
    assert_eq!(row["types_without_price"], serde_json::json!([]));
    let row = desk.row(&policy("t3.small", "region: us-east-1\nprices: { t3.small: 5 }\n"), None);
    near(per_hour(&row), 5.0);
    let text = desk.text(&policy("t3.small", "region: us-east-1\nprices: { t3.small: 5 }\n"), None);
    assert!(
        text.contains("Assumed: `prices` of the policy, else list prices of us-east-1 as of "),
        "{text}"
    );
}

#[test]
fn list_prices_are_of_the_region() {
    let desk = Desk::new("region");
    let large = |region: &str| policy("m5.4xlarge", &format!("region: {region}\n"));
    near(per_hour(&desk.row(&large("us-east-1"), None)), 0.768);
    let row = desk.row(&large("sa-east-1"), Some("us-east-1"));
    near(per_hour(&row), 1.224);
    assert_eq!(
        (row["prices"]["region"].as_str(), &row["prices"]["region_assumed"]),
        (Some("sa-east-1"), &Value::Bool(false))
    );
    // Of the environment, where the policy names none.
    let none = policy("m5.4xlarge", "");
    near(per_hour(&desk.row(&none, Some("sa-east-1"))), 1.224);
    assert!(desk.text(&none, Some("sa-east-1")).contains("list prices of sa-east-1 as of "));
    let row = desk.row(&none, None);
    near(per_hour(&row), 0.768);
    assert_eq!(
        (row["prices"]["region"].as_str(), &row["prices"]["region_assumed"]),
        (Some("us-east-1"), &Value::Bool(true))
    );
    let text = desk.text(&none, None);
    assert_eq!(text.matches("list prices of us-east-1 as of ").count(), 1, "{text}");
    assert!(text.contains("(assumed: the policy names no `region`)"), "{text}");
}

#[test]
fn sum_of_a_day_names_what_it_lacks() {
    let desk = Desk::new("day");
    let known = IMAGE.replace("TYPE", "t3.small");
    let unknown = IMAGE.replace("TYPE", "m9z.large");
    let policy = format!(
        "version: 1\nregion: us-east-1\nfleets:\n  a: {{ launch: {known}, min: 1, max: 1 }}\n  b: {{ launch: {unknown}, min: 2, max: 2 }}\n"
    );
    let text = desk.order(&policy, None, &["demo"]);
    let all = text.lines().find(|line| line.starts_with("  in all, ")).unwrap();
    assert!(
        all.starts_with(
            "  in all, $0.50 without 1 type of unknown price: list prices of us-east-1 as of "
        ),
        "{all}"
    );
    let line = "  fleet b: no price known for m9z.large in us-east-1: add it to `prices:`";
    assert!(text.lines().any(|said| said == line), "{text}");
    let said = desk.order(&policy, None, &["demo", "--json"]);
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let (a, b) = (&summary["fleets"][0], &summary["fleets"][1]);
    assert_eq!(
        (&a["cost_dollars"], &a["types_without_price"]),
        (&serde_json::json!(0.5), &serde_json::json!([]))
    );
    assert_eq!(
        (&b["cost_dollars"], &b["types_without_price"]),
        (&Value::Null, &serde_json::json!(["m9z.large"]))
    );
    assert_eq!(summary["prices"]["region"], "us-east-1");
}
