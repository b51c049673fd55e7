//! What a job's token may do, and how a caller caps what it calls.
//!
//! GitHub, "Workflow syntax", `permissions`; "Reuse workflows", supported keywords; the comparison of
//! caller and called workflow as the runner's parser does it (`PermissionsHelper`).

use landfall_types::{Finding, Node, Span, Spanned, Tree};

use super::template::unexpected;

/// How far a permission goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// `none`
    None,
    /// `read`
    Read,
    /// `write`, which includes read.
    Write,
}

impl Level {
    /// The word in a workflow.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    fn named(text: &str) -> Option<Self> {
        [Self::None, Self::Read, Self::Write].into_iter().find(|level| level.as_str() == text)
    }
}

/// One scope of the token, an index into [`SCOPES`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Scope(usize);

/// A scope's name and what may be asked of it.
#[derive(Clone, Copy, Debug)]
pub struct ScopeRow {
    /// As in a workflow.
    pub name: &'static str,
    /// Whether `read` may be written.
    pub read: bool,
    /// Whether `write` may be written.
    pub write: bool,
}

const fn any(name: &'static str) -> ScopeRow {
    ScopeRow { name, read: true, write: true }
}

const fn write_only(name: &'static str) -> ScopeRow {
    ScopeRow { name, read: false, write: true }
}

const fn read_only(name: &'static str) -> ScopeRow {
    ScopeRow { name, read: true, write: false }
}

const SCOPE_COUNT: usize = 20;

/// All scopes, in the order in which GitHub's messages list them.
pub const SCOPES: [ScopeRow; SCOPE_COUNT] = [
    any("actions"),
    any("artifact-metadata"),
    any("attestations"),
    any("checks"),
    any("contents"),
    any("deployments"),
    any("discussions"),
    any("issues"),
    any("packages"),
    any("pages"),
    any("pull-requests"),
    any("repository-projects"),
    any("statuses"),
    any("security-events"),
    write_only("id-token"),
    read_only("models"),
    any("code-quality"),
    write_only("copilot-requests"),
    any("drives"),
    read_only("vulnerability-alerts"),
];

impl Scope {
    /// `id-token`: `write` lets the job ask for ID tokens.
    pub const ID_TOKEN: Self = Self(14);
    /// `contents`
    pub const CONTENTS: Self = Self(4);
    /// `packages`
    pub const PACKAGES: Self = Self(8);

    /// The scope of a name.
    pub fn named(name: &str) -> Option<Self> {
        SCOPES.iter().position(|row| row.name == name).map(Self)
    }

    /// All scopes in GitHub's order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SCOPE_COUNT).map(Self)
    }

    fn row(self) -> ScopeRow {
        SCOPES.get(self.0).copied().unwrap_or(any(""))
    }

    /// The name as in a workflow.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

/// A level for every scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Levels([Level; SCOPE_COUNT]);

impl Levels {
    /// Nothing at all.
    pub const NONE: Self = Self([Level::None; SCOPE_COUNT]);

    /// The level of a scope.
    pub fn get(&self, scope: Scope) -> Level {
        self.0.get(scope.0).copied().unwrap_or(Level::None)
    }

    fn set(&mut self, scope: Scope, level: Level) {
        if let Some(slot) = self.0.get_mut(scope.0) {
            *slot = level;
        }
    }

    /// `read-all` and `write-all`. Scopes that have no write get read.
    fn all(level: Level) -> Self {
        let mut levels = Self::NONE;
        for scope in Scope::all() {
            let most = if scope.row().write { Level::Write } else { Level::Read };
            levels.set(scope, level.min(most));
        }
        levels
    }

    /// No scope above `most`.
    fn capped(mut self, most: Level) -> Self {
        for level in &mut self.0 {
            *level = (*level).min(most);
        }
        self
    }

    /// The scopes in which `self` goes beyond `cap`.
    pub fn beyond(&self, cap: &Levels) -> Vec<Scope> {
        Scope::all().filter(|scope| self.get(*scope) > cap.get(*scope)).collect()
    }

    /// `contents: read, id-token: write` for some scopes.
    pub fn text(&self, scopes: &[Scope]) -> String {
        let one = |scope: &Scope| format!("{}: {}", scope.name(), self.get(*scope).as_str());
        scopes.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The scopes that are not `none`.
    pub fn granted(&self) -> Vec<Scope> {
        Scope::all().filter(|scope| self.get(*scope) > Level::None).collect()
    }
}

/// A `permissions:` block as it is written.
#[derive(Clone, PartialEq, Debug)]
pub struct Permissions {
    /// The levels it sets; scopes it does not name are `none` ("Workflow syntax", `permissions`).
    pub levels: Levels,
    /// Where the value stands.
    pub span: Span,
    /// Where each named scope stands; empty for `read-all`, `write-all` and `{}`.
    pub lines: Vec<Spanned<Scope>>,
    /// `read-all` or `write-all`.
    pub shorthand: Option<&'static str>,
}

impl Permissions {
    /// Reads a `permissions:` value. What is wrong goes to `findings` in GitHub's words.
    pub fn read(tree: &Tree, findings: &mut Vec<Finding>) -> Option<Self> {
        let block = |levels, lines, shorthand| Some(Self { levels, span: tree.span, lines, shorthand });
        match &tree.node {
            Node::Text(text) if text == "read-all" => {
                block(Levels::all(Level::Read), Vec::new(), Some("read-all"))
            }
            Node::Text(text) if text == "write-all" => {
                block(Levels::all(Level::Write), Vec::new(), Some("write-all"))
            }
            Node::Map(_) => {
                let (mut levels, mut lines) = (Levels::NONE, Vec::new());
                for (key, value) in tree.entries() {
                    let Some(scope) = Scope::named(&key.text) else {
                        let names: Vec<&str> = SCOPES.iter().map(|row| row.name).collect();
                        findings.push(
                            Finding::error("workflow-permissions", unexpected(&key.text))
                                .at(key.span, "this is not a permission")
                                .help(format!("the permissions are {}", names.join(", "))),
                        );
                        continue;
                    };
                    if let Some(level) = level(scope, value, findings) {
                        levels.set(scope, level);
                        lines.push(Spanned::new(scope, key.span.to(value.span)));
                    }
                }
                block(levels, lines, None)
            }
            Node::List(_) => {
                let finding = Finding::error("workflow-permissions", "A sequence was not expected");
                findings.push(finding.at(tree.span, "here"));
                None
            }
            _ => {
                let text = unexpected(&tree.scalar().unwrap_or_default());
                findings.push(
                    Finding::error("workflow-permissions", text)
                        .at(tree.span, "here")
                        .help("write `read-all`, `write-all`, `{}` or a map of permissions"),
                );
                None
            }
        }
    }

