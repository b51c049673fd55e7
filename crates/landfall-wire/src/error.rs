//! AWS errors: one value, four ways on the wire.
//!
//! The same refusal has another code, status and spelling in each protocol; the table at the end of this
//! file holds what was observed on STS and IAM (Query), ECR and ECS (JSON) and EKS (REST-JSON).
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>

use std::borrow::Cow;
use std::fmt;

use landfall_types::Span;
use landfall_types::finding::Label;
use serde_json::{Map, Value, json};

use crate::sigv4::SigV4Error;
use crate::xml;

/// The namespace of STS's answers.
pub const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The namespace of IAM's answers.
pub const IAM_NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
/// The namespace of faults that are found before an operation is chosen (observed).
pub const FAULT_NAMESPACE: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

/// How a service speaks. <https://smithy.io/2.0/aws/protocols/index.html>
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Form in, XML out: STS and IAM.
    Query {
        /// The XML namespace of the service's answers.
        namespace: &'static str,
    },
    /// `application/x-amz-json-1.1`: ECR, ECS, CodeDeploy.
    Json11,
    /// `application/x-amz-json-1.0`.
    Json10,
    /// Paths and methods with JSON bodies: EKS.
    RestJson,
}

impl Protocol {
    /// STS's.
    pub const STS: Self = Self::Query { namespace: STS_NAMESPACE };
    /// IAM's.
    pub const IAM: Self = Self::Query { namespace: IAM_NAMESPACE };
}

/// An HTTP answer, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Lower-case names, each once.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An error as AWS tells it: a code, a sentence and a status.
#[derive(Clone, PartialEq, Debug)]
pub struct AwsError {
    /// `AccessDenied`, `RepositoryNotFoundException`, …
    pub code: Cow<'static, str>,
    /// AWS's sentence; may be empty.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// What the error's JSON body holds beside the message.
    pub members: Vec<(String, Value)>,
    /// Found before an operation was chosen: the Query protocol answers in another namespace then.
    pub before_dispatch: bool,
    /// What AWS's sentence leaves out.
    // In a box: errors are returned by value everywhere, and few have any.
    pub aside: Option<Box<Aside>>,
}

/// What is said to this side alone; no client is told.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Aside {
    /// The places in what was given, and what is wrong there.
    pub places: Vec<Label>,
    /// What is so of this side and not of AWS.
    pub note: Option<String>,
}

impl AwsError {
    /// An error with code, status and sentence.
    pub fn new(code: impl Into<Cow<'static, str>>, status: u16, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status,
            members: Vec::new(),
            before_dispatch: false,
            aside: None,
        }
    }

    /// An error that is the caller's doing: 400, as ECR and ECS answer nearly everything.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(code, 400, message)
    }

    /// `ValidationError` of the Query services.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", 400, message)
    }

    /// Adds a member to the JSON body.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.push((name.into(), value.into()));
        self
    }

    /// Adds a place in what was given.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.aside.get_or_insert_default().places.push(Label { span, text: text.into() });
        self
    }

    /// Adds what is so of this side and not of AWS.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.aside.get_or_insert_default().note = Some(text.into());
        self
    }

    /// `Sender` or `Receiver`: whose fault it is.
    pub fn fault(&self) -> &'static str {
        if self.status < 500 { "Sender" } else { "Receiver" }
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str(&self.code)
        } else {
            write!(f, "{}: {}", self.code, self.message)
        }
    }
}

impl std::error::Error for AwsError {}

/// The answer that carries an error. `accept_json` says that the request had `Accept: application/json`,
/// which turns the Query services from XML to JSON.
pub fn render(error: &AwsError, protocol: Protocol, request_id: &str, accept_json: bool) -> Reply {
    let mut headers = vec![("x-amzn-requestid", request_id.to_owned())];
    let body = match protocol {
        Protocol::Query { namespace } => {
            headers.push(("content-type", xml::content_type(accept_json).to_owned()));
            query_body(error, namespace, request_id, accept_json)
        }
        Protocol::Json11 | Protocol::Json10 => {
            headers.push(("content-type", json_content_type(protocol).to_owned()));
            let mut body = Map::new();
            body.insert("__type".to_owned(), Value::from(error.code.as_ref()));
            add_message(&mut body, error, json_message_name(error));
            Value::Object(body).to_string().into_bytes()
        }
        Protocol::RestJson => {
            headers.push(("content-type", "application/json".to_owned()));
            headers.push(("x-amzn-errortype", error.code.clone().into_owned()));
            let mut body = Map::new();
            add_message(&mut body, error, "message");
            Value::Object(body).to_string().into_bytes()
        }
    };
    Reply { status: error.status, headers, body }
}

