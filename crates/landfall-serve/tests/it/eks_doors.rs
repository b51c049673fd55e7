//! EKS's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_policy::catalogue;
use landfall_serve::authz::{eks_auth_calls, eks_calls};

use crate::bench::{ACCOUNT, Bench, NOW, REGION, allow, root};
use crate::client::{Keys, Reply, Request, Signing, encoded};

/// An operation, and a request with which it works in the world of [`Furnished`].
struct Door {
    operation: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    /// What follows the account in the ARN that it is decided on.
    resource: &'static str,
    /// Further actions that it takes, with their resources.
    also: &'static [(&'static str, &'static str)],
}

const fn door(
    operation: &'static str,
    (method, path): (&'static str, &'static str),
    resource: &'static str,
) -> Door {
    Door { operation, method, path, body: "", resource, also: &[] }
}

const SHOP: &str = "cluster/shop";
const POD_ROLE: &str = "arn:aws:iam::123456789012:role/pod";
const CLUSTER_ROLE: &str = "arn:aws:iam::123456789012:role/cluster";
const ASSOCIATION: &str = "podidentityassociation/shop/${association}";
const ASSOCIATION_PATH: &str = "/clusters/shop/pod-identity-associations/${association}";

const DOORS: &[Door] = &[
    Door {
        body: r#"{"name":"new","roleArn":"arn:aws:iam::123456789012:role/cluster","resourcesVpcConfig":{},"tags":{"team":"a"}}"#,
        also: &[
            ("eks:TagResource", "arn:aws:eks:eu-west-1:123456789012:cluster/new"),
            ("iam:PassRole", CLUSTER_ROLE),
        ],
        ..door("CreateCluster", ("POST", "/clusters"), "cluster/new")
    },
    door("DescribeCluster", ("GET", "/clusters/shop"), SHOP),
    door("ListClusters", ("GET", "/clusters"), "cluster/*"),
    Door {
        body: r#"{"namespace":"build","serviceAccount":"new","roleArn":"arn:aws:iam::123456789012:role/pod"}"#,
        also: &[("iam:PassRole", POD_ROLE)],
        ..door("CreatePodIdentityAssociation", ("POST", "/clusters/shop/pod-identity-associations"), SHOP)
    },
    door("ListPodIdentityAssociations", ("GET", "/clusters/shop/pod-identity-associations"), SHOP),
    door("DescribePodIdentityAssociation", ("GET", ASSOCIATION_PATH), ASSOCIATION),
    Door {
        body: r#"{"roleArn":"arn:aws:iam::123456789012:role/pod"}"#,
        also: &[("iam:PassRole", POD_ROLE)],
        ..door("UpdatePodIdentityAssociation", ("POST", ASSOCIATION_PATH), ASSOCIATION)
    },
    Door { body: r#"{"tags":{"a":"b"}}"#, ..door("TagResource", ("POST", "/tags/${shop}"), SHOP) },
    door("UntagResource", ("DELETE", "/tags/${shop}?tagKeys=a"), SHOP),
    door("ListTagsForResource", ("GET", "/tags/${shop}"), SHOP),
    Door {
        body: r#"{"token":"${token}"}"#,
        ..door("AssumeRoleForPodIdentity", ("POST", "/clusters/shop/assume-role-for-pod-identity"), SHOP)
    },
    door("DeletePodIdentityAssociation", ("DELETE", ASSOCIATION_PATH), ASSOCIATION),
    door("DeleteCluster", ("DELETE", "/clusters/empty"), "cluster/empty"),
];

impl Door {
    /// The name in signatures.
    fn service(&self) -> &'static str {
        if self.operation == "AssumeRoleForPodIdentity" { "eks-auth" } else { "eks" }
    }
}

/// A trust policy for a service.
pub fn trust(service: &str, actions: &[&str]) -> String {
    serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions},
    ]})
    .to_string()
}

pub fn works(reply: &Reply) -> serde_json::Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

/// Code and sentence of an error.
pub fn fault(reply: &Reply) -> (String, String) {
    let code = reply.header("x-amzn-errortype").unwrap_or_default().to_owned();
    let message = reply.json()["message"].as_str().unwrap_or_default().to_owned();
    (code, message)
}

