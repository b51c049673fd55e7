//! What a pod gets for its token: by EKS Auth, by the agent, and what neither gives to anybody else.

use landfall_serve::eks::pods::{self, TokenFacts};
use landfall_serve::issuer::Signer;
use landfall_types::{AccountId, Issuer};

use crate::bench::{ACCOUNT, Bench, NOW, REGION, allow, root};
use crate::client::{Reply, Request};
use crate::door_table::works;
use crate::eks_doors::{Furnished, eks, trust};

const CANNOT_ASSUME: &str =
    "Unauthorized Exception! EKS does not have permissions to assume the associated role.";

/// What the token of a pod of cluster `shop` says.
pub fn facts(namespace: &str, service_account: &str) -> TokenFacts {
    let account = AccountId::parse(ACCOUNT).unwrap();
    TokenFacts {
        issuer: Issuer::of_eks_cluster(account, REGION, "shop").to_string(),
        audience: "pods.eks.amazonaws.com".to_owned(),
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
        pod: format!("{service_account}-0"),
        pod_uid: "0f1e2d3c-0000-4000-8000-000000000000".to_owned(),
        issued_at: NOW.seconds(),
        lifetime: 3600,
        id: "00000000-0000-4000-8000-000000000001".to_owned(),
    }
}

pub fn token(bench: &Bench, facts: &TokenFacts) -> String {
    bench.token(&pods::claims(facts))
}

fn assume(bench: &Bench, token: &str) -> Reply {
    let body = serde_json::json!({ "token": token }).to_string();
    let request = Request::new("POST", "/clusters/shop/assume-role-for-pod-identity").body(body);
    bench.call(&root(), "eks-auth", request)
}

fn agent(bench: &Bench, token: &str) -> Reply {
    bench.send(&Request::new("GET", "/v1/credentials").header("authorization", token))
}

/// A trust policy that admits pods with this session tag.
fn trust_of_tag(name: &str, value: &str) -> String {
    let condition = serde_json::json!({ "StringEquals": { format!("aws:RequestTag/{name}"): value } });
    trust("pods.eks.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"])
        .replace(r#""Effect":"Allow""#, &format!(r#""Condition":{condition},"Effect":"Allow""#))
}

fn set_trust(bench: &Bench, trust: &str) {
    let params = [("RoleName", "pod"), ("PolicyDocument", trust)];
    let done = bench.iam("UpdateAssumeRolePolicy", &params);
    assert_eq!(done.status, 200, "{}", done.body);
}

#[test]
fn a_pod_gets_a_session_with_the_six_tags() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let answer = works(&assume(bench, &token(bench, &facts("build", "pusher"))));
    assert_eq!(answer["subject"], serde_json::json!({"namespace": "build", "serviceAccount": "pusher"}));
    assert_eq!(answer["audience"], "pods.eks.amazonaws.com");
    assert_eq!(answer["podIdentityAssociation"]["associationId"], furnished.association.as_str());
    let arn = answer["assumedRoleUser"]["arn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/pod/eks-shop-pusher-0-"), "{arn}");
    assert_eq!(answer["credentials"]["expiration"], serde_json::json!((NOW.seconds() + 6 * 3600) as f64));
    let record = bench.newest();
    assert_eq!(record.caller, "system:serviceaccount:build:pusher");
    for (name, value) in [
        ("eks-cluster-arn", "arn:aws:eks:eu-west-1:123456789012:cluster/shop"),
        ("eks-cluster-name", "shop"),
        ("kubernetes-namespace", "build"),
        ("kubernetes-service-account", "pusher"),
        ("kubernetes-pod-name", "pusher-0"),
        ("kubernetes-pod-uid", "0f1e2d3c-0000-4000-8000-000000000000"),
    ] {
        // One trust policy after the other that admits a pod with this tag alone, and any other one.
        for (wanted, status) in [(value, 200), ("other", 400)] {
            set_trust(bench, &trust_of_tag(name, wanted));
            assert_eq!(
                assume(bench, &token(bench, &facts("build", "pusher"))).status,
                status,
                "{name}: {wanted}"
            );
        }
    }
}

