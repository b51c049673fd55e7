//! A role that a question is about: from Terraform, or made of one policy document.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use landfall_check::terraform::{self, About, Doubt};
use landfall_deliver::{Failure, FailureKind};
use landfall_policy::region::SubjectTemplate;
use landfall_policy::{PolicyKind, service_principals, write_time};
use landfall_serve::World;
use landfall_serve::store::Role;
use landfall_types::{AccountId, Arn, Claims, Finding, Severity, SourceMap, Span};

use super::{serve, usage};
use crate::config::Found;
use crate::files::{self, Variables};
use crate::ui;

/// Services of a trust policy that are warned about.
const SERVICES_SHOWN: usize = 3;

/// Where a role comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct RoleSource {
    /// A folder with Terraform; may be repeated [default: from landfall.toml]
    #[arg(long, value_name = "DIR")]
    pub infra: Vec<PathBuf>,
    /// A policy document (JSON) in place of Terraform
    #[arg(long, value_name = "FILE", conflicts_with = "infra")]
    pub policy: Option<PathBuf>,
    /// An audience of the provider, with --policy; may be repeated [default: the token's, else sts.amazonaws.com]
    #[arg(long = "aud", value_name = "AUDIENCE", requires = "policy")]
    pub audiences: Vec<String>,
    #[command(flatten)]
    pub variables: Variables,
    /// The account, where the role's ARN doesn't say it [default: from landfall.toml, or 123456789012]
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub account: Option<String>,
}

impl RoleSource {
    /// Takes from `landfall.toml` what the command line doesn't say.
    ///
    /// # Errors
    /// When neither says where the policies are, or the file can't be read.
    pub fn or(mut self, found: &Found) -> Result<Self, Failure> {
        if self.account.is_none() {
            self.account.clone_from(&found.config.account);
        }
        if self.policy.is_some() {
            return Ok(self);
        }
        if self.infra.is_empty() {
            self.infra = found.config.infra.iter().map(|dir| found.path(dir)).collect();
        }
        if self.infra.is_empty() {
            return Err(usage("where are the policies? No Terraform and no document was named")
                .help("give --infra DIR or --policy FILE, or say infra = [\"DIR\"] in landfall.toml"));
        }
        if let Some(missing) = self.infra.iter().find(|dir| !dir.exists()) {
            return Err(usage(format!("{} (--infra) is not there", files::shown(missing))));
        }
        self.variables = self.variables.after(found);
        Ok(self)
    }
}

/// The subject templates that are said to be used, by the command line and `landfall.toml`.
///
/// # Errors
/// When one is not understood.
pub fn templates(said: &[String], found: &Found) -> Result<Vec<SubjectTemplate>, Failure> {
    let configured = found.config.sub_template.iter();
    let configured = configured.map(|(whose, keys)| SubjectTemplate::of(whose, keys.clone()));
    let all = said.iter().map(|text| SubjectTemplate::parse(text)).chain(configured);
    all.map(|one| one.map_err(|error| usage(format!("--sub-template: {error}")))).collect()
}

/// The claims that a repository's subjects are made of: by its own template, or else by its owner's.
///
/// # Errors
/// When a template is not understood.
pub fn subject_keys(said: &[String], found: &Found, repo: &str) -> Result<Option<Vec<String>>, Failure> {
    let templates = templates(said, found)?;
    let (owner, name) = repo.split_once('/').unwrap_or((repo, ""));
    let of_owner = || templates.iter().filter(|one| one.owner == owner);
    let own = of_owner().find(|one| one.name.as_deref() == Some(name));
    let template = own.or_else(|| of_owner().find(|one| one.name.is_none()));
    Ok(template.map(|template| template.keys.clone()))
}

fn is_of_terraform(finding: &Finding) -> bool {
    finding.rule.starts_with("terraform-")
}

fn not_applied(finding: &Finding, sources: &SourceMap) -> String {
    let place = first_place(finding, sources);
    format!("the Terraform has an error, so that nothing of it is applied ({place})")
}

fn first_place(finding: &Finding, sources: &SourceMap) -> String {
    finding.labels.first().map_or_else(String::new, |label| sources.place(label.span).to_string())
}

/// A role, and the AWS side that it stands in.
pub struct Standing {
    /// The AWS side.
    pub side: Offline,
    /// The role.
    pub role: Arc<Role>,
}

impl std::ops::Deref for Standing {
    type Target = Offline;

    fn deref(&self) -> &Offline {
        &self.side
    }
}

