//! Reasons as text: AWS's own sentence for the client, a finding for the person who must act.

mod insight;
mod lasting;
mod subject;

use std::borrow::Cow;

use landfall_types::{Arn, Finding, Severity, SourceMap};

use crate::decision::{Clause, Decision, Denial, Layer, Miss, Outcome, StatementRef};
use crate::matching::caller_name;
use crate::request::{Principal, Request};

use insight::list;
pub use insight::{Insight, insight, name_of};
pub use subject::{DEFAULT_SUBJECT, Difference, difference as subject_difference};

/// AWS's refusal sentence: `User: ARN is not authorized to perform: ACTION on resource: ARN because no
/// identity-based policy allows the ACTION action`. Empty for an allowed request. To a token that is
/// refused a role STS says no more than that; see the decision's reasons instead.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
pub fn aws_sentence(decision: &Decision, request: &Request) -> String {
    let Outcome::Denied(denial) = &decision.outcome else { return String::new() };
    let action = &request.action;
    if matches!(request.principal, Principal::Federated { .. }) {
        return format!("Not authorized to perform {action}");
    }
    let reason = match denial {
        Denial::Explicit { by } => {
            format!("with an explicit deny in {}{}", layer_in_explicit(by.layer), arn_of(by, request))
        }
        Denial::Implicit { layer } => {
            format!("because no {} allows the {action} action", layer_in_implicit(*layer))
        }
    };
    let caller = caller_name(&request.principal);
    let resource = resource_told(action, &request.resource);
    format!("User: {caller} is not authorized to perform: {action} on resource: {resource} {reason}")
}

/// The resource as AWS's refusal names it. IAM tells most things that are there by kind and name and not by ARN, and new
/// ones, what is passed and what is tagged by ARN. Seen in many logs: <https://github.com/rebuy-de/aws-nuke/issues/294>,
/// <https://github.com/aws/aws-sam-cli/issues/394>, <https://github.com/aws/aws-cdk/issues/27067>.
pub fn resource_told<'r>(action: &str, resource: &'r str) -> Cow<'r, str> {
    let Some(operation) = action.strip_prefix("iam:") else { return Cow::Borrowed(resource) };
    if operation == "ListPolicies" {
        return Cow::Borrowed("policy path /");
    }
    let is_by_arn =
        BY_ARN.contains(&operation) || ["Tag", "Untag"].iter().any(|it| operation.starts_with(it));
    let arn = Arn::parse(resource).ok().filter(|arn| arn.service == "iam" && !is_by_arn);
    let Some((kind, path)) = arn.as_ref().and_then(|arn| arn.resource.split_once('/')) else {
        return Cow::Borrowed(resource);
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    match kind {
        // Lists of all: the ARN has no name.
        _ if name.is_empty() => Cow::Borrowed(resource),
        "role" | "user" | "group" => Cow::Owned(format!("{kind} {name}")),
        "instance-profile" => Cow::Owned(format!("instance profile {name}")),
        "policy" if operation == "CreatePolicy" => Cow::Owned(format!("policy {name}")),
        "policy" => Cow::Owned(format!("policy {resource}")),
        _ => Cow::Borrowed(resource),
    }
}

/// Operations of IAM whose refusals have ARNs, beside those on tags.
const BY_ARN: &[&str] = &[
    "CreateGroup",
    "CreateInstanceProfile",
    "CreateRole",
    "CreateServiceLinkedRole",
    "CreateUser",
    "DeleteServiceLinkedRole",
    "GenerateServiceLastAccessedDetails",
    "GetContextKeysForPrincipalPolicy",
    "GetServiceLinkedRoleDeletionStatus",
    "ListPoliciesGrantingServiceAccess",
    "PassRole",
    "SimulatePrincipalPolicy",
];

fn layer_in_implicit(layer: Layer) -> &'static str {
    match layer {
        Layer::Trust => "role trust policy",
        Layer::Identity => "identity-based policy",
        Layer::Resource => "resource-based policy",
        Layer::Boundary => "permissions boundary",
        Layer::Session => "session policy",
        Layer::ServiceControl => "service control policy",
        Layer::ResourceControl => "resource control policy",
    }
}

