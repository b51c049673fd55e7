//! What a `sub` says, in words, and how two of them differ. The wanted side is a pattern of a policy
//! and may hold wildcards in every part.
//! <https://docs.github.com/en/actions/reference/security/oidc>,
//! <https://docs.gitlab.com/ci/secrets/id_token_authentication/>

use crate::pattern;
use crate::set::{LONE, is_template_key};

/// How a wanted subject differs from a token's, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The finding's rule.
    pub rule: &'static str,
    /// One sentence: what the trust admits and what the token is.
    pub words: String,
    /// The value that admits the token.
    pub value: String,
    /// Whether the policy's value can only be a slip, so that the right one takes its place; else it
    /// says what it says, and the right one comes beside it.
    pub is_slip: bool,
    /// More that is worth knowing.
    pub hints: Vec<String>,
}

/// Compares a policy's value with a token's subject; none when one of them has no form that is known.
pub fn difference(wanted: &str, got: &str) -> Option<Difference> {
    if let Some(token) = GitHub::parse(got) {
        return if goes_on(token.context) { Some(custom(wanted, got)) } else { github(wanted, &token) };
    }
    if let Some(token) = GitLab::parse(got) {
        return gitlab(&GitLab::parse(wanted)?, &token);
    }
    is_custom(got).then(|| custom(wanted, got))
}

/// The repository part of a subject: how near two subjects are is first a question of this.
pub fn repository(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("repo:").or_else(|| subject.strip_prefix("project_path:"))?;
    Some(rest.split(':').next().unwrap_or(rest))
}

/// `repo:OWNER[@ID]/NAME[@ID]:CONTEXT`.
#[derive(Clone, Copy, Debug)]
struct GitHub<'a> {
    owner: Name<'a>,
    name: Name<'a>,
    context: &'a str,
}

/// A name, with its id in immutable subjects.
#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    text: &'a str,
    id: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Self {
        text.split_once('@').map_or(Self { text, id: None }, |(text, id)| Self { text, id: Some(id) })
    }

    fn admits(self, other: Name<'_>) -> bool {
        pattern::glob(self.text, other.text)
    }
}

impl<'a> GitHub<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("repo:")?;
        let (repository, context) = rest.split_once(':').unwrap_or((rest, ""));
        let (owner, name) = repository.split_once('/')?;
        Some(Self { owner: Name::parse(owner), name: Name::parse(name), context })
    }

    fn has_ids(&self) -> bool {
        self.owner.id.is_some() || self.name.id.is_some()
    }

    fn plain_repository(&self) -> String {
        format!("{}/{}", self.owner.text, self.name.text)
    }

    fn repository(&self) -> String {
        let part = |name: Name<'_>| match name.id {
            Some(id) => format!("{}@{id}", name.text),
            None => name.text.to_owned(),
        };
        format!("{}/{}", part(self.owner), part(self.name))
    }
}

fn github(wanted: &str, token: &GitHub<'_>) -> Option<Difference> {
    let exact = format!("repo:{}:{}", token.repository(), token.context);
    let Some(admitted) = GitHub::parse(wanted) else {
        return Some(match is_custom(wanted) {
            true => default_instead(wanted, exact),
            false => no_repository(wanted, token, exact),
        });
    };
    if claims_behind(admitted.context) && !claims_behind(token.context) {
        return Some(default_instead(wanted, exact));
    }
    if !(admitted.owner.admits(token.owner) && admitted.name.admits(token.name)) {
        return Some(other_repository(&admitted, token, exact));
    }
    if admitted.has_ids() != token.has_ids() && !swallows_ids(&admitted, token) {
        return Some(other_form(&admitted, token));
    }
    if !ids_agree(&admitted, token) {
        return Some(other_ids(&admitted, token, exact));
    }
    if !pattern::glob(admitted.context, token.context) {
        return Some(other_context(&admitted, token, exact));
    }
    None
}

/// `repo:acme/*` admits `repo:acme@1/api@2` only where the wildcard reaches over the ids.
fn swallows_ids(admitted: &GitHub<'_>, token: &GitHub<'_>) -> bool {
    pattern::glob(&admitted.repository(), &token.repository())
}

fn ids_agree(admitted: &GitHub<'_>, token: &GitHub<'_>) -> bool {
    let agrees = |wanted: Name<'_>, got: Name<'_>| match (wanted.id, got.id) {
        (Some(wanted), Some(got)) => pattern::glob(wanted, got),
        (None, _) | (_, None) => true,
    };
    agrees(admitted.owner, token.owner) && agrees(admitted.name, token.name)
}

fn no_repository(wanted: &str, token: &GitHub<'_>, exact: String) -> Difference {
    let words = match wanted.contains('/') && !wanted.contains(':') {
        true => {
            format!("`{wanted}` names a repository, but a subject begins with `repo:` and ends in a context")
        }
        false => format!("GitHub's default subject begins with `repo:OWNER/NAME:`, `{wanted}` does not"),
    };
    let hints =
        vec![format!("this token is from {} of `{}`", context(token.context), token.plain_repository())];
    Difference { rule: SUBJECT, words, value: exact, is_slip: true, hints }
}

