//! What becomes of sessions: their role goes, their policies narrow them, other accounts' things stay theirs.

use crate::bench::{ACCOUNT, Bench, IAM, REGION, allow, root, root_of, statement, trust};
use crate::client::{Keys, Reply, Request};

const OTHER: &str = "999999999999";

fn list(bench: &Bench, keys: &Keys) -> Reply {
    bench.call(keys, "ecr", Request::ecr("ListImages", r#"{"repositoryName":"team/api"}"#))
}

fn bench_with_repository() -> Bench {
    let bench = Bench::with_provider();
    assert_eq!(bench.ecr("CreateRepository", r#"{"repositoryName":"team/api"}"#).status, 200);
    bench
}

/// Takes a role away, with its policy.
fn delete_role(bench: &Bench, name: &str) {
    assert_eq!(bench.iam("DeleteRolePolicy", &[("RoleName", name), ("PolicyName", "only")]).status, 200);
    assert_eq!(bench.iam("DeleteRole", &[("RoleName", name)]).status, 200);
}

#[test]
fn a_session_may_do_nothing_once_its_role_is_gone() {
    let bench = bench_with_repository();
    let keys = bench.session_with("puller", &["ecr:*"]);
    let login = bench.login(&keys);
    let tags = Request::new("GET", "/v2/team/api/tags/list").header("authorization", &login);
    assert_eq!((list(&bench, &keys).status, bench.send(&tags).status), (200, 200));
    delete_role(&bench, "puller");
    assert_eq!(list(&bench, &keys).fault().0, "AccessDeniedException");
    assert_eq!(bench.rule(), "role-deleted");
    assert_eq!((bench.send(&tags).status, bench.rule()), (403, "role-deleted"));
    // Another role of the same name is another role.
    bench.role("puller", &allow(&["ecr:*"], "*"));
    assert_eq!((list(&bench, &keys).status, bench.rule()), (400, "role-deleted"));
    assert_eq!((bench.send(&tags).status, bench.rule()), (403, "role-deleted"));
    assert_eq!(list(&bench, &bench.session("puller")).status, 200);
}

#[test]
fn a_repository_that_trusts_a_role_by_name_does_not_trust_the_sessions_of_one_that_is_gone() {
    let bench = bench_with_repository();
    let world = &bench.server.world;
    let keys = bench.session_with("puller", &["s3:GetObject"]);
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:role/puller"}},"Action":"ecr:ListImages"}}}}"#
    );
    let name = landfall_types::RepositoryName::parse("team/shared").unwrap();
    let account = landfall_types::AccountId::parse(ACCOUNT).unwrap();
    let registry = landfall_serve::store::RegistryId { account, region: REGION.to_owned() };
    let document = landfall_serve::iam::DocumentInput::from_json(world, "policy", &policy)
        .read(landfall_policy::PolicyKind::Resource, account)
        .unwrap();
    world
        .store
        .insert_repository(landfall_serve::store::Repository {
            registry,
            name,
            settings: landfall_serve::store::RepositorySettings::default(),
            policy: Some(document),
            tags: Vec::new(),
            created_at: crate::bench::NOW,
        })
        .unwrap();
    let list = |keys: &Keys| {
        bench.call(keys, "ecr", Request::ecr("ListImages", r#"{"repositoryName":"team/shared"}"#)).status
    };
    assert_eq!(list(&keys), 200);
    delete_role(&bench, "puller");
    assert_eq!((list(&keys), bench.rule()), (400, "role-deleted"));
    bench.role("puller", &allow(&["s3:GetObject"], "*"));
    assert_eq!((list(&keys), bench.rule()), (400, "role-deleted"));
}

#[test]
fn a_changed_policy_holds_for_sessions_that_are_open() {
    let bench = bench_with_repository();
    let keys = bench.session_with("puller", &["ecr:*"]);
    assert_eq!(list(&bench, &keys).status, 200);
    let denial = statement("Deny", &["ecr:ListImages"], "*");
    bench.iam(
        "PutRolePolicy",
        &[("RoleName", "puller"), ("PolicyName", "more"), ("PolicyDocument", denial.as_str())],
    );
    assert_eq!(
        (list(&bench, &keys).fault().0.as_str(), bench.rule()),
        ("AccessDeniedException", "explicit-deny")
    );
}

#[test]
fn a_session_policy_narrows_and_never_widens() {
    let bench = bench_with_repository();
    bench.role("puller", &allow(&["ecr:ListImages"], "*"));
    let session = |policy: &str| {
        let keys = crate::bench::keys_of(&bench.exchange("puller", &[("Policy", policy)]));
        let describe = Request::ecr("DescribeImages", r#"{"repositoryName":"team/api"}"#);
        (list(&bench, &keys).status, bench.call(&keys, "ecr", describe).status)
    };
    assert_eq!(session(&allow(&["ecr:*"], "*")), (200, 400));
    assert_eq!(session(&allow(&["ecr:DescribeImages"], "*")), (400, 400));
    let managed = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly";
    let keys = crate::bench::keys_of(&bench.exchange("puller", &[("PolicyArns.member.1.arn", managed)]));
    assert_eq!(list(&bench, &keys).status, 200);
    // A managed session policy counts as it is now: gone, it allows nothing.
    let made =
        bench.iam("CreatePolicy", &[("PolicyName", "narrow"), ("PolicyDocument", &allow(&["ecr:*"], "*"))]);
    let arn = made.element("Arn").unwrap();
    let keys = crate::bench::keys_of(&bench.exchange("puller", &[("PolicyArns.member.1.arn", &arn)]));
    assert_eq!(list(&bench, &keys).status, 200);
    assert_eq!(bench.iam("DeletePolicy", &[("PolicyArn", &arn)]).status, 200);
    let refused = list(&bench, &keys);
    assert!(refused.fault().1.ends_with("because no session policy allows the ecr:ListImages action"));
}

#[test]
fn a_boundary_bounds() {
    let bench = bench_with_repository();
    let made =
        bench.iam("CreatePolicy", &[("PolicyName", "edge"), ("PolicyDocument", &allow(&["s3:*"], "*"))]);
    let boundary = made.element("Arn").unwrap();
    bench.iam(
        "CreateRole",
        &[
            ("RoleName", "puller"),
            ("AssumeRolePolicyDocument", &trust(ACCOUNT)),
            ("PermissionsBoundary", &boundary),
        ],
    );
    let all = allow(&["*"], "*");
    bench.iam("PutRolePolicy", &[("RoleName", "puller"), ("PolicyName", "all"), ("PolicyDocument", &all)]);
    let refused = list(&bench, &bench.session("puller"));
    assert!(refused.fault().1.ends_with("because no permissions boundary allows the ecr:ListImages action"));
}

#[test]
fn no_session_and_no_root_user_reaches_into_another_account() {
    let bench = bench_with_repository();
    let theirs = bench.call(
        &root_of(OTHER),
        "ecr",
        Request::ecr("CreateRepository", r#"{"repositoryName":"team/api"}"#),
    );
    assert_eq!(theirs.status, 200, "{}", theirs.body);
    let session = bench.session_with("all", &["*"]);
    let other = format!(r#"{{"repositoryName":"team/api","registryId":"{OTHER}"}}"#);
    let tags = Request::new("GET", "/v2/team/api/tags/list")
        .header("host", &format!("{OTHER}.dkr.ecr.{REGION}.amazonaws.com"));
    for keys in [root(), session.clone()] {
        for (operation, input) in [
            ("ListImages", other.as_str()),
            ("CreateRepository", &other.replace("team/api", "team/new")),
            ("DescribeRepositories", &format!(r#"{{"registryId":"{OTHER}"}}"#)),
        ] {
            let reply = bench.call(&keys, "ecr", Request::ecr(operation, input));
            let (code, message) = reply.fault();
            assert_eq!(code, "AccessDeniedException", "{operation}");
            assert!(message.contains("because no resource-based policy allows"), "{message}");
        }
        let login = bench.login(&keys);
        assert_eq!(bench.send(&tags.clone().header("authorization", &login)).status, 403);
        let provider = format!("arn:aws:iam::{OTHER}:oidc-provider/token.actions.githubusercontent.com");
        let delete =
            Request::query(IAM, "DeleteOpenIDConnectProvider", &[("OpenIDConnectProviderArn", &provider)]);
        assert_eq!(bench.call(&keys, "iam", delete).fault().0, "AccessDenied");
    }
    // Theirs are theirs: the other root user may.
    let login = bench.login(&root_of(OTHER));
    assert_eq!(bench.send(&tags.header("authorization", &login)).status, 200);
}

#[test]
fn a_denied_provider_cannot_be_made_under_another_spelling() {
    let bench = bench_with_repository();
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"},{"Effect":"Deny","Action":"iam:*","Resource":"arn:aws:iam::123456789012:oidc-provider/*.example.test"}]}"#;
    bench.role("admin", policy);
    let keys = bench.session("admin");
    let create = |url: &str| {
        bench.call(&keys, "iam", Request::query(IAM, "CreateOpenIDConnectProvider", &[("Url", url)])).status
    };
    assert_eq!(create("https://id.example.test"), 403);
    assert_eq!(create("https://id.example.test:443"), 403);
    assert_eq!(create("https://id.example.org"), 200);
}

#[test]
fn condition_keys_of_the_call_are_there() {
    let bench = bench_with_repository();
    let made =
        bench.iam("CreatePolicy", &[("PolicyName", "edge"), ("PolicyDocument", &allow(&["s3:*"], "*"))]);
    let boundary = made.element("Arn").unwrap();
    let conditional = |role: &str, action: &str, condition: serde_json::Value| {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement":
            {"Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition}});
        bench.role(role, &policy.to_string());
        bench.session(role)
    };
    for (number, (condition, status)) in [
        (serde_json::json!({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}), 200),
        (serde_json::json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), 400),
        (serde_json::json!({"StringLike": {"aws:UserAgent": "aws-cli/*"}}), 200),
        (serde_json::json!({"StringLike": {"aws:UserAgent": "curl/*"}}), 400),
        (serde_json::json!({"Bool": {"aws:SecureTransport": "true"}}), 200),
        (serde_json::json!({"Bool": {"aws:ViaAWSService": "false"}}), 200),
        (serde_json::json!({"StringEquals": {"aws:RequestedRegion": REGION}}), 200),
        (serde_json::json!({"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}), 200),
        (
            serde_json::json!({"StringEquals": {"token.actions.githubusercontent.com:sub": crate::bench::SUBJECT}}),
            200,
        ),
        (serde_json::json!({"Null": {"aws:PrincipalTag/team": "false"}}), 400),
    ]
    .into_iter()
    .enumerate()
    {
        let keys = conditional(&format!("role-{number}"), "ecr:ListImages", condition.clone());
        let request = Request::ecr("ListImages", r#"{"repositoryName":"team/api"}"#);
        let reply = bench.call(&keys, "ecr", request.header("user-agent", "aws-cli/2.99"));
        assert_eq!(reply.status, status, "{condition}");
    }
    let keys = conditional(
        "maker",
        "iam:CreateRole",
        serde_json::json!({"StringEquals": {"iam:PermissionsBoundary": boundary, "aws:RequestTag/team": "web"}}),
    );
    // Tags at creation take the permission to tag as well.
    let tags =
        [("RoleName", "maker"), ("PolicyName", "tags"), ("PolicyDocument", &allow(&["iam:TagRole"], "*"))];
    assert_eq!(bench.iam("PutRolePolicy", &tags).status, 200);
    let trust = trust(ACCOUNT);
    let create = |name: &str, more: &[(&str, &str)]| {
        let mut params = vec![("RoleName", name), ("AssumeRolePolicyDocument", trust.as_str())];
        params.extend_from_slice(more);
        bench.call(&keys, "iam", Request::query(IAM, "CreateRole", &params)).status
    };
    let tag = [("Tags.member.1.Key", "team"), ("Tags.member.1.Value", "web")];
    let bounded = ("PermissionsBoundary", boundary.as_str());
    assert_eq!(create("a", &[tag[0], tag[1]]), 403);
    assert_eq!(create("b", &[bounded]), 403);
    assert_eq!(create("c", &[tag[0], tag[1], bounded]), 200);
}
