//! One document over HTTPS, with all that was seen on the way: addresses, times, certificates.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use landfall_types::Timestamp;
use landfall_wire::certificate::Certificate;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{Authorities, Onlooker, Seen, Trust};
use super::{Fault, Settings};

const HTTPS_PORT: u16 = 443;
const USER_AGENT: &str = concat!("landfall/", env!("CARGO_PKG_VERSION"));

/// Asks hosts over HTTPS.
#[derive(Clone, Debug)]
pub struct Fetcher {
    settings: Arc<Settings>,
    authorities: Authorities,
}

/// How long each stage took, since the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// The name had an address.
    pub resolved: Option<Duration>,
    /// The connection was there.
    pub connected: Option<Duration>,
    /// TLS was up.
    pub secured: Option<Duration>,
    /// The answer's head was there.
    pub answered: Option<Duration>,
    /// All of it was there.
    pub read: Option<Duration>,
}

impl Timing {
    fn in_words(&self) -> String {
        let stages = [
            ("name resolved", self.resolved),
            ("connected", self.connected),
            ("TLS up", self.secured),
            ("answer begun", self.answered),
        ];
        let parts: Vec<String> = stages
            .iter()
            .filter_map(|(name, took)| took.map(|took| format!("{name} after {} ms", took.as_millis())))
            .collect();
        if parts.is_empty() { "nothing was reached".to_owned() } else { parts.join(", ") }
    }

    fn stage(&self) -> &'static str {
        match (self.resolved, self.connected, self.secured, self.answered) {
            (None, ..) => "resolving the name",
            (_, None, ..) => "connecting to the host",
            (_, _, None, _) => "TLS with the host",
            (.., None) => "the answer",
            (.., Some(_)) => "the end of the answer",
        }
    }
}

/// One document that was asked for.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The URL.
    pub url: String,
    /// Its host.
    pub host: String,
    /// The address that was asked.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub timing: Timing,
    /// The certificates in the order in which the host sent them.
    pub chain: Vec<Certificate>,
    /// Why the chain is trusted; none when it is not, or was not seen.
    pub trust: Option<Trust>,
    /// The document, or what went wrong.
    pub body: Result<Vec<u8>, Fault>,
}

impl Fetcher {
    /// Asks as the settings say.
    ///
    /// # Errors
    /// A certificate of the settings that is none.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let authorities = Authorities::public_and(&settings.authorities)?;
        Ok(Self { settings: Arc::new(settings), authorities })
    }

    /// Asks for a document. Certificates are judged at `wall`; what is not there by the deadline is given up.
    pub async fn get(&self, url: &str, bytes_max: usize, wall: Timestamp, deadline: Instant) -> Visit {
        let mut visit = Visit {
            url: url.to_owned(),
            host: String::new(),
            address: None,
            timing: Timing::default(),
            chain: Vec::new(),
            trust: None,
            body: Ok(Vec::new()),
        };
        let body = match timeout_at(deadline, self.visit(&mut visit, bytes_max, wall)).await {
            Ok(body) => body,
            Err(_) => Err(Fault::Slow {
                url: url.to_owned(),
                stage: visit.timing.stage(),
                before: visit.timing.in_words(),
            }),
        };
        visit.body = body;
        visit
    }

    async fn visit(&self, visit: &mut Visit, bytes_max: usize, wall: Timestamp) -> Result<Vec<u8>, Fault> {
        let began = Instant::now();
        let bad_url = || Fault::Url { url: visit.url.clone() };
        let uri: Uri = visit.url.parse().map_err(|_| bad_url())?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(bad_url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let name = ServerName::try_from(host.clone()).map_err(|_| bad_url())?;
        let port = uri.port_u16().unwrap_or(HTTPS_PORT);
        visit.host.clone_from(&host);
        let addresses = self.resolve(&host, port).await?;
        visit.timing.resolved = Some(began.elapsed());
        let stream = connect(&host, &addresses).await?;
        visit.address = stream.peer_addr().ok();
        visit.timing.connected = Some(began.elapsed());
        let stream = self.secure(visit, stream, name, wall).await?;
        visit.timing.secured = Some(began.elapsed());
        let response = send(&visit.url, &uri, stream).await?;
        visit.timing.answered = Some(began.elapsed());
        let body = read(&visit.url, response, bytes_max).await?;
        visit.timing.read = Some(began.elapsed());
        Ok(body)
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(address) = self.settings.addresses.get(host) {
            return Ok(vec![*address]);
        }
        let fault = |why: String| Fault::Name { host: host.to_owned(), why };
        let found = tokio::net::lookup_host((host, port)).await;
        let addresses: Vec<SocketAddr> = found.map_err(|error| fault(error.to_string()))?.collect();
        if addresses.is_empty() { Err(fault("DNS knows none".to_owned())) } else { Ok(addresses) }
    }

    async fn secure(
        &self,
        visit: &mut Visit,
        stream: TcpStream,
        name: ServerName<'static>,
        wall: Timestamp,
    ) -> Result<TlsStream<TcpStream>, Fault> {
        let fault = |why: String| Fault::Tls { host: visit.host.clone(), why };
        let (onlooker, seen) = Onlooker::new(self.authorities.clone(), &visit.host, wall);
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(self.authorities.provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| fault(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(onlooker))
            .with_no_client_auth();
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let Seen { chain, trust } = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let result = match (connected, trust) {
            (Err(error), _) => Err(fault(error.to_string())),
            (Ok(_), None) => Err(Fault::NoCertificate),
            (Ok(_), Some(Err(fault))) => Err(fault),
            (Ok(stream), Some(Ok(trust))) => Ok((stream, trust)),
        };
        visit.chain = chain;
        result.map(|(stream, trust)| {
            visit.trust = Some(trust);
            stream
        })
    }
}

/// The first address that takes the connection.
async fn connect(host: &str, addresses: &[SocketAddr]) -> Result<TcpStream, Fault> {
    let mut why = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(Fault::Connect { host: host.to_owned(), why })
}

async fn send(url: &str, uri: &Uri, stream: TlsStream<TcpStream>) -> Result<Response<Incoming>, Fault> {
    let broken = |why: String| Fault::Broken { url: url.to_owned(), why };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(error.to_string()))?;
    // The connection works until the body has been read or dropped.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(target)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Fault::Url { url: url.to_owned() })?;
    let response = sender.send_request(request).await.map_err(|error| broken(error.to_string()))?;
    let status = response.status();
    if status.is_redirection() {
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).unwrap_or("?").to_owned();
        return Err(Fault::Redirect { url: url.to_owned(), location });
    }
    if status != http::StatusCode::OK {
        return Err(Fault::Status { url: url.to_owned(), status: status.as_u16() });
    }
    Ok(response)
}

async fn read(url: &str, response: Response<Incoming>, bytes_max: usize) -> Result<Vec<u8>, Fault> {
    let collected = Limited::new(response.into_body(), bytes_max).collect().await;
    collected.map(|body| body.to_bytes().to_vec()).map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            return Fault::TooLarge { url: url.to_owned(), bytes_max };
        }
        Fault::Broken { url: url.to_owned(), why: error.to_string() }
    })
}