/// Trust policies that EKS can't use, and what the log says of each.
#[test]
fn a_trust_policy_that_does_not_admit_pods_refuses_with_one_sentence() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let both = ["sts:AssumeRole", "sts:TagSession"];
    let other_namespace = trust_of_tag("kubernetes-namespace", "prod");
    for (trust, action) in [
        (trust("pods.eks.amazonaws.com", &["sts:AssumeRole"]), "sts:TagSession"),
        (trust("pods.eks.amazonaws.com", &["sts:TagSession"]), "sts:AssumeRole"),
        (trust("ec2.amazonaws.com", &both), "sts:AssumeRole"),
        (other_namespace, "sts:AssumeRole"),
    ] {
        set_trust(bench, &trust);
        let token = token(bench, &facts("build", "pusher"));
        let reply = assume(bench, &token);
        assert_eq!(reply.status, 400);
        assert_eq!(reply.fault(), ("AccessDeniedException".to_owned(), CANNOT_ASSUME.to_owned()), "{trust}");
        assert_eq!(bench.newest().action.as_deref(), Some(action), "{trust}");
        let by_agent = agent(bench, &token);
        assert_eq!(by_agent.status, 400);
        let (id, rest) = by_agent.body.split_once("]: ").unwrap();
        assert_eq!(rest, format!("(AccessDeniedException): {CANNOT_ASSUME}, fault: client\n"));
        assert_eq!(id.len(), 37, "{id}");
    }
    // Without tags nothing has to be allowed but taking the role.
    set_trust(bench, &trust("pods.eks.amazonaws.com", &["sts:AssumeRole"]));
    let path = format!("/clusters/shop/pod-identity-associations/{}", furnished.association);
    works(&eks(bench, "POST", &path, r#"{"disableSessionTags":true}"#));
    works(&assume(bench, &token(bench, &facts("build", "pusher"))));
}

#[test]
fn a_token_is_the_clusters_own_for_this_audience_and_alive() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let good = facts("build", "pusher");
    let account = AccountId::parse(ACCOUNT).unwrap();
    let elsewhere = Issuer::of_eks_cluster(account, REGION, "empty").to_string();
    let minted = |facts: TokenFacts| token(bench, &facts);
    let stranger = {
        let issuer = bench.server.world.issuers.by_url(&good.issuer).unwrap();
        issuer.mint(&pods::claims(&good), Signer::Stranger).unwrap()
    };
    for (what, token, status, code) in [
        ("nonsense", "a.b.c".to_owned(), 400, "InvalidTokenException"),
        ("a stranger's", stranger, 400, "InvalidTokenException"),
        (
            "another cluster's",
            minted(TokenFacts { issuer: elsewhere, ..good.clone() }),
            400,
            "InvalidTokenException",
        ),
        (
            "IRSA's",
            minted(TokenFacts { audience: "sts.amazonaws.com".to_owned(), ..good.clone() }),
            400,
            "InvalidTokenException",
        ),
        (
            "an old one",
            minted(TokenFacts { issued_at: NOW.seconds() - 3600, ..good.clone() }),
            400,
            "ExpiredTokenException",
        ),
        ("another service account's", minted(facts("build", "other")), 404, "ResourceNotFoundException"),
        ("another namespace's", minted(facts("prod", "pusher")), 404, "ResourceNotFoundException"),
    ] {
        let reply = assume(bench, &token);
        assert_eq!((reply.status, reply.fault().0.as_str()), (status, code), "{what}");
        assert!(bench.newest().finding.is_some(), "{what}");
        if code == "ExpiredTokenException" {
            let told = "The token included in the request is expired: current date/time 2026-10-01T12:00:00.000Z must be before the expiration date/time 2026-10-01T";
            assert!(reply.fault().1.starts_with(told), "{}", reply.body);
        }
    }
}

#[test]
fn a_target_role_is_taken_with_the_external_id_and_the_tags() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let target = format!("arn:aws:iam::{ACCOUNT}:role/target");
    let target_trust = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:role/pod")},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": {
            "sts:ExternalId": format!("{REGION}/{ACCOUNT}/shop/build/pusher"),
            "aws:RequestTag/kubernetes-namespace": "build",
        }},
    }]})
    .to_string();
    let params = [("RoleName", "target"), ("AssumeRolePolicyDocument", target_trust.as_str())];
    assert_eq!(bench.iam("CreateRole", &params).status, 200);
    let path = format!("/clusters/shop/pod-identity-associations/{}", furnished.association);
    let body = serde_json::json!({ "targetRoleArn": target }).to_string();
    let updated = works(&eks(bench, "POST", &path, &body));
    assert_eq!(updated["association"]["externalId"], format!("{REGION}/{ACCOUNT}/shop/build/pusher"));
    let token = token(bench, &facts("build", "pusher"));
    let answer = works(&assume(bench, &token));
    let arn = answer["assumedRoleUser"]["arn"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:sts::123456789012:assumed-role/target/eks-shop-pusher-0-"), "{arn}");
    assert_eq!(answer["credentials"]["expiration"], serde_json::json!((NOW.seconds() + 3600) as f64));
    // A wrong external id is told as every other refusal.
    let wrong = target_trust.replace("/shop/", "/other/");
    let params = [("RoleName", "target"), ("PolicyDocument", wrong.as_str())];
    assert_eq!(bench.iam("UpdateAssumeRolePolicy", &params).status, 200);
    assert_eq!(assume(bench, &token).fault().1, CANNOT_ASSUME);
    assert_eq!(bench.rule(), "target-role");
    // An empty target role takes it away again.
    let cleared = works(&eks(bench, "POST", &path, r#"{"targetRoleArn":""}"#));
    assert_eq!(cleared["association"].get("targetRoleArn"), None);
}

#[test]
fn a_session_policy_narrows_what_a_pod_may_do() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let put = [("RoleName", "pod"), ("PolicyName", "all"), ("PolicyDocument", &*allow(&["ecr:*"], "*"))];
    assert_eq!(bench.iam("PutRolePolicy", &put).status, 200);
    let path = format!("/clusters/shop/pod-identity-associations/{}", furnished.association);
    let policy = allow(&["ecr:GetAuthorizationToken"], "*");
    let alone = serde_json::json!({ "policy": policy }).to_string();
    let (code, message) = eks(bench, "POST", &path, &alone).fault();
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, "A policy can be specified only when disableSessionTags is true.");
    let body = serde_json::json!({ "policy": policy, "disableSessionTags": true }).to_string();
    works(&eks(bench, "POST", &path, &body));
    let given = works(&agent(bench, &token(bench, &facts("build", "pusher"))));
    let text = |name: &str| given[name].as_str().unwrap().to_owned();
    let keys = crate::client::Keys {
        id: text("AccessKeyId"),
        secret: text("SecretAccessKey"),
        token: Some(text("Token")),
    };
    works(&bench.call(&keys, "ecr", Request::ecr("GetAuthorizationToken", "{}")));
    let refused = bench.call(&keys, "ecr", Request::ecr("DescribeRepositories", "{}"));
    assert!(refused.fault().1.contains("because no session policy allows"), "{}", refused.body);
}

