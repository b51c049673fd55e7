//! Clients that are slow, stop, send too much or never read, and a server that is told to stop.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use landfall_serve::world::{LARGE_CALLS_MAX, RegistryMode, RootKey};
use landfall_serve::{Limits, discovery};

use crate::bench::{self, Bench, root};
use crate::client::Request;

const SHORT: Duration = Duration::from_millis(150);

fn bench(limits: Limits) -> Bench {
    Bench::with_limits(limits)
}

/// All that comes until the server closes the connection.
fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn send(bench: &Bench, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(bench.addr()).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

fn healthy(bench: &Bench) -> bool {
    bench.send(&Request::new("GET", "/_landfall/health")).status == 200
}

#[test]
fn a_client_that_stops_in_the_middle_of_its_headers_is_let_go() {
    let bench = bench(Limits { header_wait: SHORT, ..Limits::default() });
    for begun in ["", "POST / HT", "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: 1\r\n"] {
        // It ends: the test would hang if the server went on waiting.
        let answer = answer(send(&bench, begun.as_bytes()));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{begun:?}: {answer}");
    }
    assert!(healthy(&bench));
}

#[test]
fn a_body_may_be_slow_but_not_stand_still() {
    let bench = bench(Limits { stall_wait: SHORT, ..Limits::default() });
    let head = "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 10000\r\n\r\n";
    let answer = answer(send(&bench, format!("{head}Action=").as_bytes()));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("ended early"), "{answer}");
    // Longer altogether than it may stand still, and it goes on.
    let mut stream = send(&bench, head.replace("POST /", "POST /?Action=GetCallerIdentity").as_bytes());
    for _ in 0..5 {
        stream.write_all(&[b'x'; 2000]).unwrap();
        std::thread::park_timeout(SHORT / 3);
    }
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_ne!(&first, b"HTTP/1.1 413");
    assert!(healthy(&bench));
}

#[test]
fn calls_with_large_bodies_take_turns() {
    let bench = bench(Limits::default());
    let free = || bench.server.world.large_calls.available_permits();
    let head = |operation: &str, bytes: usize| {
        format!(
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {bytes}\r\nconnection: close\r\n\
             x-amz-target: AmazonEC2ContainerRegistry_V20150921.{operation}\r\nx-amz-date: 20261001T120000Z\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=test/20261001/eu-west-1/ecr/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-target, Signature={}\r\n\r\n",
            "0".repeat(64)
        )
    };
    let begun: Vec<_> =
        (0..LARGE_CALLS_MAX).map(|_| send(&bench, head("UploadLayerPart", 20 << 20).as_bytes())).collect();
    while free() > 0 {
        std::thread::yield_now();
    }
    // Small ones don't wait for them.
    let small = send(&bench, format!("{}{}", head("UploadLayerPart", 2), "{}").as_bytes());
    assert!(answer(small).contains("InvalidSignatureException"));
    let mut next = send(&bench, head("PutImage", 2 << 20).as_bytes());
    drop(begun);
    next.write_all(&vec![b' '; 2 << 20]).unwrap();
    assert!(answer(next).contains("InvalidSignatureException"), "its turn came");
    while free() < LARGE_CALLS_MAX {
        std::thread::yield_now();
    }
}

#[test]
fn headers_have_a_size_and_a_number() {
    let bench = bench(Limits::default());
    let request =
        |headers: String| format!("GET /_landfall/health HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n");
    let large = request(format!("x-a: {}\r\nconnection: close\r\n", "a".repeat(150_000)));
    assert!(answer(send(&bench, large.as_bytes())).starts_with("HTTP/1.1 200 "));
    for too_much in [format!("x-a: {}\r\n", "a".repeat(600_000)), "x-a: 1\r\n".repeat(300)] {
        let mut stream = TcpStream::connect(bench.addr()).unwrap();
        // The server stops reading before the end.
        let _ = stream.write_all(request(too_much).as_bytes());
        let answer = answer(stream);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert!(healthy(&bench));
}

#[test]
fn who_comes_before_the_world_is_made_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = bench::config(
        dir.path(),
        RootKey::WellKnown,
        RegistryMode::Ecr,
        discovery::Settings::default(),
        Limits::default(),
    );
    let bound = runtime.block_on(landfall_serve::bind(config)).unwrap();
    let address = bound.world.base_url().strip_prefix("http://").unwrap().to_owned();
    let mut early = TcpStream::connect(&address).unwrap();
    early
        .write_all(b"GET /_landfall/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        .unwrap();
    early.set_read_timeout(Some(SHORT)).unwrap();
    let waiting = early.read(&mut [0]).unwrap_err();
    assert_eq!(waiting.kind(), std::io::ErrorKind::WouldBlock);
    early.set_read_timeout(None).unwrap();
    let running = runtime.block_on(async { bound.serve() });
    assert!(answer(early).starts_with("HTTP/1.1 200 "));
    runtime.block_on(running.stop());
}

#[test]
fn further_connections_wait_for_a_place() {
    let bench = bench(Limits { connections_max: 1, header_wait: SHORT, ..Limits::default() });
    let first = TcpStream::connect(bench.addr()).unwrap();
    // Is answered only when the first one's time is over.
    assert!(healthy(&bench));
    assert!(answer(first).len() < 200);
}

#[test]
fn a_server_that_is_told_to_stop_finishes_what_it_began() {
    let bench = bench(Limits::default());
    let body = "Action=GetCallerIdentity&Version=2011-06-15";
    let head = format!("POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n", body.len());
    let idle = TcpStream::connect(bench.addr()).unwrap();
    let following = send(&bench, b"GET /_landfall/decisions?follow HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    let mut in_flight = send(&bench, format!("{head}Action=").as_bytes());
    // The server has begun with all three: this one came after them.
    assert!(healthy(&bench));
    assert_eq!(
        bench.call(&root(), "sts", Request::query("2011-06-15", "GetCallerIdentity", &[])).status,
        200
    );
    let addr = bench.addr();
    let stopping = std::thread::spawn(move || bench.stop());
    while TcpStream::connect(addr).is_ok() {
        std::thread::yield_now();
    }
    in_flight.write_all(&body.as_bytes()["Action=".len()..]).unwrap();
    let answer_in_flight = answer(in_flight);
    assert!(answer_in_flight.contains("MissingAuthenticationToken"), "{answer_in_flight}");
    stopping.join().unwrap();
    assert!(answer(idle).is_empty());
    let told = answer(following);
    assert!(told.contains("sts") && told.ends_with("0\r\n\r\n"), "{told}");
}

#[test]
fn a_server_that_is_told_to_stop_does_not_wait_for_ever() {
    let bench = bench(Limits { shutdown_wait: SHORT, ..Limits::default() });
    let head = "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 50\r\n\r\n";
    let in_flight = send(&bench, head.as_bytes());
    assert!(healthy(&bench));
    bench.stop();
    assert!(answer(in_flight).is_empty());
}
