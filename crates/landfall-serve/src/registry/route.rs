//! Paths of the registry. A repository's name has slashes and may contain the words of the API
//! (`team/blobs/api`), so a path is read from its end.

use percent_encoding::percent_decode_str;

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// ECR Public's `/token/`.
    Token,
    /// A place in a repository.
    In {
        /// The repository's name, not yet looked at.
        name: String,
        /// Where in it.
        place: Place,
    },
    /// Nothing that ECR has.
    Elsewhere,
}

/// A place in a repository. What stands in the path is not yet looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// `manifests/REFERENCE`.
    Manifest(String),
    /// `blobs/DIGEST`.
    Blob(String),
    /// `blobs/uploads/`.
    Uploads,
    /// `blobs/uploads/ID`.
    Upload(String),
    /// `tags/list`.
    Tags,
    /// `referrers/DIGEST`.
    Referrers(String),
}

impl Route {
    /// Reads a path; percent-encoding is taken off first, since some clients encode a digest's colon.
    pub fn parse(path: &str) -> Self {
        let Ok(path) = percent_decode_str(path).decode_utf8() else { return Self::Elsewhere };
        let rest = match path.as_ref() {
            "/v2" | "/v2/" => return Self::Base,
            "/token" | "/token/" => return Self::Token,
            "/v2/_catalog" => return Self::Catalog,
            path => path.strip_prefix("/v2/").unwrap_or_default(),
        };
        let segments: Vec<&str> = rest.split('/').collect();
        let (name, place) = match segments.as_slice() {
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => (name, Place::Uploads),
            [name @ .., "blobs", "uploads", id] => (name, Place::Upload((*id).to_owned())),
            [name @ .., "manifests", reference] => (name, Place::Manifest((*reference).to_owned())),
            [name @ .., "blobs", digest] => (name, Place::Blob((*digest).to_owned())),
            [name @ .., "tags", "list"] => (name, Place::Tags),
            [name @ .., "referrers", digest] => (name, Place::Referrers((*digest).to_owned())),
            _ => return Self::Elsewhere,
        };
        if name.is_empty() { Self::Elsewhere } else { Self::In { name: name.join("/"), place } }
    }

    /// What the log calls it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Base => "registry",
            Self::Catalog => "catalog",
            Self::Token => "token",
            Self::Elsewhere => "unknown path",
            Self::In { place, .. } => match place {
                Place::Manifest(_) => "manifest",
                Place::Blob(_) => "blob",
                Place::Uploads | Place::Upload(_) => "upload",
                Place::Tags => "tags",
                Place::Referrers(_) => "referrers",
            },
        }
    }
}
