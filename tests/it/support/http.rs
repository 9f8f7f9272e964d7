//! The daemon's TCP door, asked as Prometheus and browsers ask, and as they never would.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::binary::Daemon;
use super::{HANG, wait_for};

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Where the daemon's door is, by its own word in the log.
#[track_caller]
pub(crate) fn door(daemon: &Daemon) -> String {
    wait_for("the door is open", || {
        let log = daemon.log();
        let rest = log.rsplit_once("are at http://")?.1;
        // The line is there when its end is.
        Some(rest.split_once('\n')?.0.split('/').next()?.to_owned())
    })
}

/// Any request, word for word, and the answer to it.
#[track_caller]
pub(crate) fn raw(door: &str, request: &str) -> Answer {
    let mut stream = TcpStream::connect(door).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    Answer { status: status.parse().unwrap(), headers: headers.collect(), body: body.to_owned() }
}

#[track_caller]
pub(crate) fn get(door: &str, path: &str) -> Answer {
    raw(door, &format!("GET {path} HTTP/1.1\r\nHost: {door}\r\nConnection: close\r\n\r\n"))
}
