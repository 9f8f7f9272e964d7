//! What the documents tell people to type is typed here: the way of `docs/getting-started.md` from its
//! first line to its last on moto, and every command of the others at a daemon that runs.

use std::collections::BTreeMap;
use std::process::Output;

use aws_sdk_ec2::types::Tag;
use tidegate::sim::faults::Troubles;

use crate::init::{IDLE, classic, launch};
use crate::moto::Pages;
use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::moto::Moto;
use crate::support::terminal::Terminal;
use crate::support::{output, wait_for};
use crate::tidy::read;

/// The fenced blocks of a document: what is behind the three marks, and the lines.
fn blocks(document: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = false;
    for line in document.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            open = !open;
            if open {
                found.push((kind.to_owned(), Vec::new()));
            }
        } else if let Some((_, lines)) = found.last_mut().filter(|_| open) {
            lines.push(line.to_owned());
        }
    }
    found
}

/// The words of a command line, as a shell has them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Who begins, with what they have before them.
struct Beginner<'a> {
    moto: &'a Moto,
    /// The web servers that run already.
    web: &'a [String],
    daemon: Daemon,
    pages: Pages,
    /// The lines that the document has them put into the file, fleet by fleet.
    edits: Vec<Vec<String>>,
}

impl Beginner<'_> {
    fn policy(&self) -> String {
        std::fs::read_to_string(self.daemon.policy()).unwrap()
    }

    /// Opens the file, and puts in what the document shows. Addresses are those of this test.
    fn edit(&self) {
        let mut text = self.policy();
        let here = format!("http://127.0.0.1:{}", self.pages.port);
        for (fleet, lines) in ["app", "job"].iter().zip(&self.edits) {
            let head = format!("\n  {fleet}:\n");
            let (before, rest) = text.split_once(&head).unwrap();
            let at = rest.find("    min: ").unwrap();
            let end = rest.find("\n\n").unwrap();
            let mended = format!(
                "{}{}{}",
                rest.get(..at).unwrap(),
                lines.join("\n"),
                rest.get(end..).unwrap()
            );
            text = format!("{before}{head}{mended}");
        }
        let text = text
            .replace("http://app.smallpayroll.ca/queue/length", &format!("{here}/queue/length"));
        self.daemon.write_policy(
            &text.replace("http://{private_ip}:80/", &format!("{here}/{{instance_id}}")),
        );
    }

    /// `mode: act` for one fleet, and a second policy to compare with.
    fn act(&self) {
        let text = self.policy();
        assert_eq!(text.matches("\n  app:\n").count(), 1);
        self.daemon.write_policy(&text.replace("\n  app:\n", "\n  app:\n    mode: act\n"));
    }

    fn ask(&self, args: &[String]) -> Output {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = self.daemon.command(&args);
        output(command.current_dir(self.daemon.policy().parent().unwrap()))
    }

    /// `aws ec2 create-tags`, on the servers of this test.
    async fn tags(&self, line: &str) {
        let tags = line.split(' ').filter_map(|word| {
            let (key, value) = word.strip_prefix("Key=")?.split_once(",Value=")?;
            Some(Tag::builder().key(key).value(value).build())
        });
        let call = self.moto.ec2.create_tags().set_resources(Some(self.web.to_vec()));
        call.set_tags(Some(tags.collect())).send().await.unwrap();
    }

    /// The words of a line, with the servers of this test for those that it names.
    fn real(&self, line: &str) -> Vec<String> {
        let (named, mut words): (Vec<_>, Vec<_>) =
            words(line).into_iter().partition(|word| word.starts_with("i-"));
        if !named.is_empty() {
            assert_eq!(named.len(), self.web.len(), "{line}");
            words.extend_from_slice(self.web);
        }
        words
    }

    /// One line of the document, done.
    async fn types(&mut self, line: &str) {
        let line = line.trim_start_matches("sudo ").trim_start_matches("-E ");
        let line = line.trim_start_matches("cargo run --no-default-features -- ");
        let line = line
            .strip_prefix("demo")
            .map_or_else(|| line.to_owned(), |_| "tidegate demo".to_owned());
        match line.as_str() {
            // That the package installs is seen by `tests/run package`.
            install if install.starts_with("apt install ./tidegate_") => return,
            tags if tags.starts_with("aws ec2 create-tags ") => return self.tags(tags).await,
            "sudoedit /etc/tidegate/policies.yaml" => return self.edit(),
            "systemctl enable --now tidegate" => {
                self.daemon.start();
                wait_for("the first tick", || self.daemon.status());
                return;
            }
            "tidegate status --watch" => {
                let mut terminal =
                    Terminal::open(&self.daemon.command(&["status", "--watch"]), 120, 40);
                terminal.wait("app   observe   desired ");
                assert_eq!(terminal.interrupt().0, 0);
                return;
            }
            "tidegate reload" => self.act(),
            "tidegate notify" => {
                let route = format!(
                    "notify: {{ hook: {{ webhook: \"http://127.0.0.1:{}/\" }} }}\n",
                    self.pages.port
                );
                self.daemon.write_policy(&format!("{}{route}", self.policy()));
            }
            other if other.contains("--policy next.yaml") => {
                let next = self.daemon.policy().with_file_name("next.yaml");
                std::fs::write(next, self.policy().replace("above: 20", "above: 15")).unwrap();
            }
            _ => {}
        }
        let args = self.real(line.strip_prefix("tidegate ").expect(&line));
        let done = self.ask(&args);
        assert!(done.status.success(), "{line}: {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_started_works_as_it_is_written() {
    let moto = Moto::start().await;
    let web = launch(&moto, 2, "t3.small", "app").await;
    let jobs = launch(&moto, 2, "c5.large", "job-1").await;
    let db = launch(&moto, 1, "m5.large", "db").await;
    classic(&moto, "smallpayroll-http", &web, "HTTP:80/").await;
    let text = read("docs/getting-started.md");
    let edits =
        blocks(&text).into_iter().filter(|(kind, _)| kind == "yaml").map(|(_, lines)| lines);
    let daemon = Daemon::new(&moto.endpoint, IDLE);
    let (moto, web, edits) = (&moto, &web[..], edits.collect());
    let mut beginner = Beginner { moto, web, daemon, pages: Pages::start(), edits };
    assert_eq!(beginner.edits.len(), 2, "one edit for each fleet");
    let mut typed = 0;
    for (_, lines) in blocks(&text).into_iter().filter(|(kind, _)| kind.is_empty()) {
        for line in lines {
            beginner.types(&line).await;
            typed += 1;
        }
    }
    assert!(typed > 15, "the document's commands are not found any more: {typed}");
    let daemon = &mut beginner.daemon;
    // What was decided before the last edit is not waited for.
    daemon.wait_ticks(2);
    // Two or three, by the hour at which this runs.
    let status = daemon.status().unwrap();
    let app = status["fleets"].as_array().unwrap().iter().find(|fleet| fleet["name"] == "app");
    let desired = app.unwrap()["desired"].as_u64().unwrap();
    let own = daemon.wait_in_service("app", usize::try_from(desired).unwrap());
    let of_app = crate::moto::running(moto, Some("app")).await;
    assert_eq!(of_app, own.iter().cloned().collect(), "none is launched beside those handed over");
    assert!(web.iter().all(|old| own.contains(old)), "{web:?} were handed over");
    let others = crate::moto::running(moto, None).await;
    for old in jobs.iter().chain(&db) {
        assert!(others.contains(old) && !own.contains(old), "{old} was touched");
    }
    assert_eq!(daemon.stop(), 0);
}

/// Every `tidegate …` that the documents show: typed in a block, or named in the text.
fn shown() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in [
        "README.md",
        "docs/operations.md",
        "docs/policies.md",
        "docs/performance.md",
        "docs/comparison.md",
        "deploy/README.md",
    ] {
        let text = read(path);
        let typed = blocks(&text).into_iter().flat_map(|(_, lines)| lines);
        let typed = typed.filter_map(|line| {
            let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
            line.starts_with("tidegate ").then(|| line.to_owned())
        });
        let prose: String = text.split("```").step_by(2).collect();
        let named =
            prose.split('`').skip(1).step_by(2).filter(|span| span.starts_with("tidegate "));
        for line in typed.chain(named.map(str::to_owned)) {
            // What stands behind two spaces explains it; the rest is the shell's.
            let bare = line.split("  ").next().unwrap().split(" > ").next().unwrap();
            found.insert(bare.trim().to_owned(), path.to_owned());
        }
    }
    found
}

