//! The registry protocol's shapes: errors, manifests and byte ranges.
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>,
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>

use std::fmt;

use landfall_types::Digest;
use serde_json::{Map, Value, json};

use crate::error::Reply;

mod translate;

pub use translate::{accepts, translate};

/// The largest manifest that is read, in bytes. It is ECR's limit on `imageManifest`.
pub const MANIFEST_BYTES_MAX: usize = 4_194_304;
/// The most descriptors that one list of a manifest may hold.
pub const DESCRIPTORS_MAX: usize = 10_000;

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A Docker image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// A Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What an error code means and which status it comes with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// As it stands in the body.
    pub name: &'static str,
    /// The status that registries answer with.
    pub status: u16,
    /// What it says.
    pub means: &'static str,
}

/// The codes of the distribution specification, and the ones that Docker's registry adds.
pub const CODES: &[Code] = &[
    Code { name: "BLOB_UNKNOWN", status: 404, means: "there is no such blob in the repository" },
    Code { name: "BLOB_UPLOAD_INVALID", status: 400, means: "the upload can't go on like this" },
    Code { name: "BLOB_UPLOAD_UNKNOWN", status: 404, means: "there is no such upload" },
    Code { name: "DIGEST_INVALID", status: 400, means: "the content doesn't have the digest that was given" },
    Code { name: "MANIFEST_BLOB_UNKNOWN", status: 400, means: "the manifest names content that isn't there" },
    Code { name: "MANIFEST_INVALID", status: 400, means: "the manifest can't be read" },
    Code { name: "MANIFEST_UNKNOWN", status: 404, means: "there is no such manifest in the repository" },
    Code { name: "MANIFEST_UNVERIFIED", status: 400, means: "the manifest's signature is wrong" },
    Code { name: "NAME_INVALID", status: 400, means: "that can't be a repository's name" },
    Code {
        name: "NAME_UNKNOWN",
        status: 404,
        means: "there is no such repository, or the caller may not see it",
    },
    Code { name: "SIZE_INVALID", status: 400, means: "the content doesn't have the length that was given" },
    Code { name: "TAG_INVALID", status: 400, means: "that can't be a tag, or it may not be moved" },
    Code { name: "PAGINATION_NUMBER_INVALID", status: 400, means: "`n` is not a number of items" },
    Code { name: "RANGE_INVALID", status: 416, means: "the range is not where the upload stands" },
    Code { name: "UNAUTHORIZED", status: 401, means: "credentials are needed" },
    Code { name: "DENIED", status: 403, means: "the caller may not do this" },
    Code { name: "UNSUPPORTED", status: 405, means: "the registry doesn't do this" },
    Code { name: "TOOMANYREQUESTS", status: 429, means: "too many requests" },
    Code { name: "UNAVAILABLE", status: 503, means: "the registry can't answer now" },
    Code { name: "UNKNOWN", status: 500, means: "the registry failed" },
];

/// The answer for a code, with the code's own status; an unknown code answers 500.
pub fn oci_error(code: &str, message: &str) -> Reply {
    let status = CODES.iter().find(|known| known.name == code).map_or(500, |known| known.status);
    oci_error_with_status(status, code, message)
}

/// The answer for a code where the registry answers with another status than most.
pub fn oci_error_with_status(status: u16, code: &str, message: &str) -> Reply {
    let mut body = json!({ "errors": [{ "code": code, "message": message }] }).to_string().into_bytes();
    body.push(b'\n');
    Reply {
        status,
        headers: vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("docker-distribution-api-version", "registry/2.0".to_owned()),
        ],
        body,
    }
}

/// A pointer to content.
#[derive(Clone, PartialEq, Debug)]
pub struct Descriptor {
    /// What the content is.
    pub media_type: String,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length in bytes.
    pub size: u64,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// Free annotations.
    pub annotations: Vec<(String, String)>,
    /// For which platform, as it stands in an index.
    pub platform: Option<Value>,
}

/// What a registry needs to know of a manifest or an index. The bytes themselves are kept elsewhere:
/// a manifest is stored as it was sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// The declared type, or what the members say it is.
    pub media_type: String,
    /// The configuration of an image.
    pub config: Option<Descriptor>,
    /// The layers of an image.
    pub layers: Vec<Descriptor>,
    /// The images of an index.
    pub manifests: Vec<Descriptor>,
    /// What this is a statement about.
    pub subject: Option<Descriptor>,
    /// What kind of artifact this is.
    pub artifact_type: Option<String>,
    /// Free annotations.
    pub annotations: Vec<(String, String)>,
}

/// Whether what has this media type lists other manifests rather than layers.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

impl Manifest {
    /// Reads a manifest or an index from the bytes as they were sent. `declared` is the type that came with
    /// it, from `Content-Type` or from `imageManifestMediaType`; without it the manifest speaks for itself.
    ///
    /// # Errors
    /// Why it can't be read, for the one who sent it.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLong { bytes: bytes.len() });
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| ManifestError::NotJson)?;
        let members = value.as_object().ok_or(ManifestError::NotJson)?;
        if members.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
            return Err(invalid("schemaVersion", "2"));
        }
        let media_type = media_type(members, declared)?;
        let part = match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => "config",
            OCI_INDEX | DOCKER_LIST => "manifests",
            _ => "schemaVersion",
        };
        if !members.contains_key(part) {
            return Err(invalid(part, &format!("there, in a manifest of the type `{media_type}`")));
        }
        Ok(Self {
            config: members.get("config").map(|config| descriptor(config, "config")).transpose()?,
            layers: descriptors(members, "layers")?,
            manifests: descriptors(members, "manifests")?,
            subject: members.get("subject").map(|subject| descriptor(subject, "subject")).transpose()?,
            artifact_type: optional_text(members, "artifactType"),
            annotations: annotations(members),
            media_type,
        })
    }

    /// The type under which the referrers of a subject list this: its own, or an image's configuration type.
    pub fn referrer_type(&self) -> Option<&str> {
        self.artifact_type
            .as_deref()
            .filter(|text| !text.is_empty())
            .or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()))
    }
}

