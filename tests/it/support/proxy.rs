//! A bad network between the binary and the imagined cloud: HTTP/1.1, one request a connection. What
//! befalls a call is drawn by seed, or asked for by the call's name. The world's own troubles are
//! about EC2's mind; these are about the wire.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidegate::sim::rng::Rng;

use super::HANG;

/// What befalls one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// It never arrives.
    Unsent,
    /// It takes effect; the connection is cut before the answer.
    Unanswered,
    /// The answer breaks off in its midst, and its length says that it does.
    Short,
    /// The answer breaks off behind the first of its list, and its length says that this is all.
    Half,
    /// The answer comes late.
    Late(Duration),
    /// The answer comes when [`Proxy::release`] is called.
    Held,
    /// It never arrives, and is answered with this error.
    Refused(u16, &'static str),
    /// It takes effect, and is answered with this error.
    Failed(u16, &'static str),
    /// The answer is dated so many seconds from now.
    Dated(i64),
    /// Somebody's portal answers in the cloud's place.
    Page,
    /// An answer of nothing, with 200.
    Empty,
    /// An answer that says it is compressed, and is not.
    Gzip,
}

/// What may befall any call.
const ANYWHERE: [Trick; 11] = [
    Trick::Unsent,
    Trick::Unanswered,
    Trick::Short,
    Trick::Late(Duration::from_millis(700)),
    Trick::Late(Duration::from_millis(200)),
    Trick::Failed(500, "InternalError"),
    Trick::Refused(503, "Unavailable"),
    Trick::Refused(503, "RequestLimitExceeded"),
    Trick::Page,
    Trick::Empty,
    Trick::Gzip,
];

/// What may befall a call of the API beside them. `Half` of a plain number would be another number.
const API: [Trick; 4] = [
    Trick::Half,
    Trick::Refused(403, "UnauthorizedOperation"),
    Trick::Refused(400, "RequestExpired"),
    Trick::Refused(400, "ExpiredToken"),
];

/// A launch that is refused for good stops launches for a quarter of an hour, which is another story
/// than these tests tell.
const LAUNCH: [Trick; 1] = [Trick::Half];

pub(crate) struct Proxy {
    pub endpoint: String,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    cloud: SocketAddr,
    mood: Mutex<Mood>,
}

struct Mood {
    dice: Rng,
    chance: f64,
    /// The next so many calls of this name meet this.
    asked: BTreeMap<String, (Trick, u32)>,
    seen: BTreeMap<String, u32>,
    befell: u32,
    released: bool,
    closed: bool,
}

impl Proxy {
    /// In front of `cloud`, gentle until told otherwise.
    pub(crate) fn new(cloud: &str, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mood = Mood {
            dice: Rng::new(seed, "network"),
            chance: 0.0,
            asked: BTreeMap::new(),
            seen: BTreeMap::new(),
            befell: 0,
            released: false,
            closed: false,
        };
        let cloud = cloud.strip_prefix("http://").unwrap().parse().unwrap();
        let shared = Arc::new(Shared { cloud, mood: Mutex::new(mood) });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if served.mood().closed {
                    return;
                }
                let shared = Arc::clone(&served);
                // A client that goes away in the midst is what this is for.
                std::thread::spawn(move || client.and_then(|client| shared.serve(client)).ok());
            }
        });
        Self { endpoint: format!("http://{address}"), address, shared }
    }

    /// From now on this share of all calls goes wrong.
    pub(crate) fn rage(&self, chance: f64) {
        self.shared.mood().chance = chance;
    }

    /// The next `times` calls of this name meet `trick`.
    pub(crate) fn on(&self, call: &str, trick: Trick, times: u32) {
        let mut mood = self.shared.mood();
        mood.released = false;
        mood.asked.insert(call.to_owned(), (trick, times));
    }

    /// Answers that are held go out.
    pub(crate) fn release(&self) {
        self.shared.mood().released = true;
    }

    /// How often the call was made.
    pub(crate) fn seen(&self, call: &str) -> u32 {
        self.shared.mood().seen.get(call).copied().unwrap_or(0)
    }

    /// How often any call was made.
    pub(crate) fn calls(&self) -> u32 {
        self.shared.mood().seen.values().sum()
    }

    /// How many calls went wrong.
    pub(crate) fn befell(&self) -> u32 {
        self.shared.mood().befell
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut mood = self.shared.mood();
        (mood.closed, mood.released) = (true, true);
        drop(mood);
        // The listener waits for one more.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let (head, body) = read_request(&mut client)?;
        let call = name_of(&head, &body);
        let Some(trick) = self.mood().next(&call) else {
            return client.write_all(&self.forward(&head, &body)?);
        };
        let elb = !String::from_utf8_lossy(&body).contains("Version=2016-11-15");
        match trick {
            Trick::Unsent => Ok(()),
            Trick::Refused(status, code) => {
                client.write_all(&answer(status, "", error(code, elb).as_bytes()))
            }
            Trick::Page => {
                let page = b"<html><head><title>Sign in</title></head><body><p>Welcome</body>";
                client.write_all(&answer(200, "Content-Type: text/html\r\n", page))
            }
            Trick::Unanswered => self.forward(&head, &body).map(drop),
            Trick::Failed(status, code) => {
                self.forward(&head, &body)?;
                client.write_all(&answer(status, "", error(code, elb).as_bytes()))
            }
            Trick::Empty => {
                self.forward(&head, &body)?;
                client.write_all(&answer(200, "", b""))
            }
            Trick::Gzip => {
                self.forward(&head, &body)?;
                let garbage = [0x1f, 0x8b, 8, 0, 7, 7, 7, 7, 7, 7, 7, 7];
                client.write_all(&answer(200, "Content-Encoding: gzip\r\n", &garbage))
            }
            Trick::Late(span) => {
                let whole = self.forward(&head, &body)?;
                std::thread::sleep(span);
                client.write_all(&whole)
            }
            Trick::Dated(seconds) => {
                let whole = self.forward(&head, &body)?;
                client.write_all(&dated(&whole, seconds))
            }
            Trick::Held => {
                let whole = self.forward(&head, &body)?;
                // The proxy's end releases them as well.
                while !self.mood().released {
                    std::thread::sleep(Duration::from_millis(5));
                }
                client.write_all(&whole)
            }
            Trick::Short => {
                let whole = self.forward(&head, &body)?;
                client.write_all(whole.get(..whole.len().saturating_sub(20)).unwrap_or_default())
            }
            Trick::Half => {
                let whole = self.forward(&head, &body)?;
                client.write_all(&half(&whole))
            }
        }
    }

    /// The cloud's whole answer.
    fn forward(&self, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut cloud = TcpStream::connect(self.cloud)?;
        let kept = head.lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
        let kept: Vec<&str> = kept.filter(|line| !line.is_empty()).collect();
        cloud
            .write_all(format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())?;
        cloud.write_all(body)?;
        let mut whole = Vec::new();
        cloud.read_to_end(&mut whole)?;
        Ok(whole)
    }
}

