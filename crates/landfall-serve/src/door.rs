//! Doors: further addresses of a running server, by which some calls can be told from all others. A rehearsal
//! gives one to each of the jobs that run beside each other, so that every decision stands under the job that
//! caused it. A registry login belongs to the door by which it was asked for, wherever it is used.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http::listener::{self, Limits};
use crate::world::World;

/// Requests of one door that are remembered; beyond that the oldest are forgotten.
const REQUESTS_MAX: usize = 10_000;

/// The doors of a server, also those that are closed.
#[derive(Debug, Default)]
pub struct Doors {
    all: Mutex<Vec<Arc<Passed>>>,
}

/// What came in by one door.
#[derive(Debug)]
pub(crate) struct Passed {
    number: usize,
    addr: SocketAddr,
    requests: Mutex<VecDeque<String>>,
}

impl Passed {
    /// Notes a request by its id.
    pub(crate) fn note(&self, request_id: &str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= REQUESTS_MAX {
            requests.pop_front();
        }
        requests.push_back(request_id.to_owned());
    }

    fn has(&self, request_id: &str) -> bool {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().rev().any(|known| known == request_id)
    }
}

impl Doors {
    fn all(&self) -> Vec<Arc<Passed>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the door by which a request came; none for the server's own address.
    pub fn of_request(&self, request_id: &str) -> Option<usize> {
        self.all().iter().find(|door| door.has(request_id)).map(|door| door.number)
    }

    /// The number of the door that a client calls by this `Host`.
    pub(crate) fn called(&self, host: Option<&str>) -> Option<usize> {
        let addr: SocketAddr = host?.parse().ok()?;
        self.all().iter().rev().find(|door| door.addr == addr).map(|door| door.number)
    }

    /// Notes a request for a door that it did not come in by.
    pub(crate) fn note(&self, number: usize, request_id: &str) {
        if let Some(door) = self.all().iter().find(|door| door.number == number) {
            door.note(request_id);
        }
    }
}

/// A door that is open. Dropping it closes it.
#[derive(Debug)]
pub struct Door {
    /// `http://127.0.0.1:45678`
    pub url: String,
    /// Its number among the server's doors, from 0.
    pub number: usize,
    // The listener ends when nobody is left who could tell it to stop.
    _stop: watch::Sender<bool>,
}

impl Door {
    /// Opens a door on loopback.
    ///
    /// # Errors
    /// When the system has no port.
    pub async fn open(world: &Arc<World>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let addr = listener.local_addr()?;
        let passed = {
            let mut all = world.doors.all.lock().unwrap_or_else(PoisonError::into_inner);
            let passed = Arc::new(Passed { number: all.len(), addr, requests: Mutex::default() });
            all.push(Arc::clone(&passed));
            passed
        };
        let number = passed.number;
        let (stop, stopped) = watch::channel(false);
        let world = Arc::clone(world);
        let leads = listener::Leads::All(Some(passed));
        tokio::spawn(listener::serve(listener, world, Limits::default(), stopped, leads));
        Ok(Self { url: format!("http://{addr}"), number, _stop: stop })
    }
}