fn layer_in_explicit(layer: Layer) -> &'static str {
    match layer {
        Layer::Trust => "the role trust policy",
        Layer::Identity => "an identity-based policy",
        Layer::Resource => "a resource-based policy",
        Layer::Boundary => "a permissions boundary",
        Layer::Session => "a session policy",
        Layer::ServiceControl => "a service control policy",
        Layer::ResourceControl => "a resource control policy",
    }
}

/// Since 2026 AWS names the policy of an explicit denial within an account, if it has an ARN.
/// <https://aws.amazon.com/blogs/security/enhanced-access-denied-error-messages-with-policy-arns/>
fn arn_of(by: &StatementRef, request: &Request) -> String {
    let is_within = request.principal.account() == request.resource_account;
    if is_within && by.policy.starts_with("arn:") { format!(": {}", by.policy) } else { String::new() }
}

/// What a decision means for the person who must act: for a denial the nearest statement with the
/// clauses that failed, what each wanted and got, and what to do.
///
/// A place in a source that `sources` doesn't hold can't be shown, so what would stand there becomes a
/// note.
pub fn finding(decision: &Decision, request: &Request, sources: &SourceMap) -> Finding {
    let finding = match &decision.outcome {
        Outcome::Allowed => allowed(decision, request),
        Outcome::Denied(Denial::Explicit { by }) => explicit(by, request),
        Outcome::Denied(Denial::Implicit { layer }) => implicit(*layer, decision, request, sources),
    };
    let finding = decision
        .unknown
        .iter()
        .fold(finding, |finding, unknown| finding.note(format!("{unknown}, which could change the answer")));
    keep_visible_labels(finding, sources)
}

/// What to do about a denial, most useful first; empty for an allowed request.
pub fn advice(decision: &Decision, request: &Request) -> Vec<String> {
    if decision.is_allowed() {
        return Vec::new();
    }
    finding(decision, request, &SourceMap::new()).help
}

fn allowed(decision: &Decision, request: &Request) -> Finding {
    let message = format!("`{}` on `{}` is allowed", request.action, request.resource);
    let mut finding = Finding::warning("allowed", message);
    finding.severity = Severity::Note;
    decision
        .allowed_by
        .iter()
        .fold(finding, |finding, by| finding.at(by.span, format!("allowed by {}", name_of(by))))
}

fn explicit(by: &StatementRef, request: &Request) -> Finding {
    let action = &request.action;
    let what = name_of(by);
    let help = match by.layer {
        Layer::ServiceControl | Layer::ResourceControl => {
            format!("only the organization's administrators can change {what}")
        }
        _ => format!("narrow or remove {what}: no `Allow` outweighs it"),
    };
    Finding::error("explicit-deny", format!("`{action}` on `{}` is denied by {what}", request.resource))
        .at(by.span, format!("denies `{action}`, whatever else allows it"))
        .help(help)
}

fn implicit(layer: Layer, decision: &Decision, request: &Request, sources: &SourceMap) -> Finding {
    let Some(nearest) = nearest_miss(layer, decision) else { return nothing_allows(layer, request) };
    let mut insights: Vec<(&Clause, Insight)> = telling_clauses(nearest)
        .map(|clause| (clause, insight(clause, &nearest.statement, request)))
        .collect();
    one_statement_more(nearest, request, &mut insights);
    let Some((_, first)) = insights.first() else { return nothing_allows(layer, request) };
    let mut finding = Finding::error(first.rule, first.message.clone());
    for (clause, insight) in &insights {
        finding = finding.at(insight.span, insight.label.clone());
        if let Clause::Condition { key, key_span, wanted, got: Some(got), .. } = clause {
            if sources.place(*key_span).to_string() != sources.place(insight.span).to_string() {
                finding = finding.at(*key_span, "this condition asks for it");
            }
            let name = key.rsplit_once(':').map_or(key.as_str(), |(_, name)| name);
            finding = finding.note(format!("wanted {name}  {}", list(wanted)));
            finding = finding.note(format!("got {name}     {}", list(got)));
        }
        finding.help.extend(insight.help.iter().cloned());
    }
    if insights.len() > 1 {
        finding = finding.note(format!("{} clauses of {} fail", insights.len(), name_of(&nearest.statement)));
    }
    let others =
        decision.misses.iter().filter(|miss| miss.statement.layer == nearest.statement.layer).count();
    match others.saturating_sub(1) {
        0 => finding,
        1 => finding.note("1 other statement was looked at and is further from this request"),
        count => {
            finding.note(format!("{count} other statements were looked at and are further from this request"))
        }
    }
}