/// Why a manifest can't be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManifestError {
    /// More bytes than [`MANIFEST_BYTES_MAX`].
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Not a JSON object.
    NotJson,
    /// A member is missing or wrong.
    Invalid {
        /// Which member.
        member: String,
        /// What is expected there.
        wanted: String,
    },
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "the manifest has {bytes} bytes, at most {MANIFEST_BYTES_MAX} are read")
            }
            Self::NotJson => f.write_str("the manifest is not a JSON object"),
            Self::Invalid { member, wanted } => write!(f, "the manifest's `{member}` must be {wanted}"),
        }
    }
}

impl std::error::Error for ManifestError {}

fn media_type(members: &Map<String, Value>, declared: Option<&str>) -> Result<String, ManifestError> {
    let own = optional_text(members, "mediaType");
    let declared = declared.map(|text| text.split(';').next().unwrap_or(text).trim());
    if let (Some(own), Some(declared)) = (&own, declared)
        && own != declared
    {
        return Err(invalid("mediaType", &format!("`{declared}`, as it was declared, not `{own}`")));
    }
    if let Some(known) = own.or_else(|| declared.map(str::to_owned)) {
        return Ok(known);
    }
    if members.contains_key("manifests") {
        Ok(OCI_INDEX.to_owned())
    } else if members.contains_key("config") {
        Ok(OCI_MANIFEST.to_owned())
    } else {
        Err(invalid("mediaType", "there when there is neither `config` nor `manifests`"))
    }
}

fn descriptors(members: &Map<String, Value>, name: &str) -> Result<Vec<Descriptor>, ManifestError> {
    let items = match members.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_array().ok_or_else(|| invalid(name, "a list of descriptors"))?,
    };
    if items.len() > DESCRIPTORS_MAX {
        return Err(invalid(name, &format!("a list of at most {DESCRIPTORS_MAX} descriptors")));
    }
    items.iter().enumerate().map(|(index, item)| descriptor(item, &format!("{name}[{index}]"))).collect()
}

fn descriptor(value: &Value, place: &str) -> Result<Descriptor, ManifestError> {
    let members = value.as_object().ok_or_else(|| invalid(place, "a descriptor"))?;
    let member = |name: &str| format!("{place}.{name}");
    let digest = optional_text(members, "digest").ok_or_else(|| invalid(&member("digest"), "a digest"))?;
    Ok(Descriptor {
        media_type: optional_text(members, "mediaType")
            .ok_or_else(|| invalid(&member("mediaType"), "a media type"))?,
        digest: Digest::parse(&digest)
            .map_err(|reason| invalid(&member("digest"), &format!("a digest: {reason}")))?,
        size: members
            .get("size")
            .and_then(Value::as_u64)
            .ok_or_else(|| invalid(&member("size"), "a number of bytes"))?,
        artifact_type: optional_text(members, "artifactType"),
        annotations: annotations(members),
        platform: members.get("platform").cloned(),
    })
}

fn annotations(members: &Map<String, Value>) -> Vec<(String, String)> {
    let entries = members.get("annotations").and_then(Value::as_object);
    entries
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn optional_text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn invalid(member: &str, wanted: &str) -> ManifestError {
    ManifestError::Invalid { member: member.to_owned(), wanted: wanted.to_owned() }
}

/// Bytes from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes it covers; a range has at least one.
    pub fn length(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }
}

/// Reads the `Content-Range` of an upload's chunk: `0-1023`, without a unit as the distribution
/// specification has it, or HTTP's `bytes 0-1023/2048`, which some clients send.
pub fn parse_content_range(text: &str) -> Option<ByteRange> {
    let text = text.trim();
    let text = text.strip_prefix("bytes").map_or(text, |rest| rest.trim_start_matches([' ', '=']));
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (first, last) = text.split_once('-')?;
    ByteRange::new(offset(first)?, offset(last)?)
}

/// What a `Range` header asks of content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeRequest {
    /// All of it: no range, one that isn't understood, or several.
    Whole,
    /// One part, within the content.
    Part(ByteRange),
    /// Nothing that exists: 416.
    Unsatisfiable,
    /// It ends before it begins: a server ignores it or refuses it.
    Backwards,
}

/// Reads `bytes=0-99`, `bytes=100-` and `bytes=-100` against content of `size` bytes.
/// <https://www.rfc-editor.org/rfc/rfc9110#section-14.2>
pub fn parse_range(text: &str, size: u64) -> RangeRequest {
    let Some((first, last)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return RangeRequest::Whole;
    };
    let part = match (first.is_empty(), last.is_empty(), offset(first), offset(last)) {
        (true, false, _, Some(length)) => {
            if length == 0 || size == 0 {
                None
            } else {
                ByteRange::new(size.saturating_sub(length), size - 1)
            }
        }
        (false, true, Some(first), _) => size.checked_sub(1).and_then(|end| ByteRange::new(first, end)),
        (false, false, Some(first), Some(last)) if first <= last => {
            size.checked_sub(1).and_then(|end| ByteRange::new(first, last.min(end)))
        }
        (false, false, Some(_), Some(_)) => return RangeRequest::Backwards,
        _ => return RangeRequest::Whole,
    };
    part.map_or(RangeRequest::Unsatisfiable, RangeRequest::Part)
}

fn offset(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
