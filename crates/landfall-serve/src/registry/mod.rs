//! The image registry: the OCI distribution API as ECR offers it.
//!
//! A call goes login (who, and for which registry) → path (which repository) → decision → existence →
//! operation. What differs from a registry of the specification was observed on ECR: Basic logins only,
//! no deletion, tags in the order of their pushes, AWS's sentences in the errors. [`RegistryMode::StrictOci`]
//! takes back what is ECR's own in it, and leaves logins, permissions and sentences as they are.
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>,
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html>

mod access;
mod answer;
mod deleting;
mod layers;
mod listings;
mod manifests;
mod public;
pub mod route;
mod uploading;

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use landfall_types::{Digest, Finding, RepositoryName};
use landfall_wire::error::AwsError;
use landfall_wire::query::Params;

use crate::apart::name_of;
use crate::authz::{OfRegistry, Permit, calls};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::ecr::{CreateRepository, Face};
use crate::log::FailedCall;
use crate::store::{RegistryId, Repository, RepositorySettings};
use crate::world::{RegistryMode, World};
pub(crate) use access::registry_of_host;
use answer::{Answer, Refusal};
pub(crate) use public::{AtPublicAddress, TOKEN_PATH, is_public_host};
use route::Route;

/// Bytes of a refused body that are read and thrown away, so that the client gets to read the refusal:
/// most clients look for an answer only after they have sent everything.
const REFUSED_BODY_BYTES_MAX: u64 = 1 << 30;

/// Answers a registry call: any path that begins with `/v2`, and ECR Public's `/token/`.
pub(crate) async fn handle(
    world: &Arc<World>,
    request: Request<Body>,
    connection: &Connection,
    request_id: &str,
    face: Face,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let operation = format!("{} {}", parts.method, route.noun());
    let before = world.log.last();
    let from = From { world, connection, request_id, operation: &operation, before, face };
    let mut incoming = Incoming { headers: parts.headers, body: Some(body), is_begun: false };
    let mut response = match dispatch(&from, &parts.method, &parts.uri, route, &mut incoming).await {
        Ok(response) => response,
        Err(refusal) => {
            if let Some(reason) = refusal.reason() {
                from.note_because(&reason, refusal.finding());
            }
            incoming.discard().await;
            refusal.response()
        }
    };
    response
        .headers_mut()
        .insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    response
}

/// A request, before its login was opened.
struct From<'a> {
    world: &'a Arc<World>,
    connection: &'a Connection,
    request_id: &'a str,
    /// As the log names it.
    operation: &'a str,
    /// The log's newest record when the request came.
    before: u64,
    /// Whose registry is called.
    face: Face,
}

impl From<'_> {
    /// Writes a refusal to the log, if it isn't there yet.
    fn note(&self, reason: &AwsError) {
        self.note_because(reason, None);
    }

    /// The same, with more than what the client is told.
    fn note_because(&self, reason: &AwsError, finding: Option<Finding>) {
        let Self { world, request_id, operation, before, face, .. } = *self;
        let service = match face {
            Face::Private => "ecr",
            Face::Public => "ecr-public",
        };
        let failed = FailedCall { request_id, service, operation };
        world.log.add_reason(world.clock.now(), before, failed, reason, finding);
    }
}

/// The parts of a request that operations read.
struct Incoming {
    headers: HeaderMap,
    body: Option<Body>,
    /// Whether something of the body was read: its sender was told to go on.
    is_begun: bool,
}

impl Incoming {
    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The header's values as one list, as if it had been sent once.
    fn header_list(&self, name: impl header::AsHeaderName) -> Option<String> {
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let list = values.collect::<Vec<_>>().join(",");
        (!list.is_empty()).then_some(list)
    }

    /// Whether the client says that it has this content already.
    /// <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2>
    fn has_already(&self, digest: &Digest) -> bool {
        let list = self.header_list(header::IF_NONE_MATCH).unwrap_or_default();
        list.split(',').map(str::trim).any(|tag| {
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == digest.as_str()
        })
    }

    /// The part that is asked for; none when it is asked for only of other content than this.
    /// <https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5>
    fn range(&self, digest: &Digest) -> Option<&str> {
        let of_this = |tag: &str| tag.trim_matches('"') == digest.as_str();
        let range = self.header(header::RANGE)?;
        self.header(header::IF_RANGE).is_none_or(of_this).then_some(range)
    }

    /// Takes the body; empty when it has been taken.
    fn take_body(&mut self) -> Body {
        self.body.take().unwrap_or_default()
    }

    /// Takes back a body that was read from, maybe not to its end.
    fn put_back(&mut self, body: Body) {
        self.body = Some(body);
        self.is_begun = true;
    }

    /// Whether there may be bytes in the body.
    fn has_body(&self) -> bool {
        self.body.as_ref().is_some_and(|body| !body.is_end_stream() && body.size_hint().upper() != Some(0))
    }

    /// Reads what is left of a refused request.
    async fn discard(&mut self) {
        // Who asked for leave to send has not sent yet, and won't after a refusal.
        if self.headers.contains_key(header::EXPECT) && !self.is_begun {
            return;
        }
        let mut body = self.take_body();
        let mut left = REFUSED_BODY_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            left = left.saturating_sub(length);
            if left == 0 {
                return;
            }
        }
    }
}