/// Those that stay until they are told to end. Other suites run them; here their flags are read.
fn stays(args: &[&str]) -> bool {
    let watch = args.starts_with(&["status", "--watch"]);
    watch || args.first() == Some(&"run") || args.contains(&"--listen")
}

/// What is rightly refused as things stand here, and in which words. Other suites see it done.
const REFUSED: [(&str, &str); 7] = [
    ("tidegate adopt app i-0123456789abcdef0", "EC2 knows no i-0123456789abcdef0"),
    ("tidegate approve FLEET", "has nothing to approve of"),
    ("tidegate explain --decision ID", "no decision was made for fleet app at 2020"),
    ("tidegate explain FLEET --at", "nothing was decided for fleet app before"),
    ("tidegate explain job --at", "nothing was decided for fleet job before"),
    ("tidegate retire FLEET", "is in the policy and would be filled again"),
    ("tidegate shadow", "no second policy was ever decided"),
];

/// A line of a document with real things in it.
fn filled(line: &str, server: &str) -> Vec<String> {
    let tests = crate::tidy::root().join("policies.test.yaml");
    let real = [
        ("INSTANCE…", "INSTANCE"),
        ("INSTANCE", server),
        ("[FLEET]", "app"),
        ("FLEET", "app"),
        ("ROUTE", "chat"),
        ("decision ID", "decision app-20200101T000000Z"),
        ("ADDRESS:PORT", "127.0.0.1:0"),
        ("ADDRESS", "127.0.0.1:0"),
        ("test FILE", &format!("test {}", tests.display())),
    ];
    let line = real.iter().fold(line.to_owned(), |line, (word, thing)| line.replace(word, thing));
    words(&line).split_off(1)
}

