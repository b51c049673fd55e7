//! Whom policies mean by the users and roles that they name: the one that had the name when the policy was saved.

use std::net::SocketAddr;

use landfall_serve::discovery::Settings;
use landfall_serve::world::{RegistryMode, RootKey};
use landfall_serve::{Limits, Place, Running};
use serde_json::{Value, json};

use crate::bench::{ACCOUNT, Bench, IAM, NOW, REGION, STS, allow, config, keys_of, root, root_of};
use crate::client::{Keys, Reply, Request, Signing, decoded};

fn user_arn(path_and_name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{path_and_name}")
}

fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// A trust policy for whom `AWS` names.
fn trusting(principal: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": principal}}
    ]})
    .to_string()
}

fn works(reply: &Reply) -> &Reply {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply
}

/// What calls are made of: the same against a server in the test and against one on a data directory.
trait Called {
    fn call(&self, keys: &Keys, service: &str, request: Request) -> Reply;

    fn iam(&self, action: &str, params: &[(&str, &str)]) -> Reply {
        self.call(&root(), "iam", Request::query(IAM, action, params))
    }

    fn made_user(&self, name: &str) -> Keys {
        works(&self.iam("CreateUser", &[("UserName", name)]));
        self.key_of(name)
    }

    fn key_of(&self, name: &str) -> Keys {
        let key = self.iam("CreateAccessKey", &[("UserName", name)]);
        let part = |name| works(&key).element(name).unwrap();
        Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), token: None }
    }

    /// Deletes a user with its key; gives its unique id.
    fn delete_user(&self, name: &str, keys: &Keys) -> String {
        let id = self.iam("GetUser", &[("UserName", name)]).element("UserId").unwrap();
        works(&self.iam("DeleteAccessKey", &[("UserName", name), ("AccessKeyId", &keys.id)]));
        works(&self.iam("DeleteUser", &[("UserName", name)]));
        id
    }

    fn role_trusting(&self, name: &str, principal: &str) -> Reply {
        self.iam("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trusting(principal))])
    }

    fn assume(&self, keys: &Keys, role: &str) -> Reply {
        let params = [("RoleArn", role_arn(role)), ("RoleSessionName", "test".to_owned())];
        let params = params.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.call(keys, "sts", Request::query(STS, "AssumeRole", &params))
    }

    /// Whom a role's trust policy names, as `GetRole` shows it.
    fn trusted(&self, role: &str) -> String {
        let answer = self.iam("GetRole", &[("RoleName", role)]);
        principal(&decoded(&works(&answer).element("AssumeRolePolicyDocument").unwrap()))
    }
}

fn principal(document: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap();
    document["Statement"][0]["Principal"]["AWS"].as_str().unwrap().to_owned()
}

impl Called for Bench {
    fn call(&self, keys: &Keys, service: &str, request: Request) -> Reply {
        Bench::call(self, keys, service, request)
    }
}