impl Standing {
    /// Why the trust policy isn't known whole, as phrases with a place; empty when it is.
    pub fn unknown_trust(&self, sources: &SourceMap) -> Vec<String> {
        self.unknown_trust_of(&self.role, sources)
    }

    /// Why AWS may never come to have the trust policy, as phrases with a place: Terraform that doesn't plan, or a
    /// policy that AWS refuses.
    pub fn refused_trust(&self, sources: &SourceMap) -> Vec<String> {
        self.refused_trust_of(&self.role, sources)
    }
}

/// An AWS side made from Terraform, without a port.
#[derive(Clone)]
pub struct Offline {
    /// The AWS side.
    pub world: Arc<World>,
    /// Policies of the Terraform that can't be worked out: the roles may have them, and then more is allowed
    /// or denied than is known.
    pub unknown: Vec<String>,
    /// What else of the Terraform isn't known.
    pub doubts: Vec<Doubt>,
    /// The Terraform's errors: AWS does not come to have what it says.
    pub errors: Vec<Finding>,
    /// Where it would keep images; goes away with this value.
    pub blobs: Arc<tempfile::TempDir>,
}

impl Offline {
    /// Why a role's trust policy isn't known whole, as phrases with a place; empty when it is.
    pub fn unknown_trust_of(&self, role: &Role, sources: &SourceMap) -> Vec<String> {
        let placed = |because: &str, span: Span| format!("{because} ({})", sources.place(span));
        let trust = &role.trust.policy;
        let unread = || match &trust.unknown {
            Some(because) => placed(&because.value, because.span),
            None => placed("not all statements of the trust policy could be read", trust.span),
        };
        let unread = (trust.unread_statements > 0).then(unread);
        let doubts = self.doubts_of_trust(role).map(|doubt| placed(&doubt.because, doubt.span));
        unread.into_iter().chain(doubts).collect()
    }

    /// Why AWS may never come to have a role's trust policy, as phrases with a place: Terraform that doesn't plan, or a
    /// policy that AWS refuses.
    pub fn refused_trust_of(&self, role: &Role, sources: &SourceMap) -> Vec<String> {
        let trust = &role.trust.policy;
        let is_within =
            |finding: &Finding| finding.labels.iter().any(|label| trust.span.contains(label.span));
        // Of a value that isn't known AWS may take what it is.
        let is_of_trust = |finding: &Finding| trust.unknown.is_none() && is_within(finding);
        let errors = self.errors.iter().filter_map(|finding| {
            if is_of_terraform(finding) {
                return Some(not_applied(finding, sources));
            }
            is_of_trust(finding)
                .then(|| format!("AWS refuses this trust policy ({})", first_place(finding, sources)))
        });
        errors.take(1).collect()
    }

    /// Why nothing of the Terraform may come to be at all.
    pub fn not_applied(&self, sources: &SourceMap) -> Option<String> {
        self.errors.iter().find(|finding| is_of_terraform(finding)).map(|it| not_applied(it, sources))
    }

    /// Whether a role may have another trust policy than the one at hand.
    pub fn has_other_trust(&self, role: &Role) -> bool {
        self.doubts_of_trust(role).next().is_some()
    }

    fn doubts_of_trust<'s>(&'s self, role: &'s Role) -> impl Iterator<Item = &'s Doubt> {
        let is_it = move |doubt: &&Doubt| matches!(&doubt.about, About::Trust(name) if *name == role.name);
        self.doubts.iter().filter(is_it)
    }

    /// Why not all policies of a role are known, its boundary included, as phrases with a place; empty when they
    /// are.
    pub fn unknown_permissions(&self, role: &Role, sources: &SourceMap) -> Vec<String> {
        let is_it = |doubt: &&Doubt| match &doubt.about {
            About::Permissions(name) => *name == role.name,
            About::AllPermissions => true,
            _ => false,
        };
        let doubts = self.doubts.iter().filter(is_it);
        doubts.map(|doubt| format!("{} ({})", doubt.because, sources.place(doubt.span))).collect()
    }

    /// Why it isn't known which providers the account has, where it isn't.
    pub fn unknown_providers(&self, sources: &SourceMap) -> Option<String> {
        self.doubt(&About::Providers, sources)
    }

    /// Why it isn't known which roles the account has, where it isn't.
    pub fn unknown_roles(&self, sources: &SourceMap) -> Option<String> {
        self.doubt(&About::Roles, sources)
    }

