//! The task at work, with a courier that fails, hangs and refuses as told. Real time, some hundredths
//! of a second at a go; nothing is judged by how long it takes.

use std::path::PathBuf;

use tokio::task::JoinHandle;

use super::*;

/// Ways of a target, by what its secret is called: `s-MODE`.
#[derive(Default)]
struct Fake {
    /// Route, and kind and key of each notice that arrived.
    arrived: Mutex<Vec<(String, Vec<String>)>>,
    tried: AtomicU64,
    /// Tries that fail before one succeeds, on routes that `fail`.
    failures: u64,
}

#[async_trait]
impl Courier for Fake {
    async fn deliver(&self, target: &Target, letter: &Letter) -> Result<(), Undelivered> {
        let tried = self.tried.fetch_add(1, Ordering::Relaxed);
        match target.secret().map_or("", |name| name.as_str()) {
            "hang" => std::future::pending().await,
            "fail" if tried < self.failures => return Err(Undelivered::again("HTTP 500")),
            "never" if letter.notices.iter().any(|n| n.text.contains("sick")) => {
                return Err(Undelivered { why: "HTTP 400".to_owned(), then: Then::Never });
            }
            _ => {}
        }
        let told = |n: &Notice| format!("{} {}", n.kind.as_str(), n.key.as_deref().unwrap_or("-"));
        let told = letter.notices.iter().map(told).collect();
        self.arrived.lock().unwrap().push((letter.route.clone(), told));
        Ok(())
    }
}

impl Fake {
    fn at(&self, route: &str) -> Vec<Vec<String>> {
        let arrived = self.arrived.lock().unwrap();
        arrived.iter().filter(|(name, _)| name == route).map(|(_, told)| told.clone()).collect()
    }
}

/// A clerk on its file.
struct Office {
    desk: Desk,
    fake: Arc<Fake>,
    work: JoinHandle<()>,
}

fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tidegate-notices-{name}-{}.json", std::process::id()))
}

/// Only a hang takes as long.
const HANG: Duration = Duration::from_mins(4);

const PACE: Pace = Pace {
    grouped_for: Duration::from_millis(200),
    pause_first: Duration::from_millis(10),
    pause_at_most: Duration::from_millis(40),
    delivered_within: Duration::from_millis(400),
    alive_for: Duration::from_millis(300),
    parting: Duration::from_millis(300),
};

fn open(path: &std::path::Path, failures: u64) -> Office {
    open_at(path, failures, PACE)
}

fn open_at(path: &std::path::Path, failures: u64, pace: Pace) -> Office {
    let (desk, tray) = Desk::open();
    let fake = Arc::new(Fake { failures, ..Fake::default() });
    let clerk = Clerk { courier: fake.clone(), path: path.to_owned(), now: Arc::new(start), pace };
    let work = tokio::spawn(clerk.run(tray));
    Office { desk, fake, work }
}

