//! A collector on loopback that remembers what it was sent, and what that says by the protocol's own
//! definition, as its authors publish it.
#![expect(clippy::panic, reason = "a referee that is missing fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use crate::hang::output_of;

/// Writes each request as a line of JSON, by the classes that the protocol's authors generate.
const READER: &str = r"
import base64, gzip, json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
kinds = {
    'v1/logs': ExportLogsServiceRequest,
    'v1/metrics': ExportMetricsServiceRequest,
    'v1/traces': ExportTraceServiceRequest,
}
for line in sys.stdin:
    path, encoding, body = line.rstrip('\n').split('\t')
    body = base64.b64decode(body)
    body = gzip.decompress(body) if encoding == 'gzip' else body
    print(json.dumps(MessageToDict(kinds[path.strip('/')].FromString(body))))
";

/// What the collector does with who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    Refuses,
    /// Reads, and never answers.
    Hangs,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

pub(crate) struct Collector {
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
}

impl Collector {
    pub(crate) fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(manner)),
            asked: Arc::default(),
            over: Arc::default(),
        };
        let (manner, asked) = (collector.manner.clone(), collector.asked.clone());
        let over = collector.over.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let (manner, asked) = (manner.clone(), asked.clone());
                let over = over.clone();
                // Whoever hangs up has asked nothing more.
                std::thread::spawn(move || serve(&stream, &manner, &asked, &over).ok());
            }
        });
        collector
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    #[cfg(feature = "aws")]
    pub(crate) fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests for one signal, as the protocol's definition reads them.
    pub(crate) fn told(&self, signal: &str) -> Vec<Value> {
        let asked = self.asked();
        let of = |asked: &Asked| asked.path == format!("/v1/{signal}");
        read(&asked.into_iter().filter(of).collect::<Vec<_>>())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Lets the listener see it.
        TcpStream::connect(self.address).ok();
    }
}

fn serve(
    stream: &TcpStream,
    manner: &Mutex<Manner>,
    heard: &Mutex<Vec<Asked>>,
    over: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut asked = Asked { path, headers, body: Vec::new() };
        asked.body = vec![0; asked.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut asked.body)?;
        heard.lock().unwrap().push(asked);
        let manner = *manner.lock().unwrap();
        let status = match manner {
            Manner::Takes => "200 OK",
            Manner::Refuses => "401 Unauthorized",
            Manner::Hangs => {
                while !over.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        (&*stream).write_all(head.as_bytes())?;
    }
}

fn read(asked: &[Asked]) -> Vec<Value> {
    let program = std::env::var("TIDEGATE_PYTHON")
        .unwrap_or_else(|_| panic!("TIDEGATE_PYTHON names the venv's; run the tests by tests/run"));
    let mut command = Command::new(program);
    let mut child =
        command.args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut lines = String::new();
    for asked in asked {
        let (encoding, body) = (asked.header("content-encoding"), base64.encode(&asked.body));
        lines.push_str(&format!("{}\t{encoding}\t{body}\n", asked.path));
    }
    // The answers may be long: they are read while it is told.
    let mut input = child.stdin.take().unwrap();
    let telling = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = output_of(child);
    telling.join().unwrap().unwrap();
    assert!(output.status.success(), "what was sent is not what the protocol defines");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every element of the lists that lie under these names, one within the other.
pub(crate) fn within<'a>(told: &'a [Value], path: &[&str]) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = told.iter().collect();
    for name in path {
        found = found
            .into_iter()
            .flat_map(|value| value[*name].as_array().into_iter().flatten())
            .collect();
    }
    found
}

/// One attribute, as text.
pub(crate) fn attribute<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    let mut all = of["attributes"].as_array()?.iter();
    all.find(|entry| entry["key"] == name)?["value"]["stringValue"].as_str()
}