    fn doubt(&self, about: &About, sources: &SourceMap) -> Option<String> {
        let doubt = self.doubts.iter().find(|doubt| doubt.about == *about)?;
        Some(format!("{} ({})", doubt.because, sources.place(doubt.span)))
    }

    /// Whether not all audiences of a provider are known.
    pub fn may_have_other_audiences(&self, provider_arn: &str) -> bool {
        self.doubts.iter().any(|doubt| matches!(&doubt.about, About::Audiences(arn) if arn == provider_arn))
    }

    /// The role of an ARN; one of which AWS would say today that it doesn't take its trust policy is told.
    pub fn role(&self, arn: &Arn, sources: &SourceMap) -> Option<Arc<Role>> {
        let (_, name) = arn.role_path_and_name()?;
        let role = self.world.store.role(arn.account_id()?, name).filter(|role| role.arn == *arn)?;
        tell_problems(&role, sources);
        Some(role)
    }
}

/// Finds the role. What the Terraform says that can't be understood is told on standard error.
///
/// # Errors
/// Unreadable input; no such role.
pub fn find(
    sources: &SourceMap,
    said: &str,
    source: &RoleSource,
    kind: PolicyKind,
    claims: Option<&Claims>,
) -> Result<Standing, Failure> {
    let arn = Arn::parse(said).ok();
    let account = account_of(arn.as_ref(), source)?;
    let side = offline(sources, account, source)?;
    if let Some(path) = &source.policy {
        let arn = arn.clone().unwrap_or_else(|| Arn::role(account, "/", said));
        make(&side.world, sources, path, &arn, source, kind, claims)?;
    }
    let role = by_name(&side.world, account, arn.as_ref(), said).map_err(|failure| {
        let unknown = side.unknown_roles(sources);
        unknown.into_iter().fold(failure, |failure, because| failure.help(because))
    })?;
    tell_problems(&role, sources);
    // Of Terraform's roles that is told already.
    if source.policy.is_some() && kind == PolicyKind::Trust {
        let services = service_principals::warnings(&role.trust.policy);
        services.take(SERVICES_SHOWN).for_each(|finding| ui::finding_on_stderr(&finding, sources));
    }
    Ok(Standing { side, role })
}

/// The account that the Terraform is of: as it was said, or else the role's.
///
/// # Errors
/// When what was said is no account.
pub fn account_of(arn: Option<&Arn>, source: &RoleSource) -> Result<AccountId, Failure> {
    match (&source.account, arn.and_then(Arn::account_id)) {
        (Some(said), _) => serve::account(said),
        (None, Some(account)) => Ok(account),
        (None, None) => serve::account(serve::ACCOUNT_DEFAULT),
    }
}

fn tell_problems(role: &Role, sources: &SourceMap) {
    let Some(account) = role.arn.account_id() else { return };
    let of_principals = write_time::trust_problems(&role.trust.policy, account.as_str());
    for problem in of_principals.into_iter().chain(write_time::value_problems(&role.trust.policy, true)) {
        let mut finding = problem.finding();
        finding.severity = Severity::Warning;
        finding.message = format!("AWS would not take this trust policy today: {}", finding.message);
        ui::finding_on_stderr(&finding, sources);
    }
}

/// The AWS side that the Terraform describes. What can't be understood is told on standard error.
///
/// # Errors
/// Unreadable input.
pub fn offline(sources: &SourceMap, account: AccountId, source: &RoleSource) -> Result<Offline, Failure> {
    let blobs = tempfile::tempdir().map_err(|error| {
        Failure::new(FailureKind::Outside, format!("cannot make a temporary folder: {error}"))
    })?;
    let setup = serve::Setup {
        addr: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        agent_addr: None,
        public_addr: None,
        account,
        region: None,
        spare_region: None,
        infra: &source.infra,
        variables: source.variables.clone(),
        registry: landfall_serve::world::RegistryMode::default(),
        issuers: Vec::new(),
        discovery: landfall_serve::discovery::Settings::default(),
        time_lapse: 1,
        data: None,
    };
    let (world, read, seeded) = serve::offline(sources, setup, blobs.path())?;
    let unknown = || seeded.unknown.iter().filter(|finding| finding.rule == "unknown-policy");
    for finding in read.findings.iter().chain(&seeded.refused).chain(unknown()) {
        ui::finding_on_stderr(finding, sources);
    }
    // What stands in a file that isn't read could be anything, also of what seems to be known.
    if let Some(unread) = read.findings.iter().find(|finding| is_unread(finding)) {
        let place = unread.labels.first().map(|label| format!(" ({})", sources.place(label.span)));
        let place = place.unwrap_or_default();
        return Err(usage(format!(
            "not all of the Terraform can be read{place}, so nothing can be told of the role"
        )));
    }
    let unknown = unknown().map(|finding| finding.message.clone()).collect();
    let mut doubts = read.infra.doubts;
    doubts.extend(read.infra.roles.iter().flat_map(|role| refused_policies(role, &seeded.refused)));
    let mut errors: Vec<Finding> = read.findings.into_iter().chain(seeded.refused).collect();
    errors.retain(|finding| finding.severity == Severity::Error);
    Ok(Offline { world, unknown, doubts, errors, blobs: Arc::new(blobs) })
}

