//! Connections: how many there may be, how long one may keep the server waiting, and how they end.
//!
//! A client that is slow but goes on is served, however long it takes. One that stops in the middle of a
//! header, a body or an answer is let go, so that nobody can hold what others need.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::patience::{PatientBody, PatientStream};
use super::turns::Turns;
use crate::door::Passed;
use crate::world::World;

/// What clients may take of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections that are open at a time; further ones wait until one ends.
    pub connections_max: usize,
    /// Longest time until a request's headers are there, also on a connection that is kept open between
    /// requests.
    pub header_wait: Duration,
    /// Largest header section, in bytes. Two session tokens, the longest things in headers, are below 70 000.
    /// Of headers there are 100 at most, which is hyper's own limit.
    pub header_bytes_max: usize,
    /// How long a body, or a reader of an answer, may stand still.
    pub stall_wait: Duration,
    /// How long requests in flight may take once the server was told to stop.
    pub shutdown_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            header_wait: Duration::from_secs(75),
            header_bytes_max: 256 << 10,
            stall_wait: Duration::from_secs(60),
            shutdown_wait: Duration::from_secs(10),
        }
    }
}

/// What a port leads to.
#[derive(Clone, Debug)]
pub(crate) enum Leads {
    /// To everything; with a door the requests are noted for it.
    All(Option<Arc<Passed>>),
    /// To ECR Public's registry.
    Public,
    /// To the Pod Identity agent.
    Agent,
    /// To what a task's containers may have of this server: the task's id, and their address in the engine's network.
    Task(Arc<str>, IpAddr),
}

/// How often a connection goes on at once when it has woken itself.
const TURNS_MAX: usize = 4;
/// How long to wait when the system has no file descriptor for a connection.
const ACCEPT_RETRY_WAIT: Duration = Duration::from_millis(200);

/// Answers connections until `stop` turns true, then lets requests in flight come to their end.
pub(crate) async fn serve(
    listener: TcpListener,
    world: Arc<World>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
    leads: Leads,
) {
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            biased;
            () = told(&mut stop) => break,
            accepted = next => accepted,
        };
        match accepted {
            Some((place, Ok((stream, peer)))) => {
                let connection =
                    connection(stream, peer, (Arc::clone(&world), leads.clone()), limits, stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Some((_, Err(error))) if is_of_the_client(&error) => {}
            Some((_, Err(_))) => tokio::time::sleep(ACCEPT_RETRY_WAIT).await,
            None => break,
        }
        while connections.try_join_next().is_some() {}
    }
    // From here on clients are refused at once, instead of waiting for an answer that doesn't come.
    drop(listener);
    let in_flight = async { while connections.join_next().await.is_some() {} };
    // Whoever is not done by then is cut off: the set ends its tasks when it goes away.
    let _ = tokio::time::timeout(limits.shutdown_wait, in_flight).await;
}

/// Waits until the server is told to stop, or nobody is left who could tell it.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether accepting failed because the client went away before.
fn is_of_the_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    (world, leads): (Arc<World>, Leads),
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let flow = world.blobs.flow.clone();
    let log = Arc::clone(&world);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (world, leads) = (Arc::clone(&world), leads.clone());
        async move {
            let mut request = request.map(|body| Body::new(PatientBody::new(body, limits.stall_wait)));
            let response = match leads {
                Leads::All(door) => super::handle(world, peer.ip(), request, door.as_deref()).await,
                Leads::Public => {
                    request.extensions_mut().insert(crate::registry::AtPublicAddress);
                    super::handle(world, peer.ip(), request, None).await
                }
                Leads::Agent => super::handle_agent(&world, &request),
                Leads::Task(task, address) => super::handle_task(world, &task, address, request).await,
            };
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let io = TokioIo::new(PatientStream::new(stream, limits.stall_wait, flow));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_wait)
        .max_buf_size(limits.header_bytes_max);
    let connection = pin!(builder.serve_connection(io, answer));
    let mut connection = Turns::new(connection, TURNS_MAX, move || log.log.give_back());
    // How a connection ends is the client's business: it has gone away, or was told what is wrong.
    tokio::select! {
        _ = &mut connection => return,
        () = told(&mut stop) => connection.inner().graceful_shutdown(),
    }
    let _ = connection.await;
}
