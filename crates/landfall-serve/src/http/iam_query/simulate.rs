//! The policy simulator.

use landfall_policy::request::ContextKey;
use landfall_wire::error::AwsError;
use landfall_wire::query::Fields;
use landfall_wire::xml::Element;

use super::super::query::Answer;
use super::elements::{Member, number, text, texts};
use super::page::list;
use super::{IamCall, Keys, Run};
use crate::authz::{Call, Permit};
use crate::iam::entity::Entity;
use crate::iam::simulate::{self, Evaluated, Excluded, Matched, Simulate};
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

/// Decides on the role, user or group whose policies are asked about.
fn permit_on_source<C: Call>(call: &IamCall<'_>) -> Result<Permit<C>, AwsError> {
    let arn = call.required("PolicySourceArn")?;
    let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
    let store = &call.world().store;
    let tags = match arn.split_once(":role/").map(|_| "role").or(arn.split_once(":user/").map(|_| "user")) {
        Some("role") => store.role(call.account, &name).map(|role| role.tags().to_vec()),
        Some(_) => store.user(call.account, &name).map(|user| user.tags().to_vec()),
        None => None,
    };
    call.permit(arn, prefixed_keys(&tags.unwrap_or_default(), &["aws:ResourceTag", "iam:ResourceTag"]))
}

fn custom(call: &IamCall<'_>) -> Answer {
    let permit = call.permit("*", Keys::new())?;
    let input = input(call)?;
    if input.policies.is_empty() {
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

fn input(call: &IamCall<'_>) -> Result<Simulate, AwsError> {
    let actions = call.list("ActionNames");
    if actions.is_empty() {
        return Err(null("actionNames"));
    }
    let levels = call.params().structures("OrderedOrganizationPolicyInputList.member");
    let texts_of = |level: &Fields<'_>| numbered(level, "ServiceControlPolicyInputList.member");
    let entries = call.params().structures("ContextEntries.member");
    let context = entries.iter().filter_map(|entry| {
        Some(ContextKey {
            name: entry.get("ContextKeyName")?.to_owned(),
            values: numbered(entry, "ContextKeyValues.member"),
            multivalued: entry.get("ContextKeyType").map(|kind| kind.ends_with("List")),
        })
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

/// The values of a list inside of a structure.
fn numbered(fields: &Fields<'_>, prefix: &str) -> Vec<String> {
    let values = (1..).map_while(|number: usize| fields.get(&format!("{prefix}.{number}")));
    values.map(str::to_owned).collect()
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

fn answer(call: &IamCall<'_>, evaluated: Vec<Evaluated>) -> Answer {
    let named = |one: &Evaluated| format!("{} {}", one.action, one.resource);
    list(call, "EvaluationResults", evaluated, named, element)
}

/// The answer to a question about a resource is told twice: for the question, and under
/// `ResourceSpecificResults`, where its missing keys are (captured).
fn element(evaluated: &Evaluated) -> Element {
    let is_specific = evaluated.resource != "*";
    let shared = |name: &'static str, decision: &'static str| {
        vec![
            (name, text(evaluated.resource.as_str())),
            (decision, text(evaluated.verdict)),
            ("MatchedStatements", Some(Element::List(evaluated.matched.iter().map(matched).collect()))),
            ("EvalDecisionDetails", sides(evaluated).filter(|_| is_specific)),
            ("PermissionsBoundaryDecisionDetail", boundary(evaluated)),
        ]
    };
    let missing = |here: bool| {
        let keys = if here { &evaluated.missing[..] } else { &[] };
        ("MissingContextValues", texts(keys))
    };
    let specific = is_specific.then(|| {
        let one = shared("EvalResourceName", "EvalResourceDecision").into_iter().chain([missing(true)]);
        Element::List(vec![Element::structure(one)])
    });
    let organization = evaluated
        .organization_allows
        .map(|allows| Element::structure([("AllowedByOrganizations", Some(Element::Boolean(allows)))]));
    let more: [Member; 4] = [
        ("EvalActionName", text(evaluated.action.as_str())),
        missing(!is_specific),
        ("OrganizationsDecisionDetail", organization),
        ("ResourceSpecificResults", specific),
    ];
    Element::structure(more.into_iter().chain(shared("EvalResourceName", "EvalDecision")))
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
