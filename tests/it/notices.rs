//! Notices over real sockets: the built binary and the library against servers of HTTP and SMTP on
//! loopback that remember what they were told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tidegate::notices::{Clerk, Desk, Glance, Pace, Post, Sender};
use tidegate_engine::model::ledger::OpenProblem;
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::policy::{Notify, load};

use crate::hang::{HANG, output, wait_or_tell};

/// In every secret of these tests, and in nothing that anybody may read.
const SECRET: &str = "geheim";

/// A request as it came: its first line, and its body.
pub(crate) type Asked = (String, String);

/// A server on a port of its own, gone with it.
pub(crate) struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Serves each connection by `serve`, in turn.
    fn start(serve: impl Fn(TcpStream) -> std::io::Result<Asked> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, over) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicBool>::default());
        let (heard, ended) = (asked.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                stream.set_read_timeout(Some(HANG)).unwrap();
                // Whoever hangs up in the midst has asked nothing.
                if let Ok(done) = serve(stream) {
                    heard.lock().unwrap().push(done);
                }
            }
        });
        Self { address, asked, over }
    }

    /// HTTP; `answers` are given in turn, the last for ever. Each repeats the request, as some do.
    pub(crate) fn http(answers: &'static [&'static str]) -> Self {
        let turn = AtomicU32::new(0);
        Self::start(move |stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first)?;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = n.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let turn = usize::try_from(turn.fetch_add(1, Ordering::Relaxed)).unwrap();
            let answer = answers[turn.min(answers.len() - 1)];
            let text = format!("Cannot {first}");
            let head = format!("HTTP/1.1 {answer}\r\nContent-Length: {}\r\n\r\n", text.len());
            (&stream).write_all((head + &text).as_bytes())?;
            Ok((first.trim().to_owned(), String::from_utf8(body).unwrap()))
        })
    }

    /// SMTP without TLS; remembers what was said before the mail, and the mail.
    fn smtp() -> Self {
        Self::start(|stream| {
            let mut reader = BufReader::new(stream.try_clone()?);
            let say = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes());
            let (mut said, mut mail) = (String::new(), String::new());
            say("220 here")?;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Ok((said, mail));
                }
                said.push_str(&line);
                match line.split([' ', '\r']).next().unwrap_or_default() {
                    "EHLO" => say("250-here\r\n250 AUTH PLAIN LOGIN")?,
                    "DATA" => {
                        say("354 go on")?;
                        loop {
                            let mut line = String::new();
                            reader.read_line(&mut line)?;
                            if line == ".\r\n" {
                                break;
                            }
                            mail.push_str(&line);
                        }
                        say("250 taken")?;
                    }
                    "QUIT" => {
                        say("221 bye")?;
                        return Ok((said, mail));
                    }
                    _ => say("250 fine")?,
                }
            }
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// So many requests, once they have come.
    #[track_caller]
    fn wait(&self, n: usize) -> Vec<Asked> {
        let asked = wait_or_tell(
            || format!("{n} requests: {:?}", self.asked()),
            || Some(self.asked()).filter(|asked| asked.len() >= n),
        );
        assert_eq!(asked.len(), n, "{asked:?}");
        asked
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread, which then sees that it is over.
        TcpStream::connect(self.address).ok();
    }
}

/// A folder with a policy and secrets, gone with it.
struct Host(PathBuf);

impl Host {
    fn new(name: &str, routes: &str, secrets: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-it-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("secrets")).unwrap();
        std::fs::write(path.join("policies.yaml"), format!("version: 1\nnotify:\n{routes}"))
            .unwrap();
        let host = Self(path);
        for (name, text) in secrets {
            host.secret(name, text, 0o600);
        }
        host
    }

    fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    fn secret(&self, name: &str, text: &str, mode: u32) {
        let path = self.secrets().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs a command; whatever it says, it does not say a secret.
    #[track_caller]
    fn run(&self, args: &[&str]) -> (Output, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args).arg("--config").arg(self.0.join("policies.yaml"));
        command.env_clear().env("HOME", &self.0).env("CREDENTIALS_DIRECTORY", self.secrets());
        let output = output(&mut command);
        let said = [output.stdout.clone(), output.stderr.clone()].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains(SECRET), "a secret is told: {said}");
        (output, said)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[test]