/// A call of EKS by the root user.
pub fn eks(bench: &Bench, method: &str, path: &str, body: &str) -> Reply {
    bench.call(
        &root(),
        "eks",
        Request::new(method, path).header("content-type", "application/json").body(body),
    )
}

/// Two roles, two clusters, one association.
pub struct Furnished {
    pub bench: Bench,
    pub association: String,
}

impl Furnished {
    pub fn new() -> Self {
        let bench = Bench::with_provider();
        for (role, service, actions) in [
            ("cluster", "eks.amazonaws.com", &["sts:AssumeRole"][..]),
            ("pod", "pods.eks.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"]),
        ] {
            let trust = trust(service, actions);
            let made = bench.iam("CreateRole", &[("RoleName", role), ("AssumeRolePolicyDocument", &trust)]);
            assert_eq!(made.status, 200, "{}", made.body);
        }
        for name in ["shop", "empty"] {
            let body = format!(
                r#"{{"name":"{name}","roleArn":"{CLUSTER_ROLE}","resourcesVpcConfig":{{"subnetIds":["subnet-1"]}}}}"#
            );
            works(&eks(&bench, "POST", "/clusters", &body));
        }
        let body = format!(r#"{{"namespace":"build","serviceAccount":"pusher","roleArn":"{POD_ROLE}"}}"#);
        let made = works(&eks(&bench, "POST", "/clusters/shop/pod-identity-associations", &body));
        let association = made["association"]["associationId"].as_str().unwrap().to_owned();
        Self { bench, association }
    }

    fn fill(&self, text: &str) -> String {
        let shop = encoded(&format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/shop"));
        let token = || crate::pods::token(&self.bench, &crate::pods::facts("build", "pusher"));
        let text = text.replace("${association}", &self.association).replace("${shop}", &shop);
        if text.contains("${token}") { text.replace("${token}", &token()) } else { text }
    }

    fn request(&self, door: &Door) -> Request {
        let request = Request::new(door.method, &self.fill(door.path));
        request.header("content-type", "application/json").body(self.fill(door.body))
    }

    fn give(&self, role: &str, statements: &[serde_json::Value]) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let put = [("RoleName", role), ("PolicyName", "only"), ("PolicyDocument", policy.as_str())];
        assert_eq!(self.bench.iam("PutRolePolicy", &put).status, 200);
    }
}

fn statement(effect: &str, action: &str, resource: &str) -> serde_json::Value {
    serde_json::json!({"Effect": effect, "Action": action, "Resource": resource})
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    let listed: Vec<&str> = DOORS.iter().map(|door| door.operation).collect();
    for (service, name) in eks_calls::API.iter().chain(eks_auth_calls::API) {
        assert!(listed.contains(name), "{name} is not covered");
        assert!(catalogue::need(service, name).is_some(), "{name} is not in the catalogue");
    }
    assert_eq!(listed.len(), eks_calls::API.len() + eks_auth_calls::API.len());
}

#[test]
fn strangers_stay_outside_of_every_operation() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let keys = bench.session_with("all", &["*"]);
    bench.server.world.clock.advance(3600);
    for door in DOORS {
        let at = |service: &'static str| Signing { service, region: REGION, at: NOW };
        let code = |reply: &Reply| {
            assert_eq!(reply.status, 403, "{}: {}", door.operation, reply.body);
            fault(reply).0
        };
        let nobody = bench.send(&furnished.request(door));
        assert_eq!(code(&nobody), "MissingAuthenticationTokenException", "{}", door.operation);
        let guess = Keys { secret: "guess".to_owned(), ..keys.clone() };
        let guessed = bench.send(&furnished.request(door).sign(&guess, at(door.service())));
        assert_eq!(code(&guessed), "InvalidSignatureException", "{}", door.operation);
        let ended = bench.send(&furnished.request(door).sign(&keys, at(door.service())));
        assert_eq!(code(&ended), "ExpiredTokenException", "{}", door.operation);
        let wrong = bench.send(&furnished.request(door).sign(&root(), at("ecs")));
        let sentence = format!("Credential should be scoped to correct service: '{}'. ", door.service());
        assert_eq!(fault(&wrong), ("InvalidSignatureException".to_owned(), sentence));
    }
}

