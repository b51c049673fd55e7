//! One image in two formats: Docker's schema 2 and OCI's differ in the names of their media types alone.
//!
//! ECR translates between them for a client that asks by tag and understands only the other one. What it
//! sends then has another digest, so nothing is translated for a client that asks by digest.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-manifest-formats.html>

use serde_json::Value;

use super::{DOCKER_MANIFEST, OCI_MANIFEST};

/// The same thing in Docker's format and in OCI's.
const SAME: &[(&str, &str)] = &[
    (DOCKER_MANIFEST, OCI_MANIFEST),
    ("application/vnd.docker.container.image.v1+json", "application/vnd.oci.image.config.v1+json"),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.oci.image.layer.v1.tar+gzip"),
    ("application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar"),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
    ),
];

/// The media types of an `Accept` header, without their parameters.
pub fn accepts(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(|item| item.split(';').next().unwrap_or(item).trim())
}

/// A manifest of type `from` for a client that accepts these types: the type and the bytes in the other
/// format. None when it has to go as it is: the client understands it, or says nothing, or understands
/// neither, or there is no translation.
pub fn translate<'a>(
    manifest: &[u8],
    from: &str,
    accepted: impl Iterator<Item = &'a str>,
) -> Option<(&'static str, Vec<u8>)> {
    let to = match from {
        OCI_MANIFEST => DOCKER_MANIFEST,
        DOCKER_MANIFEST => OCI_MANIFEST,
        _ => return None,
    };
    let mut understood = false;
    for accepted in accepted {
        match accepted {
            "*/*" | "application/*" => return None,
            same if same == from => return None,
            other => understood |= other == to,
        }
    }
    let mut value: Value = understood.then(|| serde_json::from_slice(manifest).ok()).flatten()?;
    let members = value.as_object_mut()?;
    if members.contains_key("mediaType") {
        members.insert("mediaType".to_owned(), to.into());
    }
    rename(members.get_mut("config")?, to)?;
    for layer in members.get_mut("layers")?.as_array_mut()? {
        rename(layer, to)?;
    }
    Some((to, serde_json::to_vec(&value).ok()?))
}

/// Gives a descriptor its type's name in the other format; none when there is no such name.
fn rename(descriptor: &mut Value, to: &str) -> Option<()> {
    let media_type = descriptor.get_mut("mediaType")?;
    let old = media_type.as_str()?;
    let (docker, oci) = SAME.iter().find(|(docker, oci)| *docker == old || *oci == old)?;
    *media_type = (if to == OCI_MANIFEST { *oci } else { *docker }).into();
    Some(())
}
