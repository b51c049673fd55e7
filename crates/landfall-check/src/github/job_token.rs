//! What decides a job's ID token, found out before anything runs: its environment, the audience and role
//! that its login asks for, one answer for each leg of a matrix. What only a run can tell is unknown, and
//! says why.

use landfall_types::{Finding, Span};

use super::context;
use super::expr::{Contexts, Object, Value};
use super::matrix;
use super::model::{Pairs, Step, StepBody, StepsJob};
use super::plan::{Plan, PlannedBody, PlannedCall, PlannedJob, RunFacts};
use super::template::Template;

/// What decides the token of one leg of a job.
#[derive(Clone, Debug)]
pub struct JobToken<'p> {
    /// The job.
    pub job: &'p PlannedJob,
    /// The legs' values, `prod, eu`; none for a job without a matrix.
    pub leg: Option<String>,
    /// The job's environment.
    pub environment: Known,
    /// The audience that its login asks for; none for the login's default.
    pub audience: Known,
    /// The role that its login asks for.
    pub role: Known,
    /// Where it logs in to AWS.
    pub login: Option<Span>,
    /// Why this job isn't started.
    pub not_started: Option<Finding>,
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
/// where only one has it. `vars` are GitHub's configuration variables.
///
/// # Errors
/// When there is no such job, or several.
pub fn job_tokens<'p>(
    plan: &'p Plan,
    run: &RunFacts,
    path: &str,
    vars: &[(String, String)],
) -> Result<Vec<JobToken<'p>>, Finding> {
    let leaf = leaf(plan, path)?;
    let vars: Object = vars.iter().map(|(name, value)| (name.clone(), Value::Text(value.clone()))).collect();
    let finder = Finder { run, vars: vars.into(), target: &leaf.path };
    let mut tokens = Vec::new();
    let inputs = Inputs { values: Value::from(plan.inputs.clone()), unknown: Vec::new() };
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
}

struct Finder<'f> {
    run: &'f RunFacts,
    vars: Value,
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
        let contexts = self.contexts(job, &inputs.values);
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
            let contexts = self.contexts(job, &inputs.values);
            let is_known = unknown.is_none();
            let contexts = contexts.with("matrix", leg.map_or(Value::Null, Value::from));
            let unknown_matrix = unknown.as_ref().filter(|_| !is_known);
            let reader = Reader { contexts, unknown_matrix, unknown_inputs: &inputs.unknown };
            match &job.body {
                PlannedBody::Call(call) => self.descend(&call.jobs, &reader.inputs(call), &labels, tokens),
                PlannedBody::Steps(steps) => tokens.push(reader.token(job, steps, &labels)),
            }
        }
    }

    fn contexts(&self, job: &PlannedJob, inputs: &Value) -> Contexts<'static> {
        let contexts = Contexts::new()
            .with("github", context::github(self.run, job).into())
            .with("inputs", inputs.clone())
            .with("vars", self.vars.clone());
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
    contexts: Contexts<'static>,
    /// Why the legs of the matrix are not known.
    unknown_matrix: Option<&'r (String, Span)>,
    unknown_inputs: &'r [(String, String)],
}

impl Reader<'_> {
    fn token<'p>(&self, job: &'p PlannedJob, steps: &StepsJob, labels: &[String]) -> JobToken<'p> {
        let login = steps.steps.iter().find_map(login);
        let input = |name: &str| {
            let found = login
                .into_iter()
                .flat_map(|(_, with)| with)
                .find(|(known, _)| known.value.eq_ignore_ascii_case(name));
            found.map_or(Known::No, |(_, template)| self.known(template))
        };
        JobToken {
            job,
            leg: (!labels.is_empty()).then(|| labels.join(", ")),
            environment: steps.environment.as_ref().map_or(Known::No, |it| self.known(&it.name)),
            audience: input("audience"),
            role: input("role-to-assume"),
            login: login.map(|(span, _)| span),
            not_started: self.not_started(job),
        }
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
        Inputs { values: Value::from(values.unwrap_or_else(|_| Object::new())), unknown }
    }

    /// Why only a run can tell what a template gives.
    fn unknown(&self, template: &Template) -> Option<String> {
        for (context, who) in [("needs", "an earlier job"), ("secrets", "a secret"), ("steps", "a step")] {
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

/// A step that logs in to AWS, with its inputs.
fn login(step: &Step) -> Option<(Span, &Pairs)> {
    let StepBody::Uses { uses, with } = &step.body else { return None };
    let name = uses.value.split('@').next().unwrap_or("");
    name.eq_ignore_ascii_case("aws-actions/configure-aws-credentials").then_some((uses.span, with))
}
