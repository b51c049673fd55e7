//! What a command line needs: `aws ecr …`, `aws ecs …`, `docker push …`.
//!
//! Commands of the AWS CLI are API operations in other letters, but for its own (`get-login-password`)
//! and its waiters. Container engines speak to the registry named by the image. Words are taken as the
//! program would get them: quotes and variables are the shell's business.
//! <https://docs.aws.amazon.com/cli/latest/reference/>

use super::{Need, RegistryCall, ResourceKind, When, further_needs, need, operations, registry_need};

/// What a command line needs, in the order of its calls, each need once. Empty for commands that need
/// nothing and for those that are not known: [`knows_command`] tells them apart.
///
/// Roles that are passed on and tags that are set stand in the input of a call, which may be a file:
/// they are [`further_needs`] of each action and not in the answer.
pub fn cli_need(words: &[&str]) -> Vec<Need> {
    command(words).unwrap_or_default()
}

/// Whether it is known what a command line needs.
pub fn knows_command(words: &[&str]) -> bool {
    command(words).is_some()
}

/// The values of the options by which a command line names its resources of a kind, as they were
/// written: names or ARNs. For container engines the names of the ECR repositories.
pub fn cli_names<'a>(words: &[&'a str], kind: ResourceKind) -> Vec<&'a str> {
    match words.split_first() {
        Some((program, words)) if is_engine(program) => {
            if kind != ResourceKind::Repository {
                return Vec::new();
            }
            let transfers = engine(words).unwrap_or_default();
            transfers.into_iter().filter_map(|transfer| repository_of(transfer.image)).collect()
        }
        Some((program, words)) if is_aws(program) => {
            options_of(kind).iter().flat_map(|option| values(words, option)).collect()
        }
        _ => Vec::new(),
    }
}

/// Where an image lives, as far as its name tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageHost<'a> {
    /// A private registry of ECR.
    Ecr {
        /// Twelve digits.
        account: &'a str,
        /// `eu-west-1`.
        region: &'a str,
    },
    /// ECR Public.
    EcrPublic,
    /// Any other registry.
    Elsewhere,
    /// The host is, or begins with, something that a shell or an expression fills in.
    Unresolved,
}

/// Where `HOST/REPOSITORY[:TAG][@DIGEST]` lives; `docker://` before it is passed over.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>
pub fn image_host(image: &str) -> ImageHost<'_> {
    let image = image.strip_prefix("docker://").unwrap_or(image);
    let host = image.split('/').next().unwrap_or(image);
    if host.contains(['$', '{', '`']) {
        return ImageHost::Unresolved;
    }
    if PUBLIC_HOSTS.contains(&host) {
        return ImageHost::EcrPublic;
    }
    private_host(host).unwrap_or(ImageHost::Elsewhere)
}

/// `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com` and its dual-stack form `ACCOUNT.dkr-ecr.REGION.on.aws`.
fn private_host(host: &str) -> Option<ImageHost<'_>> {
    let (account, rest) = host.split_once('.')?;
    let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
    let rest = rest.strip_prefix("-fips").unwrap_or(rest).strip_prefix('.')?;
    let (region, domain) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_aws = domain.starts_with("amazonaws.") || domain.starts_with("on.");
    (is_account && is_aws && !region.is_empty()).then_some(ImageHost::Ecr { account, region })
}

const PUBLIC_HOSTS: &[&str] = &["public.ecr.aws", "ecr-public.aws.com"];

fn command(words: &[&str]) -> Option<Vec<Need>> {
    let (program, words) = words.split_first()?;
    let mut needs = if is_aws(program) {
        aws(words)?
    } else if is_engine(program) {
        engine(words)?.iter().flat_map(Transfer::needs).collect()
    } else {
        return None;
    };
    let always = |need: &Need| further_needs(need.action).filter(|further| further.when == When::Always);
    let further: Vec<Need> = needs.iter().flat_map(always).map(|further| further.need).collect();
    needs.extend(further);
    let mut once: Vec<Need> = Vec::with_capacity(needs.len());
    for need in needs {
        if !once.contains(&need) {
            once.push(need);
        }
    }
    Some(once)
}

