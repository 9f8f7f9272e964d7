//! Runs one seed after another, goes on past those that fail, and reports each at the end.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The number of events before a failure that are reported.
const EVENTS_KEPT: usize = 200;

/// The variable that names the file to which failing seeds are written.
const FAILURES_FILE: &str = "TIDEGATE_SWARM_FAILURES";

/// The latest events of one seed. It outlives the run, so that a panic anywhere in it loses nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Story(Arc<Mutex<VecDeque<String>>>);

impl Story {
    pub(super) fn tell(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == EVENTS_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A seed that failed.
#[derive(Debug)]
struct Failure {
    seed: u64,
    /// The number of troubles that the seed drew among.
    among: usize,
    why: String,
    story: Vec<String>,
}

impl Failure {
    /// Returns the failure in the format of `tests/seeds.txt`: the story is comments, before its seed.
    fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.story {
            _ = writeln!(text, "# {line}");
        }
        let Self { seed, among, why, .. } = self;
        _ = writeln!(text, "{seed} {among} {}", why.replace('\n', " "));
        text
    }
}

/// A search through many seeds.
#[derive(Debug)]
pub(super) struct Search {
    file: PathBuf,
    seeds: usize,
    simulated: Duration,
    failures: Vec<Failure>,
}

impl Search {
    /// Creates a search that appends failing seeds to `file`.
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, seeds: 0, simulated: Duration::ZERO, failures: Vec::new() }
    }

    /// The file that the environment names, else one in the target directory of cargo.
    pub(super) fn failures_file() -> PathBuf {
        let named = std::env::var_os(FAILURES_FILE).map(PathBuf::from);
        named.unwrap_or_else(|| {
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("swarm-failures.txt")
        })
    }

    /// Runs one seed with `life`, which returns how long it lasted in the simulated world. A seed that
    /// panics is written to the file at once.
    pub(super) fn run(&mut self, seed: u64, among: usize, life: impl FnOnce(Story) -> Duration) {
        let story = Story::default();
        self.seeds += 1;
        match catch_unwind(AssertUnwindSafe(|| life(story.clone()))) {
            Ok(simulated) => self.simulated += simulated,
            Err(panic) => {
                let failure = Failure { seed, among, why: message(&*panic), story: story.lines() };
                let file = self.file.display();
                match self.append(&failure) {
                    Ok(()) => println!("seed {seed} failed, see {file}: {}", failure.why),
                    Err(why) => println!("seed {seed} failed, and {file} cannot be written: {why}"),
                }
                self.failures.push(failure);
            }
        }
    }

    fn append(&self, failure: &Failure) -> io::Result<()> {
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        file.write_all(failure.text().as_bytes())
    }

    /// Returns what was run in `took` of real time, or every failing seed with its story, the seeds last.
    pub(super) fn conclude(&self, took: Duration) -> Result<String, String> {
        let days = self.simulated.as_secs_f64() / 86_400.0;
        let per_minute = days / (took.as_secs_f64() / 60.0);
        let seeds = self.seeds;
        let sum = format!("{seeds} seeds, {days:.0} simulated days, {per_minute:.0} a minute");
        if self.failures.is_empty() {
            return Ok(sum);
        }
        let stories: String = self.failures.iter().map(Failure::text).collect();
        let failed: Vec<String> =
            self.failures.iter().map(|failure| failure.seed.to_string()).collect();
        let (count, failed, file) = (failed.len(), failed.join(", "), self.file.display());
        Err(format!("{stories}{sum}\n{count} of them failed, written to {file}: {failed}"))
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

#[test]
fn search_goes_on_past_failing_seeds() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swarm-search");
    drop(fs::remove_dir_all(&folder));
    let file = folder.join("not-yet-there/failures.txt");
    let mut search = Search::new(file.clone());
    let day = Duration::from_hours(24);
    search.run(1, 27, |_| day);
    assert!(!file.exists(), "no seed has failed");
    search.run(2, 25, |story| {
        story.tell("a server is launched".to_owned());
        story.tell("it is lost".to_owned());
        assert_eq!(1, 2, "a law is broken");
        day
    });
    let first = fs::read_to_string(&file).unwrap();
    assert!(first.starts_with("# a server is launched\n# it is lost\n2 25 "), "{first}");
    assert!(first.contains("a law is broken"), "{first}");
    search.run(3, 27, |_| std::panic::panic_any("another"));
    search.run(4, 27, |_| day);
    let both = fs::read_to_string(&file).unwrap();
    assert_eq!(both, format!("{first}3 27 another\n"));
    let report = search.conclude(Duration::from_mins(1)).unwrap_err();
    let end = format!(
        "{both}4 seeds, 2 simulated days, 2 a minute\n2 of them failed, written to {}: 2, 3",
        file.display()
    );
    assert_eq!(report, end);
}

#[test]
fn search_without_failures_reports_its_size() {
    let mut search = Search::new(PathBuf::from("/dev/null/no-such-file"));
    for seed in 0..300 {
        search.run(seed, 27, |story| {
            (0..300).for_each(|n| story.tell(n.to_string()));
            assert_eq!(story.lines().len(), EVENTS_KEPT);
            Duration::from_hours(12)
        });
    }
    let report = search.conclude(Duration::from_mins(2));
    assert_eq!(report.as_deref(), Ok("300 seeds, 150 simulated days, 75 a minute"));
}
