//! Which jobs a pipeline has: each job's rules held against the pipeline, jobs in parallel counted out, what each waits
//! for, and the variables and tokens that it gets.

use std::sync::Arc;

use landfall_types::{Finding, Span, Spanned};

use super::claims::{TIMEOUT_SECONDS_DEFAULT, TokenEnvironment, TokenFacts, tier_of};
use super::facts::{PipelineFacts, slug};
use super::model::{AllowFailure, Config, Job, Need, Parallel, When};
use super::read_job::WHEN_DEFAULT;
use super::refused;
use super::rules::{self, Ground, Policy, Rule};
use super::variables::{Variable, Variables};

/// Jobs that one may need, GitLab's own limit.
const NEEDS_MAX: usize = 50;
/// Jobs of a pipeline that are planned.
const JOBS_MAX: usize = 2_000;
/// GitLab's sentence for a pipeline without jobs.
const EMPTY: &str =
    "The resulting pipeline would have been empty. Review the rules configuration for the relevant jobs.";

/// A pipeline.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// `workflow:name`, with variables.
    pub name: Option<String>,
    /// Its jobs, in the order in which they may run.
    pub jobs: Vec<PlannedJob>,
    /// Jobs of the configuration that are not a part of it.
    pub left_out: Vec<LeftOut>,
}

/// A job that is not a part of a pipeline.
#[derive(Clone, PartialEq, Debug)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, in a few words.
    pub why: String,
    /// The line that decided it.
    pub span: Span,
}

/// A job of a pipeline.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedJob {
    /// Its name: of jobs in parallel `job 2/3` or `job: [a, b]`.
    pub name: String,
    /// The job as it was written.
    pub job: Arc<Job>,
    /// Where its stage is in the pipeline's order.
    pub stage_index: usize,
    /// When it runs.
    pub when: When,
    /// Whether its failure is the pipeline's.
    pub allow_failure: AllowFailure,
    /// The jobs that it waits for; none: all of earlier stages.
    pub needs: Option<Vec<PlannedNeed>>,
    /// Its variables, in the order in which later ones win.
    pub variables: Variables,
    /// The line that made it a part of the pipeline: a rule's, `only`'s; none where nothing is said.
    pub because: Option<Span>,
    /// Its environment.
    pub environment: Option<TokenEnvironment>,
    /// Its ID tokens.
    pub id_tokens: Vec<PlannedToken>,
    /// `CI_JOB_ID`
    pub id: u64,
}

/// A job that another waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedNeed {
    /// Its name.
    pub job: String,
    /// Whether its artifacts are fetched.
    pub artifacts: bool,
}

/// An ID token of a job.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedToken {
    /// The variable that it is in.
    pub name: String,
    /// Everything that it is made of.
    pub facts: TokenFacts,
    /// Where `aud` was said.
    pub span: Span,
}

/// One of several of a job in parallel.
struct Instance {
    name: String,
    number: Option<(usize, usize)>,
    variables: Vec<(String, String)>,
}