/// A call of a known caller on a known registry.
struct RegistryCall<'a> {
    world: &'a Arc<World>,
    caller: Caller,
    connection: &'a Connection,
    registry: RegistryId,
    /// The alias that stands before the names of a public registry; none for a private one.
    alias: Option<String>,
    /// As the client calls this server; answers lead back there.
    host: &'a str,
    query: Params,
    request_id: &'a str,
}

impl RegistryCall<'_> {
    fn authorize<C: OfRegistry>(&self, name: &RepositoryName) -> Result<Permit<C>, Refusal> {
        let (caller, registry) = ((&self.caller, self.connection), &self.registry);
        let decided = if self.alias.is_some() {
            crate::ecr::authorize_on_public_repository(self.world, caller, registry, name, self.request_id)
        } else {
            crate::ecr::authorize_on_repository(self.world, caller, registry, name, self.request_id)
        };
        decided.map_err(|error| match self.caller {
            Caller::Anonymous => Refusal::denied(public::NOT_AUTHORIZED),
            _ => Refusal::denied(error.message),
        })
    }

    /// The repository, once the call on it was allowed.
    fn repository(&self, name: &RepositoryName) -> Result<Arc<Repository>, Refusal> {
        self.world.store.repository(&self.registry, name).ok_or_else(|| {
            if let Some(alias) = &self.alias {
                return Refusal::new("NAME_UNKNOWN", public::no_repository(alias, name.as_str()));
            }
            let reason = crate::ecr::not_pulled_through(self.world, &self.registry, name);
            if let Some(reason) = reason {
                return Refusal::new("NAME_UNKNOWN", reason);
            }
            let sentence = crate::ecr::no_repository_sentence(&self.registry, name);
            Refusal::new("NAME_UNKNOWN", sentence).because(repository_missing(
                self.world,
                &self.registry,
                name,
            ))
        })
    }

    /// Decides, then looks whether the repository is there.
    fn permit<C: OfRegistry>(&self, name: &RepositoryName) -> Result<(Permit<C>, Arc<Repository>), Refusal> {
        let permit = self.authorize(name)?;
        Ok((permit, self.repository(name)?))
    }

    /// The same for what a push begins with. A registry of the specification has every repository that
    /// something is pushed to: the first push makes it, if the caller may make one. With ECR that is so where
    /// a repository creation template says it, and never with ECR Public.
    fn permit_push<C: OfRegistry>(
        &self,
        name: &RepositoryName,
    ) -> Result<(Permit<C>, Arc<Repository>), Refusal> {
        let permit = self.authorize(name)?;
        Ok((permit, self.pushed_to(name)?))
    }

    /// The repository that something is pushed to, which is made if need be.
    fn pushed_to(&self, name: &RepositoryName) -> Result<Arc<Repository>, Refusal> {
        let is_missing = self.world.store.repository(&self.registry, name).is_none();
        if is_missing && self.is_made_by_push(name) {
            if self.is_strict() {
                self.create(name)?;
            } else {
                let caller = (&self.caller, self.connection);
                crate::ecr::create_on_push(self.world, caller, &self.registry, name, self.request_id)
                    .map_err(|error| Refusal::denied(error.message))?;
            }
        }
        self.repository(name)
    }

    /// Whether a repository that isn't there comes with what is pushed to it.
    fn is_made_by_push(&self, name: &RepositoryName) -> bool {
        let is_made = || crate::ecr::is_created_on_push(self.world, &self.registry, name);
        self.alias.is_none() && (self.is_strict() || is_made())
    }

    fn create(&self, name: &RepositoryName) -> Result<(), Refusal> {
        let caller = (&self.caller, self.connection);
        let permit: Permit<calls::CreateRepository> =
            crate::ecr::authorize_on_repository(self.world, caller, &self.registry, name, self.request_id)
                .map_err(|error| Refusal::denied(error.message))?;
        let input = CreateRepository {
            registry: self.registry.clone(),
            name: name.clone(),
            settings: RepositorySettings::default(),
            tags: Vec::new(),
            policy: None,
        };
        // Whoever was quicker made the same repository.
        match crate::ecr::create_repository(self.world, permit, input) {
            Err(error) if error.code != "RepositoryAlreadyExistsException" => {
                Err(Refusal::internal(&error.message))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether the specification counts, where it differs from ECR.
    fn is_strict(&self) -> bool {
        self.world.settings.registry == RegistryMode::StrictOci
    }

    /// A repository's name as clients know it.
    fn full_name(&self, name: &RepositoryName) -> String {
        match &self.alias {
            Some(alias) => format!("{alias}/{name}"),
            None => name.to_string(),
        }
    }

    /// An absolute address in a repository.
    fn location(&self, name: &RepositoryName, path: &str) -> String {
        format!("http://{}/v2/{}/{path}", self.host, self.full_name(name))
    }
}

/// Names of a registry that are told in place of one that isn't there.
const NAMES_MAX: usize = 5;

/// What is there in place of a repository that is not.
fn repository_missing(world: &World, registry: &RegistryId, name: &RepositoryName) -> Finding {
    let message = format!("there is no repository `{name}` in {}", name_of(registry));
    // Some clients make it then, and push again.
    let finding = Finding::warning("repository-missing", message);
    let mut others = world.store.registries_with(name).into_iter();
    if let Some(first) = others.find(|other| other.region != crate::ecr::PUBLIC_REGION) {
        let place = match first.account == registry.account {
            true => format!("in {}", first.region),
            false => format!("in the registry {}", name_of(&first)),
        };
        return finding.help(format!("there is one {place}: log in to that registry, and use its name"));
    }
    let known = world.store.repositories(registry);
    let names: Vec<String> = known.iter().take(NAMES_MAX).map(|it| format!("`{}`", it.name)).collect();
    let more = known.len().saturating_sub(names.len());
    match (names.is_empty(), more) {
        (true, _) => {
            finding.help("the registry has no repositories: make one, or name the registry that has it")
        }
        (false, 0) => finding.help(format!("the registry has {}", names.join(", "))),
        (false, more) => finding.help(format!("the registry has {}, and {more} more", names.join(", "))),
    }
}

async fn dispatch(
    from: &From<'_>,
    method: &Method,
    uri: &http::Uri,
    route: Route,
    incoming: &mut Incoming,
) -> Answer {
    let host = incoming.header(header::HOST).or_else(|| uri.host()).unwrap_or_default().to_owned();
    if route == Route::Token && from.face == Face::Public {
        return public::token(from, method, incoming);
    }
    let authorization = incoming.header(header::AUTHORIZATION);
    let (caller, place, route) = match from.face {
        Face::Private => {
            let (caller, registry) = access::enter(from, &host, authorization)?;
            (caller, Some((registry, None)), route)
        }
        Face::Public => {
            let caller = public::enter(from, &host, authorization)?;
            let (found, route) = public::locate(from.world, &caller, route)?;
            (caller, found.map(|(registry, alias)| (registry, Some(alias))), route)
        }
    };
    let Some((registry, alias)) = place else {
        return match (method, route) {
            (&Method::GET | &Method::HEAD, Route::Base) => Ok(Response::new(Body::empty())),
            _ => Err(Refusal::unsupported()),
        };
    };
    let query = Params::parse(uri.query().unwrap_or(""))
        .map_err(|error| Refusal::with_status(StatusCode::BAD_REQUEST, "UNSUPPORTED", error.message))?;
    let From { world, connection, request_id, .. } = *from;
    let call = RegistryCall { world, caller, connection, registry, alias, host: &host, query, request_id };
    match (method, route) {
        (&Method::GET | &Method::HEAD, Route::Base) => Ok(Response::new(Body::empty())),
        (&Method::GET, Route::Catalog) => listings::catalog(&call),
        (_, Route::Elsewhere | Route::Base | Route::Catalog | Route::Token) => Err(Refusal::unsupported()),
        (method, Route::In { name, place }) => {
            let name = RepositoryName::parse(&name).map_err(|_| Refusal::invalid_name())?;
            in_repository(&call, method, &name, place, incoming).await
        }
    }
}

async fn in_repository(
    call: &RegistryCall<'_>,
    method: &Method,
    name: &RepositoryName,
    place: route::Place,
    incoming: &mut Incoming,
) -> Answer {
    use route::Place;
    match (&place, method.as_str()) {
        (Place::Manifest(reference), "GET") => {
            manifests::read(call, name, reference, Content::Whole, incoming)
        }
        (Place::Manifest(reference), "HEAD") => {
            manifests::read(call, name, reference, Content::HeadersOnly, incoming)
        }
        (Place::Manifest(reference), "PUT") => manifests::put(call, name, reference, incoming).await,
        (Place::Manifest(reference), "DELETE") if call.is_strict() => {
            deleting::manifest(call, name, reference)
        }
        (Place::Blob(digest), "HEAD") => layers::check(call, name, digest, incoming),
        (Place::Blob(digest), "GET") => layers::read(call, name, digest, incoming),
        (Place::Blob(digest), "DELETE") if call.is_strict() => deleting::blob(call, name, digest),
        (Place::Uploads, "POST") => uploading::start(call, name, incoming).await,
        (Place::Upload(id), "GET") => uploading::status(call, name, id),
        (Place::Upload(id), "PATCH") => uploading::append(call, name, id, incoming).await,
        (Place::Upload(id), "PUT") => uploading::finish(call, name, id, incoming).await,
        (Place::Upload(id), "DELETE") => uploading::cancel(call, name, id),
        (Place::Tags, "GET") => listings::tags(call, name),
        (Place::Referrers(digest), "GET") => listings::referrers(call, name, digest),
        // With ECR, deletion goes through `BatchDeleteImage`.
        _ => Err(Refusal::unsupported()),
    }
}

/// Whether an answer carries its body (`GET`) or only what describes it (`HEAD`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content {
    Whole,
    HeadersOnly,
}

#[cfg(test)]
mod tests;
