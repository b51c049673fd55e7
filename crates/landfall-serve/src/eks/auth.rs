//! EKS Auth: the token of a pod becomes a session of the role that its service account is associated with.
//!
//! EKS takes the role as the service `pods.eks.amazonaws.com`, with six session tags that say whose the
//! session is: `sts:AssumeRole` and `sts:TagSession` have both to be in the role's trust policy. With a
//! target role, that session takes another one.
//! <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html>,
//! <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html>

use std::sync::Arc;

use landfall_policy::decide::Named;
use landfall_policy::{Context, Decision, Layers, Principal, Request, decide, explain};
use landfall_types::{Arn, ClaimValue, Claims, Finding, Timestamp};
use landfall_wire::error::{AwsError, Protocol, internal};
use landfall_wire::ids;
use landfall_wire::jwt::{self, Token};
use serde_json::{Value, json};

use super::{Called, PODS, associations, cluster_and_keys, seconds};
use crate::authz::{self, eks_auth_calls as calls};
use crate::caller::{Caller, PassedPolicies, Session};
use crate::connection::SECURE_TRANSPORT;
use crate::log::{Entry, Verdict};
use crate::store::Role;
use crate::store::eks::{EksCluster, PodIdentityAssociation, arn};
use crate::sts::{Issued, issue_to_task, key_id};
use crate::world::World;

/// How long a pod's session lasts, in seconds, and how long with a target role.
const SESSION_SECONDS: i64 = 6 * 3600;
const TARGET_SESSION_SECONDS: i64 = 3600;
/// How much of the cluster's and the pod's name is in a session's name, in characters.
const SESSION_NAME_PART_CHARS: usize = 10;
/// What EKS says whatever the reason is (observed).
const CANNOT_ASSUME: &str =
    "Unauthorized Exception! EKS does not have permissions to assume the associated role.";

pub(super) fn answer(call: &Called<'_>) -> Option<Result<Value, AwsError>> {
    (call.operation == "AssumeRoleForPodIdentity").then(|| assume_role_for_pod_identity(call))
}

fn assume_role_for_pod_identity(call: &Called<'_>) -> Result<Value, AwsError> {
    let place = &call.place;
    let name = call.input.required_text("clusterName")?;
    let (cluster, keys) = cluster_and_keys(call, name);
    let on = arn(place, &format!("cluster/{name}"));
    call.authorize::<calls::AssumeRoleForPodIdentity>(on, keys)?;
    let token = call.input.required_text("token")?;
    let cluster = cluster.ok_or_else(|| {
        AwsError::new("ResourceNotFoundException", 404, format!("No cluster found for name: {name}."))
    })?;
    let granted = assume(call.world, call.request_id, &cluster, token)?;
    Ok(render(&granted))
}

/// A pod, as its token tells.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What a pod is given.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The pod.
    pub pod: Pod,
    /// The association.
    pub association: Arc<PodIdentityAssociation>,
    /// The session of its role, or of its target role.
    pub issued: Issued<Session>,
}

/// A refusal: what the client is told, and what the log tells.
struct Refused {
    error: AwsError,
    action: &'static str,
    resource: Option<String>,
    finding: Finding,
    decision: Option<(Decision, Request)>,
}

type Refusal = Box<Refused>;

/// Makes a pod's token a session. Writes nothing but the log.
///
/// # Errors
/// EKS Auth's error for the first check that fails.
pub fn assume(
    world: &World,
    request_id: &str,
    cluster: &EksCluster,
    token: &str,
) -> Result<Granted, AwsError> {
    let mut claims = None;
    let result =
        read_pod(world, cluster, token, &mut claims).and_then(|pod| take(world, request_id, cluster, pod));
    let subject = claims.as_ref().and_then(|claims: &Claims| claims.text("sub"));
    let caller = subject.unwrap_or("a pod's token").to_owned();
    let (result, verdict, action, resource, decision, finding) = match result {
        Ok((granted, decision)) => {
            let role = granted.association.role.clone();
            (Ok(granted), Verdict::Allowed, "sts:AssumeRole", Some(role), Some(decision), None)
        }
        Err(refused) => {
            let Refused { error, action, resource, finding, decision } = *refused;
            let verdict = Verdict::refused(&error);
            (Err(error), verdict, action, resource, decision, Some(finding))
        }
    };
    world.log.add(
        world.clock.now(),
        Entry {
            request_id: request_id.to_owned(),
            service: "eks-auth",
            operation: "AssumeRoleForPodIdentity".to_owned(),
            caller,
            action: Some(action.to_owned()),
            resource,
            verdict,
            decision,
            finding,
            claims,
        },
    );
    result
}

