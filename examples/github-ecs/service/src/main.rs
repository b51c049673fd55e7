//! The service: it answers every request with its version. `server check [PORT]` is its health check.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let said = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let port: u16 = said.parse().unwrap_or_else(|_| fail(&format!("PORT is {said}, which is no port")));
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(port),
        ["check"] => check(port),
        ["check", port] => check(port.parse().unwrap_or(0)),
        _ => fail("usage: server [check [PORT]]"),
    }
}

fn fail(why: &str) -> ! {
    // In one piece: logs are read while they are written.
    let _ = std::io::stderr().write_all(format!("orders: {why}\n").as_bytes());
    exit(1)
}

fn check(port: u16) {
    if let Err(error) = TcpStream::connect(("127.0.0.1", port)) {
        fail(&format!("port {port}: {error}"));
    }
}

fn serve(port: u16) {
    let version = std::env::var("VERSION").unwrap_or_else(|_| "unknown".to_owned());
    let door = TcpListener::bind(("0.0.0.0", port)).unwrap_or_else(|error| fail(&format!("port {port}: {error}")));
    println!("orders {version} listens on port {port}");
    for guest in door.incoming().flatten() {
        let _ = answer(guest, &version);
    }
}

fn answer(mut guest: TcpStream, version: &str) -> std::io::Result<()> {
    // A health check says nothing and goes.
    let mut line = String::new();
    BufReader::new(&guest).read_line(&mut line)?;
    let body = format!("orders {version}\n");
    write!(guest, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