/// The policies of a role that were not attached to it: AWS may have what is not among these files.
fn refused_policies<'r>(
    role: &'r terraform::Role,
    refused: &'r [Finding],
) -> impl Iterator<Item = Doubt> + use<'r> {
    let is_at = |span: Span| refused.iter().any(|it| it.labels.iter().any(|label| label.span == span));
    let arns = role.attached.iter().map(|it| &it.policy_arn).chain(&role.boundary);
    arns.filter(move |arn| is_at(arn.span)).map(|arn| Doubt {
        about: About::Permissions(role.name.value.clone()),
        because: format!("the policy `{}` is not among these files", arn.value),
        span: arn.span,
    })
}

/// Whether a finding is about something that Terraform reads, and that was left out here.
fn is_unread(finding: &Finding) -> bool {
    matches!(finding.rule, "terraform-syntax" | "terraform-duplicate" | "terraform-override")
}

/// Reads a policy document from a file.
///
/// # Errors
/// When it isn't a policy of that kind.
pub fn read_policy(
    sources: &SourceMap,
    path: &Path,
    kind: PolicyKind,
) -> Result<landfall_types::Tree, Failure> {
    let source = files::read(sources, path)?;
    let text = sources.text(source);
    let (tree, problems) = landfall_policy::json::parse(source, &text);
    let (_, policy_problems) = landfall_policy::parse::policy(&tree, kind);
    // Of a text that is torn, what its halves look like says nothing more.
    let all = if problems.is_empty() { policy_problems } else { problems };
    for problem in &all {
        ui::finding_on_stderr(&problem.finding(), sources);
    }
    if all.is_empty() {
        Ok(tree)
    } else {
        Err(usage(format!("{} is not a policy of that kind", files::shown(path))))
    }
}

/// A role that has the document as its trust or its permissions, and providers for its tokens.
fn make(
    world: &Arc<World>,
    sources: &SourceMap,
    path: &Path,
    arn: &Arn,
    source: &RoleSource,
    kind: PolicyKind,
    claims: Option<&Claims>,
) -> Result<(), Failure> {
    let tree = read_policy(sources, path, kind)?;
    let text = |name: &str| claims.and_then(|claims| claims.text(name));
    let audiences = match (source.audiences.as_slice(), text("aud")) {
        ([], Some(audience)) => vec![audience.to_owned()],
        ([], None) => vec!["sts.amazonaws.com".to_owned()],
        (said, _) => said.to_vec(),
    };
    landfall_rehearse::world::make_role(world, arn, text("iss"), &audiences, kind, &tree).map_err(|finding| {
        ui::finding_on_stderr(&finding, sources);
        usage(format!("{} is not a policy that AWS would take", files::shown(path)))
    })
}

fn by_name(world: &World, account: AccountId, arn: Option<&Arn>, said: &str) -> Result<Arc<Role>, Failure> {
    let name = arn.and_then(Arn::role_path_and_name).map_or(said, |(_, name)| name);
    if let Some(arn) = arn.filter(|arn| arn.role_path_and_name().is_none()) {
        return Err(usage(format!("{arn} is not the ARN of a role")));
    }
    let account_of_role = arn.and_then(Arn::account_id).unwrap_or(account);
    let found = world.store.role(account_of_role, name).filter(|role| arn.is_none_or(|arn| role.arn == *arn));
    found.ok_or_else(|| {
        let known: Vec<String> = world.store.roles(account).iter().map(|role| role.arn.to_string()).collect();
        let help = match known.as_slice() {
            [] => "the Terraform makes no role in that account".to_owned(),
            known => format!("there is {}", known.join(", ")),
        };
        let failure = usage(format!("there is no role `{said}` in account {account_of_role}"));
        let failure = match account_of_role == account {
            true => failure,
            false => failure.help(format!("the Terraform is of account {account} (--account)")),
        };
        failure.help(help)
    })
}