impl Mood {
    fn next(&mut self, call: &str) -> Option<Trick> {
        *self.seen.entry(call.to_owned()).or_default() += 1;
        if let Some((trick, left @ 1..)) = self.asked.get_mut(call) {
            *left -= 1;
            return Some(*trick);
        }
        if !self.dice.chance(self.chance) {
            return None;
        }
        self.befell += 1;
        let more: &[Trick] = match call {
            "RunInstances" => &LAUNCH,
            "queue" | "page" => &[],
            _ => &API,
        };
        let drawn = self.dice.up_to(ANYWHERE.len() + more.len() - 1);
        ANYWHERE.iter().chain(more).nth(drawn).copied()
    }
}

fn read_request(client: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    client.set_read_timeout(Some(HANG))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = client.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..n]);
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
            });
            let body = &bytes[end + 4..];
            if body.len() >= length.unwrap_or(0) {
                return Ok((head, body.to_vec()));
            }
        }
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The action of the API, or what is asked of an instance or a queue.
fn name_of(head: &str, body: &[u8]) -> String {
    if head.starts_with("POST / ") {
        let mut pairs = form_urlencoded::parse(body);
        let action = pairs.find(|(key, _)| key == "Action");
        return action.map(|(_, action)| action.into_owned()).unwrap_or_default();
    }
    if head.starts_with("GET /queue") { "queue" } else { "page" }.to_owned()
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn error(code: &str, elb: bool) -> String {
    let error = format!("<Error><Code>{code}</Code><Message>the network's mood</Message></Error>");
    if elb {
        format!("<ErrorResponse>{error}<RequestId>0</RequestId></ErrorResponse>")
    } else {
        format!("<Response><Errors>{error}</Errors><RequestID>0</RequestID></Response>")
    }
}

/// The answer with another date.
fn dated(whole: &[u8], seconds: i64) -> Vec<u8> {
    let Some(end) = find(whole, b"\r\n\r\n") else { return Vec::new() };
    let at = Timestamp::now() + SignedDuration::from_secs(seconds);
    let head = String::from_utf8_lossy(&whole[..end]);
    let kept = head.lines().filter(|line| !line.to_lowercase().starts_with("date:"));
    let kept: Vec<&str> = kept.collect();
    let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let head = format!("{}\r\ndate: {date}", kept.join("\r\n"));
    [head.as_bytes(), &whole[end..]].concat()
}

/// The answer up to and with the first of its list, cut between two elements.
fn half(whole: &[u8]) -> Vec<u8> {
    let Some(end) = find(whole, b"\r\n\r\n") else { return Vec::new() };
    let body = &whole[end + 4..];
    let first = [&b"</member>"[..], b"</item>"]
        .iter()
        .filter_map(|close| Some(find(body, close)? + close.len()))
        .min();
    let cut = first.unwrap_or(body.len().div_euclid(2));
    answer(200, "Content-Type: text/xml\r\n", &body[..cut])
}
