//! What a `.gitlab-ci.yml` says, with its includes, `extends`, references and defaults in place.

use landfall_types::{Span, Spanned};

use super::rules::{Policy, Rule};
use super::variables::Variable;

/// A whole configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Stages in order, `.pre` and `.post` among them.
    pub stages: Vec<String>,
    /// Variables of all jobs.
    pub variables: Vec<Variable>,
    /// `workflow:name`
    pub name: Option<Spanned<String>>,
    /// `workflow:rules`
    pub workflow: Option<Vec<Rule>>,
    /// Visible jobs, in the order in which they were written.
    pub jobs: Vec<Job>,
}

/// When a job runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// When nothing before it failed.
    OnSuccess,
    /// When something before it failed.
    OnFailure,
    /// In any case.
    Always,
    /// When someone presses its button.
    Manual,
    /// On its own, later.
    Delayed,
    /// Not at all.
    Never,
}

impl When {
    /// A `when` by its name.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "on_success" => Self::OnSuccess,
            "on_failure" => Self::OnFailure,
            "always" => Self::Always,
            "manual" => Self::Manual,
            "delayed" => Self::Delayed,
            "never" => Self::Never,
            _ => return None,
        })
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnSuccess => "on_success",
            Self::OnFailure => "on_failure",
            Self::Always => "always",
            Self::Manual => "manual",
            Self::Delayed => "delayed",
            Self::Never => "never",
        }
    }
}

/// Whether a job's failure is one of the pipeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllowFailure {
    /// It is.
    No,
    /// It isn't.
    Yes,
    /// It isn't when its script ended with one of these exit codes.
    Codes(Vec<i32>),
}

/// A job.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    /// Its name.
    pub name: Spanned<String>,
    /// Its stage, and where that was said.
    pub stage: String,
    /// Where the stage was said; the job's name where it wasn't.
    pub stage_span: Span,
    /// What it does.
    pub body: Body,
    /// `rules`
    pub rules: Option<Vec<Rule>>,
    /// `only`
    pub only: Option<Policy>,
    /// `except`
    pub except: Option<Policy>,
    /// `when`
    pub when: Option<Spanned<When>>,
    /// `allow_failure`
    pub allow_failure: Option<AllowFailure>,
    /// `needs`; none when it isn't said, which is not the same as an empty list.
    pub needs: Option<Vec<Need>>,
    /// `dependencies`
    pub dependencies: Option<Vec<Spanned<String>>>,
    /// Variables of the job.
    pub variables: Vec<Variable>,
    /// Which variables of all jobs it takes.
    pub inherits: Inherits,
    /// `id_tokens`
    pub id_tokens: Vec<IdToken>,
    /// `environment`
    pub environment: Option<Environment>,
    /// `artifacts`
    pub artifacts: Artifacts,
    /// `image`
    pub image: Option<Spanned<String>>,
    /// The service that brings a Docker engine along, `docker:dind`.
    pub docker: Option<Spanned<String>>,
    /// `parallel`
    pub parallel: Option<Parallel>,
    /// `retry`
    pub retry: Retry,
    /// `timeout`, in seconds
    pub timeout_seconds: Option<u64>,
    /// What it asks for that is known and not modelled: `services`, `secrets`, …
    pub unmodelled: Vec<Spanned<&'static str>>,
}

/// What a job does.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// It runs commands.
    Script(Script),
    /// It starts a pipeline from files of this project.
    Child(Vec<Spanned<String>>),
    /// It starts something else; why that can't be told.
    Elsewhere(Spanned<String>),
}

/// The commands of a job.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Script {
    /// `before_script`
    pub before: Vec<Spanned<String>>,
    /// `script`
    pub script: Vec<Spanned<String>>,
    /// `after_script`
    pub after: Vec<Spanned<String>>,
}

/// Which of the variables of all jobs a job takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inherits {
    /// All or none.
    All(bool),
    /// These.
    Some(Vec<String>),
}

impl Inherits {
    /// Whether it takes this one.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Some(names) => names.iter().any(|known| known == name),
        }
    }
}

/// A job that another one waits for.
#[derive(Clone, PartialEq, Debug)]
pub struct Need {
    /// Its name.
    pub job: Spanned<String>,
    /// Whether its artifacts are fetched.
    pub artifacts: bool,
    /// Whether the pipeline may be without it.
    pub optional: bool,
    /// The instances of a matrix that are meant; none: all.
    pub matrix: Option<Vec<MatrixItem>>,
    /// Why it can't be told what is meant: a job of another project or pipeline.
    pub elsewhere: Option<&'static str>,
}

/// An ID token that a job gets.
#[derive(Clone, PartialEq, Debug)]
pub struct IdToken {
    /// The variable that it is in.
    pub name: Spanned<String>,
    /// `aud`
    pub audiences: Vec<Spanned<String>>,
    /// Whether `aud` is a list: then the claim is one too.
    pub is_list: bool,
    /// Where `aud` was said.
    pub span: Span,
}

/// `environment`
#[derive(Clone, PartialEq, Debug)]
pub struct Environment {
    /// Its name, with variables.
    pub name: Spanned<String>,
    /// `url`, with variables.
    pub url: Option<Spanned<String>>,
    /// `action`
    pub action: Option<Spanned<String>>,
    /// `deployment_tier`
    pub tier: Option<Spanned<String>>,
}

/// `artifacts`
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Artifacts {
    /// Files that later jobs get.
    pub paths: Vec<Spanned<String>>,
    /// Files that they don't.
    pub exclude: Vec<Spanned<String>>,
    /// Whether they get all files that git doesn't know.
    pub untracked: bool,
    /// When.
    pub when: Option<When>,
    /// Files with variables for later jobs.
    pub dotenv: Vec<Spanned<String>>,
}

/// An item of a matrix: variables, and the values that each of them takes.
pub type MatrixItem = Vec<(String, Vec<String>)>;

/// `parallel`
#[derive(Clone, PartialEq, Debug)]
pub enum Parallel {
    /// So many times the same.
    Count(u32),
    /// Every combination of each item's values.
    Matrix(Vec<MatrixItem>),
}

/// `retry`
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Retry {
    /// How often it is tried again.
    pub max: u32,
    /// After which failures; none: after all.
    pub when: Vec<String>,
    /// After which exit codes; none: after all.
    pub exit_codes: Vec<i32>,
}