#[test]
fn the_agent_keeps_what_it_was_given_until_eks_takes_it_back() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let long = TokenFacts { lifetime: 86_400, ..facts("build", "pusher") };
    let token = token(bench, &long);
    let first = agent(bench, &token);
    assert_eq!(works(&first)["AccountId"], ACCOUNT);
    assert_eq!(first.header("content-type"), Some("application/json"));
    // Also when the association is gone.
    let path = format!("/clusters/shop/pod-identity-associations/{}", furnished.association);
    works(&eks(bench, "DELETE", &path, ""));
    assert_eq!(agent(bench, &token).body, first.body);
    // After three hours it asks again, and then it is over.
    bench.server.world.clock.advance(3 * 3600);
    let ended = agent(bench, &token);
    assert_eq!((ended.status, ended.header("content-type")), (404, Some("text/plain; charset=utf-8")));
    assert!(ended.body.contains("]: (ResourceNotFoundException): "), "{}", ended.body);
}

#[test]
fn the_agent_refuses_as_the_real_one_does() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let token = token(bench, &facts("build", "pusher"));
    let with = |host: &str, authorization: &str| {
        let request = Request::new("GET", "/v1/credentials").header("host", host);
        bench.send(&request.header("authorization", authorization))
    };
    for (host, authorization, status, body) in [
        ("169.254.170.23", "", 400, "Service account token cannot be empty\n"),
        (
            "169.254.170.23",
            "nonsense",
            400,
            "Service account token cannot be parsed: token is malformed: token contains an invalid number of segments\n",
        ),
        (
            "10.1.2.3:80",
            token.as_str(),
            403,
            "Access Denied. Called agent through invalid address, please use either [169.254.170.23 fd00:ec2::23] address not 10.1.2.3\n",
        ),
    ] {
        let reply = with(host, authorization);
        assert_eq!((reply.status, reply.body.as_str()), (status, body), "{host} {authorization}");
    }
    for host in ["169.254.170.23", "[fd00:ec2::23]", "127.0.0.1:4566"] {
        assert_eq!(with(host, &token).status, 200, "{host}");
    }
}

#[test]
fn what_the_webhook_knows_is_told_to_this_machine() {
    let furnished = Furnished::new();
    let bench = &furnished.bench;
    let ask = |query: &str| bench.send(&Request::new("GET", &format!("/_landfall/pod?{query}")));
    let known = works(&ask("cluster=shop&namespace=build&service-account=pusher"));
    assert_eq!(known["association"]["id"], furnished.association.as_str());
    assert_eq!(known["cluster"]["region"], REGION);
    let other = works(&ask("cluster=shop&namespace=build&service-account=other"));
    assert_eq!((other["association"].is_null(), &other["others"][0]), (true, &"build/pusher".into()));
    let none = ask("cluster=none&namespace=build&service-account=pusher");
    assert_eq!(none.status, 404);
    assert_eq!(
        none.json()["message"],
        "no EKS cluster `none` in account 123456789012: there are `empty` in eu-west-1, `shop` in eu-west-1"
    );
    assert_eq!(ask("cluster=shop").status, 400);
}

#[test]
fn a_clusters_issuer_publishes_its_keys() {
    let furnished = Furnished::new();
    let issuer = facts("build", "pusher").issuer;
    let host_and_path = issuer.strip_prefix("https://").unwrap();
    let get = |path: &str| {
        let target = format!("/_landfall/issuer/{host_and_path}{path}");
        works(&furnished.bench.send(&Request::new("GET", &target)))
    };
    assert_eq!(get("/.well-known/openid-configuration")["jwks_uri"], format!("{issuer}/keys"));
    let kid = get("/keys")["keys"][0]["kid"].as_str().unwrap().to_owned();
    assert!(kid.len() == 40 && kid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{kid}");
}
