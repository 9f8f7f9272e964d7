//! A simulated EC2 instance metadata service: session tokens, and one instance tag that the test sets.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const TAG: &str = "tidegate:drain";

/// How the service answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mode {
    /// The tag has a value, or there is none.
    Tag(Option<String>),
    /// The instance was launched without `InstanceMetadataTags`.
    NoTags,
    /// Each request for a token fails.
    Unavailable,
    /// Tokens are given, and each other request is refused.
    Refusing,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// Runs of the receiver that got their last answer in this mode.
    answered: u32,
    tokens: BTreeSet<String>,
    /// Requests without a token that was given out.
    without_token: u32,
}

pub(crate) struct Metadata {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Metadata {
    pub(crate) fn new(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = State { mode, answered: 0, tokens: BTreeSet::new(), without_token: 0 };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that leaves early is its own affair.
                answer(&stream, &shared).ok();
            }
        });
        Self { endpoint, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.state();
        state.mode = mode;
        state.answered = 0;
    }

    /// Runs of the receiver that the present mode has answered.
    pub(crate) fn answered(&self) -> u32 {
        self.state().answered
    }

    pub(crate) fn without_token(&self) -> u32 {
        self.state().without_token
    }
}

fn answer(mut stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let (mut token, mut seconds) = (None, None);
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "x-aws-ec2-metadata-token" => token = Some(value.trim().to_owned()),
            "x-aws-ec2-metadata-token-ttl-seconds" => seconds = value.trim().parse::<u32>().ok(),
            _ => {}
        }
    }
    let mut request = first.split(' ');
    let (method, path) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
    let (status, body) = respond(&mut state.lock().unwrap(), method, path, token, seconds);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn respond(
    state: &mut State,
    method: &str,
    path: &str,
    token: Option<String>,
    seconds: Option<u32>,
) -> (u16, String) {
    if (method, path) == ("PUT", "/latest/api/token") {
        if state.mode == Mode::Unavailable {
            state.answered += 1;
            return (503, String::new());
        }
        if !seconds.is_some_and(|seconds| (1..=21_600).contains(&seconds)) {
            return (400, String::new());
        }
        let token = format!("AQAEA{:08}==", state.tokens.len());
        state.tokens.insert(token.clone());
        return (200, token);
    }
    if method != "GET" {
        return (405, String::new());
    }
    if !token.is_some_and(|token| state.tokens.contains(&token)) {
        state.without_token += 1;
        return (401, String::new());
    }
    let list = path == "/latest/meta-data/tags/instance";
    if !list && path != format!("/latest/meta-data/tags/instance/{TAG}") {
        return (404, String::new());
    }
    let (status, body, last) = match (&state.mode, list) {
        (Mode::Unavailable | Mode::Refusing, _) => (403, String::new(), true),
        (Mode::NoTags, _) => (404, String::new(), list),
        (Mode::Tag(None), true) => (200, "Name\ntidegate:install".to_owned(), true),
        (Mode::Tag(None), false) => (404, String::new(), false),
        (Mode::Tag(Some(_)), true) => (200, format!("Name\n{TAG}\ntidegate:install"), true),
        (Mode::Tag(Some(value)), false) => (200, value.clone(), true),
    };
    state.answered += u32::from(last);
    (status, body)
}
