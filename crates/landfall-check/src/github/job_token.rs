//! What decides a job's ID token, found out before anything runs: its environment, and of each login the audience,
//! role and session that it asks for, one answer for each leg of a matrix. What only a run can tell is unknown, and
//! says why.

use landfall_types::{Finding, Span};

use super::action::{Action, Runs};
use super::call::CalledSecrets;
use super::context;
use super::expr::{Contexts, Object, Value};
use super::matrix;
use super::model::{Pairs, Step, StepBody, StepsJob};
use super::plan::{Plan, PlannedBody, PlannedCall, PlannedJob, RunFacts};
use super::template::Template;

/// Levels of composite actions that are looked into.
const ACTIONS_DEPTH_MAX: usize = 9;

/// What decides the token of one leg of a job.
#[derive(Clone, Debug)]
pub struct JobToken<'p> {
    /// The job.
    pub job: &'p PlannedJob,
    /// The legs' values, `prod, eu`; none for a job without a matrix.
    pub leg: Option<String>,
    /// The job's environment.
    pub environment: Known,
    /// Its logins to AWS in the order of its steps, those in its repository's composite actions included.
    pub logins: Vec<Login>,
    /// Why this job isn't started.
    pub not_started: Option<Finding>,
}

/// A step that logs in to AWS.
#[derive(Clone, Debug)]
pub struct Login {
    /// Where it is.
    pub span: Span,
    /// The audience that it asks for; none for the action's default.
    pub audience: Known,
    /// The role that it asks for.
    pub role: Known,
    /// What it calls its session; none for the action's default.
    pub session_name: Known,
    /// The region that it calls.
    pub region: Known,
    /// How long its session is to live, in seconds; none for the action's default.
    pub duration: Known,
    /// Whose credentials take the role.
    pub with: Taker,
}

/// Whose credentials take a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taker {
    /// The job's ID token.
    Token,
    /// The session that is there already (`role-chaining`).
    Session,
    /// Keys, or a token from a file.
    Others,
}

/// What the repository and its settings have besides the workflow.
pub struct Beside<'b> {
    /// GitHub's configuration variables.
    pub vars: &'b [(String, String)],
    /// The secrets whose values are said; names compare without case.
    pub secrets: &'b [(String, String)],
    /// An action of the repository, by its folder (`./.github/actions/login`).
    pub action: &'b dyn Fn(&str) -> Option<Action>,
}

/// Something that the files say, or that only a run can tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Known {
    /// Nothing is said.
    No,
    /// This text, at this place.
    Yes(String, Span),
    /// It depends on what only a run can tell.
    Unknown {
        /// Why, as a phrase.
        because: String,
        /// What is written.
        span: Span,
    },
}

impl Known {
    /// The text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Yes(text, _) => Some(text),
            Self::No | Self::Unknown { .. } => None,
        }
    }

    /// Where it stands.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::No => None,
            Self::Yes(_, span) | Self::Unknown { span, .. } => Some(*span),
        }
    }
}

/// The tokens of a job by its path, `call-shared/deploy`; the id of a job of a called workflow alone will do
/// where only one has it.
///
/// # Errors
/// When there is no such job, or several.
pub fn job_tokens<'p>(
    plan: &'p Plan,
    run: &RunFacts,
    path: &str,
    beside: &Beside<'_>,
) -> Result<Vec<JobToken<'p>>, Finding> {
    let leaf = leaf(plan, path)?;
    let object = |values: &[(String, String)]| -> Value {
        let values = values.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone())));
        values.collect::<Object>().into()
    };
    let finder = Finder { run, vars: object(beside.vars), beside, target: &leaf.path };
    let mut tokens = Vec::new();
    let secrets = beside.secrets.iter().map(|(name, value)| (name.clone(), Ok(value.clone()))).collect();
    let inputs = Inputs { values: Value::from(plan.inputs.clone()), unknown: Vec::new(), secrets };
    finder.descend(&plan.jobs, &inputs, &[], &mut tokens);
    Ok(tokens)
}

