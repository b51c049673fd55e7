//! Scanning: what is to be scanned, and what came out.
//!
//! There is no data on vulnerabilities here and nothing is looked for. A scan that was asked for completes
//! and finds nothing, so that pipelines which wait for one go on; its description says what it is worth.

use landfall_types::{Digest, RepositoryName, Timestamp};
use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use landfall_wire::oci::is_index;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::arn_of;
use super::images::{ImageIdInput, image_id_json};
use super::{Answer, EcrCall, Found, disk, epoch, matches_wildcard, repository_name};
use crate::authz::{Permit, calls};
use crate::store::{Image, Reference, RegistryId, Repository, Scanning, ScanningRule};
use crate::world::World;

/// Seconds after which an image may be scanned again (ECR's quota).
const SCAN_AGAIN_SECONDS: i64 = 86_400;
/// What a finished scan says of itself.
const DESCRIPTION: &str =
    "Not scanned: this is a local registry without data on vulnerabilities, so it reports no findings.";

pub(super) fn status_json() -> Value {
    json!({ "status": "COMPLETE", "description": DESCRIPTION })
}

pub(super) fn summary_json(scanned_at: Timestamp) -> Value {
    json!({
        "imageScanCompletedAt": epoch(scanned_at),
        "vulnerabilitySourceUpdatedAt": epoch(scanned_at),
        "findingSeverityCounts": {},
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScanInput {
    image_id: ImageIdInput,
}

pub(super) fn start_image_scan(call: &EcrCall<'_>) -> Answer {
    let ScanInput { image_id } = call.read()?;
    let found = call.on_repository::<calls::StartImageScan>()?;
    let image = found.image(call.world, &image_id)?;
    scan(call.world, &found, &image)?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "imageId": image_id_json(Some(image.digest.as_str()), image_id.image_tag.as_deref()),
        "imageScanStatus": { "status": "PENDING" },
    }))
}

fn scan<C>(world: &World, found: &Found<C>, image: &Image) -> Result<(), AwsError> {
    if !is_scannable(image) {
        let message = format!("The image with digest '{}' is of a type that can't be scanned", image.digest);
        return Err(AwsError::bad_request("UnsupportedImageTypeException", message));
    }
    let now = world.clock.now();
    let last = found.history(world, &image.digest).scanned_at;
    if last.is_some_and(|last| last.plus_seconds(SCAN_AGAIN_SECONDS) > now) {
        let message = "The scan quota per image has been exceeded. Wait and try again.";
        return Err(AwsError::bad_request("LimitExceededException", message));
    }
    note_scan(world, (&found.registry, &found.name), &image.digest, now)
}

fn note_scan(
    world: &World,
    (registry, name): (&RegistryId, &RepositoryName),
    digest: &Digest,
    now: Timestamp,
) -> Result<(), AwsError> {
    let noted = world.store.change_image_history(registry, name, digest.as_str(), |history| {
        history.scanned_at = Some(now);
    });
    noted.map_err(disk)
}

/// A single image of a file system: lists and other artifacts have no packages.
fn is_scannable(image: &Image) -> bool {
    let is_list = is_index(&image.media_type);
    let config = image.artifact_type.as_deref();
    let is_image = matches!(
        config,
        Some("application/vnd.docker.container.image.v1+json" | "application/vnd.oci.image.config.v1+json")
    );
    !is_list && is_image
}

/// Scans an image that was pushed, if its repository or registry is set up so.
pub(super) fn on_push(world: &World, (registry, name): (&RegistryId, &RepositoryName), digest: &Digest) {
    let Some(repository) = world.store.repository(registry, name) else { return };
    let image = world.store.image(registry, name, &Reference::Digest(digest.clone()));
    let is_wanted = applied(world, &repository).0 != "MANUAL";
    if let (true, Some(true)) = (is_wanted, image.map(|image| is_scannable(&image))) {
        // The push is done whether or not this can be noted.
        let _ = note_scan(world, (registry, name), digest, world.clock.now());
    }
}

