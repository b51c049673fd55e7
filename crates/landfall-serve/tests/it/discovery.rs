//! Issuers that are not played: each is a TLS server of the test's own, with certificates of its own, and
//! answers well or badly. What STS says is AWS's sentence; why is in the decision log.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use landfall_serve::discovery::{Fetcher, Settings, ask};
use landfall_types::{Issuer, Timestamp};
use landfall_wire::jwt::{SigningKey, mint};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer as CertificateIssuer,
    KeyPair,
};

use crate::bench::{ACCOUNT, Bench, IAM, NOW, STS, claims, root};
use crate::client::{Reply, Request};

const HOST: &str = "gitlab.example.test";
const NO_KEY: &str = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements";
const NO_THUMBPRINT: &str = "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint";

/// How an issuer answers one path.
#[derive(Clone)]
enum Answer {
    Json(String),
    Raw(String),
    Silence,
}

/// A certificate with its key.
struct Certified {
    params: CertificateParams,
    key: KeyPair,
    der: Vec<u8>,
}

fn params(name: &str, is_authority: bool) -> CertificateParams {
    let mut params =
        CertificateParams::new(if is_authority { vec![] } else { vec![name.to_owned()] }).unwrap();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    // Valid around the bench's time, which stands still.
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn self_signed(params: CertificateParams) -> Certified {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Certified { params, key, der }
}

fn signed_by(params: CertificateParams, by: &Certified) -> Certified {
    let key = KeyPair::generate().unwrap();
    let issuer = CertificateIssuer::from_params(&by.params, &by.key);
    let der = params.signed_by(&key, &issuer).unwrap().der().to_vec();
    Certified { params, key, der }
}

/// A root, an intermediate and a server's certificate.
struct Authority {
    root: Certified,
    middle: Certified,
    own: Certified,
}

impl Authority {
    fn new() -> Self {
        Self::with(params(HOST, false))
    }

    fn with(own: CertificateParams) -> Self {
        let root = self_signed(params("Example Root", true));
        let middle = signed_by(params("Example Intermediate", true), &root);
        let own = signed_by(own, &middle);
        Self { root, middle, own }
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        vec![self.own.der.clone(), self.middle.der.clone()]
    }
}

fn thumbprint(der: &[u8]) -> String {
    landfall_wire::hash::sha1_hex(der)
}

/// An issuer that listens.
struct TlsIssuer {
    addr: SocketAddr,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
}

impl TlsIssuer {
    fn start(chain: Vec<Vec<u8>>, key: &KeyPair) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let chain = chain.into_iter().map(Into::into).collect();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let (answers, asked) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::new(AtomicUsize::new(0)));
        let issuer = Self { addr, answers: Arc::clone(&answers), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (config, answers, asked) =
                    (Arc::clone(&config), Arc::clone(&answers), Arc::clone(&asked));
                std::thread::spawn(move || serve(stream.unwrap(), config, &answers, &asked));
            }
        });
        issuer
    }

    /// Publishes a discovery document and these keys.
    fn publish(&self, keys: &[&SigningKey]) {
        let jwks: Vec<_> = keys.iter().map(|key| key.jwk().to_json()).collect();
        let discovery = serde_json::json!({
            "issuer": format!("https://{HOST}"), "jwks_uri": format!("https://{HOST}/oauth/discovery/keys"),
        });
        self.answer("/.well-known/openid-configuration", Answer::Json(discovery.to_string()));
        self.answer("/oauth/discovery/keys", Answer::Json(serde_json::json!({ "keys": jwks }).to_string()));
    }

    fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }
}

