//! Answers of AWS that never end, or take far more memory parsed than written, against the built
//! binary; and lists that are large for good reason.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidegate::aws::Aws;
use tidegate::ports::{Balancers as _, Cloud as _};
use tidegate_engine::model::balancer::Balancer;

use crate::support::binary::Daemon;
use crate::support::{HANG, wait_for};

/// How much memory any answers may take above an idle daemon, in KiB.
const ABOVE_IDLE: usize = 64 << 10;

const POLICY: &str = "version: 1\nmode: act\ntick: 1s\ndefaults:\n  launch: { image: ami-0123456789abcdef0, types: [t3.small] }\n  min: 0\n  max: 2\nfleets:\n  classic: { load_balancer: { classic: web } }\n  group: { load_balancer: { target_group: arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1 } }\n  other: { load_balancer: { classic: more } }\nnotify:\n  ops: { sns: \"arn:aws:sns:us-east-1:123456789012:ops\" }\n";

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Empty lists.
    Sane,
    /// This head, this beginning, and this piece again and again.
    Endless(&'static str, &'static str, &'static str),
    /// Pages of rows like this, each with another token, whose padding has so many bytes.
    Pages(&'static str, usize),
    /// So many instances, with so many bytes of tags each, in the pages that are asked for.
    Fleet(usize, usize),
}

struct Server {
    endpoint: String,
    mode: Arc<Mutex<Mode>>,
    answered: Arc<AtomicUsize>,
    closed: Arc<AtomicBool>,
}

impl Server {
    fn new(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            mode: Arc::new(Mutex::new(mode)),
            answered: Arc::default(),
            closed: Arc::default(),
        };
        let (mode, answered, closed) =
            (server.mode.clone(), server.answered.clone(), server.closed.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let (mode, answered) = (*mode.lock().unwrap(), answered.clone());
                std::thread::spawn(move || {
                    // The client that hangs up is what this is for.
                    answer(client, mode, answered.load(Ordering::Relaxed)).ok();
                    answered.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    fn turn(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.answered.store(0, Ordering::Relaxed);
    }

    fn answered(&self, count: usize) {
        let enough = || (self.answered.load(Ordering::Relaxed) >= count).then_some(());
        wait_for("answers", enough);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        TcpStream::connect(self.endpoint.trim_start_matches("http://")).ok();
    }
}

/// The action, and the whole body of a request.
fn asked(client: &mut TcpStream) -> io::Result<String> {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = client.read(&mut piece)?;
        text.extend_from_slice(&piece[..read]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap_or("0");
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap_or(0);
            if body.len() >= length || read == 0 {
                return Ok(body.to_owned());
            }
        } else if read == 0 {
            return Ok(so_far);
        }
    }
}

fn field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn whole(client: &mut TcpStream, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(client, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")?;
    client.write_all(body.as_bytes())
}

fn answer(mut client: TcpStream, mode: Mode, nth: usize) -> io::Result<()> {
    client.set_read_timeout(Some(HANG))?;
    client.set_write_timeout(Some(HANG))?;
    let body = asked(&mut client)?;
    let action = field(&body, "Action").unwrap_or("None").to_owned();
    match mode {
        Mode::Sane => whole(&mut client, &format!("<{action}Response></{action}Response>")),
        Mode::Endless(head, start, piece) => {
            let pieces = piece.repeat((64_usize << 10).div_ceil(piece.len()));
            write!(client, "HTTP/1.1 {head}\r\nconnection: close\r\n")?;
            if start.is_empty() {
                // Headers without an end.
                loop {
                    client.write_all(pieces.as_bytes())?;
                }
            }
            write!(client, "\r\n{}", start.replace("ACTION", &action))?;
            loop {
                client.write_all(pieces.as_bytes())?;
            }
        }
        Mode::Pages(row, padding) => {
            let rows: String =
                (0..1000).map(|n| row.replace("NTH", &format!("{nth}-{n}"))).collect();
            let padding = "p".repeat(padding);
            let token = format!("<nextToken>t{nth}{padding}</nextToken>");
            let body = format!(
                "<{action}Response><reservationSet><item><instancesSet>{rows}</instancesSet></item></reservationSet>{token}</{action}Response>"
            );
            whole(&mut client, &body)
        }
        Mode::Fleet(count, tags) if action == "DescribeInstances" => {
            let from: usize = field(&body, "NextToken").and_then(|at| at.parse().ok()).unwrap_or(0);
            let most: usize = field(&body, "MaxResults").unwrap().parse().unwrap();
            let to = count.min(from + most);
            let mut rows = String::new();
            for n in from..to {
                write!(rows, "<item><reservationId>r-{n}</reservationId><instancesSet>{}</instancesSet></item>", instance(n, tags)).unwrap();
            }
            let next =
                if to < count { format!("<nextToken>{to}</nextToken>") } else { String::new() };
            whole(
                &mut client,
                &format!(
                    "<{action}Response><reservationSet>{rows}</reservationSet>{next}</{action}Response>"
                ),
            )
        }
        Mode::Fleet(count, _) => {
            let row = |n| {
                format!(
                    "<member><InstanceId>i-{n:017}</InstanceId><State>InService</State><ReasonCode>N/A</ReasonCode><Description>N/A</Description></member>"
                )
            };
            let rows: String = (0..count).map(row).collect();
            whole(
                &mut client,
                &format!(
                    "<{action}Response><{action}Result><InstanceStates>{rows}</InstanceStates></{action}Result></{action}Response>"
                ),
            )
        }
    }
}

/// An instance as EC2 shows it, with its usual lists and so many bytes of tags.
fn instance(n: usize, tags: usize) -> String {
    let value = "v".repeat(200);
    let tag = |n| format!("<item><key>tag-{n:04}</key><value>{value}</value></item>");
    let tags: String = (0..tags.div_ceil(250)).map(tag).collect();
    let field = |n| format!("<unknownField{n}>{}</unknownField{n}>", "x".repeat(24));
    let fields: String = (0..40).map(field).collect();
    let group = "<item><groupId>sg-0123456789abcdef0</groupId><groupName>web</groupName></item>";
    format!(
        "<item><instanceId>i-{n:017}</instanceId><instanceState><code>16</code><name>running</name></instanceState><instanceType>t3.small</instanceType><launchTime>2026-01-01T00:00:00.000Z</launchTime><subnetId>subnet-0123456789abcdef0</subnetId><privateIpAddress>10.0.0.1</privateIpAddress>{fields}<groupSet>{group}{group}</groupSet><blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-{n}</volumeId><attachTime>2026-01-01T00:00:00.000Z</attachTime></ebs></item></blockDeviceMapping><networkInterfaceSet><item><networkInterfaceId>eni-{n}</networkInterfaceId><groupSet>{group}</groupSet><privateIpAddressesSet><item><privateIpAddress>10.0.0.1</privateIpAddress></item></privateIpAddressesSet></item></networkInterfaceSet><tagSet>{tags}</tagSet></item>"
    )
}

const OK: &str = "200 OK";
const LIST: &str = "<ACTIONResponse><reservationSet><item><instancesSet>";
const MEMBERS: &str = "<ACTIONResponse><ACTIONResult><InstanceStates>";
const ROW: &str = "<item><instanceId>i-NTH</instanceId><tagSet><item><key>tidegate:install</key><value>main</value></item></tagSet></item>";

const MODES: [(&str, Mode); 19] = [
    ("empty instances", Mode::Endless(OK, LIST, "<item/>")),
    ("instances in other spaces", Mode::Endless(OK, LIST, "<n:item/>")),
    ("instances", Mode::Endless(OK, LIST, "<item><instanceId>i-1</instanceId></item>")),
    ("reservations", Mode::Endless(OK, "<ACTIONResponse><reservationSet>", "<item/>")),
    (
        "tags",
        Mode::Endless(
            OK,
            "<ACTIONResponse><reservationSet><item><instancesSet><item><tagSet>",
            "<item/>",
        ),
    ),
    (
        "interfaces",
        Mode::Endless(
            OK,
            "<ACTIONResponse><reservationSet><item><instancesSet><item><networkInterfaceSet>",
            "<item/>",
        ),
    ),
    ("members", Mode::Endless(OK, MEMBERS, "<member/>")),
    (
        "targets",
        Mode::Endless(OK, "<ACTIONResponse><ACTIONResult><TargetHealthDescriptions>", "<member/>"),
    ),
    ("a text", Mode::Endless(OK, "<ACTIONResponse><nextToken>", "text")),
    ("an account", Mode::Endless(OK, "<ACTIONResponse><ACTIONResult><Account>", "1234")),
    ("spaces", Mode::Endless(OK, "<ACTIONResponse>", " \n")),
    ("spaces before all", Mode::Endless(OK, " ", " ")),
    ("attributes", Mode::Endless(OK, "<ACTIONResponse ", "a='b' ")),
    ("nesting", Mode::Endless(OK, "<ACTIONResponse>", "<a>")),
    ("a comment", Mode::Endless(OK, "<ACTIONResponse><!-- ", "text")),
    ("headers", Mode::Endless(OK, "", "x-a: b\r\n")),
    (
        "an error",
        Mode::Endless(
            "400 Bad Request",
            "<Response><Errors><Error><Code>X</Code><Message>",
            "text",
        ),
    ),
    ("packed", Mode::Endless("200 OK\r\ncontent-encoding: gzip", "\u{1f}", "\0\0\0\0")),
    (
        "chunks",
        Mode::Endless("200 OK\r\ntransfer-encoding: chunked", "5\r\n<abc>\r\n", "1\r\na\r\n"),
    ),
];

/// A figure of the process, in KiB.
fn memory(daemon: &Daemon, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

fn under(server: &Server) -> (Daemon, usize) {
    let mut daemon = Daemon::new(&server.endpoint, POLICY);
    daemon.start();
    wait_for("a first tick", || daemon.status());
    server.turn(Mode::Sane);
    server.answered(12);
    let idle = memory(&daemon, "VmRSS");
    (daemon, idle)
}

#[test]
fn endless_answers_take_little_memory() {
    let server = Server::new(Mode::Sane);
    let (daemon, idle) = under(&server);
    for (what, mode) in MODES {
        server.turn(mode);
        server.answered(8);
        let above = memory(&daemon, "VmHWM").saturating_sub(idle);
        eprintln!("{what}: {} MiB above {} MiB", above >> 10, idle >> 10);
        assert!(above < ABOVE_IDLE, "{what}: {above} KiB above {idle} KiB");
    }
    assert!(daemon.says("AnswerTooLarge") > 0, "{}", daemon.log());
    // It goes on once the answers are answers again.
    server.turn(Mode::Sane);
    wait_for("a tick without gaps", || {
        let status = daemon.status()?;
        let problems = status["problems"].to_string();
        (!problems.contains("AnswerTooLarge") && !problems.contains("BadAnswer")).then_some(())
    });
}

#[test]
fn endless_pages_take_little_memory() {
    let server = Server::new(Mode::Sane);
    let (daemon, idle) = under(&server);
    for (what, count, mode) in [
        ("rows", 110, Mode::Pages(ROW, 0)),
        ("tokens", 20, Mode::Pages("<item/>", 4 << 20)),
        (
            "ids",
            110,
            Mode::Pages(
                "<item><instanceId>i-NTH-0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789</instanceId></item>",
                0,
            ),
        ),
    ] {
        server.turn(mode);
        server.answered(count);
        let above = memory(&daemon, "VmHWM").saturating_sub(idle);
        eprintln!("pages of {what}: {} MiB above {} MiB", above >> 10, idle >> 10);
        assert!(above < ABOVE_IDLE, "{what}: {above} KiB above {idle} KiB");
    }
    wait_for("the log", || (daemon.says("EndlessList") > 0).then_some(()));
}

#[tokio::test]
async fn large_lists_are_read_whole() {
    let server = Server::new(Mode::Fleet(4_500, 1_000));
    let aws = Aws::imagined(&server.endpoint).await;
    assert_eq!(aws.instances("main").await.unwrap().len(), 4_500);
    let members = aws.members(&Balancer::Classic("web".to_owned())).await.unwrap();
    assert_eq!(members.len(), 4_500);
    // A page of 1,000 with fifty long tags each has over 12 MB: smaller pages are asked for.
    server.turn(Mode::Fleet(1_500, 12_500));
    assert_eq!(aws.instances("main").await.unwrap().len(), 1_500);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_a_fault() {
    let server = Server::new(Mode::Endless(OK, LIST, "<item/>"));
    let aws = Aws::imagined(&server.endpoint).await;
    let fault = aws.instances("main").await.unwrap_err();
    assert_eq!(fault.code, "AnswerTooLarge", "{fault}");
}