fn other_repository(admitted: &GitHub<'_>, token: &GitHub<'_>, exact: String) -> Difference {
    let (wanted, got) = (admitted.plain_repository(), token.plain_repository());
    let same_but_for_case = pattern::glob_ignore_case(&wanted, &got);
    let words = if same_but_for_case {
        format!("the trust admits repository `{wanted}`, GitHub writes it `{got}`: case counts")
    } else {
        format!("the trust admits repository `{wanted}`; this token is from `{got}`")
    };
    Difference { rule: SUBJECT, words, value: exact, is_slip: same_but_for_case, hints: Vec::new() }
}

/// Since 2026-07-15 subjects of new, renamed and transferred repositories carry the ids of owner and
/// repository. <https://github.blog/changelog/2026-04-23-immutable-subject-claims-for-github-actions-oidc-tokens>
fn other_form(admitted: &GitHub<'_>, token: &GitHub<'_>) -> Difference {
    let context = match pattern::glob(admitted.context, token.context) {
        true => admitted.context,
        false => token.context,
    };
    let value = format!("repo:{}:{context}", token.repository());
    let (words, hint) = if token.has_ids() {
        (
            format!(
                "the trust admits `repo:{}:…` by name; this token has an immutable subject, with ids",
                admitted.repository()
            ),
            "repositories created, renamed or transferred after 2026-07-15 put the ids of owner and repository into `sub`",
        )
    } else {
        (
            format!(
                "the trust admits the immutable subject `repo:{}:…`; this token's subject has no ids",
                admitted.repository()
            ),
            "repositories older than 2026-07-15 use the names alone until immutable subjects are turned on in their OIDC settings",
        )
    };
    let both = format!(
        "the two forms: `repo:{}:{context}` without ids, `repo:{}:{context}` with them",
        token.plain_repository(),
        with_ids(admitted, token)
    );
    Difference { rule: "immutable-subject", words, value, is_slip: true, hints: vec![hint.to_owned(), both] }
}

fn with_ids(admitted: &GitHub<'_>, token: &GitHub<'_>) -> String {
    let from = if token.has_ids() { token } else { admitted };
    let part = |name: Name<'_>, id: Option<&str>| format!("{}@{}", name.text, id.unwrap_or("ID"));
    format!("{}/{}", part(token.owner, from.owner.id), part(token.name, from.name.id))
}

fn other_ids(admitted: &GitHub<'_>, token: &GitHub<'_>, exact: String) -> Difference {
    let words = format!(
        "the trust admits `{}`; this token is from `{}`: the name was taken over by another owner or repository",
        admitted.repository(),
        token.repository()
    );
    Difference { rule: "immutable-subject", words, value: exact, is_slip: false, hints: Vec::new() }
}

fn other_context(admitted: &GitHub<'_>, token: &GitHub<'_>, exact: String) -> Difference {
    let slip = half_written_ref(admitted.context)
        .map(|whole| format!("a ref is written whole: `{whole}`, not `{}`", admitted.context))
        .or_else(|| unescaped_colon(admitted.context, token.context));
    let is_slip = slip.is_some();
    let words = slip.unwrap_or_else(|| {
        format!(
            "the trust admits {}; this token is from {}",
            context(admitted.context),
            context(token.context)
        )
    });
    let hints = if is_slip {
        Vec::new()
    } else {
        context_hint(admitted.context, token.context).into_iter().collect()
    };
    Difference { rule: SUBJECT, words, value: exact, is_slip, hints }
}

fn context_hint(admitted: &str, token: &str) -> Option<String> {
    let wanted = admitted.strip_prefix("environment:");
    if token.starts_with("environment:") {
        let hint = "a job with an environment has the environment in its subject instead of the branch";
        return admitted.starts_with("ref:").then(|| hint.to_owned());
    }
    match wanted {
        Some(name) if name.contains(['*', '?']) => {
            Some("give the job an environment, and its subject names that".to_owned())
        }
        Some(name) => {
            Some(format!("or set `environment: {name}` on the job: its subject then names the environment"))
        }
        None if token == "pull_request" => Some(
            "whoever can open a pull request from a branch of this repository gets this subject".to_owned(),
        ),
        None => None,
    }
}

/// GitHub escapes colons within values.
fn unescaped_colon(admitted: &str, token: &str) -> Option<String> {
    let name = admitted.strip_prefix("environment:")?;
    let escaped = format!("environment:{}", name.replace(':', "%3A"));
    let is_same = name.contains(':') && pattern::glob(&escaped, token);
    is_same.then(|| format!("a colon within an environment's name is written `%3A`: `{escaped}`"))
}