fn serve(
    mut tcp: TcpStream,
    config: Arc<rustls::ServerConfig>,
    answers: &Mutex<BTreeMap<String, Answer>>,
    asked: &AtomicUsize,
) {
    let mut connection = rustls::ServerConnection::new(config).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    let answer = answers.lock().unwrap().get(path).cloned();
    let text = match answer {
        Some(Answer::Json(body)) => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        Some(Answer::Raw(text)) => text,
        // The client hangs up.
        Some(Answer::Silence) => {
            let _ = stream.read(&mut byte);
            return;
        }
        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    };
    let _ = stream.write_all(text.as_bytes());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// An AWS side that knows an issuer by its address, and an account with a provider for it and a role.
struct Stage {
    bench: Bench,
    key: SigningKey,
}

impl Stage {
    fn new(issuer: &TlsIssuer, authorities: Vec<Vec<u8>>, thumbprints: &[String]) -> Self {
        let addresses = BTreeMap::from([(HOST.to_owned(), issuer.addr)]);
        Self::with(Settings { is_on: true, authorities, addresses }, thumbprints)
    }

    fn with(settings: Settings, thumbprints: &[String]) -> Self {
        let bench = Bench::with_discovery(settings);
        let url = format!("https://{HOST}");
        let mut params = vec![("Url", url.as_str()), ("ClientIDList.member.1", url.as_str())];
        // Without any, IAM would ask the issuer: see below.
        let none = ["0".repeat(40)];
        let thumbprints = if thumbprints.is_empty() { &none } else { thumbprints };
        let names: Vec<String> =
            (1..=thumbprints.len()).map(|number| format!("ThumbprintList.member.{number}")).collect();
        params.extend(names.iter().map(String::as_str).zip(thumbprints.iter().map(String::as_str)));
        let made = bench.call(&root(), "iam", Request::query(IAM, "CreateOpenIDConnectProvider", &params));
        assert_eq!(made.status, 200, "{}", made.body);
        let trust = serde_json::json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}")},
            "Condition": {"StringEquals": {format!("{HOST}:sub"): "project_path:acme/api:ref_type:branch:ref:main"}},
        }});
        let trust = trust.to_string();
        let made = bench.iam("CreateRole", &[("RoleName", "deploy"), ("AssumeRolePolicyDocument", &trust)]);
        assert_eq!(made.status, 200, "{}", made.body);
        Self { bench, key: SigningKey::generate(Some("first".to_owned())).unwrap() }
    }

    fn exchange(&self, key: &SigningKey) -> Reply {
        self.bench.send(&request(key))
    }

    /// What STS says, by which rule, and in which words the log says why.
    fn refused(&self, message: &str, rule: &str, why: &str) {
        let reply = self.exchange(&self.key);
        assert_eq!(reply.fault(), ("InvalidIdentityToken".to_owned(), message.to_owned()));
        let record = self.bench.newest();
        let finding = record.finding.as_ref().unwrap();
        assert_eq!(finding.rule, rule, "{}", finding.message);
        assert!(finding.message.contains(why), "`{}` lacks `{why}`", finding.message);
        assert!(!finding.help.is_empty(), "{rule}: what is to be done?");
    }
}

fn request(key: &SigningKey) -> Request {
    let mut claims = claims("project_path:acme/api:ref_type:branch:ref:main");
    claims.set_text("iss", format!("https://{HOST}"));
    claims.set_text("aud", format!("https://{HOST}"));
    let (token, role) = (mint(key, &claims), format!("arn:aws:iam::{ACCOUNT}:role/deploy"));
    let params =
        [("RoleArn", role.as_str()), ("RoleSessionName", "run"), ("WebIdentityToken", token.as_str())];
    Request::query(STS, "AssumeRoleWithWebIdentity", &params)
}

#[test]
fn an_issuer_whose_authority_is_trusted_is_asked_once() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
    issuer.publish(&[&stage.key]);
    for _ in 0..3 {
        let reply = stage.exchange(&stage.key);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let provider = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}");
        assert_eq!(reply.element("Provider"), Some(provider));
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2, "discovery and keys");
}

#[test]
fn a_certificate_that_no_authority_vouches_for_needs_the_thumbprint_of_its_chains_end() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![], &[thumbprint(&authority.middle.der)]);
    issuer.publish(&[&stage.key]);
    assert_eq!(stage.exchange(&stage.key).status, 200);
    let own = Stage::new(&issuer, vec![], &["a".repeat(40), thumbprint(&authority.own.der)]);
    issuer.publish(&[&own.key]);
    own.refused(NO_THUMBPRINT, "issuer-thumbprint", "the provider's thumbprints don't match it");
    let finding = own.bench.newest().finding.clone().unwrap();
    assert!(
        finding.notes.iter().any(|note| note.contains(&thumbprint(&authority.middle.der))),
        "{finding:?}"
    );
    Stage::new(&issuer, vec![], &[]).refused(NO_THUMBPRINT, "issuer-thumbprint", HOST);
}