fn each_kind_of_route_arrives_as_its_receiver_wants_it() {
    let (chat, hook, pager, beat) = (
        Server::http(&["200 OK"]),
        Server::http(&["204 No Content"]),
        Server::http(&["202 Accepted"]),
        Server::http(&["200 OK"]),
    );
    let mail = Server::smtp();
    let routes = format!(
        "  chat: {{ slack: secret:chat }}\n  hook: {{ webhook: \"http://{}/in\" }}\n  pager: {{ pagerduty: secret:key, url: \"http://{}/v2/enqueue\" }}\n  mail: {{ email: [ops@example.com, \"b@example.com\"], from: tidegate@example.com, via: \"{}\", tls: none }}\n  beat: {{ ping: secret:beat }}\n",
        hook.address, pager.address, mail.address
    );
    let chat_url = format!("http://{}/services/{SECRET}", chat.address);
    let beat_url = format!("http://{}/ping/{SECRET}", beat.address);
    let secrets = [("chat", chat_url.as_str()), ("key", SECRET), ("beat", beat_url.as_str())];
    let host = Host::new("arrives", &routes, &secrets);
    let (output, said) = host.run(&["notify"]);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("notify   ok")).count(), 5, "{said}");

    let (first, body) = &chat.wait(1)[0];
    assert_eq!(first, &format!("POST /services/{SECRET} HTTP/1.1"));
    let text = json(body)["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("*tidegate main*\n*Test*: a test"), "{text}");

    let (first, body) = &hook.wait(1)[0];
    let body = json(body);
    assert_eq!(first, "POST /in HTTP/1.1");
    assert_eq!((&body["format_version"], &body["route"]), (&1.into(), &"hook".into()));
    assert_eq!(body["notices"][0]["kind"], "test");

    let events: Vec<Value> = pager.wait(2).iter().map(|(_, body)| json(body)).collect();
    assert_eq!(events[0]["event_action"], "trigger");
    assert_eq!(events[1]["event_action"], "resolve", "a test leaves no incident behind");
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert_eq!(events[0]["routing_key"], SECRET);
    assert_eq!(events[0]["payload"]["severity"], "info");

    let (said, mail) = &mail.wait(1)[0];
    for line in ["MAIL FROM:<tidegate@example.com>", "RCPT TO:<ops@example.com>", "RCPT TO:<b@"] {
        assert!(said.contains(line), "{said}");
    }
    for line in ["Subject: [tidegate main] Test: a test", "Auto-Submitted: auto-generated"] {
        assert!(mail.contains(line), "{mail}");
    }
    assert_eq!(beat.wait(1)[0].0, format!("GET /ping/{SECRET} HTTP/1.1"));
}