/// The name without the folder that it lies in.
fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn is_aws(program: &str) -> bool {
    base(program) == "aws"
}

fn is_engine(program: &str) -> bool {
    matches!(base(program), "docker" | "podman" | "nerdctl" | "finch" | "buildah")
}

/// Options of the AWS CLI that stand alone; all others take the next word.
/// <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-options.html>
const AWS_FLAGS: &[&str] = &[
    "--debug",
    "--no-verify-ssl",
    "--no-paginate",
    "--no-sign-request",
    "--no-cli-pager",
    "--cli-auto-prompt",
    "--no-cli-auto-prompt",
    "--version",
];

fn aws(words: &[&str]) -> Option<Vec<Need>> {
    if words.iter().any(|word| *word == "--no-sign-request" || word.starts_with("--generate-cli-skeleton")) {
        return Some(Vec::new());
    }
    let mut names = positional(words, |option| !AWS_FLAGS.contains(&option));
    let (service, command) = (names.next()?, names.next()?);
    if service == "help" || command == "help" {
        return Some(Vec::new());
    }
    let of = |service| move |name| need(service, name).into_iter().collect();
    let given = |option: &str| !values(words, option).is_empty();
    let calls: &[(&str, &str)] = match (service, command) {
        (_, "wait") => {
            let waiter = names.next()?;
            WAITERS
                .iter()
                .find(|(of, name, _)| (*of, *name) == (service, waiter))
                .map(|(_, _, calls)| *calls)?
        }
        ("eks", "get-token") if given("--role-arn") => ASSUME,
        ("eks", "update-kubeconfig") if given("--assume-role-arn") => ASSUME,
        // The one service that the CLI has under another name.
        ("deploy", _) => return operation("codedeploy", command).map(of("codedeploy")),
        _ => match CUSTOM.iter().find(|(of, name, _)| (*of, *name) == (service, command)) {
            Some((_, _, calls)) => calls,
            None => return operation(service, command).map(of(service)),
        },
    };
    Some(calls.iter().filter_map(|(service, name)| need(service, name)).collect())
}

/// The operation behind a command: `create-open-id-connect-provider` is `CreateOpenIDConnectProvider`.
fn operation(service: &str, command: &str) -> Option<&'static str> {
    let letters = || command.bytes().filter(|byte| *byte != b'-');
    let is_it = |name: &str| name.bytes().map(|byte| byte.to_ascii_lowercase()).eq(letters());
    operations().iter().find(|known| known.service == service && is_it(known.name)).map(|known| known.name)
}

/// Calls of a command: service and operation.
type Calls = &'static [(&'static str, &'static str)];

const ASSUME: Calls = &[("sts", "AssumeRole")];

/// Commands that are no operations.
const CUSTOM: &[(&str, &str, Calls)] = &[
    ("ecr", "get-login", &[("ecr", "GetAuthorizationToken")]),
    ("ecr", "get-login-password", &[("ecr", "GetAuthorizationToken")]),
    ("ecr-public", "get-login-password", &[("ecr-public", "GetAuthorizationToken")]),
    // <https://docs.aws.amazon.com/cli/latest/reference/ecs/deploy/>; CodeDeploy registers the revision
    // and reads the configuration under the caller's name.
    (
        "ecs",
        "deploy",
        &[
            ("ecs", "DescribeServices"),
            ("codedeploy", "GetApplication"),
            ("codedeploy", "GetDeploymentGroup"),
            ("ecs", "RegisterTaskDefinition"),
            ("codedeploy", "CreateDeployment"),
            ("codedeploy", "RegisterApplicationRevision"),
            ("codedeploy", "GetDeploymentConfig"),
            ("codedeploy", "GetDeployment"),
        ],
    ),
    ("ecs", "execute-command", &[("ecs", "DescribeTasks"), ("ecs", "ExecuteCommand")]),
    // A signed request that someone else sends: the signer needs nothing.
    ("eks", "get-token", &[]),
    ("eks", "update-kubeconfig", &[("eks", "DescribeCluster")]),
    ("logs", "tail", &[("logs", "FilterLogEvents")]),
];

