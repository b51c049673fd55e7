//! Why a job may not ask for an ID token, and which line has to say `id-token: write`.
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#permissions>

use landfall_types::{Finding, Span};

use super::permissions::{Level, Origin, ReadOnly, Scope};
use super::plan::{PlannedJob, RunFacts};

/// The finding for a job whose token has no `id-token: write`; none for one that has. `needed` is the line that
/// wants a token.
pub fn no_id_token(job: &PlannedJob, run: &RunFacts, needed: Option<Span>) -> Option<Finding> {
    let permissions = &job.permissions;
    if permissions.may_mint() {
        return None;
    }
    let message = "the job may not ask for an ID token: it has `id-token: none`";
    let finding = Finding::error("no-id-token", message);
    let finding = needed.into_iter().fold(finding, |it, span| it.at(span, "this step needs one"));
    let origin = permissions.origin.span().into_iter();
    if let Some(why) = permissions.read_only_because {
        let (who, fact) = match why {
            ReadOnly::Fork => {
                ("a pull request from a fork", "a pull request from a fork gets a read-only token")
            }
            ReadOnly::Dependabot => {
                ("Dependabot", "a run by Dependabot gets a read-only token where no file names permissions")
            }
        };
        let on = &job.run_workflow.on;
        let trigger = on.event(&run.event.name).map_or(on.span, |trigger| trigger.name.span);
        let finding = finding.at(trigger, format!("the run was started by {who}"));
        let cut = "these permissions are cut down to reading";
        return Some(origin.fold(finding, |it, span| it.at(span, cut)).note(fact));
    }
    let finding = match permissions.origin.span() {
        Some(span) => finding.at(span, "these permissions have no `id-token: write`"),
        None => {
            finding.note("no file says anything about permissions, and GitHub's default never has id-token")
        }
    };
    Some(help(job).into_iter().fold(finding, Finding::help))
}

/// Where `id-token: write` has to stand. A job's permissions replace its workflow's, and a called workflow gets no
/// more than its caller has.
fn help(job: &PlannedJob) -> Vec<String> {
    let is_called = job.path.contains('/');
    let own = job.workflow.permissions.as_ref();
    let stands_above = own.is_some_and(|block| block.levels.get(Scope::ID_TOKEN) == Level::Write);
    let mut help = vec![match job.permissions.origin {
        Origin::Job(_) if stands_above => "add `id-token: write` to the job's own permissions: they replace the workflow's, whose `id-token: write` doesn't count here".to_owned(),
        Origin::Job(_) => {
            "add `id-token: write` to the job's own permissions: they replace the workflow's".to_owned()
        }
        Origin::Workflow(_) => "add `id-token: write` to the workflow's permissions".to_owned(),
        Origin::Caller(_) => {
            "add `id-token: write` to these permissions: the called workflow has none of its own".to_owned()
        }
        Origin::Default(_) => format!(
            "give the {} `permissions` with `id-token: write`, and with `contents: read` for a checkout: what they don't name is `none`",
            if is_called { "job that calls this workflow" } else { "job, or the workflow," }
        ),
    }];
    if is_called && matches!(job.permissions.origin, Origin::Job(_) | Origin::Workflow(_)) {
        help.push("the job that calls this workflow must have it as well".to_owned());
    }
    help
}