#[test]
fn a_self_signed_certificate_is_its_own_end() {
    for params in [params(HOST, false), {
        let mut params = params(HOST, false);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }] {
        let own = self_signed(params);
        let issuer = TlsIssuer::start(vec![own.der.clone()], &own.key);
        let stage = Stage::new(&issuer, vec![], &[thumbprint(&own.der)]);
        issuer.publish(&[&stage.key]);
        let reply = stage.exchange(&stage.key);
        assert_eq!(reply.status, 200, "{:?}", stage.bench.newest().finding);
        Stage::new(&issuer, vec![], &["b".repeat(40)]).refused(NO_THUMBPRINT, "issuer-thumbprint", HOST);
    }
}

#[test]
fn a_chain_has_each_certificate_once_and_in_order() {
    let authority = Authority::new();
    let [own, middle, root] = [&authority.own, &authority.middle, &authority.root].map(|one| one.der.clone());
    for (chain, why) in [
        (
            vec![own.clone(), root.clone(), middle.clone()],
            "number 1, `gitlab.example.test`, was issued by `Example Intermediate`, and `Example Root` comes next",
        ),
        (
            vec![own.clone(), middle.clone(), middle.clone()],
            "sends the certificate of `Example Intermediate` twice, as number 2 and 3",
        ),
        (vec![own.clone(), own, middle], "twice, as number 1 and 2"),
    ] {
        let issuer = TlsIssuer::start(chain, &authority.own.key);
        let stage = Stage::new(&issuer, vec![root.clone()], &[]);
        issuer.publish(&[&stage.key]);
        stage.refused(NO_KEY, "issuer-chain", why);
    }
    // The root itself may come along.
    let issuer = TlsIssuer::start([authority.chain(), vec![root.clone()]].concat(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![root], &[]);
    issuer.publish(&[&stage.key]);
    assert_eq!(stage.exchange(&stage.key).status, 200);
}

#[test]
fn a_certificate_holds_now_and_for_this_host() {
    let mut old = params(HOST, false);
    old.not_after = rcgen::date_time_ymd(2026, 9, 30);
    let authority = Authority::with(old);
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[thumbprint(&authority.middle.der)]);
    issuer.publish(&[&stage.key]);
    stage.refused(NO_KEY, "issuer-certificate", "holds from 2026-01-01T00:00:00Z to 2026-09-30T00:00:00Z");

    let authority = Authority::with(params("other.example.test", false));
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[thumbprint(&authority.middle.der)]);
    issuer.publish(&[&stage.key]);
    stage.refused(NO_KEY, "issuer-certificate", "is for other names (it is `other.example.test`'s)");
}