/// The content type of the two JSON protocols; `application/json` for every other.
pub fn json_content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Json11 => "application/x-amz-json-1.1",
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Query { .. } | Protocol::RestJson => "application/json",
    }
}

/// A successful answer of the JSON protocols.
pub fn json_reply(body: &Value, protocol: Protocol, request_id: &str) -> Reply {
    Reply {
        status: 200,
        headers: vec![
            ("x-amzn-requestid", request_id.to_owned()),
            ("content-type", json_content_type(protocol).to_owned()),
        ],
        body: body.to_string().into_bytes(),
    }
}

/// Only `AccessDeniedException` spells it with a capital (observed on ECR).
fn json_message_name(error: &AwsError) -> &'static str {
    if error.code == "AccessDeniedException" { "Message" } else { "message" }
}

fn add_message(body: &mut Map<String, Value>, error: &AwsError, name: &str) {
    if !error.message.is_empty() {
        body.insert(name.to_owned(), Value::from(error.message.as_str()));
    }
    for (name, value) in &error.members {
        body.insert(name.clone(), value.clone());
    }
}

fn query_body(error: &AwsError, namespace: &str, request_id: &str, accept_json: bool) -> Vec<u8> {
    if accept_json {
        let body = json!({
            "Error": { "Code": error.code, "Message": error.message, "Type": error.fault() },
            "RequestId": request_id,
        });
        return body.to_string().into_bytes();
    }
    let namespace = if error.before_dispatch { FAULT_NAMESPACE } else { namespace };
    let mut writer = xml::Writer::new();
    writer.open("ErrorResponse", Some(namespace));
    writer.open("Error", None);
    writer.text("Type", error.fault());
    writer.text("Code", &error.code);
    writer.text("Message", &error.message);
    writer.close("Error");
    writer.text("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.finish()
}

/// The conditions that every service of AWS reports, whatever it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    MissingToken,
    Incomplete,
    InvalidToken,
    SignatureMismatch,
    ExpiredToken,
    PresignedExpired,
    AccessDenied,
    Throttled,
    Malformed,
    Internal,
}

fn common(condition: Condition, protocol: Protocol, message: impl Into<String>) -> AwsError {
    let row = COMMON.iter().find(|row| row.condition == condition);
    let (code, status) = row.map_or(("InternalFailure", 500), |row| match protocol {
        Protocol::Query { .. } => row.query,
        Protocol::Json11 | Protocol::Json10 => row.json,
        Protocol::RestJson => row.rest,
    });
    AwsError::new(code, status, message)
}

/// The answer to a signature that was not accepted.
pub fn from_sigv4(error: &SigV4Error, protocol: Protocol) -> AwsError {
    let condition = match error {
        SigV4Error::Missing => return missing_token(protocol),
        SigV4Error::Incomplete(_) => Condition::Incomplete,
        SigV4Error::PresignedExpired => Condition::PresignedExpired,
        SigV4Error::WrongScope(_)
        | SigV4Error::HostNotSigned
        | SigV4Error::Expired(_)
        | SigV4Error::NotYetCurrent(_)
        | SigV4Error::SignatureMismatch => Condition::SignatureMismatch,
    };
    common(condition, protocol, error.message())
}

/// A request without credentials.
pub fn missing_token(protocol: Protocol) -> AwsError {
    let message = match protocol {
        Protocol::Query { .. } => "Request is missing Authentication Token",
        Protocol::Json11 | Protocol::Json10 | Protocol::RestJson => "Missing Authentication Token",
    };
    common(Condition::MissingToken, protocol, message)
}

/// An access key that nobody knows, or a session token that isn't ours or isn't this key's.
pub fn invalid_token(protocol: Protocol) -> AwsError {
    common(Condition::InvalidToken, protocol, "The security token included in the request is invalid.")
}