/// Makes a pipeline. `paths` are the project's files.
///
/// # Errors
/// What GitLab says where it makes none.
pub fn plan(config: &Config, facts: &PipelineFacts, paths: &[String]) -> Result<Plan, Vec<Finding>> {
    let mut planner = Planner {
        config,
        facts,
        paths,
        workflow: &[],
        findings: Vec::new(),
        next_id: facts.pipeline_id * 1000,
    };
    let root = planner.root_variables();
    if let Some(rules) = &config.workflow {
        match planner.workflow(rules, &root) {
            Ok(rule) => planner.workflow = &rule.variables,
            Err(finding) => return Err(vec![finding]),
        }
    }
    let (mut jobs, mut left_out) = (Vec::new(), Vec::new());
    for job in &config.jobs {
        match planner.admitted(job) {
            Ok(admitted) => jobs.extend(planner.instances(job, &admitted)),
            Err(out) => left_out.push(out),
        }
        if jobs.len() > JOBS_MAX {
            let message = format!("a pipeline may have {JOBS_MAX} jobs");
            return Err(vec![
                Finding::error("gitlab-limit", message).at(job.name.span, "the limit is passed here"),
            ]);
        }
    }
    planner.resolve_needs(&mut jobs);
    let name = config.name.as_ref().map(|name| planner.root_variables().replace(&name.value));
    let Planner { findings, .. } = planner;
    if !findings.is_empty() {
        return Err(findings);
    }
    let in_the_middle = |job: &PlannedJob| job.stage_index > 0 && job.stage_index + 1 < config.stages.len();
    if !jobs.iter().any(in_the_middle) {
        let finding = Finding::error("gitlab-no-pipeline", EMPTY);
        return Err(vec![
            left_out
                .iter()
                .fold(finding, |finding, out| finding.at(out.span, format!("`{}`: {}", out.name, out.why))),
        ]);
    }
    Ok(Plan { name, jobs: ordered(jobs), left_out })
}

/// Jobs by what they wait for, then by stage.
fn ordered(jobs: Vec<PlannedJob>) -> Vec<PlannedJob> {
    let mut waiting = jobs;
    waiting.sort_by_key(|job| job.stage_index);
    let mut done: Vec<PlannedJob> = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |job: &PlannedJob| match &job.needs {
            None => waiting.iter().all(|other| other.stage_index >= job.stage_index),
            Some(needs) => !waiting.iter().any(|other| needs.iter().any(|need| need.job == other.name)),
        };
        // INVARIANT: needs go in no circle, and the earliest stage waits for none.
        let next = waiting.iter().position(is_ready).unwrap_or(0);
        done.push(waiting.remove(next));
    }
    done
}

/// Why a job is a part of the pipeline.
#[derive(Clone, Copy)]
struct Admitted<'a> {
    rule: Option<&'a Rule>,
    because: Option<Span>,
}

struct Planner<'a> {
    config: &'a Config,
    facts: &'a PipelineFacts,
    paths: &'a [String],
    /// Variables of the workflow's rule.
    workflow: &'a [Variable],
    findings: Vec<Finding>,
    next_id: u64,
}

impl<'a> Planner<'a> {
    fn root_variables(&self) -> Variables {
        let mut variables = Variables::default();
        variables.extend(self.facts.predefined());
        variables.extend(self.config.variables.iter().cloned());
        variables.extend(self.workflow.iter().cloned());
        variables.extend(self.facts.said());
        variables
    }

    fn ground<'g>(&'g self, variables: &'g Variables) -> Ground<'g> {
        Ground { variables, changed: self.facts.changed.as_deref(), paths: self.paths }
    }

