//! A server of canned answers on loopback, and everything it was asked.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall_deliver::Environment;
use landfall_deliver::http::Backoff;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Tries often enough, without waiting.
pub const AT_ONCE: Backoff = Backoff { attempts: 3, first: Duration::from_millis(1) };

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub closes: bool,
    pub pace: Pace,
}

/// How a reply goes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    AtOnce,
    Never,
    /// A byte in so long.
    Drip(Duration),
}

pub fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.into(), closes: false, pace: Pace::AtOnce }
}

impl Reply {
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

pub mod registry;

pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub async fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move { converse(stream, &seen, &*answer).await });
            }
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.requests().iter().map(Request::line).collect()
    }
}

/// A server behind a relay that sees how every connection begins: `special` has those that it wants, and gives the
/// others back.
async fn relayed<Special, Kept>(
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    special: Special,
) -> Server
where
    Special: Fn([u8; 5], TcpStream) -> Kept + Send + Sync + 'static,
    Kept: Future<Output = Option<TcpStream>> + Send,
{
    let server = Server::start(answer).await;
    let (inner, listener) = (server.address, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (address, special) = (listener.local_addr().unwrap(), Arc::new(special));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let special = Arc::clone(&special);
            tokio::spawn(async move {
                let mut first = [0; 5];
                stream.peek(&mut first).await.unwrap();
                if let Some(mut stream) = special(first, stream).await {
                    let mut onward = TcpStream::connect(inner).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                }
            });
        }
    });
    Server { address, requests: Arc::clone(&server.requests) }
}

/// A server that answers a method before it has read the body, and then reads no further.
pub async fn impatient(
    method: &'static str,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    relayed(answer, move |first, mut stream| async move {
        if first.starts_with(method.as_bytes()) {
            stream.write_all(b"HTTP/1.1 403 X\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
            std::future::pending::<()>().await;
        }
        Some(stream)
    })
    .await
}

/// A server that reads nothing of a PATCH.
pub async fn deaf(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    relayed(answer, |first, stream| async move {
        if first == *b"PATCH" {
            std::future::pending::<()>().await;
        }
        Some(stream)
    })
    .await
}

/// A server that reads a PATCH slowly: `step` bytes, then a pause.
pub async fn slow(
    step: usize,
    pause: Duration,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    let inner = Server::start(answer).await;
    let address = inner.address;
    let relay = relayed(
        |_| reply(500, ""),
        move |_, stream| async move {
            let onward = TcpStream::connect(address).await.unwrap();
            let ((mut from, mut to), (mut back, mut on)) = (stream.into_split(), onward.into_split());
            let mut buffer = vec![0; step];
            let forth = async {
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    on.write_all(&buffer[..read]).await.unwrap();
                    if read == step {
                        tokio::time::sleep(pause).await;
                    }
                }
            };
            tokio::join!(forth, async { tokio::io::copy(&mut back, &mut to).await.unwrap() });
            None
        },
    )
    .await;
    Server { address: relay.address, requests: Arc::clone(&inner.requests) }
}

/// A server whose line breaks in the first PATCH, once `length` bytes of its body have arrived; they are
/// kept in `kept`.
pub async fn cutting(
    length: usize,
    kept: Arc<Mutex<Vec<u8>>>,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    relayed(answer, move |first, mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            if first != *b"PATCH" || !kept.lock().unwrap().is_empty() {
                return Some(stream);
            }
            let bytes = beginning(&mut stream, length).await;
            let body = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            *kept.lock().unwrap() = bytes[body..].to_vec();
            None
        }
    })
    .await
}

/// A server whose line breaks in every PATCH, once `length` bytes have arrived.
pub async fn always_cutting(
    length: usize,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    relayed(answer, move |first, mut stream| async move {
        if first != *b"PATCH" {
            return Some(stream);
        }
        beginning(&mut stream, length).await;
        None
    })
    .await
}

async fn beginning(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    bytes
}

async fn converse(
    stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &(impl Fn(&Request) -> Reply + Sync),
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let reply = answer(&request);
        let is_head = request.method == "HEAD";
        seen.lock().unwrap().push(request);
        let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
        // One request for each connection, so that a relay can tell them apart.
        text.push_str(if reply.closes { "connection: close\r\n" } else { "" });
        for (name, value) in &reply.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !is_head {
            bytes.extend_from_slice(&reply.body);
        }
        match reply.pace {
            Pace::AtOnce => {}
            Pace::Never => std::future::pending().await,
            Pace::Drip(pause) => {
                for byte in bytes.drain(..) {
                    tokio::time::sleep(pause).await;
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
            }
        }
        if stream.write_all(&bytes).await.is_err() || reply.closes {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let first = line(stream).await?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let text = line(stream).await?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let get = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut body = Vec::new();
    if get("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            let size = usize::from_str_radix(line(stream).await?.trim(), 16).ok()?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await.ok()?;
            line(stream).await?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk);
        }
    } else {
        body = vec![0; get("content-length").map_or(0, |value| value.parse().unwrap())];
        stream.read_exact(&mut body).await.ok()?;
    }
    Some(Request { method, path, headers, body })
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    let read = stream.read_line(&mut text).await.ok()?;
    (read > 0).then(|| text.trim_end().to_owned())
}

pub fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), None)
}
