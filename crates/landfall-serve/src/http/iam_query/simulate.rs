//! The policy simulator.

use landfall_types::Arn;
use landfall_wire::error::AwsError;
use landfall_wire::query::Fields;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Member, number, text, texts};
use super::page::list;
use super::{IamCall, Keys, Run};
use crate::authz::{Call, Permit};
use crate::iam::entity::{Entity, look_up};
use crate::iam::simulate::{self, ContextEntry, Evaluated, Excluded, Matched, Simulate, Simulated};
use crate::store::{Group, Role, User};
use crate::tags::prefixed_keys;

pub(super) fn operation(name: &str) -> Option<Run> {
    Some(match name {
        "SimulateCustomPolicy" => custom,
        "SimulatePrincipalPolicy" => principal,
        "GetContextKeysForCustomPolicy" => keys_for_custom,
        "GetContextKeysForPrincipalPolicy" => keys_for_principal,
        _ => return None,
    })
}

/// Decides on the role, user or group whose policies are asked about. It is found by its name, whatever the path that is
/// asked with (captured), and decided on by its own ARN.
fn permit_on_source<C: Call>(call: &IamCall<'_>) -> Result<Permit<C>, AwsError> {
    let asked = call.required("PolicySourceArn")?;
    let found = Arn::parse(&asked).ok().and_then(|arn| match arn.resource.split('/').next()? {
        "role" => of_name::<Role>(call, &arn),
        "user" => of_name::<User>(call, &arn),
        "group" => of_name::<Group>(call, &arn),
        _ => None,
    });
    let (arn, tags) = found.unwrap_or_else(|| (asked, Vec::new()));
    call.permit(arn, prefixed_keys(&tags, &["aws:ResourceTag", "iam:ResourceTag"]))
}

/// The ARN and the tags of the one whose ARN differs from another in nothing but its path.
fn of_name<E: Entity>(call: &IamCall<'_>, asked: &Arn) -> Option<(String, Vec<(String, String)>)> {
    let name = asked.resource.rsplit('/').next()?;
    let found = look_up::<E>(call.world(), call.account, name)?;
    let is_meant = found.name() == name
        && Arn { resource: found.arn().resource.clone(), ..asked.clone() } == *found.arn();
    is_meant.then(|| (found.arn().to_string(), found.tags().to_vec()))
}

fn custom(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let input = input(call)?;
    // An empty list is sent as its name alone, and is none that is missing.
    if input.policies.is_empty() && call.params().get("PolicyInputList").is_none() {
        return Err(null("policyInputList"));
    }
    answer(call, simulate::simulate_custom(call.world(), &permit, input)?)
}

fn principal(call: &IamCall<'_>) -> Answer {
    let permit = permit_on_source(call)?;
    let input = input(call)?;
    answer(call, simulate::simulate_principal(call.world(), &permit, input)?)
}

fn keys_for_custom(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let policies = call.list("PolicyInputList");
    if policies.is_empty() {
        return Err(null("policyInputList"));
    }
    names(&simulate::keys_for_custom(&permit, &policies)?)
}

fn keys_for_principal(call: &IamCall<'_>) -> Answer {
    let permit = permit_on_source(call)?;
    names(&simulate::keys_for_principal(call.world(), &permit, &call.list("PolicyInputList"))?)
}

fn names(keys: &[String]) -> Answer {
    Ok(Some(Element::structure([("ContextKeyNames", texts(keys))])))
}