/// Where a statement is for other actions on other resources, it is not the one to change.
fn one_statement_more(nearest: &Miss, request: &Request, insights: &mut Vec<(&Clause, Insight)>) {
    let is_resource = |clause: &Clause| matches!(clause, Clause::Resource { .. });
    let is_action = |clause: &Clause| matches!(clause, Clause::Action { .. });
    let is_elsewhere = nearest.failed.iter().any(is_action) && nearest.failed.iter().any(is_resource);
    if !is_elsewhere || insight::is_managed(&nearest.statement.policy) {
        return;
    }
    insights.retain(|(clause, _)| !is_resource(clause));
    let (policy, Request { action, resource, .. }) = (&nearest.statement.policy, request);
    for (_, insight) in insights.iter_mut().filter(|(clause, _)| is_action(clause)) {
        insight.help = vec![format!("add a statement to {policy} that allows `{action}` on `{resource}`")];
    }
}

/// The nearest miss of the layer that AWS names; the resource's policy could have granted in place of
/// the caller's, so its miss is taken when it alone names the action.
fn nearest_miss(layer: Layer, decision: &Decision) -> Option<&Miss> {
    let names_action =
        |miss: &&Miss| !miss.failed.iter().any(|clause| matches!(clause, Clause::Action { .. }));
    let of = |layer: Layer| decision.misses.iter().find(move |miss| miss.statement.layer == layer);
    let named = of(layer);
    if layer == Layer::Identity && !named.as_ref().is_some_and(names_action) {
        return of(Layer::Resource).filter(names_action).or(named);
    }
    named
}

/// Where the caller isn't even named, conditions on keys that it doesn't have say nothing more.
fn telling_clauses(miss: &Miss) -> impl Iterator<Item = &Clause> {
    let is_other_caller = miss.failed.iter().any(|clause| matches!(clause, Clause::Principal { .. }));
    miss.failed
        .iter()
        .filter(move |clause| !(is_other_caller && matches!(clause, Clause::Condition { got: None, .. })))
}

fn nothing_allows(layer: Layer, request: &Request) -> Finding {
    let Request { action, resource, .. } = request;
    let (message, help) = match layer {
        Layer::Trust => (
            format!("no statement of the role's trust policy allows `{action}`"),
            format!("add a statement that allows `{action}` to `{}`", caller_name(&request.principal)),
        ),
        Layer::Resource => (
            format!(
                "the resource's policy has to allow `{action}` on `{resource}` to another account, and does not"
            ),
            format!(
                "let the policy of `{resource}` allow `{action}` to `{}`",
                caller_name(&request.principal)
            ),
        ),
        _ => (
            format!("no {} allows `{action}` on `{resource}`", layer_in_implicit(layer)),
            format!("add a statement that allows `{action}` on `{resource}` to {}", layer_in_explicit(layer)),
        ),
    };
    Finding::error("action-not-allowed", message).help(help)
}

fn keep_visible_labels(mut finding: Finding, sources: &SourceMap) -> Finding {
    let (visible, hidden): (Vec<_>, Vec<_>) =
        finding.labels.into_iter().partition(|label| !sources.text(label.span.source).is_empty());
    finding.labels = visible;
    hidden.into_iter().fold(finding, |finding, label| finding.note(label.text))
}