const ASSUME_FOR_POD: &str = "eks-auth:AssumeRoleForPodIdentity";

fn refused_token(code: &'static str, message: impl Into<String>, finding: Finding) -> Refusal {
    let error = AwsError::bad_request(code, message);
    Box::new(Refused { error, action: ASSUME_FOR_POD, resource: None, finding, decision: None })
}

/// What EKS says of a token that has ended (observed).
fn expired(now: Timestamp, ends: Option<f64>) -> String {
    let (now_text, millis) = (now.to_string(), now.0.rem_euclid(1000));
    let now_text = now_text.trim_end_matches('Z');
    #[expect(clippy::cast_possible_truncation, reason = "it lies between 1970 and now")]
    let ends = Timestamp(ends.unwrap_or_default().max(0.0) as i64 * 1000);
    format!(
        "The token included in the request is expired: current date/time {now_text}.{millis:03}Z must be before the \
         expiration date/time {ends}."
    )
}

/// The texts below but for one are not AWS's: what it says of other tokens has not been seen.
fn read_pod(
    world: &World,
    cluster: &EksCluster,
    text: &str,
    claims: &mut Option<Claims>,
) -> Result<Pod, Refusal> {
    let invalid = |what: &str| {
        let finding = Finding::error("pod-token", format!("the pod's token is not accepted: {what}"));
        refused_token("InvalidTokenException", format!("The token is invalid: {what}."), finding)
    };
    let token = jwt::parse(text).map_err(|error| invalid(&error.to_string()))?;
    *claims = Some(token.claims.clone());
    check_issuer(cluster, &token)?;
    let played = cluster.issuer().and_then(|issuer| world.issuers.by_host_and_path(&issuer.host_and_path()));
    let internal = || refused_token("InternalServerException", "The issuer has no keys.", no_keys(cluster));
    let played = played.ok_or_else(internal)?;
    let jwks = played.jwks().map_err(|_| internal())?;
    if jwt::verify_signature(&token, jwks).is_err() {
        return Err(invalid("it is not signed with a key of the cluster's issuer"));
    }
    let now = world.clock.now().seconds();
    let time = |name: &str| match token.claims.get(name) {
        Some(ClaimValue::Number(number)) => number.parse::<f64>().ok(),
        _ => None,
    };
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
    let (now_f, ends) = (now as f64, time("exp"));
    if ends.is_none_or(|ends| ends <= now_f) {
        let finding = Finding::error("pod-token-expired", "the pod's token has ended").help(
            "read the token file for every request: the kubelet writes a new one before the old one ends",
        );
        return Err(refused_token("ExpiredTokenException", expired(world.clock.now(), ends), finding));
    }
    if time("nbf").is_some_and(|begins| begins > now_f) {
        return Err(invalid("it is not valid yet"));
    }
    check_audience(&token.claims)?;
    pod_of(&token.claims).ok_or_else(|| {
        invalid("its claim kubernetes.io must name namespace, service account and pod, each with its uid")
    })
}

fn no_keys(cluster: &EksCluster) -> Finding {
    Finding::error("issuer-missing", format!("the issuer of cluster {} is not played", cluster.name))
}

fn check_issuer(cluster: &EksCluster, token: &Token) -> Result<(), Refusal> {
    let issuer = token.claims.text("iss").unwrap_or_default();
    if issuer == cluster.issuer {
        return Ok(());
    }
    let finding = Finding::error("pod-token-issuer", format!("the token is not of cluster {}", cluster.name))
        .note(format!("wanted iss  `{}`", cluster.issuer))
        .note(format!("got iss     `{issuer}`"))
        .help("each cluster has its own issuer: a pod's token opens nothing in another cluster");
    let message = "The token is invalid: its issuer is not the cluster's.";
    Err(refused_token("InvalidTokenException", message, finding))
}