#[test]
fn a_role_needs_each_action_of_each_operation() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    for role in ["without", "denied", "with"] {
        bench.role(role, &allow(&["s3:*"], "*"));
    }
    let [without, denied, with] = ["without", "denied", "with"].map(|role| bench.session(role));
    for door in DOORS {
        let resource = format!("arn:aws:eks:{REGION}:{ACCOUNT}:{}", furnished.fill(door.resource));
        let action = catalogue::need(door.service(), door.operation).unwrap().action;
        furnished.give("denied", &[statement("Allow", "*", "*"), statement("Deny", action, &resource)]);
        let nothing = format!("because no identity-based policy allows the {action} action");
        let explicit = "with an explicit deny in an identity-based policy".to_owned();
        let said = |role: &str, action: &str, resource: &str, reason: &str| {
            let sentence = format!(
                "User: arn:aws:sts::{ACCOUNT}:assumed-role/{role}/test is not authorized to perform: {action} on resource: {resource} {reason}"
            );
            ("AccessDeniedException".to_owned(), sentence)
        };
        for (role, keys, reason) in [("without", &without, &nothing), ("denied", &denied, &explicit)] {
            let reply = bench.call(keys, door.service(), furnished.request(door));
            assert_eq!(reply.status, 403, "{}", door.operation);
            assert_eq!(fault(&reply), said(role, action, &resource, reason), "{}", door.operation);
        }
        // Without any one of the further actions it doesn't work either.
        let own = statement("Allow", action, &resource);
        for (left_out, on) in door.also {
            let rest = door.also.iter().filter(|other| **other != (*left_out, *on));
            let mut statements: Vec<_> = rest.map(|(action, on)| statement("Allow", action, on)).collect();
            statements.push(own.clone());
            furnished.give("with", &statements);
            let reply = bench.call(&with, door.service(), furnished.request(door));
            let nothing = format!("because no identity-based policy allows the {left_out} action");
            assert_eq!(fault(&reply), said("with", left_out, on, &nothing), "{}", door.operation);
        }
        let also = door.also.iter().map(|(action, on)| statement("Allow", action, on));
        furnished.give("with", &also.chain([own]).collect::<Vec<_>>());
        let reply = bench.call(&with, door.service(), furnished.request(door));
        assert_eq!(reply.status, 200, "{}: {}", door.operation, reply.body);
    }
}

#[test]
fn a_role_is_passed_to_pods_of_a_cluster_and_to_nothing_else() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    bench.role("deploy", &allow(&["eks:*"], "*"));
    let keys = bench.session("deploy");
    let body = format!(r#"{{"namespace":"build","serviceAccount":"x","roleArn":"{POD_ROLE}"}}"#);
    let cluster = format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/shop");
    for (service, on, passes) in [
        ("eks.amazonaws.com", cluster.as_str(), false),
        ("pods.eks.amazonaws.com", "arn:aws:eks:eu-west-1:123456789012:cluster/other", false),
        ("pods.eks.amazonaws.com", cluster.as_str(), true),
    ] {
        let mut pass = statement("Allow", "iam:PassRole", POD_ROLE);
        pass["Condition"] = serde_json::json!({"StringEquals":
            {"iam:PassedToService": service, "iam:AssociatedResourceArn": on}});
        furnished.give("deploy", &[statement("Allow", "eks:*", "*"), pass]);
        let request = Request::new("POST", "/clusters/shop/pod-identity-associations").body(body.clone());
        let reply = bench.call(&keys, "eks", request);
        assert_eq!(reply.status == 200, passes, "{service} {on}: {}", reply.body);
        assert_eq!(bench.newest().action.as_deref(), Some("iam:PassRole"));
    }
}

const CREATE: &str = "/clusters/shop/pod-identity-associations";
const INVALID: (u16, &str) = (400, "InvalidParameterException");
const NOT_FOUND: (u16, &str) = (404, "ResourceNotFoundException");
const IN_USE: (u16, &str) = (409, "ResourceInUseException");

/// Method, path, body, status and code, EKS's sentence.
type Wrong = (&'static str, &'static str, &'static str, (u16, &'static str), &'static str);