#[test]
fn every_command_that_the_documents_show_is_taken() {
    let cloud = Cloud::new(Troubles::new());
    let hook = crate::notices::Server::http(&["200 OK"]);
    let hook = format!("notify:\n  chat: {{ webhook: \"http://{}/\" }}\n", hook.address);
    // However slow the machine, a server that is told to go is there for the next command.
    let policy = cloud.policy("classic", (2, 6)).replace("drain: 2s", "drain: 30m");
    let policy = format!("{policy}{hook}");
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    let beside = |name: &str| daemon.policy().with_file_name(name);
    std::fs::write(beside("next.yaml"), &policy).unwrap();
    std::fs::write(beside("load.csv"), "submit_s,runtime_s\n0,60\n600,60\n").unwrap();
    daemon.start();
    let servers = daemon.wait_in_service("app", 2);
    let all = shown();
    assert!(all.len() > 40, "commands are not found any more: {all:?}");
    let mut failed = Vec::new();
    for (line, path) in all {
        let args = filled(&line, &servers[0]);
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        // A command's bare name is no command line.
        if stays(&args)
            || args.len() == 1 && !["status", "check", "plan", "next"].contains(&args[0])
        {
            args.push("--help");
        }
        let folder = daemon.policy();
        let mut command = daemon.command(&args);
        let done = output(command.current_dir(folder.parent().unwrap()));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let refused =
            REFUSED.iter().find(|(head, _)| line.starts_with(head) && !args.contains(&"--help"));
        let right = match refused {
            Some((_, why)) => done.status.code() == Some(1) && said.contains(why),
            None => done.status.success(),
        };
        if !right {
            failed.push(format!("{path}: {line}: {:?} {said}", done.status.code()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