/// A session past its end.
pub fn expired_token(protocol: Protocol) -> AwsError {
    common(Condition::ExpiredToken, protocol, "The security token included in the request is expired")
}

/// A policy said no; `sentence` is all that the caller may know of it.
pub fn access_denied(sentence: impl Into<String>, protocol: Protocol) -> AwsError {
    common(Condition::AccessDenied, protocol, sentence)
}

/// Too many requests.
pub fn throttled(protocol: Protocol) -> AwsError {
    common(Condition::Throttled, protocol, "Rate exceeded")
}

/// A body that could not be read.
pub fn malformed(message: impl Into<String>, protocol: Protocol) -> AwsError {
    common(Condition::Malformed, protocol, message)
}

/// Our own failure. What happened belongs into the log, not into the answer.
pub fn internal(protocol: Protocol) -> AwsError {
    common(
        Condition::Internal,
        protocol,
        "The request processing has failed because of an unknown error, exception or failure.",
    )
}

/// An operation that the service doesn't have. The JSON services answer without a sentence.
pub fn unknown_operation(operation: &str, version: &str, protocol: Protocol) -> AwsError {
    match protocol {
        Protocol::Query { .. } => AwsError {
            before_dispatch: true,
            ..AwsError::new(
                "InvalidAction",
                400,
                format!("Could not find operation {operation} for version {version}"),
            )
        },
        Protocol::Json11 | Protocol::Json10 => AwsError::new("UnknownOperationException", 400, ""),
        Protocol::RestJson => AwsError::new("UnknownOperationException", 404, ""),
    }
}

/// What ECR answers to `application/x-amz-json-1.0` (observed).
pub fn wrong_json_version(request_id: &str) -> Reply {
    Reply {
        status: 404,
        headers: vec![("x-amzn-requestid", request_id.to_owned())],
        body: b"<UnknownOperationException/>\n".to_vec(),
    }
}

struct Common {
    condition: Condition,
    query: (&'static str, u16),
    json: (&'static str, u16),
    rest: (&'static str, u16),
}

const COMMON: &[Common] = &[
    Common {
        condition: Condition::MissingToken,
        query: ("MissingAuthenticationToken", 403),
        json: ("MissingAuthenticationTokenException", 400),
        rest: ("MissingAuthenticationTokenException", 403),
    },
    Common {
        condition: Condition::Incomplete,
        query: ("IncompleteSignature", 400),
        json: ("IncompleteSignatureException", 400),
        rest: ("IncompleteSignatureException", 403),
    },
    Common {
        condition: Condition::InvalidToken,
        query: ("InvalidClientTokenId", 403),
        json: ("UnrecognizedClientException", 400),
        rest: ("UnrecognizedClientException", 403),
    },
    Common {
        condition: Condition::SignatureMismatch,
        query: ("SignatureDoesNotMatch", 403),
        json: ("InvalidSignatureException", 400),
        rest: ("InvalidSignatureException", 403),
    },
    Common {
        condition: Condition::ExpiredToken,
        query: ("ExpiredToken", 403),
        json: ("ExpiredTokenException", 400),
        rest: ("ExpiredTokenException", 403),
    },
    Common {
        condition: Condition::PresignedExpired,
        query: ("RequestExpired", 400),
        json: ("InvalidSignatureException", 400),
        rest: ("InvalidSignatureException", 403),
    },
    Common {
        condition: Condition::AccessDenied,
        query: ("AccessDenied", 403),
        json: ("AccessDeniedException", 400),
        rest: ("AccessDeniedException", 403),
    },
    Common {
        condition: Condition::Throttled,
        query: ("Throttling", 400),
        json: ("ThrottlingException", 400),
        rest: ("ThrottlingException", 429),
    },
    Common {
        condition: Condition::Malformed,
        query: ("MalformedInput", 400),
        json: ("SerializationException", 400),
        rest: ("SerializationException", 400),
    },
    Common {
        condition: Condition::Internal,
        query: ("InternalFailure", 500),
        json: ("InternalFailure", 500),
        rest: ("InternalFailure", 500),
    },
];

#[cfg(test)]
mod tests;