/// `ref:main` and `ref:heads/main` are never in a token.
fn half_written_ref(context: &str) -> Option<String> {
    let name = context.strip_prefix("ref:")?;
    if name.starts_with("refs/") || name.starts_with(['*', '?']) || name.is_empty() {
        return None;
    }
    let name = name.strip_prefix("heads/").unwrap_or(name);
    Some(match name.strip_prefix("tags/") {
        Some(tag) => format!("ref:refs/tags/{tag}"),
        None => format!("ref:refs/heads/{name}"),
    })
}

/// A subject's context in words.
fn context(context: &str) -> String {
    if context == "pull_request" {
        return "a pull request".to_owned();
    }
    if let Some(name) = context.strip_prefix("environment:") {
        return format!("environment `{}`", name.replace("%3A", ":"));
    }
    let Some(name) = context.strip_prefix("ref:") else {
        return match context {
            "" => "no context at all".to_owned(),
            "*" => "every context".to_owned(),
            other => format!("`{other}`"),
        };
    };
    match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(queue), _) if queue.starts_with("gh-readonly-queue/") => {
            format!("the merge queue's branch `{queue}`")
        }
        (Some(branch), _) => format!("branch `{branch}`"),
        (None, Some(tag)) => format!("tag `{tag}`"),
        (None, None) => format!("ref `{name}`"),
    }
}

/// A subject made by an `include_claim_keys` template: `KEY:VALUE` of claims.
fn is_custom(got: &str) -> bool {
    let key = got.split(':').next().unwrap_or(got);
    (got.len() > key.len() && key != "repo" && is_template_key(key)) || key == LONE
}

/// Whether claims stand behind a context: colons within a context's own values are escaped.
fn goes_on(context: &str) -> bool {
    let own = match context.split(':').next() {
        Some("ref" | "environment") => 1,
        _ => 0,
    };
    context.matches(':').count() > own
}

/// Whether what stands behind a context is a claim, and not a colon that somebody forgot to escape.
fn claims_behind(context: &str) -> bool {
    let own = match context.split(':').next() {
        Some("ref" | "environment") => 2,
        _ => 1,
    };
    context.split(':').nth(own).is_some_and(is_template_key)
}

/// What is said where a policy has a customised subject, and the token GitHub's default.
pub const DEFAULT_SUBJECT: &str = "the subject's template is set by `include_claim_keys` in the OIDC settings of repository or organization, and this token was made without one";

/// The policy has a customised subject, and the token GitHub's default.
fn default_instead(wanted: &str, exact: String) -> Difference {
    Difference {
        rule: SUBJECT,
        words: format!(
            "the trust admits the customised subject `{wanted}`; this token has GitHub's default one"
        ),
        value: exact,
        is_slip: false,
        hints: vec![DEFAULT_SUBJECT.to_owned()],
    }
}

fn custom(wanted: &str, got: &str) -> Difference {
    let key = got.split(':').next().unwrap_or(got);
    let how = match key {
        "repo" => "with claims behind the context".to_owned(),
        key => format!("that begins with `{key}:`"),
    };
    Difference {
        rule: SUBJECT,
        words: format!("this repository's tokens have a customised subject {how}; the trust admits `{wanted}`"),
        value: got.to_owned(),
        is_slip: false,
        hints: vec!["the subject's template is set by `include_claim_keys` in the OIDC settings of repository or organization".to_owned()],
    }
}

/// `project_path:GROUP/PROJECT:ref_type:TYPE:ref:NAME`.
#[derive(Clone, Copy, Debug)]
struct GitLab<'a> {
    path: &'a str,
    rest: &'a str,
}

impl<'a> GitLab<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("project_path:")?;
        let (path, rest) = rest.split_once(':').unwrap_or((rest, ""));
        Some(Self { path, rest })
    }

    fn context(&self) -> String {
        let (kind, name) = match self.rest.strip_prefix("ref_type:").and_then(|rest| rest.split_once(":ref:"))
        {
            Some((kind, name)) => (kind, name),
            None if self.rest.is_empty() => return "no ref at all".to_owned(),
            None if self.rest == "*" => return "every ref".to_owned(),
            None => return format!("`{}`", self.rest),
        };
        format!("{kind} `{name}`")
    }
}

fn gitlab(admitted: &GitLab<'_>, token: &GitLab<'_>) -> Option<Difference> {
    let words = if !pattern::glob(admitted.path, token.path) {
        format!("the trust admits project `{}`; this token is from `{}`", admitted.path, token.path)
    } else if !pattern::glob(admitted.rest, token.rest) {
        format!("the trust admits {}; this token is from {}", admitted.context(), token.context())
    } else {
        return None;
    };
    let value = format!("project_path:{}:{}", token.path, token.rest);
    Some(Difference { rule: SUBJECT, words, value, is_slip: false, hints: Vec::new() })
}

const SUBJECT: &str = "subject-mismatch";
