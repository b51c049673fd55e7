//! EKS's doors: what each operation is decided on, and that nobody gets past the decision.

use landfall_serve::authz::{eks_auth_calls, eks_calls};
use serde_json::json;

use crate::bench::{ACCOUNT, Bench, REGION, root};
use crate::client::{Reply, Request, encoded};
use crate::door_table::{self, Door, works};

const fn door(
    operation: &'static str,
    (method, path): (&'static str, &'static str),
    resource: &'static str,
) -> Door {
    Door { method, path, ..Door::json("eks", operation, resource, "") }
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
        service: "eks-auth",
        body: r#"{"token":"${token}"}"#,
        ..door("AssumeRoleForPodIdentity", ("POST", "/clusters/shop/assume-role-for-pod-identity"), SHOP)
    },
    door("DeletePodIdentityAssociation", ("DELETE", ASSOCIATION_PATH), ASSOCIATION),
    door("DeleteCluster", ("DELETE", "/clusters/empty"), "cluster/empty"),
];

/// A trust policy for a service.
pub fn trust(service: &str, actions: &[&str]) -> String {
    serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions},
    ]})
    .to_string()
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
}

impl door_table::Furnished for Furnished {
    fn bench(&self) -> &Bench {
        &self.bench
    }

    fn fill(&self, text: &str) -> String {
        let shop = encoded(&format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/shop"));
        let token = || crate::pods::token(&self.bench, &crate::pods::facts("build", "pusher"));
        let text = text.replace("${association}", &self.association).replace("${shop}", &shop);
        if text.contains("${token}") { text.replace("${token}", &token()) } else { text }
    }
}

#[test]
fn every_operation_stands_in_the_table_and_in_the_catalogue() {
    door_table::is_whole(DOORS, &[eks_calls::API, eks_auth_calls::API]);
}

#[test]
fn strangers_stay_outside_of_every_operation() {
    door_table::strangers_stay_outside(&Furnished::new(), DOORS);
}

#[test]
fn a_role_needs_each_action_of_each_operation() {
    door_table::a_role_needs_each_action(&Furnished::new(), DOORS);
}

#[test]
fn a_role_is_passed_to_pods_of_a_cluster_and_to_nothing_else() {
    let furnished = Furnished::new();
    let body = format!(r#"{{"namespace":"build","serviceAccount":"x","roleArn":"{POD_ROLE}"}}"#);
    let request = Request::new("POST", CREATE).body(body);
    let condition =
        |service: &str, on: &str| json!({"iam:PassedToService": service, "iam:AssociatedResourceArn": on});
    let cluster = format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/shop");
    let other = format!("arn:aws:eks:{REGION}:{ACCOUNT}:cluster/other");
    let cases = [
        (condition("eks.amazonaws.com", &cluster), false),
        (condition("pods.eks.amazonaws.com", &other), false),
        (condition("pods.eks.amazonaws.com", &cluster), true),
    ];
    door_table::a_role_is_passed(&furnished.bench, "eks", POD_ROLE, &request, &cases);
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
    (
        "PUT",
        "/clusters/shop",
        "",
        (404, "UnknownOperationException"),
        "this local side does not have the operation PUT /clusters/shop of EKS",
    ),
];

#[test]
fn what_is_wrong_is_told_in_ekss_words() {
    let furnished = Furnished::new();
    for (method, path, body, (status, code), message) in WRONG {
        let reply = eks(&furnished.bench, method, path, body);
        let (got, said) = reply.fault();
        let wanted = (*status, *code, door_table::Furnished::fill(&furnished, message));
        assert_eq!((reply.status, got.as_str(), said), wanted, "{method} {path} {body}");
    }
}