/// `aws SERVICE wait NAME` and the operation that it repeats.
const WAITERS: &[(&str, &str, Calls)] = &[
    ("deploy", "deployment-successful", &[("codedeploy", "GetDeployment")]),
    ("ecr", "image-scan-complete", &[("ecr", "DescribeImageScanFindings")]),
    ("ecr", "lifecycle-policy-preview-complete", &[("ecr", "GetLifecyclePolicyPreview")]),
    ("ecs", "daemon-active", &[("ecs", "DescribeDaemon")]),
    ("ecs", "daemon-deployment-stopped", &[("ecs", "DescribeDaemonDeployments")]),
    ("ecs", "daemon-deployment-successful", &[("ecs", "DescribeDaemonDeployments")]),
    ("ecs", "daemon-task-definition-active", &[("ecs", "DescribeDaemonTaskDefinition")]),
    ("ecs", "daemon-task-definition-deleted", &[("ecs", "DescribeDaemonTaskDefinition")]),
    ("ecs", "services-inactive", &[("ecs", "DescribeServices")]),
    ("ecs", "services-stable", &[("ecs", "DescribeServices")]),
    ("ecs", "tasks-running", &[("ecs", "DescribeTasks")]),
    ("ecs", "tasks-stopped", &[("ecs", "DescribeTasks")]),
    ("eks", "addon-active", &[("eks", "DescribeAddon")]),
    ("eks", "addon-deleted", &[("eks", "DescribeAddon")]),
    ("eks", "cluster-active", &[("eks", "DescribeCluster")]),
    ("eks", "cluster-deleted", &[("eks", "DescribeCluster")]),
    ("eks", "fargate-profile-active", &[("eks", "DescribeFargateProfile")]),
    ("eks", "fargate-profile-deleted", &[("eks", "DescribeFargateProfile")]),
    ("eks", "nodegroup-active", &[("eks", "DescribeNodegroup")]),
    ("eks", "nodegroup-deleted", &[("eks", "DescribeNodegroup")]),
    ("iam", "policy-exists", &[("iam", "GetPolicy")]),
    ("iam", "role-exists", &[("iam", "GetRole")]),
];

/// An image on its way.
struct Transfer<'a> {
    image: &'a str,
    is_push: bool,
}