fn check_audience(claims: &Claims) -> Result<(), Refusal> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(ClaimValue::Text(text)) => vec![text],
        Some(ClaimValue::List(items)) => items
            .iter()
            .filter_map(|item| match item {
                ClaimValue::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    if audiences.contains(&PODS) {
        return Ok(());
    }
    let finding = Finding::error("pod-token-audience", "the token is for another audience")
        .note(format!("wanted aud  `{PODS}`"))
        .note(format!("got aud     `{}`", audiences.join("`, `")))
        .help(
            "this is not the token that EKS puts into AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: one for \
             sts.amazonaws.com is for AssumeRoleWithWebIdentity (IRSA)",
        );
    let message = format!("The token is invalid: its audience is not {PODS}.");
    Err(refused_token("InvalidTokenException", message, finding))
}

/// What the claim `kubernetes.io` says.
fn pod_of(claims: &Claims) -> Option<Pod> {
    let map = |value: &ClaimValue| match value {
        ClaimValue::Map(entries) => Some(entries.clone()),
        _ => None,
    };
    let get = |entries: &[(String, ClaimValue)], name: &str| {
        entries.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let text = |entries: &[(String, ClaimValue)], name: &str| match get(entries, name) {
        Some(ClaimValue::Text(text)) if !text.is_empty() => Some(text),
        _ => None,
    };
    let all = map(claims.get("kubernetes.io")?)?;
    let (pod, account) = (map(&get(&all, "pod")?)?, map(&get(&all, "serviceaccount")?)?);
    Some(Pod {
        namespace: text(&all, "namespace")?,
        service_account: text(&account, "name")?,
        name: text(&pod, "name")?,
        uid: text(&pod, "uid")?,
    })
}

fn take(
    world: &World,
    request_id: &str,
    cluster: &EksCluster,
    pod: Pod,
) -> Result<(Granted, (Decision, Request)), Refusal> {
    let association = associations::find(world, cluster, &pod.namespace, &pod.service_account)
        .ok_or_else(|| no_association(world, cluster, &pod))?;
    let (session, decision) = first_session(world, cluster, &association, &pod)?;
    let session = match &association.target_role {
        None => session,
        Some(target) => target_session(world, request_id, &association, session, target)?,
    };
    let issued = issue_to_task(world, session).map_err(|message| {
        let finding = Finding::error("session-too-large", message);
        refused_token("InternalServerException", "The session could not be made.", finding)
    })?;
    Ok((Granted { pod, association, issued }, decision))
}

fn no_association(world: &World, cluster: &EksCluster, pod: &Pod) -> Refusal {
    let Pod { namespace, service_account, .. } = pod;
    let finding = Finding::error(
        "association-missing",
        format!(
            "service account {namespace}/{service_account} of cluster {} has no Pod Identity association",
            cluster.name
        ),
    );
    let finding = super::pods::others(world, cluster)
        .into_iter()
        .fold(finding, |finding, other| finding.note(format!("there is one for {other}")))
        .help(
            "make an aws_eks_pod_identity_association for it; pods that run already keep what they have, so \
             start the pod again afterwards",
        );
    let message = "No Pod Identity association found for the service account.";
    let error = AwsError::new("ResourceNotFoundException", 404, message);
    Box::new(Refused { error, action: ASSUME_FOR_POD, resource: None, finding, decision: None })
}

/// What the tags of a session say. All of them are transitive.
/// <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-abac.html>
fn session_tags(cluster: &EksCluster, pod: &Pod) -> Vec<(String, String)> {
    [
        ("eks-cluster-arn", cluster.arn()),
        ("eks-cluster-name", cluster.name.clone()),
        ("kubernetes-namespace", pod.namespace.clone()),
        ("kubernetes-service-account", pod.service_account.clone()),
        ("kubernetes-pod-name", pod.name.clone()),
        ("kubernetes-pod-uid", pod.uid.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// `eks-CLUSTER-POD-UUID`.
fn session_name(world: &World, cluster: &EksCluster, pod: &Pod) -> String {
    let part = |text: &str| text.chars().take(SESSION_NAME_PART_CHARS).collect::<String>();
    let id = ids::request_id(world.random());
    format!("eks-{}-{}-{id}", part(&cluster.name), part(&pod.name))
}

fn cannot_assume(
    action: &'static str,
    role: &str,
    finding: Finding,
    decision: Option<(Decision, Request)>,
) -> Refusal {
    let error = AwsError::bad_request("AccessDeniedException", CANNOT_ASSUME);
    Box::new(Refused { error, action, resource: Some(role.to_owned()), finding, decision })
}

fn first_session(
    world: &World,
    cluster: &EksCluster,
    association: &PodIdentityAssociation,
    pod: &Pod,
) -> Result<(Session, (Decision, Request)), Refusal> {
    let wanted = &association.role;
    let Some(role) = associations::role(world, &association.place, wanted) else {
        let finding = Arn::parse(wanted).map(|arn| authz::role_missing_finding(world, &arn));
        let finding = finding.unwrap_or_else(|_| Finding::error("role-missing", format!("no role {wanted}")));
        return Err(cannot_assume("sts:AssumeRole", wanted, finding, None));
    };
    let tags = if association.disable_session_tags { Vec::new() } else { session_tags(cluster, pod) };
    let name = session_name(world, cluster, pod);
    let trust = Named { name: format!("trust policy of {}", role.name).into(), policy: &role.trust.policy };
    let layers = Layers { trust: Some(trust), ..Layers::default() };
    let context = context(world, cluster, &role, &name, &tags);
    let mut allowed = None;
    for action in ["sts:AssumeRole", "sts:TagSession"] {
        if action == "sts:TagSession" && tags.is_empty() {
            continue;
        }
        let request = Request {
            principal: Principal::Service { name: PODS.to_owned() },
            action: action.to_owned(),
            resource: role.arn.to_string(),
            resource_account: role.arn.account.clone(),
            context: context.clone(),
        };
        let decision = decide(&layers, &request);
        if !decision.is_allowed() {
            let finding = taught(explain::finding(&decision, &request, &world.sources), action);
            return Err(cannot_assume(action, wanted, finding, Some((decision, request))));
        }
        allowed.get_or_insert((decision, request));
    }
    let decided = allowed.ok_or_else(|| Refusal::from(internal(Protocol::RestJson)))?;
    let now = world.clock.now();
    let policies = association.policy.as_ref();
    let session = Session {
        access_key_id: key_id(world, &role.arn),
        account: role.arn.account.clone(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        session_name: name,
        issued_at_ms: now.0,
        expires_at_ms: world.clock.ends_from(now, SESSION_SECONDS).0,
        provider: None,
        federated_keys: Vec::new(),
        transitive_tag_keys: tags.iter().map(|(key, _)| key.clone()).collect(),
        tags,
        source_identity: None,
        policies: policies.map(|text| PassedPolicies { inline: Some(text.clone()), managed: Vec::new() }),
        default_regions_only: false,
    };
    Ok((session, decided))
}

impl From<AwsError> for Refusal {
    fn from(error: AwsError) -> Self {
        let finding = Finding::error("call-failed", error.message.clone());
        Box::new(Refused { error, action: ASSUME_FOR_POD, resource: None, finding, decision: None })
    }
}

/// What people overlook.
fn taught(finding: Finding, action: &str) -> Finding {
    if action != "sts:TagSession" {
        return finding.note(format!("Pod Identity takes roles as the service {PODS}"));
    }
    finding
        .note(
            "EKS tags every session with cluster, namespace, service account and pod, which is sts:TagSession",
        )
        .help("or set disable_session_tags on the association, and do without the tags")
}

fn context(
    world: &World,
    cluster: &EksCluster,
    role: &Role,
    session_name: &str,
    tags: &[(String, String)],
) -> Context {
    let mut context = Context::new();
    let now = world.clock.now();
    context.set("aws:CurrentTime", now.to_string());
    context.set("aws:EpochTime", now.seconds().to_string());
    context.set(SECURE_TRANSPORT.0, SECURE_TRANSPORT.1);
    context.set("aws:SourceAccount", cluster.place.account.as_str());
    context.set("aws:SourceArn", cluster.arn());
    context.set("aws:PrincipalIsAWSService", "true");
    context.set("aws:PrincipalServiceName", PODS);
    context.set("sts:RoleSessionName", session_name);
    let keys: Vec<String> = tags.iter().map(|(key, _)| key.clone()).collect();
    if !keys.is_empty() {
        context.set_all("aws:TagKeys", keys.clone());
        context.set_all("sts:TransitiveTagKeys", keys);
    }
    for (key, value) in tags {
        context.set(format!("aws:RequestTag/{key}"), value.as_str());
    }
    for (key, value) in &role.tags {
        context.set(format!("aws:ResourceTag/{key}"), value.as_str());
        context.set(format!("iam:ResourceTag/{key}"), value.as_str());
    }
    context
}

/// The session takes the target role, as a chain of roles does: its transitive tags go with it.
fn target_session(
    world: &World,
    request_id: &str,
    association: &PodIdentityAssociation,
    first: Session,
    target: &str,
) -> Result<Session, Refusal> {
    let unreadable = || Refusal::from(internal(Protocol::RestJson));
    let arn = Arn::parse(target).map_err(|_| unreadable())?;
    let account = arn.account_id().ok_or_else(unreadable)?;
    let name = arn.role_path_and_name().map_or("", |(_, name)| name);
    let role = world.store.role(account, name).filter(|role| role.arn == arn);
    let mut keys = vec![
        ("sts:RoleSessionName".to_owned(), vec![first.session_name.clone()]),
        ("sts:ExternalId".to_owned(), vec![association.external_id()]),
    ];
    if !first.tags.is_empty() {
        keys.push(("aws:TagKeys".to_owned(), first.tags.iter().map(|(key, _)| key.clone()).collect()));
        keys.push(("sts:TransitiveTagKeys".to_owned(), first.transitive_tag_keys.clone()));
    }
    keys.extend(first.tags.iter().map(|(key, value)| (format!("aws:RequestTag/{key}"), vec![value.clone()])));
    for (key, value) in role.iter().flat_map(|role| &role.tags) {
        keys.push((format!("aws:ResourceTag/{key}"), vec![value.clone()]));
    }
    let caller = Caller::Session(Arc::new(first.clone()));
    let asked = authz::Asked {
        caller: &caller,
        region: &association.place.region,
        resource: target.to_owned(),
        resource_account: arn.account.clone(),
        resource_policies: &[],
        keys,
        request_id,
    };
    let further: &[&'static str] = if first.tags.is_empty() { &[] } else { &["sts:TagSession"] };
    // The reason is in the log, of a decision of its own.
    if authz::authorize_role(world, &asked, role.as_deref(), further, Protocol::RestJson).is_err() {
        let finding = Finding::error(
            "target-role",
            format!("the role of the association may not take the target role `{target}`"),
        )
        .note(format!(
            "the decision before this one says why; the external id is `{}`",
            association.external_id()
        ))
        .help(
            "both sides have to allow sts:AssumeRole and sts:TagSession: the target's trust policy names the \
             first role, and the first role's permissions name the target",
        );
        return Err(cannot_assume("sts:AssumeRole", target, finding, None));
    }
    let role = role.ok_or_else(unreadable)?;
    let now = world.clock.now();
    Ok(Session {
        access_key_id: key_id(world, &role.arn),
        account: role.arn.account.clone(),
        role_path: role.path.clone(),
        role_name: role.name.clone(),
        role_id: role.id.clone(),
        issued_at_ms: now.0,
        expires_at_ms: world.clock.ends_from(now, TARGET_SESSION_SECONDS).0,
        ..first
    })
}

fn render(granted: &Granted) -> Value {
    let Granted { pod, association, issued } = granted;
    let session = &issued.session;
    json!({
        "subject": { "namespace": pod.namespace, "serviceAccount": pod.service_account },
        "audience": PODS,
        "podIdentityAssociation": {
            "associationArn": association.arn(),
            "associationId": association.id,
        },
        "assumedRoleUser": {
            "arn": session.arn().to_string(),
            "assumeRoleId": format!("{}:{}", session.role_id, session.session_name),
        },
        "credentials": {
            "accessKeyId": session.access_key_id,
            "secretAccessKey": issued.secret_key.expose(),
            "sessionToken": issued.session_token.expose(),
            "expiration": seconds(session.expires_at_ms),
        },
    })
}