fn leaf<'p>(plan: &'p Plan, path: &str) -> Result<&'p PlannedJob, Finding> {
    let leaves = plan.leaves();
    let called = format!("/{path}");
    let below = format!("{path}/");
    let exact: Vec<&PlannedJob> = leaves.iter().copied().filter(|job| job.path == path).collect();
    let alike = |job: &&PlannedJob| job.path.ends_with(&called) || job.path.starts_with(&below);
    let found = if exact.is_empty() { leaves.iter().copied().filter(alike).collect() } else { exact };
    let all: Vec<&str> = leaves.iter().map(|job| job.path.as_str()).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Finding::error("unknown-job", format!("there is no job `{path}` in this workflow"))
            .help(format!("its jobs are: {}", all.join(", ")))),
        several => {
            let names: Vec<&str> = several.iter().map(|job| job.path.as_str()).collect();
            Err(Finding::error("unknown-job", format!("`{path}` may be several jobs"))
                .help(format!("say which: {}", names.join(", "))))
        }
    }
}

/// The inputs of one file.
struct Inputs {
    values: Value,
    /// Names of those that only a run can tell, and why.
    unknown: Vec<(String, String)>,
    /// The secrets that the file sees, or why their values aren't known.
    secrets: Vec<(String, Result<String, String>)>,
}

struct Finder<'f> {
    run: &'f RunFacts,
    vars: Value,
    beside: &'f Beside<'f>,
    target: &'f str,
}

impl Finder<'_> {
    /// Goes down to the job through the workflows that are called; there are no more of them than a plan
    /// has levels.
    fn descend<'p>(
        &self,
        jobs: &'p [PlannedJob],
        inputs: &Inputs,
        labels: &[String],
        tokens: &mut Vec<JobToken<'p>>,
    ) {
        let leads =
            |job: &&PlannedJob| job.path == self.target || self.target.starts_with(&format!("{}/", job.path));
        let Some(job) = jobs.iter().find(leads) else { return };
        let contexts = self.contexts(job, inputs);
        let (legs, unknown) = match job.job.strategy.as_ref().and_then(|strategy| strategy.matrix.as_ref()) {
            None => (vec![None], None),
            Some(tree) => match matrix::legs(tree, &contexts) {
                Ok(legs) => (legs.into_iter().map(Some).collect(), None),
                Err(because) => (vec![None], Some((because, tree.span))),
            },
        };
        for leg in legs {
            let mut labels = labels.to_vec();
            labels.extend(leg.as_ref().map(matrix::label));
            let contexts = self.contexts(job, inputs);
            let is_known = unknown.is_none();
            let contexts = contexts.with("matrix", leg.map_or(Value::Null, Value::from));
            let unknown_matrix = unknown.as_ref().filter(|_| !is_known);
            let reader = Reader {
                contexts,
                unknown_matrix,
                unknown_inputs: inputs.unknown.clone(),
                secrets: &inputs.secrets,
                finder: self,
            };
            match &job.body {
                PlannedBody::Call(call) => self.descend(&call.jobs, &reader.inputs(call), &labels, tokens),
                PlannedBody::Steps(steps) => tokens.push(reader.token(job, steps, &labels)),
            }
        }
    }

    fn contexts(&self, job: &PlannedJob, inputs: &Inputs) -> Contexts<'static> {
        let known = |(name, value): &(String, Result<String, String>)| {
            Some((name.clone(), Value::Text(value.as_ref().ok()?.clone())))
        };
        let secrets: Object = inputs.secrets.iter().filter_map(known).collect();
        let contexts = Contexts::new()
            .with("github", context::github(self.run, job).into())
            .with("inputs", inputs.values.clone())
            .with("vars", self.vars.clone())
            .with("secrets", secrets.into());
        let mut env = Object::case_sensitive();
        let own = match &job.body {
            PlannedBody::Steps(steps) => steps.env.as_slice(),
            PlannedBody::Call(_) => &[],
        };
        for (name, template) in job.workflow.env.iter().chain(own) {
            if let Ok(text) = template.evaluate_text(&contexts) {
                env.set(name.value.as_str(), Value::Text(text));
            }
        }
        contexts.with("env", env.into())
    }
}

struct Reader<'r> {
    finder: &'r Finder<'r>,
    contexts: Contexts<'static>,
    /// Why the legs of the matrix are not known.
    unknown_matrix: Option<&'r (String, Span)>,
    unknown_inputs: Vec<(String, String)>,
    secrets: &'r [(String, Result<String, String>)],
}