    fn workflow(&self, rules: &'a [Rule], variables: &Variables) -> Result<&'a Rule, Finding> {
        let refusal = |span: Span, text: &str| {
            let message = "Pipeline filtered out by workflow rules.";
            Finding::error("gitlab-no-pipeline", message).at(span, text)
        };
        match rules::first(rules, self.ground(variables)) {
            Err((rule, why)) => Err(refused(format!("Failed to parse rule for workflow: {why}"), rule.span)),
            Ok(Some(rule)) if rule.when.as_ref().is_some_and(|when| when.value == When::Never) => {
                Err(refusal(rule.span, "this rule fits, and says `never`"))
            }
            Ok(Some(rule)) => Ok(rule),
            Ok(None) => {
                let span = rules.first().zip(rules.last()).map(|(first, last)| first.span.to(last.span));
                let about = format!("none of these rules fits {}", self.about());
                Err(span.map_or_else(
                    || Finding::error("gitlab-no-pipeline", "Pipeline filtered out by workflow rules."),
                    |span| refusal(span, &about),
                ))
            }
        }
    }

    /// `a push to the branch `main``
    fn about(&self) -> String {
        let (source, name) = (&self.facts.source, &self.facts.ref_name);
        format!("{source} on the {} `{name}`", self.facts.ref_type.as_str())
    }

    /// The variables of a job, without those of its rule and of its instance.
    fn job_variables(&self, job: &Job, more: &[Variable]) -> Variables {
        let mut variables = Variables::default();
        variables.extend(self.facts.predefined());
        let own = [
            ("CI_JOB_NAME", job.name.value.clone()),
            ("CI_JOB_NAME_SLUG", slug(&job.name.value)),
            ("CI_JOB_STAGE", job.stage.clone()),
            ("CI_NODE_TOTAL", "1".to_owned()),
        ];
        variables.extend(own.map(|(name, value)| Variable::predefined(name, value)));
        let all = self.config.variables.iter().chain(self.workflow);
        variables.extend(all.filter(|variable| job.inherits.takes(&variable.name)).cloned());
        variables.extend(job.variables.iter().cloned());
        variables.extend(more.iter().cloned());
        variables.extend(self.facts.said());
        variables
    }

    fn admitted(&mut self, job: &'a Job) -> Result<Admitted<'a>, LeftOut> {
        let variables = self.job_variables(job, &[]);
        let ground =
            Ground { variables: &variables, changed: self.facts.changed.as_deref(), paths: self.paths };
        let out = |why: String, span: Span| LeftOut { name: job.name.value.clone(), why, span };
        if let Some(rules) = &job.rules {
            return match rules::first(rules, ground) {
                Err((rule, why)) => {
                    let message = format!("Failed to parse rule for {}: {why}", job.name.value);
                    self.findings.push(refused(message, rule.span));
                    Err(out(why, rule.span))
                }
                Ok(Some(rule)) if rule.when.as_ref().is_some_and(|when| when.value == When::Never) => {
                    Err(out("a rule says `never`".to_owned(), rule.span))
                }
                Ok(Some(rule)) => Ok(Admitted { rule: Some(rule), because: Some(rule.span) }),
                Ok(None) => {
                    let span = rules.first().zip(rules.last()).map(|(first, last)| first.span.to(last.span));
                    Err(out(format!("no rule fits {}", self.about()), span.unwrap_or(job.name.span)))
                }
            };
        }
        let default = Policy::only_default(job.name.span);
        let only = match (&job.only, &self.config.workflow) {
            (Some(only), _) => Some(only),
            // With workflow rules the default doesn't hold.
            (None, Some(_)) => None,
            (None, None) => Some(&default),
        };
        let admits = only.map_or(Ok(true), |only| only.admits(self.facts, ground));
        let kept_out = job.except.as_ref().map_or(Ok(false), |except| except.keeps_out(self.facts, ground));
        let said = job.only.as_ref().and_then(|only| only.span);
        match (admits, kept_out) {
            (Ok(true), Ok(false)) => Ok(Admitted { rule: None, because: said }),
            (Ok(false), _) => {
                let why = match said {
                    Some(_) => format!("`only` doesn't fit {}", self.about()),
                    None => "a job without `rules` runs for branches and tags, and not for merge requests"
                        .to_owned(),
                };
                Err(out(why, said.unwrap_or(job.name.span)))
            }
            (Ok(true), Ok(true)) => {
                let span = job.except.as_ref().and_then(|except| except.span).unwrap_or(job.name.span);
                Err(out(format!("`except` fits {}", self.about()), span))
            }
            (Err(why), _) | (_, Err(why)) => {
                self.findings.push(refused(format!("{}: {why}", job.name.value), job.name.span));
                Err(out(why, job.name.span))
            }
        }
    }

    fn instances(&mut self, job: &Job, admitted: &Admitted<'_>) -> Vec<PlannedJob> {
        let shared = Arc::new(job.clone());
        instances(job)
            .into_iter()
            .map(|instance| {
                self.next_id += 1;
                self.instance(&shared, admitted, instance, self.next_id)
            })
            .collect()
    }

    fn instance(&self, job: &Arc<Job>, admitted: &Admitted<'_>, instance: Instance, id: u64) -> PlannedJob {
        let rule = admitted.rule;
        let said = rule.and_then(|rule| rule.when.as_ref()).or(job.when.as_ref());
        let when = said.map_or(WHEN_DEFAULT, |when| when.value);
        // A job that someone has to start may be left alone, unless it is a rule that says so.
        let is_optional = when == When::Manual && rule.is_none_or(|rule| rule.when.is_none());
        let allow_failure = rule
            .and_then(|rule| rule.allow_failure.clone())
            .or_else(|| job.allow_failure.clone())
            .unwrap_or(if is_optional { AllowFailure::Yes } else { AllowFailure::No });
        let matrix = instance
            .variables
            .iter()
            .map(|(name, value)| Variable { expand: true, ..Variable::predefined(name, value) });
        let more: Vec<Variable> =
            matrix.chain(rule.into_iter().flat_map(|rule| rule.variables.iter().cloned())).collect();
        let mut variables = self.job_variables(job, &more);
        let mut set = |name: &str, value: String| variables.set(Variable::predefined(name, value));
        set("CI_JOB_ID", id.to_string());
        set("CI_JOB_NAME", instance.name.clone());
        if let Some((number, total)) = instance.number {
            set("CI_NODE_INDEX", number.to_string());
            set("CI_NODE_TOTAL", total.to_string());
        }
        let environment = environment(job, &mut variables);
        let mut planned = PlannedJob {
            name: instance.name,
            stage_index: self.config.stages.iter().position(|stage| *stage == job.stage).unwrap_or_default(),
            job: Arc::clone(job),
            when,
            allow_failure,
            needs: None,
            variables,
            because: admitted.because,
            environment,
            id_tokens: Vec::new(),
            id,
        };
        planned.id_tokens = tokens(self.facts, &planned);
        planned.needs = self.said_needs(job, rule).map(|_| Vec::new());
        planned
    }

    fn said_needs<'n>(&self, job: &'n Job, rule: Option<&'n Rule>) -> Option<&'n [Need]> {
        rule.and_then(|rule| rule.needs.as_deref()).or(job.needs.as_deref())
    }

    /// The jobs that are meant by `needs`, when all are known.
    fn resolve_needs(&mut self, jobs: &mut [PlannedJob]) {
        let names: Vec<(String, Arc<Job>, Variables)> =
            jobs.iter().map(|job| (job.name.clone(), Arc::clone(&job.job), job.variables.clone())).collect();
        for planned in jobs {
            if planned.needs.is_none() {
                continue;
            }
            let job = Arc::clone(&planned.job);
            let rule = job.rules.iter().flatten().find(|rule| Some(rule.span) == planned.because);
            let needs = self.said_needs(&job, rule).unwrap_or_default();
            if needs.len() > NEEDS_MAX {
                let (name, count) = (&planned.name, needs.len());
                let message = format!(
                    "{name}: one job can only need {NEEDS_MAX} others, but you have listed {count}. See needs keyword documentation for more details"
                );
                self.findings.push(refused(message, job.name.span));
            }
            let mut found = Vec::new();
            for need in needs.iter().filter(|need| need.elsewhere.is_none()) {
                let fits = |(name, job, variables): &&(String, Arc<Job>, Variables)| {
                    *name == need.job.value || (job.name.value == need.job.value && is_meant(need, variables))
                };
                let met: Vec<_> = names.iter().filter(fits).collect();
                if met.is_empty() && !need.optional {
                    let finding = missing_need(&planned.name, &need.job);
                    let is_known = self.findings.iter().any(|known| known.message == finding.message);
                    if !is_known {
                        self.findings.push(finding);
                    }
                }
                found.extend(
                    met.iter().map(|(name, ..)| PlannedNeed { job: name.clone(), artifacts: need.artifacts }),
                );
            }
            planned.needs = Some(found);
        }
    }
}

fn missing_need(job: &str, need: &Spanned<String>) -> Finding {
    let name = &need.value;
    let message = format!(
        "'{job}' job needs '{name}' job, but '{name}' does not exist in the pipeline. This might be because of the only, except, or rules keywords. To need a job that sometimes does not exist in the pipeline, use needs:optional."
    );
    refused(message, need.span)
}

/// Whether an instance of a matrix is one of those that are needed.
fn is_meant(need: &Need, variables: &Variables) -> bool {
    let Some(matrix) = &need.matrix else { return true };
    let fits = |(name, values): &(String, Vec<String>)| {
        variables.get(name).is_some_and(|variable| values.contains(&variable.value))
    };
    matrix.iter().any(|item| item.iter().all(fits))
}

fn instances(job: &Job) -> Vec<Instance> {
    let name = &job.name.value;
    match &job.parallel {
        None => vec![Instance { name: name.clone(), number: None, variables: Vec::new() }],
        Some(Parallel::Count(total)) => {
            let total = *total as usize;
            let one = |number| Instance {
                name: format!("{name} {number}/{total}"),
                number: Some((number, total)),
                variables: Vec::new(),
            };
            (1..=total).map(one).collect()
        }
        Some(Parallel::Matrix(items)) => {
            let legs: Vec<Vec<(String, String)>> = items.iter().flat_map(|item| product(item)).collect();
            let total = legs.len();
            let one = |(index, variables): (usize, Vec<(String, String)>)| {
                let values: Vec<&str> = variables.iter().map(|(_, value)| value.as_str()).collect();
                let name = format!("{name}: [{}]", values.join(", "));
                Instance { name, number: Some((index + 1, total)), variables }
            };
            legs.into_iter().enumerate().map(one).collect()
        }
    }
}

fn product(item: &[(String, Vec<String>)]) -> Vec<Vec<(String, String)>> {
    let mut legs: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for (name, values) in item {
        let with = |leg: &Vec<(String, String)>, value: &String| {
            let mut leg = leg.clone();
            leg.push((name.clone(), value.clone()));
            leg
        };
        legs = legs
            .iter()
            .flat_map(|leg| values.iter().map(|value| with(leg, value)).collect::<Vec<_>>())
            .collect();
    }
    legs
}

/// A job's environment, and the variables that tell of it.
fn environment(job: &Job, variables: &mut Variables) -> Option<TokenEnvironment> {
    let said = job.environment.as_ref()?;
    let name = variables.replace(&said.name.value);
    if name.is_empty() {
        return None;
    }
    let tier = said.tier.as_ref().map_or_else(|| tier_of(&name).to_owned(), |tier| tier.value.clone());
    let action = said.action.as_ref().map_or("start", |action| &action.value).to_owned();
    let mut set = |name: &str, value: String| variables.set(Variable::predefined(name, value));
    set("CI_ENVIRONMENT_NAME", name.clone());
    set("CI_ENVIRONMENT_SLUG", slug(&name).chars().take(24).collect());
    set("CI_ENVIRONMENT_TIER", tier.clone());
    set("CI_ENVIRONMENT_ACTION", action.clone());
    if let Some(url) = &said.url {
        let url = variables.replace(&url.value);
        variables.set(Variable::predefined("CI_ENVIRONMENT_URL", url));
    }
    Some(TokenEnvironment { name, is_protected: false, tier, action })
}

fn tokens(facts: &PipelineFacts, job: &PlannedJob) -> Vec<PlannedToken> {
    let token = |said: &super::model::IdToken| {
        let audiences =
            said.audiences.iter().map(|audience| job.variables.replace(&audience.value)).collect();
        let base = TokenFacts::of(facts.clone(), "");
        let facts = TokenFacts {
            audiences,
            is_list: said.is_list,
            environment: job.environment.clone(),
            job_id: job.id,
            timeout_seconds: job.job.timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT),
            ..base
        };
        PlannedToken { name: said.name.value.clone(), facts, span: said.span }
    };
    job.job.id_tokens.iter().map(token).collect()
}