fn null(member: &str) -> AwsError {
    AwsError::validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn input(call: &IamCall<'_>) -> Result<Simulate, AwsError> {
    let actions = call.list("ActionNames");
    if actions.is_empty() {
        return Err(null("actionNames"));
    }
    let levels = call.params().structures("OrderedOrganizationPolicyInputList.member");
    let texts_of = |level: &Fields<'_>| owned(&level.list("ServiceControlPolicyInputList.member"));
    let entries = call.params().structures("ContextEntries.member");
    let context = entries.iter().map(|entry| ContextEntry {
        name: entry.get("ContextKeyName").map(str::to_owned),
        kind: entry.get("ContextKeyType").map(str::to_owned),
        values: owned(&entry.list("ContextKeyValues.member")),
    });
    Ok(Simulate {
        policies: call.list("PolicyInputList"),
        boundaries: call.list("PermissionsBoundaryPolicyInputList"),
        organization: levels.iter().map(texts_of).collect(),
        excluded: call
            .params()
            .structures("PolicyExclusionList.member")
            .iter()
            .filter_map(excluded)
            .collect(),
        actions,
        resources: call.list("ResourceArns"),
        resource_policy: call.optional("ResourcePolicy"),
        resource_owner: call.optional("ResourceOwner"),
        caller: call.optional("CallerArn"),
        context: context.collect(),
    })
}

fn excluded(fields: &Fields<'_>) -> Option<Excluded> {
    let inline = |name: &str| fields.get(&format!("InlinePolicyIdentifier.{name}"));
    if let Some(kind) = fields.get("PolicyType") {
        return Some(Excluded::Type(kind.to_owned()));
    }
    if let Some(arn) = fields.get("PolicyArn") {
        return Some(Excluded::Arn(arn.to_owned()));
    }
    let noun = inline("AttachmentType")?.to_ascii_lowercase();
    Some(Excluded::Inline(format!("{noun}_{}_{}", inline("AttachmentName")?, inline("PolicyName")?)))
}

fn answer(call: &IamCall<'_>, simulated: Vec<Simulated>) -> Answer {
    // Pages count actions.
    list(call, "EvaluationResults", simulated, |one| one.index.to_string(), element)
}

/// The answer to an action, and under `ResourceSpecificResults` that on each resource, where what is empty is left out
/// (captured).
fn element(simulated: &Simulated) -> Element {
    let whole = &simulated.whole;
    let is_specific = !simulated.each.is_empty();
    let organization = whole
        .organization_allows
        .map(|allows| Element::structure([("AllowedByOrganizations", Some(Element::Boolean(allows)))]));
    let specific = is_specific.then(|| Element::List(simulated.each.iter().map(one_element).collect()));
    let members: [Member; 9] = [
        ("EvalActionName", text(simulated.action.as_str())),
        ("EvalResourceName", text(whole.resource.as_str())),
        ("EvalDecision", text(whole.verdict)),
        ("MatchedStatements", Some(matches(whole))),
        ("MissingContextValues", texts(&whole.missing)),
        ("OrganizationsDecisionDetail", organization),
        ("PermissionsBoundaryDecisionDetail", boundary(whole)),
        ("EvalDecisionDetails", sides(whole).filter(|_| is_specific || !whole.sides.is_empty())),
        ("ResourceSpecificResults", specific),
    ];
    Element::structure(members)
}

fn one_element(evaluated: &Evaluated) -> Element {
    Element::structure([
        ("EvalResourceName", text(evaluated.resource.as_str())),
        ("EvalResourceDecision", text(evaluated.verdict)),
        ("MatchedStatements", Some(matches(evaluated)).filter(|_| !evaluated.matched.is_empty())),
        ("MissingContextValues", texts(&evaluated.missing).filter(|_| !evaluated.missing.is_empty())),
        ("EvalDecisionDetails", sides(evaluated).filter(|_| !evaluated.sides.is_empty())),
        ("PermissionsBoundaryDecisionDetail", boundary(evaluated)),
    ])
}

fn matches(evaluated: &Evaluated) -> Element {
    Element::List(evaluated.matched.iter().map(matched).collect())
}

fn sides(evaluated: &Evaluated) -> Option<Element> {
    let sides = evaluated.sides.iter();
    Some(Element::Map(sides.filter_map(|(name, side)| Some(((*name).to_owned(), text(*side)?))).collect()))
}

fn boundary(evaluated: &Evaluated) -> Option<Element> {
    let allows = evaluated.boundary_allows?;
    Some(Element::structure([("AllowedByPermissionsBoundary", Some(Element::Boolean(allows)))]))
}

fn matched(matched: &Matched) -> Element {
    let place = |(line, column): (usize, usize)| {
        Some(Element::structure([("Line", number(line)), ("Column", number(column))]))
    };
    Element::structure([
        ("SourcePolicyId", text(matched.id.as_str())),
        ("SourcePolicyType", text(matched.kind)),
        ("StartPosition", place(matched.start)),
        ("EndPosition", place(matched.end)),
    ])
}
