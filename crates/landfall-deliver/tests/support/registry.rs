//! A played registry that keeps what it is given, and pushes to it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_deliver::assemble::{Settings, assemble};
use landfall_deliver::blob::digest_of;
use landfall_deliver::choice::Choice;
use landfall_deliver::docker_config::DockerConfig;
use landfall_deliver::layout::{self, Files, Image};
use landfall_deliver::push::{Options, Progress, Pushed, destinations, push};
use landfall_deliver::registry::Patience;
use landfall_deliver::{Environment, Failure};
use landfall_types::ImageRef;

use super::{AT_ONCE, Reply, Request, Server, environment, reply};

/// A registry that wants `AWS:pw` and does what the specification says.
#[derive(Default)]
pub struct Registry {
    pub blobs: Mutex<HashMap<String, Vec<u8>>>,
    upload: Mutex<Vec<Vec<u8>>>,
}

impl Registry {
    pub fn answer(&self, request: &Request) -> Reply {
        if request.header("authorization") != Some(&format!("Basic {}", STANDARD.encode("AWS:pw"))) {
            let challenge = r#"Basic realm="https://x/",service="ecr.amazonaws.com""#;
            return reply(401, "Not Authorized\n").with("www-authenticate", challenge);
        }
        let digest = request.path.rsplit(['/', '=']).next().unwrap().replace("%3A", ":");
        let at = |index: usize| format!("/v2/api/blobs/uploads/{index}?state=a%2Fb");
        match request.method.as_str() {
            "GET" => reply(200, ""),
            "HEAD" if self.blobs.lock().unwrap().contains_key(&digest) => reply(200, ""),
            "HEAD" => reply(404, ""),
            "POST" => {
                let mut uploads = self.upload.lock().unwrap();
                uploads.push(Vec::new());
                reply(202, "").with("location", at(uploads.len() - 1))
            }
            "PATCH" => {
                let index: usize = request.path.split(['/', '?']).nth(5).unwrap().parse().unwrap();
                self.upload.lock().unwrap()[index] = request.body.clone();
                reply(202, "").with("location", at(index))
            }
            "PUT" if request.path.contains("/manifests/") => {
                reply(201, "").with("docker-content-digest", digest_of(&request.body).to_string())
            }
            "PUT" => {
                let index: usize = request.path.split(['/', '?']).nth(5).unwrap().parse().unwrap();
                let content = self.upload.lock().unwrap()[index].clone();
                assert_eq!(digest_of(&content).as_str(), digest, "the client vouched for something else");
                self.blobs.lock().unwrap().insert(digest, content);
                reply(201, "")
            }
            _ => reply(204, ""),
        }
    }
}

pub async fn registry() -> Server {
    let registry = Registry::default();
    Server::start(move |request| registry.answer(request)).await
}

pub fn config(directory: &Path, registry: &str) -> DockerConfig {
    let path = directory.join("config.json");
    let auth = STANDARD.encode("AWS:pw");
    std::fs::write(&path, format!(r#"{{"auths":{{"{registry}":{{"auth":"{auth}"}}}}}}"#)).unwrap();
    DockerConfig::read(&path).unwrap()
}

pub fn image(directory: &Path) -> Image {
    let tree = directory.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("hello"), "hello").unwrap();
    assemble(&tree, &Settings::default(), None).unwrap()
}

pub async fn attempt(
    image: &Image,
    name: &str,
    config: &DockerConfig,
    env: &Environment,
) -> Result<Vec<Pushed>, Failure> {
    attempt_with(image, &[name], config, env, Options::default()).await
}

pub async fn attempt_with(
    image: &Image,
    names: &[&str],
    config: &DockerConfig,
    env: &Environment,
    options: Options,
) -> Result<Vec<Pushed>, Failure> {
    let patience = Patience { backoff: AT_ONCE, ..options.patience };
    attempt_exactly(image, names, config, env, Options { patience, ..options }).await
}

pub async fn attempt_exactly(
    image: &Image,
    names: &[&str],
    config: &DockerConfig,
    env: &Environment,
    options: Options,
) -> Result<Vec<Pushed>, Failure> {
    let references: Vec<_> = names.iter().map(|name| ImageRef::parse(name).unwrap()).collect();
    let destinations = destinations(&references, &[], &image.root.digest).unwrap();
    push(image, &destinations, config, env, &options, &Progress::default()).await.map_err(Failure::from)
}

/// Pushes a small image to `registry` and gives the outcome and all requests but the first GETs.
pub async fn push_small(server: &Server) -> Result<Vec<Pushed>, Failure> {
    let directory = tempfile::tempdir().unwrap();
    let name = server.address.to_string();
    let config = config(directory.path(), &name);
    attempt(&image(directory.path()), &format!("{name}/api:v1"), &config, &environment(&[])).await
}

pub fn methods(server: &Server, wanted: &str) -> Vec<String> {
    server
        .requests()
        .iter()
        .filter(|request| request.method == wanted)
        .map(|request| request.path.clone())
        .collect()
}

/// An index of two images that share a layer.
pub fn index_of_two(directory: &Path) -> Image {
    let put = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        let blobs = directory.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        serde_json::json!({ "digest": digest.as_str(), "size": bytes.len() })
    };
    let layer = put(&vec![7; 600_000]);
    let mut images = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let config = put(format!(r#"{{"architecture":"{architecture}"}}"#).as_bytes());
        let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": layout::OCI_MANIFEST, "config": config, "layers": [layer] });
        let mut descriptor = put(manifest.to_string().as_bytes());
        descriptor["mediaType"] = layout::OCI_MANIFEST.into();
        images.push(descriptor);
    }
    let index =
        serde_json::json!({ "schemaVersion": 2, "mediaType": layout::OCI_INDEX, "manifests": images });
    let mut root = put(index.to_string().as_bytes());
    root["mediaType"] = layout::OCI_INDEX.into();
    std::fs::write(directory.join("index.json"), serde_json::json!({ "manifests": [root] }).to_string())
        .unwrap();
    layout::read(&Files::Directory(directory.to_owned()), &Choice::default()).unwrap()
}