    /// The place that sets a scope: its line, or the whole block for `read-all` and for what it leaves out.
    pub fn place(&self, scope: Scope) -> Span {
        self.lines.iter().find(|line| line.value == scope).map_or(self.span, |line| line.span)
    }
}

fn level(scope: Scope, value: &Tree, findings: &mut Vec<Finding>) -> Option<Level> {
    let text = value.scalar().unwrap_or_default();
    let row = scope.row();
    let level = Level::named(&text).filter(|level| match level {
        Level::None => true,
        Level::Read => row.read,
        Level::Write => row.write,
    });
    if level.is_none() {
        let may = match (row.read, row.write) {
            (true, true) => "`read`, `write` or `none`",
            (true, false) => "`read` or `none`",
            _ => "`write` or `none`",
        };
        let message = match value.node {
            Node::List(_) => "A sequence was not expected".to_owned(),
            Node::Map(_) => "A mapping was not expected".to_owned(),
            _ => unexpected(&text),
        };
        findings.push(
            Finding::error("workflow-permissions", message)
                .at(value.span, format!("`{}` takes {may}", row.name)),
        );
    }
    level
}

/// The repository's setting "Workflow permissions": what a token may do when no file says anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefaultPermissions {
    /// Contents and packages read; the default of organizations and repositories made since February 2023.
    Restricted,
    /// Everything written, `id-token` apart.
    Permissive,
}

impl DefaultPermissions {
    /// The token of a job for which no file says anything: never with `id-token`.
    pub fn token(self) -> Levels {
        self.cap(false)
    }

    /// The most that a called workflow may ask for when no caller says anything. `trusted`: the called
    /// workflow belongs to the same user, organization or enterprise.
    pub fn cap(self, trusted: bool) -> Levels {
        match self {
            Self::Restricted => {
                let mut levels = Levels::NONE;
                levels.set(Scope::CONTENTS, Level::Read);
                levels.set(Scope::PACKAGES, Level::Read);
                levels
            }
            Self::Permissive => {
                let mut levels = Levels::all(Level::Write);
                if !trusted {
                    levels.set(Scope::ID_TOKEN, Level::None);
                }
                levels
            }
        }
    }

    /// What the setting is called in a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restricted => "the repository's default (restricted)",
            Self::Permissive => "the repository's default (permissive)",
        }
    }
}

/// Where a job's permissions come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The job's own `permissions:`, at this place.
    Job(Span),
    /// The `permissions:` of the workflow that holds the job.
    Workflow(Span),
    /// A calling job, or a calling job's workflow.
    Caller(Span),
    /// No file says anything: the repository's setting.
    Default(DefaultPermissions),
}

impl Origin {
    /// The block that decided, when a file did.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Job(span) | Self::Workflow(span) | Self::Caller(span) => Some(*span),
            Self::Default(_) => None,
        }
    }
}

/// What one job's token may do in one run, with the reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EffectivePermissions {
    /// The levels, after every cap.
    pub levels: Levels,
    /// What the files or the setting gave before caps.
    pub origin: Origin,
    /// Whether the token was cut to read because the run is a pull request from a fork, or Dependabot's.
    pub read_only_because: Option<ReadOnly>,
}

/// Why a token was cut to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOnly {
    /// A `pull_request` from a fork.
    Fork,
    /// Dependabot started the run and no file names permissions.
    Dependabot,
}

impl EffectivePermissions {
    pub(super) fn new(levels: Levels, origin: Origin) -> Self {
        Self { levels, origin, read_only_because: None }
    }

    /// Cuts the token to read.
    pub(super) fn read_only(mut self, why: ReadOnly) -> Self {
        self.levels = self.levels.capped(Level::Read);
        self.read_only_because = Some(why);
        self
    }

    /// The level of a scope.
    pub fn level(&self, scope: Scope) -> Level {
        self.levels.get(scope)
    }

    /// Whether the job may ask for ID tokens: without it the two `ACTIONS_ID_TOKEN_REQUEST_*` variables
    /// do not exist ("OpenID Connect reference").
    pub fn may_mint(&self) -> bool {
        self.level(Scope::ID_TOKEN) == Level::Write
    }
}