#[test]
fn what_does_not_arrive_is_told_without_its_secret() {
    let broken = Server::http(&["500 Oh"]);
    let away = Server::http(&["302 Found\r\nLocation: http://127.0.0.1:1/geheim"]);
    let mail = Server::smtp();
    let routes = format!(
        "  broken: {{ slack: secret:broken }}\n  away: {{ webhook: secret:away }}\n  shut: {{ webhook: secret:shut }}\n  meta: {{ webhook: secret:meta }}\n  none: {{ ping: secret:none }}\n  open: {{ slack: secret:open }}\n  mail: {{ email: o@example.com, from: t@example.com, via: \"{}\", user: me, password: secret:password }}\n",
        mail.address
    );
    let url = |server: &Server| format!("http://{}/{SECRET}", server.address);
    let (broken_url, away_url) = (url(&broken), url(&away));
    let shut = format!("http://127.0.0.1:1/{SECRET}");
    let meta = format!("http://169.254.169.254/{SECRET}");
    let secrets = [
        ("broken", broken_url.as_str()),
        ("away", &away_url),
        ("shut", &shut),
        ("meta", &meta),
        ("password", SECRET),
    ];
    let host = Host::new("fails", &routes, &secrets);
    host.secret("open", &broken_url, 0o644);
    let (output, said) = host.run(&["notify"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let line = |name: &str| {
        let head = format!("notify   problem  {name}: ");
        said.lines().find_map(|line| line.strip_prefix(head.as_str())).unwrap_or(&said).to_owned()
    };
    assert_eq!(line("broken"), "slack: HTTP 500");
    assert_eq!(line("away"), "webhook: HTTP 302: redirects are not followed");
    assert!(line("shut").contains("refused"), "{said}");
    assert_eq!(
        line("meta"),
        "webhook: an address that is never asked: link-local addresses lead to EC2's metadata service"
    );
    assert!(line("none").contains("secret none is neither of"), "{said}");
    assert!(line("open").contains("can be read or written by anybody"), "{said}");
    assert!(line("mail").starts_with("email: "), "{said}");
    // A server that does not offer STARTTLS is told neither password nor mail.
    let (heard, letter) = &mail.wait(1)[0];
    assert!(!heard.contains("AUTH") && !heard.contains("MAIL") && letter.is_empty(), "{heard}");
    assert_eq!((broken.asked().len(), away.asked().len()), (1, 1), "one try each");

    let (output, said) = host.run(&["notify", "brokn"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("no route brokn in `notify`; there is: away, broken,"), "{said}");
    let (output, said) = host.run(&["notify", "shut", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let said = json(said.trim());
    assert_eq!((&said["route"], &said["delivered"]), (&"shut".into(), &false.into()));
}

#[test]
fn check_looks_at_routes_and_their_secrets() {
    let routes = "  chat: { slack: secret:chat }\n  hook: { webhook: \"https://ops.example/\" }\n  text: { slack: secret:text }\n  gone: { pagerduty: secret:gone }\n";
    let url = format!("https://hooks.example/{SECRET}");
    let host = Host::new("check", routes, &[("chat", &url), ("text", SECRET)]);
    // Without AWS, which is asked nothing here: the file names no fleet.
    let (output, said) = host.run(&["check"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in ["notify   ok       chat: slack", "notify   ok       hook: webhook"] {
        assert!(said.contains(line), "{said}");
    }
    assert!(said.contains("notify   problem  text: slack: secret text: it is no URL"), "{said}");
    assert!(said.contains("notify   problem  gone: pagerduty: secret gone is neither"), "{said}");
    assert!(said.contains("(line 6)"), "{said}");
    let queue = "fleets:\n  job:\n    launch: { template: jobs }\n    max: 1\n    queue:\n      read: { http: \"http://127.0.0.1/q\", header: { name: Authorization, secret: token } }\n      scale_out: { above: 5 }\n      scale_in: { below: 1 }\n";
    std::fs::write(host.0.join("queue.yaml"), format!("version: 1\n{queue}")).unwrap();
    host.secret("token", SECRET, 0o644);
    let file = host.0.join("queue.yaml");
    let (_, told) = host.run(&["check", file.to_str().unwrap()]);
    assert!(told.contains("queue    problem  job: secret token: "), "{told}");
    let (output, said) = host.run(&["check", "--offline"]);
    assert!(output.status.success() && !said.contains("notify "), "{said}");
}

/// The routes of a policy file.
fn routes(path: &Path) -> Arc<Notify> {
    let text = std::fs::read_to_string(path).unwrap();
    let loaded = load("policies.yaml", &text, "2026-03-02T14:00:00Z".parse().unwrap());
    loaded.policy.unwrap().notify
}

fn glance(notify: &Arc<Notify>, at: &str, keys: &[&str]) -> Glance {
    let problem = |key: &&str| OpenProblem {
        key: ProblemKey::parse(key),
        fleet: None,
        since: "2026-03-02T14:00:00Z".parse().unwrap(),
        text: format!("{key} is wrong"),
    };
    let zone = jiff::tz::TimeZone::UTC;
    let problems: BTreeMap<_, _> =
        keys.iter().map(|k| (ProblemKey::parse(k), problem(k))).collect();
    Glance {
        at: at.parse().unwrap(),
        sender: Sender { install: "main".to_owned(), region: None, zone },
        notify: notify.clone(),
        problems,
        news: Vec::new(),
        alive: true,
    }
}

#[tokio::test]
async fn a_service_that_is_down_for_a_while_is_told_once_in_the_end() {
    let pager = Server::http(&["503 No\r\nRetry-After: 1", "429 No", "202 Accepted"]);
    let hook = Server::http(&["400 No", "200 OK"]);
    let file = format!(
        "  hook: {{ webhook: \"http://{}/\" }}\n  pager: {{ pagerduty: secret:key, url: \"http://{}/\" }}\n",
        hook.address, pager.address
    );
    let host = Host::new("down", &file, &[("key", SECRET)]);
    let notify = routes(&host.0.join("policies.yaml"));
    let now: tidegate::notices::Now = Arc::new(|| "2026-03-02T14:00:00Z".parse().unwrap());
    let (desk, tray) = Desk::open();
    let pace = Pace {
        grouped_for: Duration::from_millis(10),
        pause_first: Duration::from_millis(10),
        delivered_within: HANG,
        parting: HANG,
        ..Pace::default()
    };
    let post = Post::new(vec![host.secrets()], now.clone()).unwrap();
    let clerk = Clerk { courier: Arc::new(post), path: host.0.join("n.json"), now, pace };
    let work = tokio::spawn(clerk.run(tray));
    desk.hand_over(glance(&notify, "2026-03-02T14:00:00Z", &["twin"]));
    let pager = Arc::new(pager);
    let waited = pager.clone();
    tokio::task::spawn_blocking(move || waited.wait(3)).await.unwrap();
    desk.hand_over(glance(&notify, "2026-03-02T14:05:00Z", &[]));
    desk.hand_over(glance(&notify, "2026-03-02T14:08:00Z", &[]));
    drop(desk);
    tokio::time::timeout(HANG, work).await.unwrap().unwrap();
    let events: Vec<Value> = pager.asked().iter().map(|(_, body)| json(body)).collect();
    let actions: Vec<_> = events.iter().map(|e| e["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "trigger", "trigger", "resolve"], "two were not taken");
    assert!(events.iter().all(|event| event["dedup_key"] == events[0]["dedup_key"]));
    // What is refused as it stands is not sent again, and what comes after it is.
    let letters: Vec<Value> = hook.asked().iter().map(|(_, body)| json(body)).collect();
    let kinds: Vec<_> = letters.iter().map(|l| l["notices"][0]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["problem", "recovered"]);
    // Nothing of the secret is kept.
    let kept = std::fs::read_to_string(host.0.join("n.json")).unwrap();
    assert!(!kept.contains(SECRET), "{kept}");
}
