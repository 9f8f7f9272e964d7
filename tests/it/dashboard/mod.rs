//! The daemon's page over an imagined day, asked as a browser and as a stranger would.

#[cfg(feature = "aws")]
mod daemon;
mod looks;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};

use crate::hang::HANG;

const THREE: &str = "version: 1\ntimezone: America/Winnipeg\nlimits: { instances: 16 }\nfleets:\n  app:\n    launch: { template: app, types: [t3.small] }\n    min: 2\n    max: 3\n    billing: hour\n    schedule: [{ during: 'mon-fri 08:00-21:00', capacity: 3 }]\n  job:\n    launch: { template: job, types: [t3.small] }\n    max: 3\n    billing: hour\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://127.0.0.1:9/' }, scale_out: { above: 20, add: 1 }, scale_in: { below: 5, remove: 1, after: 10m } }\n  report:\n    launch: { template: report, types: [t3.small] }\n    max: 10\n    billing: second\n    drain: { via: tag, deadline: 30m }\n    queue: { read: { http: 'http://127.0.0.1:9/' }, start_within: 15m, job_takes: 2m, jobs_at_once: 2 }\n";

/// The three kinds of [`THREE`] again and again.
fn fifty() -> String {
    let (head, fleets) = THREE.split_once("fleets:\n").unwrap();
    let mut kinds: Vec<(String, String)> = Vec::new();
    for line in fleets.lines() {
        match line.trim_start_matches("  ").strip_suffix(':').filter(|_| !line.starts_with("    "))
        {
            Some(name) => kinds.push((name.to_owned(), String::new())),
            None => kinds.last_mut().unwrap().1 += &format!("{line}\n"),
        }
    }
    let fleet =
        |(n, (name, lines)): (usize, &(String, String))| format!("  {name}-{n:02}:\n{lines}");
    let fleets: String = kinds.iter().cycle().take(50).enumerate().map(fleet).collect();
    format!("{}fleets:\n{fleets}", head.replace("16", "400"))
}

/// `tidegate demo --listen`, ended by its process id.
struct Demo {
    child: Child,
    told: Receiver<String>,
    address: String,
    folder: PathBuf,
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Demo {
    /// `speed`: imagined seconds a second.
    #[track_caller]
    fn begin(policy: &str, speed: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("tidegate-demo-it-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("policies.yaml");
        std::fs::write(&file, policy).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["demo", "--listen", "127.0.0.1:0", "--speed", speed])
            .arg("--config")
            .arg(&file)
            .env_clear()
            .env("TMPDIR", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Read on a thread of its own, so that a word that never comes fails.
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                tell.send(line).ok();
            }
        });
        let mut demo = Self { child, told, address: String::new(), folder };
        demo.address = demo.hears("The page is at http://");
        demo
    }

    /// The day is over, and the page stays.
    #[track_caller]
    fn over(policy: &str) -> Self {
        let mut demo = Self::begin(policy, "86400");
        demo.hears("The page stays at http://");
        demo
    }

    /// What follows these words, up to the next slash.
    #[track_caller]
    fn hears(&mut self, words: &str) -> String {
        loop {
            let line = self.told.recv_timeout(HANG).expect(words);
            if let Some(rest) = line.strip_prefix(words) {
                return rest.split('/').next().unwrap().to_owned();
            }
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The status of an answer and all of it, heads included, however it was asked for.
    #[track_caller]
    fn raw(&self, method: &str, path: &str, host: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n");
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    #[track_caller]
    fn get(&self, path: &str) -> (u16, String) {
        self.raw("GET", path, &self.address)
    }
}

#[test]
fn it_answers_to_its_own_name_and_changes_nothing() {
    let demo = Demo::over(THREE);
    for path in ["/", "/?range=7d&fleet=app", "/decision?id=x", "/live", "/page.css", "/page.js"] {
        let (status, answer) = demo.raw("GET", path, "evil.example");
        assert_eq!(status, 421, "{path}: {answer}");
        assert!(!answer.contains("app"), "nothing of the fleets: {answer}");
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            assert_eq!(demo.raw(method, path, &demo.address).0, 405, "{method} {path}");
        }
    }
    let (status, page) = demo.get("/");
    assert_eq!(status, 200);
    let (heads, body) = page.split_once("\r\n\r\n").unwrap();
    let heads = heads.to_lowercase();
    assert!(!heads.contains("access-control"), "{heads}");
    assert!(heads.contains("content-security-policy: default-src 'none'; script-src 'self'"));
    assert!(!heads.contains("unsafe") && heads.contains("frame-ancestors 'none'"), "{heads}");
    assert!(!body.contains("<style") && !body.contains(" style=") && !body.contains(" onclick"));
    assert_eq!(body.matches("<script").count(), 1);
    assert!(body.contains("<script src=\"page.js\" defer></script>"));
    // Nothing from elsewhere, and nothing that is not there.
    for part in body.split("href=\"").chain(body.split("src=\"")).skip(1) {
        let to = part.split('"').next().unwrap();
        assert!(!to.contains("//") && !to.starts_with("data:"), "{to}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let demo = Demo::over(THREE);
    for (path, status, words) in [
        ("/?fleet=nobody", 404, "there is no fleet nobody"),
        ("/?fleet=%3Cb%3E", 400, "there is no fleet of such a name"),
        ("/?range=1y", 400, "the ranges are 6h, 24h and 7d"),
        ("/decision?id=%3Cscript%3E", 400, "no decision has such an id"),
        ("/decision?id=job-20010101T000000Z", 404, "no such decision is recorded"),
        ("/nothing", 404, "there is no such page"),
    ] {
        let (told, answer) = demo.get(path);
        assert_eq!(told, status, "{path}: {answer}");
        assert!(answer.contains(words) && !answer.contains('<'), "{path}: {answer}");
    }
}

/// Every decision that the page marks is told by its story, and leads on to the next.
#[test]
fn each_mark_opens_the_story_of_its_decision() {
    let demo = Demo::over(THREE);
    let (_, page) = demo.get("/?range=24h");
    let links = |page: &str| -> Vec<String> {
        let links = page.split("href=\"decision?id=").skip(1);
        links.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
    };
    let marks = links(&page);
    for fleet in ["app-2026", "job-2026", "report-2026"] {
        assert!(marks.iter().any(|id| id.starts_with(fleet)), "{fleet}: {marks:?}");
    }
    let mut led_on = 0;
    for id in &marks {
        let (status, story) = demo.get(&format!("/decision?id={id}"));
        assert_eq!(status, 200, "{id}: {story}");
        assert!(story.contains("<dt>because</dt>"), "{id}: {story}");
        assert!(story.contains(&format!("tidegate explain --decision {id}")), "{id}: {story}");
        for next in links(&story) {
            assert_eq!(demo.get(&format!("/decision?id={next}")).0, 200, "{next}");
            led_on += 1;
        }
    }
    assert!(led_on > 3, "{led_on}");
}
