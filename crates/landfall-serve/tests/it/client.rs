//! A client with nothing in it: one request over one connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use landfall_types::{Secret, Timestamp};
use landfall_wire::hash::sha256_hex;
use landfall_wire::sigv4::{self, Scope, SignedRequest};

/// A request before it is sent.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer.
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

/// Keys to sign with.
#[derive(Clone)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

/// How a request is signed.
#[derive(Clone, Copy)]
pub struct Signing<'a> {
    pub service: &'a str,
    pub region: &'a str,
    pub at: Timestamp,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A call in the Query protocol.
    pub fn query(version: &str, action: &str, params: &[(&str, &str)]) -> Self {
        let mut form = format!("Action={action}&Version={version}");
        for (name, value) in params {
            form.push_str(&format!("&{name}={}", encoded(value)));
        }
        Self::new("POST", "/").header("content-type", "application/x-www-form-urlencoded").body(form)
    }

    /// A call of ECR.
    pub fn ecr(operation: &str, input: &str) -> Self {
        Self::json("ecr", operation, input)
    }

    /// A call of a service whose operation stands in a header.
    pub fn json(service: &str, operation: &str, input: &str) -> Self {
        let prefix = match service {
            "cloudwatch" => "GraniteServiceVersion20100801",
            "codedeploy" => "CodeDeploy_20141006",
            "ecr-public" => "SpencerFrontendService",
            "logs" => "Logs_20140328",
            "ecs" => "AmazonEC2ContainerServiceV20141113",
            _ => "AmazonEC2ContainerRegistry_V20150921",
        };
        let target = format!("{prefix}.{operation}");
        Self::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", &target)
            .body(input)
    }

    /// Signs the request as it is.
    pub fn sign(self, keys: &Keys, signing: Signing<'_>) -> Self {
        let mut request = self.header("x-amz-date", &signing.at.basic());
        if !request.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", "127.0.0.1");
        }
        if let Some(token) = &keys.token {
            request = request.header("x-amz-security-token", token);
        }
        let headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let signed = SignedRequest {
            method: &request.method,
            path,
            query,
            headers: &headers,
            body_sha256: &sha256_hex(&request.body),
        };
        let date = signing.at.basic()[..8].to_owned();
        let scope = Scope { date, region: signing.region.to_owned(), service: signing.service.to_owned() };
        let secret = Secret::new(keys.secret.clone());
        let credentials = sigv4::Credentials { access_key_id: &keys.id, secret: &secret };
        let authorization = sigv4::sign(&signed, credentials, &scope, signing.at);
        request.header("authorization", &authorization)
    }

    /// Sends the request and reads the answer to its end.
    pub fn send(&self, addr: SocketAddr) -> Reply {
        let mut stream = TcpStream::connect(addr).unwrap();
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            head.push_str("host: 127.0.0.1\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses the size of a body need not read it to its end.
        let _ = stream.write_all(&self.body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // A body in CBOR is no text.
        Reply::parse(&String::from_utf8_lossy(&answer))
    }
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: `{text}`"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The texts of all XML elements of a name.
    pub fn elements(&self, name: &str) -> Vec<String> {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts = self.body.split(&open).skip(1);
        parts.map(|part| unescaped(part.split(&close).next().unwrap())).collect()
    }

    /// The text of the first XML element of a name.
    pub fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// Code and message of an error, in whichever protocol it came.
    pub fn fault(&self) -> (String, String) {
        if self.body.starts_with('<') {
            let part = |name| self.element(name).unwrap_or_default();
            return (part("Code"), part("Message"));
        }
        if !self.body.starts_with('{') {
            return (String::new(), self.body.clone());
        }
        let body = self.json();
        let oci = &body["errors"][0];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        match oci.is_object() {
            true => (text(&oci["code"]), text(&oci["message"])),
            false => {
                // EKS has the code in a header.
                let code =
                    self.header("x-amzn-errortype").map_or_else(|| text(&body["__type"]), str::to_owned);
                (code, format!("{}{}", text(&body["message"]), text(&body["Message"])))
            }
        }
    }
}

/// Percent-encodes all but the unreserved characters.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Takes percent-encoding off.
pub fn decoded(text: &str) -> String {
    landfall_wire::query::Params::parse(&format!("x={text}")).unwrap().get("x").unwrap().to_owned()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
}