const WRONG: &[Wrong] = &[
    ("GET", "/clusters/none", "", NOT_FOUND, "No cluster found for name: none."),
    ("DELETE", "/clusters/none", "", NOT_FOUND, "No cluster found for name: none."),
    (
        "POST",
        "/clusters",
        r#"{"name":"shop","roleArn":"arn:aws:iam::123456789012:role/cluster","resourcesVpcConfig":{}}"#,
        IN_USE,
        "Cluster already exists with name: shop",
    ),
    (
        "POST",
        "/clusters",
        r#"{"name":"-x","roleArn":"arn:aws:iam::123456789012:role/cluster","resourcesVpcConfig":{}}"#,
        INVALID,
        r#"The parameter name contains invalid characters. It should conform to the regular expression "^[0-9A-Za-z][A-Za-z0-9\-_]*""#,
    ),
    (
        "POST",
        "/clusters",
        r#"{"name":"x","roleArn":"arn:aws:iam::123456789012:role/pod","resourcesVpcConfig":{}}"#,
        INVALID,
        "Role with arn: arn:aws:iam::123456789012:role/pod, could not be assumed because it does not exist or the trusted entity is not correct",
    ),
    (
        "POST",
        CREATE,
        r#"{"namespace":"build","serviceAccount":"pusher","roleArn":"arn:aws:iam::123456789012:role/pod"}"#,
        IN_USE,
        "Association already exists: ${association}",
    ),
    (
        "POST",
        CREATE,
        r#"{"namespace":"Build_","serviceAccount":"new","roleArn":"arn:aws:iam::123456789012:role/pod"}"#,
        INVALID,
        r#"The parameter namespace contains invalid characters. It should conform to the regular expression "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$""#,
    ),
    (
        "POST",
        CREATE,
        r#"{"namespace":"build","serviceAccount":"new","roleArn":"arn:aws:iam::123456789012:role/pod","clientRequestToken":"short"}"#,
        INVALID,
        "The client request token parameter must be between 33 and 126 characters.",
    ),
    (
        "POST",
        CREATE,
        r#"{"namespace":"build","serviceAccount":"new","roleArn":"arn:aws:iam::123456789012:role/none"}"#,
        INVALID,
        "Role provided in the request does not exist.",
    ),
    (
        "POST",
        CREATE,
        r#"{"namespace":"build","serviceAccount":"new","roleArn":"arn:aws:iam::123456789012:role/cluster"}"#,
        INVALID,
        "Trust policy of the role provided is invalid. Follow the official documentation to resolve the issue.",
    ),
    (
        "POST",
        CREATE,
        r#"{"namespace":"build","serviceAccount":"new","roleArn":"arn:aws:iam::123456789012:role/pod","policy":"{}"}"#,
        INVALID,
        "The parameter policy is not a policy: Syntax errors in policy.",
    ),
    (
        "GET",
        "/clusters/shop/pod-identity-associations/a-none",
        "",
        NOT_FOUND,
        "No service account role association found for ID: a-none",
    ),
    ("GET", "/clusters/none/pod-identity-associations", "", NOT_FOUND, "No cluster found for name: none."),
    ("GET", "/clusters?maxResults=0", "", INVALID, "maxResults should be between 1 and 100."),
    (
        "GET",
        "/tags/arn:aws:eks:eu-west-1:123456789012:cluster/none",
        "",
        (404, "NotFoundException"),
        "The resource arn:aws:eks:eu-west-1:123456789012:cluster/none was not found.",
    ),
    ("GET", "/tags/nonsense", "", (400, "BadRequestException"), "Invalid resource ARN: nonsense"),
    ("PUT", "/clusters/shop", "", (404, "UnknownOperationException"), ""),
];

#[test]
fn what_is_wrong_is_told_in_ekss_words() {
    let furnished = Furnished::new();
    for (method, path, body, (status, code), message) in WRONG {
        let reply = eks(&furnished.bench, method, path, body);
        let (got, said) = fault(&reply);
        let wanted = (*status, *code, furnished.fill(message));
        assert_eq!((reply.status, got.as_str(), said), wanted, "{method} {path} {body}");
    }
}