impl Transfer<'_> {
    fn needs(&self) -> Vec<Need> {
        match (image_host(self.image), self.is_push) {
            (ImageHost::Ecr { .. }, true) => {
                RegistryCall::PUSH.iter().map(|call| registry_need(*call)).collect()
            }
            (ImageHost::Ecr { .. }, false) => {
                RegistryCall::PULL.iter().map(|call| registry_need(*call)).collect()
            }
            (ImageHost::EcrPublic, true) => {
                PUBLIC_PUSH.iter().filter_map(|name| need("ecr-public", name)).collect()
            }
            // Anyone may pull from ECR Public.
            (ImageHost::EcrPublic, false) | (ImageHost::Elsewhere | ImageHost::Unresolved, _) => Vec::new(),
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonECR/latest/public/docker-push-ecr-image.html>
const PUBLIC_PUSH: &[&str] = &[
    "BatchCheckLayerAvailability",
    "InitiateLayerUpload",
    "UploadLayerPart",
    "CompleteLayerUpload",
    "PutImage",
];

/// Options of container engines that take the next word, of all commands that are read here.
const ENGINE_OPTIONS: &[&str] = &[
    "--authfile",
    "--cert-dir",
    "--config",
    "--context",
    "-c",
    "--creds",
    "--digestfile",
    "--format",
    "-f",
    "--host",
    "-H",
    "--log-level",
    "-l",
    "--platform",
    "--sign-by",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
];

/// The images that a command of a container engine moves; none when the command is not known. An
/// image that is not pulled or pushed by name (the base of a build) is not among them.
fn engine<'a>(words: &[&'a str]) -> Option<Vec<Transfer<'a>>> {
    let mut names = positional(words, |option| ENGINE_OPTIONS.contains(&option));
    let mut verb = names.next()?;
    if matches!(verb, "image" | "manifest" | "buildx" | "builder") {
        verb = names.next()?;
    }
    match verb {
        // Podman and Buildah push FROM TO; Docker knows one name.
        "push" => Some(names.last().map(|image| Transfer { image, is_push: true }).into_iter().collect()),
        "pull" => Some(names.map(|image| Transfer { image, is_push: false }).collect()),
        "build" => Some(build(words)),
        // They ask for a token, not for an image.
        "login" | "logout" | "tag" | "images" | "inspect" | "ls" | "version" | "info" => Some(Vec::new()),
        _ => None,
    }
}

/// `build --push -t IMAGE`, and caches that are kept in a registry.
/// <https://docs.docker.com/reference/cli/docker/buildx/build/>
fn build<'a>(words: &[&'a str]) -> Vec<Transfer<'a>> {
    let outputs = || ["--output", "-o"].iter().flat_map(|option| values(words, option));
    let goes_out =
        |output: &str| output.split(',').any(|part| part == "type=registry" || part == "push=true");
    let is_push =
        words.iter().any(|word| matches!(*word, "--push" | "--push=true")) || outputs().any(goes_out);
    let mut transfers = Vec::new();
    for (option, is_push) in [("--cache-from", false), ("--cache-to", true)] {
        for value in values(words, option) {
            let image = value.split(',').find_map(|part| part.strip_prefix("ref="));
            transfers.extend(image.map(|image| Transfer { image, is_push }));
        }
    }
    if is_push {
        let tags = ["--tag", "-t"].iter().flat_map(|option| values(words, option));
        transfers.extend(tags.map(|image| Transfer { image, is_push: true }));
    }
    transfers
}

/// The repository of an image in ECR, without tag and digest.
fn repository_of(image: &str) -> Option<&str> {
    let is_ecr = matches!(image_host(image), ImageHost::Ecr { .. } | ImageHost::EcrPublic);
    let (_, path) = image.strip_prefix("docker://").unwrap_or(image).split_once('/')?;
    let path = path.split('@').next().unwrap_or(path);
    is_ecr.then(|| path.split(':').next().unwrap_or(path))
}

/// The words that are no options and no values of options.
fn positional<'a>(words: &[&'a str], takes_value: impl Fn(&str) -> bool) -> impl Iterator<Item = &'a str> {
    let mut words = words.iter().copied();
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            if !word.starts_with('-') {
                return Some(word);
            }
            if !word.contains('=') && takes_value(word) {
                words.next();
            }
        }
    })
}

/// The values after each occurrence of an option, up to the next one; `--option=value` has one.
fn values<'a>(words: &[&'a str], option: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut is_open = false;
    for word in words {
        if let Some((name, value)) = word.split_once('=')
            && name == option
        {
            found.push(value);
            is_open = false;
        } else if word.starts_with('-') {
            is_open = *word == option;
        } else if is_open {
            found.push(*word);
            // Only the plural options of the AWS CLI take several words.
            is_open = option.ends_with('s');
        }
    }
    found
}