#[test]
fn what_is_not_there_or_not_what_it_should_be_is_told_in_the_log() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let discovery = "/.well-known/openid-configuration";
    let keys = "/oauth/discovery/keys";
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n";
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{";
    let json = |value: serde_json::Value| Answer::Json(value.to_string());
    for (path, answer, rule, why) in [
        (
            discovery,
            Answer::Raw("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
            "issuer-document",
            "answers 404",
        ),
        (discovery, Answer::Raw(redirect.to_owned()), "issuer-document", "redirects to `http://127.0.0.1/`"),
        (discovery, Answer::Raw(cut.to_owned()), "issuer-document", "gives no whole answer"),
        (
            discovery,
            Answer::Raw("SSH-2.0-OpenSSH\r\n".to_owned()),
            "issuer-document",
            "gives no whole answer",
        ),
        (discovery, Answer::Json("<html>sign in</html>".to_owned()), "issuer-document", "is not JSON"),
        (discovery, Answer::Json(" ".repeat(300_000)), "issuer-document", "has more than 262144 bytes"),
        (
            discovery,
            json(serde_json::json!({"issuer": "https://gitlab.com"})),
            "issuer-document",
            "says that its issuer is `https://gitlab.com`",
        ),
        (
            discovery,
            json(serde_json::json!({"issuer": format!("https://{HOST}")})),
            "issuer-document",
            "has no jwks_uri",
        ),
        (
            discovery,
            json(
                serde_json::json!({"issuer": format!("https://{HOST}"), "jwks_uri": "http://example.test/keys"}),
            ),
            "issuer-unreachable",
            "is not an https URL",
        ),
        (
            keys,
            Answer::Raw("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned()),
            "issuer-document",
            "/oauth/discovery/keys answers 500",
        ),
        (keys, Answer::Json(" ".repeat(1_100_000)), "issuer-document", "has more than 1048576 bytes"),
        (
            keys,
            json(serde_json::json!({"keys": "none"})),
            "issuer-document",
            "holds no keys that can be used",
        ),
    ] {
        let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
        issuer.publish(&[&stage.key]);
        issuer.answer(path, answer);
        stage.refused(NO_KEY, rule, why);
    }
}

#[test]
fn a_host_that_nobody_has_or_that_does_not_listen_is_not_reached() {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let addresses = BTreeMap::from([(HOST.to_owned(), free)]);
    let settings = Settings { is_on: true, addresses, ..Settings::default() };
    Stage::with(settings, &[]).refused(
        NO_KEY,
        "issuer-unreachable",
        "no connection to `gitlab.example.test`",
    );
    // Names under `.test` have no address: RFC 6761.
    let settings = Settings { is_on: true, ..Settings::default() };
    Stage::with(settings, &[]).refused(NO_KEY, "issuer-unreachable", "has no address");
    Stage::with(Settings::default(), &[]).refused(NO_KEY, "issuer-not-played", "is not played");
}

#[test]
fn an_issuer_has_five_seconds() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
    issuer.publish(&[&stage.key]);
    issuer.answer("/oauth/discovery/keys", Answer::Silence);
    let began = std::time::Instant::now();
    stage.refused(NO_KEY, "issuer-slow", "took longer than the 5000 ms that AWS waits");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(8), "{took:?}");
    let finding = stage.bench.newest().finding.clone().unwrap();
    assert!(finding.notes.iter().any(|note| note.contains("TLS up after")), "{finding:?}");
    // The next ones don't wait for it again.
    stage.refused(NO_KEY, "issuer-slow", "/oauth/discovery/keys");
    assert!(began.elapsed() < took + Duration::from_secs(2));
    // And a while later it is asked again.
    issuer.publish(&[&stage.key]);
    stage.bench.server.world.clock.advance(5);
    assert_eq!(stage.exchange(&stage.key).status, 200);
}

#[test]
fn a_rotated_key_is_found_at_once_and_strange_key_ids_don_t_lead_to_a_flood_of_questions() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
    let clock = &stage.bench.server.world.clock;
    let next = SigningKey::generate(Some("next".to_owned())).unwrap();
    let asked = || issuer.asked.load(Ordering::SeqCst);
    issuer.publish(&[&stage.key]);
    assert_eq!(stage.exchange(&stage.key).status, 200);
    assert_eq!(asked(), 2);
    issuer.publish(&[&stage.key, &next]);
    assert_eq!(stage.exchange(&next).status, 200);
    assert_eq!(asked(), 4, "asked again at once");
    let stranger = SigningKey::generate(Some("stranger".to_owned())).unwrap();
    for _ in 0..10 {
        assert_eq!(stage.exchange(&stranger).fault().1, NO_KEY);
        assert_eq!(stage.bench.rule(), "signature");
    }
    assert_eq!(asked(), 10, "not for each strange key id");
    clock.advance(30);
    let third = SigningKey::generate(Some("third".to_owned())).unwrap();
    issuer.publish(&[&next, &third]);
    assert_eq!(stage.exchange(&third).status, 200);
    assert_eq!(asked(), 12);
    // What was not published any more when it was asked last is not good any more.
    assert_eq!(stage.exchange(&stage.key).fault().1, NO_KEY);
    // A key that was taken back is forgotten in time.
    issuer.publish(&[&third]);
    clock.advance(240);
    assert_eq!(stage.exchange(&next).status, 200);
    clock.advance(400);
    let refused = stage.exchange(&next);
    assert_eq!(refused.fault().0, "ExpiredTokenException", "{}", refused.body);
}

#[test]
fn keys_that_are_known_stay_so_when_the_issuer_fails_while_it_is_asked_for_another_one() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
    issuer.publish(&[&stage.key]);
    assert_eq!(stage.exchange(&stage.key).status, 200);
    issuer.answer("/.well-known/openid-configuration", Answer::Json("no".to_owned()));
    let stranger = SigningKey::generate(Some("stranger".to_owned())).unwrap();
    assert_eq!(stage.exchange(&stranger).fault().1, NO_KEY);
    assert_eq!(stage.bench.rule(), "issuer-document");
    assert_eq!(stage.exchange(&stage.key).status, 200);
}