impl Reader<'_> {
    fn token<'p>(&self, job: &'p PlannedJob, steps: &StepsJob, labels: &[String]) -> JobToken<'p> {
        JobToken {
            job,
            leg: (!labels.is_empty()).then(|| labels.join(", ")),
            environment: steps.environment.as_ref().map_or(Known::No, |it| self.known(&it.name)),
            logins: self.logins(&steps.steps, 0),
            not_started: self.not_started(job),
        }
    }

    fn logins(&self, steps: &[Step], depth: usize) -> Vec<Login> {
        steps.iter().flat_map(|step| self.logins_of(step, depth)).collect()
    }

    fn logins_of(&self, step: &Step, depth: usize) -> Vec<Login> {
        match &step.body {
            StepBody::Uses { uses, with } if is_login(&uses.value) => vec![self.login(uses.span, with)],
            StepBody::Uses { uses, with } if uses.value.starts_with("./") && depth < ACTIONS_DEPTH_MAX => {
                let Some(action) = (self.finder.beside.action)(&uses.value) else { return Vec::new() };
                let Runs::Composite { steps } = &action.runs else { return Vec::new() };
                self.inside(&action, with).logins(steps, depth + 1)
            }
            StepBody::Run { script } => self.script_login(script).into_iter().collect(),
            StepBody::Uses { .. } | StepBody::Unmodelled { .. } => Vec::new(),
        }
    }

    fn login(&self, span: Span, with: &Pairs) -> Login {
        let input = |name: &str| {
            let found = with.iter().find(|(known, _)| known.value.eq_ignore_ascii_case(name));
            found.map_or(Known::No, |(_, template)| self.known(template))
        };
        let is_given = |name: &str| input(name) != Known::No;
        let taker = match input("role-chaining").text() {
            Some("true" | "True" | "TRUE") => Taker::Session,
            _ if is_given("aws-access-key-id") || is_given("web-identity-token-file") => Taker::Others,
            _ => Taker::Token,
        };
        Login {
            span,
            audience: input("audience"),
            role: input("role-to-assume"),
            session_name: input("role-session-name"),
            region: input("aws-region"),
            duration: input("role-duration-seconds"),
            with: taker,
        }
    }

    /// What the steps of a composite action see: the inputs that they are given, and nothing else of the caller's.
    fn inside(&self, action: &Action, with: &Pairs) -> Reader<'_> {
        let (mut inputs, mut unknown) = (Object::new(), Vec::new());
        for input in &action.inputs {
            let given = with.iter().find(|(known, _)| known.value.eq_ignore_ascii_case(&input.name.value));
            let Some(template) = given.map(|(_, template)| template).or(input.default.as_ref()) else {
                continue;
            };
            match self.known(template) {
                Known::Yes(text, _) => inputs.set(input.name.value.as_str(), Value::Text(text)),
                Known::Unknown { because, .. } => unknown.push((input.name.value.clone(), because)),
                Known::No => {}
            }
        }
        Reader {
            finder: self.finder,
            contexts: self.contexts.clone().with("inputs", inputs.into()),
            unknown_matrix: self.unknown_matrix,
            unknown_inputs: unknown,
            secrets: self.secrets,
        }
    }

    /// A script that takes a role with the aws CLI, as far as its words tell.
    fn script_login(&self, script: &Template) -> Option<Login> {
        if !script.text.contains("assume-role-with-web-identity") {
            return None;
        }
        let span = script.span;
        let unknown = |what: &str| Known::Unknown { because: format!("the script makes {what}"), span };
        let Known::Yes(text, _) = self.known(script) else { return None };
        let is_end = |c: char| c.is_whitespace() || "\"'\\;|&)".contains(c);
        let after = |word: &str| {
            let (_, rest) = text.split_once(word)?;
            let value = rest.trim_start_matches(['=', ' ', '"', '\'']).split(is_end).next()?;
            Some(value.to_owned()).filter(|value| !value.is_empty())
        };
        let option = |word: &str, what: &str| match after(word) {
            Some(value) if value.contains('$') => unknown(what),
            Some(value) => Known::Yes(value, span),
            None => Known::No,
        };
        let role = match option("--role-arn", "the role's ARN") {
            Known::No => unknown("the role's ARN"),
            role => role,
        };
        let audience = match option("audience=", "the token's audience") {
            // GitHub's own default where nobody asks for another.
            Known::No => {
                let default = format!("https://github.com/{}", self.finder.run.owner());
                Known::Yes(default, span)
            }
            audience => audience,
        };
        Some(Login {
            span,
            audience,
            role,
            session_name: option("--role-session-name", "the session's name"),
            region: match option("--region", "the region") {
                Known::No => unknown("the region"),
                region => region,
            },
            duration: option("--duration-seconds", "the session's duration"),
            with: Taker::Token,
        })
    }

    /// The inputs of a called workflow.
    fn inputs(&self, call: &PlannedCall) -> Inputs {
        let mut unknown = Vec::new();
        for input in &call.with {
            let given = input.given.as_ref().and_then(|template| self.unknown(template));
            unknown.extend(given.map(|because| (input.declared.name.value.clone(), because)));
        }
        let values = call.inputs_from(|template| template.evaluate(&self.contexts));
        if let Err(error) = &values {
            let all = call.with.iter().map(|input| input.declared.name.value.clone());
            unknown.extend(all.map(|name| (name, error.to_string())));
        }
        let values = Value::from(values.unwrap_or_else(|_| Object::new()));
        Inputs { values, unknown, secrets: self.handed_on(call) }
    }

    /// Why only a run can tell what a template gives.
    fn unknown(&self, template: &Template) -> Option<String> {
        if template.mentions("secrets")
            && let Some(because) = self.missing_secret(template)
        {
            return Some(because);
        }
        for (context, who) in [("needs", "an earlier job"), ("steps", "a step")] {
            if template.mentions(context) {
                return Some(format!("`{}` is made by {who}", template.text));
            }
        }
        if let (true, Some((because, _))) = (template.mentions("matrix"), self.unknown_matrix) {
            return Some(format!("`{}`: {because}", template.text));
        }
        let lower = template.text.to_ascii_lowercase();
        let is_read = |name: &str| template.mentions("inputs") && lower.contains(&name.to_ascii_lowercase());
        let input = self.unknown_inputs.iter().find(|(name, _)| is_read(name))?;
        Some(format!("`{}`: {}", template.text, input.1))
    }

    /// Why the value of a secret in a template isn't known.
    fn missing_secret(&self, template: &Template) -> Option<String> {
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_' || *c == '-';
        let parts = template.text.split("secrets.").skip(1);
        let names: Vec<String> = parts.map(|rest| rest.chars().take_while(is_name).collect()).collect();
        if names.is_empty() {
            return Some(format!("`{}` is made by a secret", template.text));
        }
        names.iter().find_map(|name| {
            let known = self.secrets.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            match known {
                Some((_, Ok(_))) => None,
                Some((_, Err(because))) => Some(because.clone()),
                None => Some(format!(
                    "`{}` is a secret, and no file has its value: give it with --secret {name}=VALUE",
                    template.text
                )),
            }
        })
    }

    /// What a called workflow sees of the secrets.
    fn handed_on(&self, call: &PlannedCall) -> Vec<(String, Result<String, String>)> {
        let CalledSecrets::Named(named) = &call.secrets else { return self.secrets.to_vec() };
        let value = |template: &Template| match self.known(template) {
            Known::Yes(text, _) => Ok(text),
            Known::No => Ok(String::new()),
            Known::Unknown { because, .. } => Err(because),
        };
        named.iter().map(|(name, template)| (name.clone(), value(template))).collect()
    }

    fn known(&self, template: &Template) -> Known {
        let span = template.span;
        let unknown = |because: String| Known::Unknown { because, span };
        if let Some(because) = self.unknown(template) {
            return unknown(because);
        }
        match template.evaluate_text(&self.contexts) {
            Ok(text) if text.is_empty() && template.mentions("vars") => unknown(format!(
                "`{}` is a configuration variable: say it in landfall.toml under [vars]",
                template.text
            )),
            Ok(text) if text.is_empty() => Known::No,
            Ok(text) => Known::Yes(text, span),
            Err(error) => unknown(error.to_string()),
        }
    }

    /// A condition of the job itself that is false; one that looks at earlier jobs is taken to hold.
    fn not_started(&self, job: &PlannedJob) -> Option<Finding> {
        let condition = job.job.condition.as_ref()?;
        if condition.mentions("needs") || condition.has_status_function() {
            return None;
        }
        let is_false = condition.evaluate_condition(&self.contexts) == Ok(false);
        is_false.then(|| {
            Finding::error(
                "job-not-started",
                format!("the job `{}` is not started: its `if` is false", job.path),
            )
            .at(condition.span, "false in this run")
        })
    }
}

fn is_login(uses: &str) -> bool {
    let name = uses.split('@').next().unwrap_or("");
    name.eq_ignore_ascii_case("aws-actions/configure-aws-credentials")
}