pub(super) fn describe_findings(call: &EcrCall<'_>) -> Answer {
    let ScanInput { image_id } = call.read()?;
    let found = call.on_repository::<calls::DescribeImageScanFindings>()?;
    let image = found.image(call.world, &image_id)?;
    let Some(scanned_at) = found.history(call.world, &image.digest).scanned_at else {
        return Err(AwsError::bad_request(
            "ScanNotFoundException",
            format!(
                "Image scan does not exist for the image with '{}' {}",
                image_id.sentence(),
                found.place()
            ),
        ));
    };
    let mut findings = summary_json(scanned_at);
    if let Some(members) = findings.as_object_mut() {
        members.insert("findings".to_owned(), json!([]));
    }
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "imageId": image_id_json(Some(image.digest.as_str()), image_id.image_tag.as_deref()),
        "imageScanStatus": status_json(),
        "imageScanFindings": findings,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageConfigurationInput {
    image_scanning_configuration: ImageConfiguration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImageConfiguration {
    #[serde(default)]
    scan_on_push: bool,
}

pub(super) fn put_image_configuration(call: &EcrCall<'_>) -> Answer {
    let ImageConfigurationInput { image_scanning_configuration } = call.read()?;
    let scan_on_push = image_scanning_configuration.scan_on_push;
    let found = call.on_repository::<calls::PutImageScanningConfiguration>()?;
    found.change(call.world, |repository| repository.settings.scan_on_push = scan_on_push)?;
    Ok(json!({
        "registryId": found.registry.account.as_str(),
        "repositoryName": found.name.as_str(),
        "imageScanningConfiguration": { "scanOnPush": scan_on_push },
    }))
}

fn configuration(world: &World, registry: &RegistryId) -> Scanning {
    let basic = || Scanning { scan_type: "BASIC".to_owned(), rules: Vec::new() };
    world.store.registry_settings(registry).scanning.unwrap_or_else(basic)
}

pub(super) fn get_registry_configuration(call: &EcrCall<'_>) -> Answer {
    let (_, registry) = call.on_registry::<calls::GetRegistryScanningConfiguration>()?;
    Ok(json!({
        "registryId": registry.account.as_str(),
        "scanningConfiguration": configuration(call.world, &registry),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistryConfigurationInput {
    scan_type: Option<String>,
    rules: Option<Vec<ScanningRule>>,
}

pub(super) fn put_registry_configuration(call: &EcrCall<'_>) -> Answer {
    let input: RegistryConfigurationInput = call.read()?;
    let scanning = Scanning {
        scan_type: input.scan_type.unwrap_or_else(|| "BASIC".to_owned()),
        rules: input.rules.unwrap_or_default(),
    };
    check_rules(&scanning)?;
    let (permit, registry) = call.on_registry::<calls::PutRegistryScanningConfiguration>()?;
    write_configuration(call.world, &permit, &registry, scanning.clone())?;
    Ok(json!({ "registryScanningConfiguration": scanning }))
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning.html>
fn check_rules(scanning: &Scanning) -> Result<(), AwsError> {
    let is_basic = scanning.scan_type == "BASIC";
    for (index, rule) in scanning.rules.iter().enumerate() {
        let allowed: &[&str] =
            if is_basic { &["SCAN_ON_PUSH", "MANUAL"] } else { &["SCAN_ON_PUSH", "CONTINUOUS_SCAN"] };
        if !allowed.contains(&rule.scan_frequency.as_str()) {
            let constraint = format!(
                "{} is not a scan frequency of scan type {}: expected {}",
                rule.scan_frequency,
                scanning.scan_type,
                allowed.join(" or ")
            );
            return Err(ecr_invalid_parameter("rules", &constraint));
        }
        if scanning.rules.iter().skip(index + 1).any(|other| other.scan_frequency == rule.scan_frequency) {
            let constraint = format!("there are two rules with scan frequency {}", rule.scan_frequency);
            return Err(ecr_invalid_parameter("rules", &constraint));
        }
    }
    Ok(())
}

fn write_configuration(
    world: &World,
    _permit: &Permit<calls::PutRegistryScanningConfiguration>,
    registry: &RegistryId,
    scanning: Scanning,
) -> Result<(), AwsError> {
    world
        .store
        .change_registry_settings(registry, |settings| settings.scanning = Some(scanning))
        .map_err(disk)
}

/// How often a repository is scanned, and the filters that say so. A registry with rules does not look at
/// the repositories' own settings.
fn applied(world: &World, repository: &Repository) -> (String, Vec<Value>) {
    let scanning = configuration(world, &repository.registry);
    // What is scanned all the time is scanned when it is pushed as well.
    for frequency in ["CONTINUOUS_SCAN", "SCAN_ON_PUSH", "MANUAL"] {
        for rule in scanning.rules.iter().filter(|rule| rule.scan_frequency == frequency) {
            let matching: Vec<Value> = rule
                .repository_filters
                .iter()
                .filter(|filter| matches_repository(&filter.filter, repository.name.as_str()))
                .map(|filter| json!(filter))
                .collect();
            if !matching.is_empty() {
                return (frequency.to_owned(), matching);
            }
        }
    }
    let own = repository.settings.scan_on_push && scanning.rules.is_empty();
    (if own { "SCAN_ON_PUSH" } else { "MANUAL" }.to_owned(), Vec::new())
}

/// A filter without a wildcard stands for every name that contains it.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-scanning-filters.html>
fn matches_repository(filter: &str, name: &str) -> bool {
    if filter.contains('*') { matches_wildcard(filter, name) } else { name.contains(filter) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamesInput {
    repository_names: Vec<String>,
}

pub(super) fn batch_get_repository_configuration(call: &EcrCall<'_>) -> Answer {
    let NamesInput { repository_names } = call.read()?;
    let registry = call.registry()?;
    let (mut configurations, mut failures) = (Vec::new(), Vec::new());
    for text in &repository_names {
        let name = repository_name(text)?;
        let _: Permit<calls::BatchGetRepositoryScanningConfiguration> =
            call.permit_on(&registry, &name, Vec::new())?;
        let Some(repository) = call.world.store.repository(&registry, &name) else {
            failures.push(json!({
                "repositoryName": text,
                "failureCode": "REPOSITORY_NOT_FOUND",
                "failureReason": super::no_repository_sentence(&registry, &name),
            }));
            continue;
        };
        let (frequency, filters) = applied(call.world, &repository);
        configurations.push(json!({
            "repositoryArn": arn_of(&registry, text).to_string(),
            "repositoryName": text,
            "scanOnPush": frequency != "MANUAL",
            "scanFrequency": frequency,
            "appliedScanFilters": filters,
        }));
    }
    Ok(json!({ "scanningConfigurations": configurations, "failures": failures }))
}