#[test]
fn exchanges_that_come_together_ask_once() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
    issuer.publish(&[&stage.key]);
    let (request, addr) = (request(&stage.key), stage.bench.addr());
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| request.send(addr).status)).collect();
        asking.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), 200));
    });
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_token_that_is_refused_anyway_asks_nobody() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let stage = Stage::new(&issuer, vec![authority.root.der.clone()], &[]);
    issuer.publish(&[&stage.key]);
    stage.bench.server.world.clock.advance(3_600);
    assert_eq!(stage.exchange(&stage.key).fault().0, "ExpiredTokenException");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_provider_without_a_thumbprint_gets_that_of_its_issuers_last_certificate() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let addresses = BTreeMap::from([(HOST.to_owned(), issuer.addr)]);
    let bench = Bench::with_discovery(Settings { is_on: true, addresses, ..Settings::default() });
    let url = format!("https://{HOST}");
    let create = |params: &[(&str, &str)]| {
        bench.call(&root(), "iam", Request::query(IAM, "CreateOpenIDConnectProvider", params))
    };
    // Nobody answers sensibly yet: AWS says no more than that, and the log says why.
    let refused = create(&[("Url", &url)]);
    let said = "Could not connect to openid configuration of provider: https://gitlab.example.test";
    assert_eq!(refused.fault(), ("OpenIdIdpCommunicationError".to_owned(), said.to_owned()));
    let newest = bench.newest();
    let finding = newest.finding.as_ref().unwrap();
    assert_eq!((refused.status, finding.rule), (400, "issuer-document"));
    assert!(finding.message.contains("answers 404"), "{}", finding.message);
    // What is wrong with the call is told without asking.
    let asked = issuer.asked.load(Ordering::SeqCst);
    assert_eq!(create(&[("Url", "http://example.test")]).fault().0, "InvalidInput");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), asked);

    issuer.publish(&[&SigningKey::generate(None).unwrap()]);
    let made = create(&[("Url", &url)]);
    assert_eq!(made.status, 200, "{}", made.body);
    let arn = made.element("OpenIDConnectProviderArn").unwrap();
    let got = bench.iam("GetOpenIDConnectProvider", &[("OpenIDConnectProviderArn", &arn)]);
    let wanted = format!("<member>{}</member>", thumbprint(&authority.middle.der));
    assert!(got.body.contains(&wanted), "{}", got.body);
    let asked = issuer.asked.load(Ordering::SeqCst);
    assert_eq!(create(&[("Url", &url)]).fault().0, "EntityAlreadyExists");
    assert_eq!(issuer.asked.load(Ordering::SeqCst), asked);
    // An issuer that is played here has no certificate.
    let made = create(&[("Url", "https://gitlab.com")]);
    assert_eq!((made.status, issuer.asked.load(Ordering::SeqCst)), (200, asked), "{}", made.body);
}

#[test]
fn all_that_was_seen_of_an_issuer_can_be_told() {
    let authority = Authority::new();
    let issuer = TlsIssuer::start(authority.chain(), &authority.own.key);
    let key = SigningKey::generate(None).unwrap();
    issuer.publish(&[&key]);
    let addresses = BTreeMap::from([(HOST.to_owned(), issuer.addr)]);
    let fetcher = Fetcher::new(Settings { is_on: true, addresses, ..Settings::default() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = Issuer::parse(&format!("https://{HOST}")).unwrap();
    let found = runtime.block_on(ask(&fetcher, &url, NOW, Timestamp(0)));
    assert!(found.keys.as_ref().is_ok_and(|keys| keys.contains(key.kid())));
    let [discovery, jwks] = found.visits.as_slice() else { panic!("{found:?}") };
    assert_eq!(discovery.address, Some(issuer.addr));
    let names: Vec<&str> = jwks.chain.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(names, [HOST, "Example Intermediate"]);
    assert_eq!(jwks.chain[1].issuer, "Example Root");
    assert_eq!(jwks.chain[1].thumbprint, thumbprint(&authority.middle.der));
    assert!(jwks.timing.secured <= jwks.timing.answered && jwks.timing.read.is_some());
    let settings =
        Settings { is_on: true, authorities: vec![b"no certificate".to_vec()], ..Settings::default() };
    assert!(Fetcher::new(settings).is_err());
}