#[test]
fn a_trust_policy_means_the_user_whatever_it_is_called_and_nobody_who_is_called_so_later() {
    let bench = Bench::new();
    let ann = bench.made_user("ann");
    works(&bench.role_trusting("deploy", &user_arn("ann")));
    works(&bench.assume(&ann, "deploy"));

    // Another name, another path: the same user.
    works(&bench.iam("UpdateUser", &[("UserName", "ann"), ("NewUserName", "anna"), ("NewPath", "/people/")]));
    works(&bench.assume(&ann, "deploy"));
    assert_eq!(bench.trusted("deploy"), user_arn("people/anna"));
    let details = bench.iam("GetAccountAuthorizationDetails", &[("Filter.member.1", "Role")]);
    assert_eq!(
        principal(&decoded(&details.element("AssumeRolePolicyDocument").unwrap())),
        user_arn("people/anna")
    );
    // Her old name is free, and worth nothing.
    let other = bench.made_user("ann");
    assert_eq!((bench.assume(&other, "deploy").status, bench.rule()), (403, "principal-replaced"));

    let id = bench.delete_user("anna", &ann);
    assert!(id.starts_with("AIDA"), "{id}");
    assert_eq!(bench.trusted("deploy"), id);
    let again = bench.made_user("anna");
    works(&bench.iam("UpdateUser", &[("UserName", "anna"), ("NewPath", "/people/")]));
    assert_eq!(bench.assume(&again, "deploy").status, 403);
    let (code, message) = bench
        .iam("UpdateAssumeRolePolicy", &[("RoleName", "deploy"), ("PolicyDocument", &trusting(&id))])
        .fault();
    assert_eq!(code, "MalformedPolicyDocument");
    assert_eq!(message, format!(r#"Invalid principal in policy: "AWS":"{id}""#));

    // Saved again, it means the one that is there now.
    let anew = trusting(&user_arn("people/anna"));
    works(&bench.iam("UpdateAssumeRolePolicy", &[("RoleName", "deploy"), ("PolicyDocument", &anew)]));
    works(&bench.assume(&again, "deploy"));
    assert_eq!(bench.trusted("deploy"), user_arn("people/anna"));
}

#[test]
fn a_unique_id_in_a_policy_is_as_good_as_the_arn() {
    let bench = Bench::new();
    let ann = bench.made_user("ann");
    let id = bench.iam("GetUser", &[("UserName", "ann")]).element("UserId").unwrap();
    works(&bench.role_trusting("deploy", &id));
    works(&bench.assume(&ann, "deploy"));
    assert_eq!(bench.trusted("deploy"), user_arn("ann"));
}

#[test]
fn a_repository_and_a_registry_mean_the_role_that_had_the_name() {
    let bench = Bench::with_provider();
    let repository = r#"{"repositoryName":"team/api"}"#;
    works(&bench.ecr("CreateRepository", repository));
    let keys = bench.session_with("puller", &["s3:GetObject"]);
    let policy = |resource: Option<&str>| {
        let mut statement = json!({
            "Effect": "Allow", "Action": "ecr:ListImages", "Principal": {"AWS": role_arn("puller")},
        });
        statement["Resource"] = resource.map_or(Value::Null, Value::from);
        statement.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    let set = json!({"repositoryName": "team/api", "policyText": policy(None)}).to_string();
    let put = json!({ "policyText": policy(Some("*")) }).to_string();
    let list = |keys: &Keys| bench.call(keys, "ecr", Request::ecr("ListImages", repository)).status;
    for (save, remove) in [
        (("SetRepositoryPolicy", set.as_str()), ("DeleteRepositoryPolicy", repository)),
        (("PutRegistryPolicy", put.as_str()), ("DeleteRegistryPolicy", "{}")),
    ] {
        works(&bench.ecr(save.0, save.1));
        let keys = bench.session("puller");
        assert_eq!(list(&keys), 200, "{}", save.0);
        let id = bench.iam("GetRole", &[("RoleName", "puller")]).element("RoleId").unwrap();
        works(&bench.iam("DeleteRolePolicy", &[("RoleName", "puller"), ("PolicyName", "only")]));
        works(&bench.iam("DeleteRole", &[("RoleName", "puller")]));
        // Nobody can be let in who isn't there.
        let (_, message) = bench.ecr(save.0, save.1).fault();
        assert_eq!(
            message,
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'"
        );
        bench.role("puller", &allow(&["s3:GetObject"], "*"));
        let anew = bench.session("puller");
        assert_eq!((list(&anew), bench.rule()), (400, "principal-replaced"), "{}", save.0);
        let shown = bench.ecr(&save.0.replacen("Set", "Get", 1).replacen("Put", "Get", 1), remove.1);
        assert_eq!(principal(works(&shown).json()["policyText"].as_str().unwrap()), id);
        works(&bench.ecr(save.0, save.1));
        assert_eq!(list(&anew), 200, "{}", save.0);
        works(&bench.ecr(remove.0, remove.1));
        assert_eq!(list(&anew), 400, "{}", save.0);
    }
    assert_eq!(list(&keys), 400);
}

#[test]
fn a_denial_leaves_out_the_user_and_not_whoever_is_called_so_later() {
    let bench = Bench::new();
    works(&bench.ecr("CreateRepository", r#"{"repositoryName":"api"}"#));
    let list = |keys: &Keys| {
        bench.call(keys, "ecr", Request::ecr("ListImages", r#"{"repositoryName":"api"}"#)).status
    };
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Action": "ecr:ListImages", "NotPrincipal": {"AWS": [user_arn("ann"), ACCOUNT]},
    }]});
    let set = json!({"repositoryName": "api", "policyText": policy.to_string()}).to_string();
    let may = |name: &str| {
        let document = allow(&["ecr:*"], "*");
        let params = [("UserName", name), ("PolicyName", "own"), ("PolicyDocument", document.as_str())];
        works(&bench.iam("PutUserPolicy", &params));
    };
    let ann = bench.made_user("ann");
    may("ann");
    works(&bench.ecr("SetRepositoryPolicy", &set));
    assert_eq!(list(&ann), 200);
    works(&bench.iam("DeleteUserPolicy", &[("UserName", "ann"), ("PolicyName", "own")]));
    bench.delete_user("ann", &ann);
    let again = bench.made_user("ann");
    may("ann");
    assert_eq!((list(&again), bench.rule()), (400, "explicit-deny"));
}

#[test]
fn whom_an_account_has_that_is_played_here_is_known_and_of_others_nothing_is() {
    const OTHER: &str = "999999999999";
    let bench = Bench::new();
    let theirs = format!("arn:aws:iam::{OTHER}:role/theirs");
    // Nobody was made there: it is not for this server to say.
    works(&bench.role_trusting("deploy", &theirs));
    let role = [("RoleName", "first"), ("AssumeRolePolicyDocument", &*trusting(OTHER))];
    works(&bench.call(&root_of(OTHER), "iam", Request::query(IAM, "CreateRole", &role)));
    let (code, message) = bench.role_trusting("other", &theirs).fault();
    assert_eq!(code, "MalformedPolicyDocument");
    assert_eq!(message, format!(r#"Invalid principal in policy: "AWS":"{theirs}""#));
    // The name is taken at its word, until the one who goes by it has given it up.
    let may = allow(&["sts:AssumeRole"], "*");
    let make = || {
        let trust = trusting(OTHER);
        let role = [("RoleName", "theirs"), ("AssumeRolePolicyDocument", trust.as_str())];
        works(&bench.call(&root_of(OTHER), "iam", Request::query(IAM, "CreateRole", &role)));
        let own = [("RoleName", "theirs"), ("PolicyName", "own"), ("PolicyDocument", may.as_str())];
        works(&bench.call(&root_of(OTHER), "iam", Request::query(IAM, "PutRolePolicy", &own)));
        let user = [("UserName", "who")];
        bench.call(&root_of(OTHER), "iam", Request::query(IAM, "CreateUser", &user));
        let own = [("UserName", "who"), ("PolicyName", "own"), ("PolicyDocument", may.as_str())];
        works(&bench.call(&root_of(OTHER), "iam", Request::query(IAM, "PutUserPolicy", &own)));
        let key = bench.call(&root_of(OTHER), "iam", Request::query(IAM, "CreateAccessKey", &user));
        let who = |name| works(&key).element(name).unwrap();
        let who = Keys { id: who("AccessKeyId"), secret: who("SecretAccessKey"), token: None };
        let take = [("RoleArn", theirs.as_str()), ("RoleSessionName", "test")];
        keys_of(&bench.call(&who, "sts", Request::query(STS, "AssumeRole", &take)))
    };
    works(&bench.assume(&make(), "deploy"));
    for (action, more) in [("DeleteRolePolicy", Some(("PolicyName", "own"))), ("DeleteRole", None)] {
        let params: Vec<_> = [("RoleName", "theirs")].into_iter().chain(more).collect();
        works(&bench.call(&root_of(OTHER), "iam", Request::query(IAM, action, &params)));
    }
    assert!(bench.trusted("deploy").starts_with("AROA"));
    assert_eq!((bench.assume(&make(), "deploy").status, bench.rule()), (403, "principal-replaced"));
}

/// A server on a data directory.
struct Kept {
    server: Running,
    runtime: tokio::runtime::Runtime,
}

impl Kept {
    fn start(dir: &std::path::Path) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config =
            config(dir, RootKey::WellKnown, RegistryMode::Ecr, Settings::default(), Limits::default());
        let config = landfall_serve::Config { place: Place::Data(dir.to_owned()), ..config };
        let server = runtime.block_on(landfall_serve::start(config)).unwrap();
        Self { server, runtime }
    }

    fn stop(self) {
        self.runtime.block_on(self.server.stop());
    }
}

impl Called for Kept {
    fn call(&self, keys: &Keys, service: &str, request: Request) -> Reply {
        let addr: SocketAddr = self.server.addr;
        request.sign(keys, Signing { service, region: REGION, at: NOW }).send(addr)
    }
}

#[test]
fn whom_a_policy_means_outlives_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let first = Kept::start(dir.path());
    let ann = first.made_user("ann");
    works(&first.role_trusting("deploy", &user_arn("ann")));
    works(&first.role_trusting("freed", &user_arn("ann")));
    first.stop();

    let second = Kept::start(dir.path());
    works(&second.assume(&ann, "deploy"));
    let id = second.delete_user("ann", &ann);
    let again = second.made_user("ann");
    second.stop();

    let third = Kept::start(dir.path());
    assert_eq!(third.trusted("deploy"), id);
    assert_eq!(third.assume(&again, "deploy").status, 403);
    let anew = trusting(&user_arn("ann"));
    works(&third.iam("UpdateAssumeRolePolicy", &[("RoleName", "freed"), ("PolicyDocument", &anew)]));
    third.stop();

    let fourth = Kept::start(dir.path());
    assert_eq!(fourth.assume(&again, "deploy").status, 403);
    works(&fourth.assume(&again, "freed"));
    fourth.stop();
}