impl Office {
    /// Until `good`.
    async fn until(&self, what: &str, mut good: impl FnMut(&Self) -> bool) {
        let found = async {
            while !good(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(HANG, found).await;
        assert!(waited.is_ok(), "never: {what}; {:?}", self.desk.outcomes());
    }

    async fn close(self) {
        let Self { desk, work, .. } = self;
        drop(desk);
        tokio::time::timeout(HANG, work).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_route_that_hangs_or_fails_delays_no_other() {
    let path = file("hangs");
    let office = open(&path, 3);
    let notify = routes(
        "  good: { slack: secret:ok }\n  hung: { slack: secret:hang }\n  down: { slack: secret:fail }\n",
    );
    office.desk.hand_over(glance(&notify, 0, &["queue:job"]));
    // What arrives is in the outcomes a moment later.
    let delivered = |o: &Office, route: &str| {
        o.desk.outcomes().get(route).is_some_and(|outcome| outcome.delivered == 1)
    };
    office.until("good is told", |o| delivered(o, "good")).await;
    office.until("down is told in the end", |o| delivered(o, "down")).await;
    office.until("hung is given up for now", |o| o.desk.outcomes()["hung"].failed > 0).await;
    let outcomes = office.desk.outcomes();
    let (good, down, hung) = (&outcomes["good"], &outcomes["down"], &outcomes["hung"]);
    assert_eq!((good.delivered, good.failed, good.waiting), (1, 0, 0));
    assert!(down.failed > 0 && down.failing.is_none(), "{down:?}");
    assert_eq!((hung.delivered, hung.waiting), (0, 1));
    assert!(office.desk.unreached(later(599)).is_empty());
    let unreached = office.desk.unreached(later(600));
    assert_eq!(unreached.len(), 1, "{unreached:?}");
    assert_eq!(unreached[0].0, "hung");
    assert_eq!(office.fake.at("down")[0], ["problem queue:job"]);
    office.close().await;
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_restart_repeats_nothing_and_loses_nothing() {
    let path = file("restart");
    let notify =
        routes("  good: { slack: secret:ok, send: all }\n  hung: { slack: secret:hang }\n");
    let office = open(&path, 0);
    let mut first = glance(&notify, 0, &["queue:job"]);
    first.news.extend(News::of(&news(EventKind::Override, "held at 3"), &BTreeSet::new()));
    office.desk.hand_over(first);
    office.until("good is told", |o| o.fake.at("good").len() == 1).await;
    assert_eq!(office.fake.at("good")[0], ["problem queue:job", "override -"]);
    office.close().await;
    // The same problem stands, over the same file; what hung arrives now.
    let office = open(&path, 0);
    let mended = routes("  good: { slack: secret:ok, send: all }\n  hung: { slack: secret:ok }\n");
    office.desk.hand_over(glance(&mended, 15, &["queue:job"]));
    office.until("what hung arrives", |o| o.fake.at("hung").len() == 1).await;
    assert_eq!(office.fake.at("hung")[0], ["problem queue:job"]);
    office.desk.hand_over(glance(&mended, 30, &[]));
    office.desk.hand_over(glance(&mended, 200, &[]));
    office.until("it is over", |o| o.fake.at("good").len() == 1).await;
    assert_eq!(office.fake.at("good"), [["recovered queue:job"]]);
    office.close().await;
    // A damaged file costs a repetition, and no more.
    std::fs::write(&path, "{").unwrap();
    let office = open(&path, 0);
    office.desk.hand_over(glance(&mended, 300, &["twin"]));
    office.until("it is told", |o| o.fake.at("good").len() == 1).await;
    office.close().await;
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn what_comes_in_a_burst_comes_in_few_letters_and_what_is_refused_blocks_nothing() {
    let path = file("burst");
    // What comes after the first letter is grouped until the end, however slow this host is.
    let pace = Pace { grouped_for: HANG * 2, parting: HANG, ..PACE };
    let office = open_at(&path, 0, pace);
    let notify = routes("  good: { slack: secret:ok }\n  picky: { slack: secret:never }\n");
    let keys: Vec<String> = (0..20).map(|n| format!("call:{n}")).collect();
    for n in 1..=keys.len() {
        let some: Vec<&str> = keys.iter().take(n).map(String::as_str).collect();
        office.desk.hand_over(glance(&notify, 0, &some));
        let begun = |o: &Office| !o.fake.at("good").is_empty() && !o.fake.at("picky").is_empty();
        office.until("the first is told", begun).await;
    }
    let fake = office.fake.clone();
    office.close().await;
    for route in ["good", "picky"] {
        let letters = fake.at(route);
        assert_eq!((letters.len(), letters.concat().len()), (2, 20), "{route}: {letters:?}");
    }
    let office = open(&path, 0);
    let dropped = |o: &Office| o.desk.outcomes().get("picky").is_some_and(|p| p.dropped == 1);
    let some: Vec<&str> = keys.iter().map(String::as_str).chain(["sick:i-1"]).collect();
    office.desk.hand_over(glance(&notify, 1, &some));
    office.until("it is dropped", dropped).await;
    let some: Vec<&str> = some.into_iter().chain(["twin"]).collect();
    office.desk.hand_over(glance(&notify, 2, &some));
    let told = |o: &Office| o.fake.at("picky").concat().contains(&"problem twin".to_owned());
    office.until("what comes after is told", told).await;
    office.close().await;
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn a_heart_beats_only_while_ticks_succeed() {
    let path = file("heart");
    let office = open(&path, 0);
    // Ten seconds are the least that the file takes, and too long for a test.
    let mut notify = Arc::unwrap_or_clone(routes("  heart: { ping: \"http://h/\" }\n"));
    for route in notify.routes.values_mut() {
        let Target::Ping { every, .. } = &mut route.target else { continue };
        *every = Duration::from_millis(50);
    }
    let notify = Arc::new(notify);
    let dead = Glance { alive: false, ..glance(&notify, 0, &[]) };
    office.desk.hand_over(dead.clone());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(office.fake.at("heart").len(), 0, "no tick was finished yet");
    let begun = tokio::time::Instant::now();
    let beats = |o: &Office| u32::try_from(o.fake.at("heart").len()).unwrap();
    office
        .until("it beats", |o| {
            o.desk.hand_over(glance(&notify, 1, &[]));
            beats(o) >= 4
        })
        .await;
    let most = begun.elapsed().as_millis().div_euclid(50) + 1;
    assert!(u128::from(beats(&office)) <= most, "not more often than it should: {most}");
    // Ticks that fail go on; the heart stops when the last good one is long ago.
    let (mut last, mut since) = (beats(&office), tokio::time::Instant::now());
    office
        .until("it stops", |o| {
            o.desk.hand_over(dead.clone());
            if beats(o) != last {
                (last, since) = (beats(o), tokio::time::Instant::now());
            }
            since.elapsed() > PACE.alive_for * 2
        })
        .await;
    office.close().await;
}

#[tokio::test]
async fn handing_over_never_waits() {
    let (desk, tray) = Desk::open();
    let notify = routes("  good: { slack: secret:ok }\n");
    for n in 0..1000 {
        desk.hand_over(glance(&notify, n, &["queue:job"]));
    }
    assert_eq!(desk.left_out(), 1000 - 64);
    drop(tray);
    desk.hand_over(glance(&notify, 0, &[]));
}
