//! Clients that hold a place without using it, and clients that are only slow.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::stream;
use tidegate::door::{Limits, serve};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

const PLACES: usize = 3;
/// Larger than what the kernel takes for a client that does not read.
const LARGE: usize = 32 << 20;
/// Only a hang takes so long.
const PATIENCE: Duration = Duration::from_mins(2);

const PLAIN: &str = "GET /plain HTTP/1.1\r\nhost: t\r\n\r\n";
const STREAM: &str = "GET /stream HTTP/1.1\r\nhost: t\r\n\r\n";
const SMALL: &str = "GET /small HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
const BODY: &str = "POST /body HTTP/1.1\r\nhost: t\r\ncontent-length: 60000\r\n\r\n";

fn limits(stalled: Duration) -> Limits {
    Limits { connections: PLACES, longest: Duration::from_hours(1), stalled }
}

fn app() -> Router {
    let events =
        || stream::repeat_with(|| Ok::<_, Infallible>(Event::default().data(page(65_536))));
    Router::new()
        .route("/plain", get(async || page(LARGE)))
        .route("/stream", get(async move || Sse::new(events())))
        .route("/small", get(async || "here\n"))
        .route("/body", post(async |body: String| body.len().to_string()))
}

fn page(size: usize) -> String {
    "x".repeat(size)
}

async fn tcp(stalled: Duration) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, limits(stalled), |_| app()));
    address
}

async fn says(client: &mut (impl AsyncWrite + Unpin), request: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
}

/// The whole answer; panics where it does not come.
async fn answer(mut client: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    says(&mut client, request).await;
    let mut told = String::new();
    let read = client.read_to_string(&mut told);
    tokio::time::timeout(PATIENCE, read).await.expect("an answer in time").unwrap();
    told
}

/// Fills every place with `request` by clients that never read, and asks for a small page.
async fn fills_every_place(request: &str) {
    let address = tcp(Duration::from_millis(200)).await;
    let mut silent = Vec::new();
    for _ in 0..2 * PLACES {
        let mut client = TcpStream::connect(address).await.unwrap();
        says(&mut client, request).await;
        silent.push(client);
    }
    let told = answer(TcpStream::connect(address).await.unwrap(), SMALL).await;
    assert!(told.ends_with("here\n"), "{told}");
}

#[tokio::test]
async fn unread_answers_give_their_places_back() {
    fills_every_place(PLAIN).await;
}

#[tokio::test]
async fn unread_event_streams_give_their_places_back() {
    fills_every_place(STREAM).await;
}

#[tokio::test]
async fn unread_pipelined_answers_give_their_places_back() {
    let pipelined = "GET /small HTTP/1.1\r\nhost: t\r\n\r\n".repeat(20) + PLAIN;
    fills_every_place(&pipelined).await;
}

#[tokio::test]
async fn unread_answers_on_a_unix_socket_too() {
    let folder = std::env::temp_dir().join(format!("tidegate-door-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("door.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(serve(listener, limits(Duration::from_millis(200)), |_| app()));
    let mut silent = Vec::new();
    for _ in 0..2 * PLACES {
        let mut client = UnixStream::connect(&path).await.unwrap();
        says(&mut client, PLAIN).await;
        silent.push(client);
    }
    let told = answer(UnixStream::connect(&path).await.unwrap(), SMALL).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(told.ends_with("here\n"), "{told}");
}

#[tokio::test]
async fn trickled_bodies_give_their_places_back() {
    let address = tcp(Duration::from_millis(200)).await;
    let mut trickles = Vec::new();
    for _ in 0..2 * PLACES {
        let mut client = TcpStream::connect(address).await.unwrap();
        says(&mut client, BODY).await;
        trickles.push(tokio::spawn(async move {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }
    let told = answer(TcpStream::connect(address).await.unwrap(), SMALL).await;
    assert!(told.ends_with("here\n"), "{told}");
    for trickle in &trickles {
        trickle.abort();
    }
}

#[tokio::test]
async fn a_trickled_body_is_answered_with_408() {
    let address = tcp(Duration::from_millis(200)).await;
    let told = answer(TcpStream::connect(address).await.unwrap(), BODY).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
}

/// Slower in all than the limit for one write, and served to the end.
#[tokio::test]
async fn a_slow_reader_gets_its_whole_answer() {
    let address = tcp(Duration::from_secs(3)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    says(&mut client, &PLAIN.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).await;
    let begun = std::time::Instant::now();
    let (mut read, mut piece) = (0, vec![0; 1 << 20]);
    while let Ok(count @ 1..) = client.read(&mut piece).await {
        read += count;
        tokio::time::sleep(Duration::from_millis(100)).await;
        // The rest at once: the point is made.
        if begun.elapsed() > Duration::from_secs(4) {
            read += client.read_to_end(&mut Vec::new()).await.unwrap();
        }
    }
    assert!(read > LARGE, "{read} bytes of {LARGE}");
}