fn options_of(kind: ResourceKind) -> &'static [&'static str] {
    match kind {
        ResourceKind::Repository => &["--repository-name", "--repository-names"],
        ResourceKind::Role => &["--role-arn", "--role-name", "--assume-role-arn"],
        ResourceKind::OidcProvider => &["--open-id-connect-provider-arn"],
        ResourceKind::Policy => &["--policy-arn", "--policy-name"],
        ResourceKind::Cluster => &["--cluster", "--clusters", "--cluster-name", "--name"],
        ResourceKind::Service => &["--service", "--services", "--service-name"],
        ResourceKind::ServiceDeployment => &["--service-deployment-arn", "--service-deployment-arns"],
        ResourceKind::ServiceRevision => &["--service-revision-arns"],
        ResourceKind::TaskDefinition => &["--task-definition", "--task-definitions", "--family"],
        ResourceKind::Task => &["--task", "--tasks"],
        ResourceKind::TaskSet => &["--task-set", "--task-sets"],
        ResourceKind::ContainerInstance => &["--container-instance", "--container-instances"],
        ResourceKind::CapacityProvider => &["--capacity-provider", "--capacity-providers"],
        ResourceKind::Daemon => &["--daemon-name", "--daemon-arn"],
        ResourceKind::Nodegroup => &["--nodegroup-name"],
        ResourceKind::Addon => &["--addon-name"],
        ResourceKind::AccessEntry => &["--principal-arn"],
        ResourceKind::Capability => &["--capability-name"],
        ResourceKind::FargateProfile => &["--fargate-profile-name"],
        ResourceKind::PodIdentityAssociation => &["--association-id"],
        ResourceKind::Alarm => &["--alarm-name", "--alarm-names"],
        ResourceKind::AlarmMuteRule => &["--alarm-mute-rule-name"],
        ResourceKind::Dashboard => &["--dashboard-name", "--dashboard-names"],
        ResourceKind::InsightRule => &["--rule-name", "--rule-names"],
        ResourceKind::MetricStream => &["--name", "--names"],
        ResourceKind::LogGroup => &["--log-group-name"],
        ResourceKind::LogStream => &["--log-stream-name"],
        ResourceKind::Application => &["--application-name", "--codedeploy-application"],
        ResourceKind::DeploymentGroup => &["--deployment-group-name", "--codedeploy-deployment-group"],
        ResourceKind::DeploymentConfig => &["--deployment-config-name"],
        ResourceKind::RoleTemplate => &["--template-arn"],
        ResourceKind::User => &["--user-name"],
        ResourceKind::Group => &["--group-name"],
        ResourceKind::InstanceProfile => &["--instance-profile-name"],
        ResourceKind::SamlProvider => &["--saml-provider-arn"],
        ResourceKind::ServerCertificate => &["--server-certificate-name"],
        ResourceKind::Mfa => &["--serial-number"],
        ResourceKind::DelegationRequest => &["--delegation-request-id"],
        ResourceKind::Delivery => &["--id"],
        ResourceKind::DeliverySource => &["--delivery-source-name"],
        ResourceKind::DeliveryDestination => &["--delivery-destination-name", "--delivery-destination-arn"],
        ResourceKind::Destination => &["--destination-name"],
        ResourceKind::AnomalyDetector => &["--anomaly-detector-arn"],
        ResourceKind::LookupTable => &["--lookup-table-arn", "--lookup-table-name"],
        ResourceKind::ScheduledQuery => &["--identifier"],
        ResourceKind::Instance => &["--instance-name", "--instance-names"],
        ResourceKind::ByArn => &["--resource-arn", "--arn", "--policy-source-arn"],
        ResourceKind::Any
        | ResourceKind::Dataset
        | ResourceKind::AccessReport
        | ResourceKind::Registry
        | ResourceKind::RootUser
        | ResourceKind::FederatedUser
        | ResourceKind::DaemonDeployment
        | ResourceKind::DaemonRevision
        | ResourceKind::DaemonTaskDefinition
        | ResourceKind::EksAnywhereSubscription
        | ResourceKind::IdentityProviderConfig => &[],
    }
}
