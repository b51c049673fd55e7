//! STS's signed operations, row by row: `cases/sts.toml` says who asks for what, and what STS answers to the
//! letter. What becomes of the sessions that were made is told below.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use landfall_serve::log::Verdict;
use serde::Deserialize;

use crate::bench::{ACCOUNT, Bench, IAM, STS, allow, keys_of, root, root_of, trust};
use crate::client::{Keys, Reply, Request};

#[derive(Deserialize)]
struct Table {
    roles: BTreeMap<String, RoleRow>,
    users: BTreeMap<String, UserRow>,
    chains: BTreeMap<String, Chain>,
    row: Vec<Row>,
}

#[derive(Deserialize)]
struct RoleRow {
    trust: Option<String>,
    policy: Option<String>,
    account: Option<String>,
    longest: Option<u32>,
}

#[derive(Deserialize)]
struct UserRow {
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Chain {
    of: String,
    role: String,
    ask: Vec<(String, String)>,
    policy: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    caller: String,
    call: String,
    #[serde(default)]
    ask: Vec<(String, String)>,
    status: u16,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    rule: String,
    #[serde(default)]
    answer: Vec<(String, String)>,
}

struct Stage {
    bench: Bench,
    table: Table,
    callers: HashMap<String, Keys>,
}

impl Stage {
    fn new() -> Self {
        let table: Table = toml::from_str(include_str!("../../cases/sts.toml")).unwrap();
        let bench = Bench::with_provider();
        let mut stage = Self { bench, table, callers: HashMap::new() };
        for (name, user) in &stage.table.users {
            works(&stage.bench.iam("CreateUser", &[("UserName", name), ("Path", "/people/")]));
            if let Some(policy) = &user.policy {
                let params = [("UserName", name.as_str()), ("PolicyName", "own"), ("PolicyDocument", policy)];
                works(&stage.bench.iam("PutUserPolicy", &params));
            }
        }
        // Trust policies name principals that are there: those that are named come first.
        for is_named in [true, false] {
            let roles = stage.table.roles.iter().filter(|(_, role)| role.trust.is_none() == is_named);
            roles.for_each(|(name, role)| stage.make_role(name, role));
        }
        let chains: Vec<_> = stage
            .table
            .chains
            .iter()
            .map(|(name, chain)| (name.clone(), stage.chained(name, chain)))
            .collect();
        stage.callers.extend(chains);
        stage
    }

    fn make_role(&self, name: &str, role: &RoleRow) {
        let trust = role.trust.clone().unwrap_or_else(|| trust(ACCOUNT));
        let longest = role.longest.unwrap_or(3600).to_string();
        let keys = role.account.as_deref().map_or_else(root, root_of);
        let params = [
            ("RoleName", name),
            ("AssumeRolePolicyDocument", trust.as_str()),
            ("MaxSessionDuration", longest.as_str()),
        ];
        works(&self.bench.call(&keys, "iam", Request::query(IAM, "CreateRole", &params)));
        if let Some(policy) = &role.policy {
            self.allow(name, policy);
        }
    }

    fn allow(&self, role: &str, policy: &str) {
        let params = [("RoleName", role), ("PolicyName", "own"), ("PolicyDocument", policy)];
        works(&self.bench.iam("PutRolePolicy", &params));
    }

    fn chained(&self, name: &str, chain: &Chain) -> Keys {
        self.allow(&chain.role, &chain.policy);
        let mut ask = vec![
            ("RoleArn".to_owned(), format!("${{role {}}}", chain.role)),
            ("RoleSessionName".to_owned(), name.to_owned()),
        ];
        ask.extend(chain.ask.iter().cloned());
        let caller = self.bench.session(&chain.of);
        keys_of(&self.ask(Some(&caller), "AssumeRole", &ask))
    }

    fn caller(&mut self, name: &str) -> Option<Keys> {
        if name == "nobody" {
            return None;
        }
        if !self.callers.contains_key(name) {
            let keys = match name.split_once(' ') {
                None if name == "root" => root(),
                Some(("user", name)) => self.key_of(name),
                Some(("session", of)) if of.starts_with("of user ") => {
                    let key = self.key_of(of.trim_start_matches("of user "));
                    keys_of(&self.ask(Some(&key), "GetSessionToken", &[]))
                }
                Some(("session", role)) => self.bench.session(role.trim_start_matches("of ")),
                _ => panic!("no caller `{name}`"),
            };
            self.callers.insert(name.to_owned(), keys);
        }
        self.callers.get(name).cloned()
    }

    /// A new access key of a user.
    fn key_of(&self, user: &str) -> Keys {
        let made = self.bench.iam("CreateAccessKey", &[("UserName", user)]);
        works(&made);
        let part = |name| made.element(name).unwrap();
        Keys { id: part("AccessKeyId"), secret: part("SecretAccessKey"), token: None }
    }

    fn ask(&self, keys: Option<&Keys>, operation: &str, ask: &[(String, String)]) -> Reply {
        let filled: Vec<(&str, String)> =
            ask.iter().map(|(name, value)| (name.as_str(), self.fill(value))).collect();
        let params: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = Request::query(STS, operation, &params);
        match keys {
            Some(keys) => self.bench.call(keys, "sts", request),
            None => self.bench.send(&request),
        }
    }

    fn fill(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
        let (name, after) = rest.split_once('}').unwrap();
        let filled = match name.split_once(' ') {
            Some(("role", role)) => {
                let account = self.table.roles[role].account.as_deref().unwrap_or(ACCOUNT);
                format!("arn:aws:iam::{account}:role/{role}")
            }
            _ => {
                let (letter, count) = name.split_once('*').unwrap();
                letter.repeat(count.parse().unwrap())
            }
        };
        format!("{before}{filled}{}", self.fill(after))
    }

    fn check(&mut self, row: &Row) {
        let keys = self.caller(&row.caller);
        let reply = self.ask(keys.as_ref(), &row.call, &row.ask);
        let name = &row.name;
        let record = self.bench.newest();
        let id = Some(record.request_id.clone());
        assert_eq!(reply.header("x-amzn-requestid").map(str::to_owned), id, "{name}: not in the log");
        assert_eq!(record.operation, row.call, "{name}");
        let rule = record.finding.as_ref().map_or("", |finding| finding.rule);
        if row.status == 200 {
            assert_eq!(reply.status, 200, "{name}: {}", reply.body);
            assert_eq!(record.verdict, Verdict::Allowed, "{name}");
            for (element, value) in &row.answer {
                let found = reply.element(element).unwrap_or_else(|| "-".to_owned());
                assert_eq!(found, *value, "{name}: {element}");
            }
            self.works(&reply);
            return;
        }
        let (code, message) = reply.fault();
        let wanted = (row.status, row.code.as_str(), row.message.as_str());
        assert_eq!((reply.status, code.as_str(), message.as_str()), wanted, "{name}");
        assert_eq!(rule, row.rule, "{name}");
        assert_eq!(record.verdict, Verdict::Refused { code, message }, "{name}");
    }

    /// Credentials of an answer are good, and are whom they say.
    fn works(&self, reply: &Reply) {
        if reply.element("SessionToken").is_none() {
            return;
        }
        let keys = keys_of(reply);
        let who = self.bench.call(&keys, "sts", Request::query(STS, "GetCallerIdentity", &[]));
        assert_eq!(who.status, 200, "{}", who.body);
        if let Some(arn) = reply.element("Arn") {
            assert_eq!(who.element("Arn"), Some(arn));
        }
        let key = [("AccessKeyId", keys.id.as_str())];
        let info = self.bench.call(&root(), "sts", Request::query(STS, "GetAccessKeyInfo", &key));
        assert_eq!(info.element("Account"), who.element("Account"), "{}", info.body);
        // Neither key nor token is in any record.
        let log = format!("{:?}", self.bench.server.world.log.after(0));
        assert!(!log.contains(&keys.secret) && !log.contains(keys.token.as_deref().unwrap()));
    }
}

fn works(reply: &Reply) {
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[test]
fn every_row_is_answered_to_the_letter_and_its_reason_is_in_the_log() {
    let mut stage = Stage::new();
    let rows = std::mem::take(&mut stage.table.row);
    let mut names = std::collections::BTreeSet::new();
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| {
            assert!(names.insert(&row.name), "two rows are named `{}`", row.name);
            // A row that fails says why, and the others have their turn.
            catch_unwind(AssertUnwindSafe(|| stage.check(row))).is_err()
        })
        .map(|row| row.name.as_str())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(rows.len() > 45, "{} rows", rows.len());
}

/// What a role may do whose policy asks for tags, source identity and the like of its sessions.
fn may(stage: &Stage, keys: &Keys, condition: serde_json::Value, role: &str) -> bool {
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ecr:DescribeRepositories", "Resource": "*", "Condition": condition},
    ]});
    stage.allow(role, &policy.to_string());
    let call = Request::ecr("DescribeRepositories", "{}");
    stage.bench.call(keys, "ecr", call).status == 200
}

#[test]
fn tags_and_source_identity_go_along_a_chain_as_condition_keys() {
    let stage = Stage::new();
    let first = &stage.callers["tagged"];
    let next = |role: &str| {
        stage
            .allow("by-account", &allow(&["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"], "*"));
        let arn = format!("${{role {role}}}");
        let ask = [("RoleArn".to_owned(), arn), ("RoleSessionName".to_owned(), "next".to_owned())];
        keys_of(&stage.ask(Some(first), "AssumeRole", &ask))
    };
    let keys = next("by-account");
    for (condition, is_met) in [
        (serde_json::json!({"StringEquals": {"aws:PrincipalTag/team": "web"}}), true),
        (serde_json::json!({"Null": {"aws:PrincipalTag/run": "true"}}), true),
        (serde_json::json!({"StringEquals": {"aws:SourceIdentity": "alice"}}), true),
        (serde_json::json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}}), true),
        (serde_json::json!({"StringEquals": {"aws:PrincipalTag/team": "api"}}), false),
    ] {
        assert_eq!(may(&stage, &keys, condition.clone(), "by-account"), is_met, "{condition}");
    }
    assert!(may(
        &stage,
        first,
        serde_json::json!({"StringEquals": {"aws:PrincipalTag/run": "7"}}),
        "by-account"
    ));
}

#[test]
fn a_session_policy_of_a_taken_role_narrows_it() {
    let stage = Stage::new();
    let narrowed = |policy: &str| {
        let ask = [("RoleArn", "${role by-account}"), ("RoleSessionName", "next"), ("Policy", policy)];
        let ask: Vec<_> = ask.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        stage.allow("by-account", &allow(&["ecr:DescribeRepositories"], "*"));
        let keys = keys_of(&stage.ask(Some(&stage.bench.session("hub")), "AssumeRole", &ask));
        stage.bench.call(&keys, "ecr", Request::ecr("DescribeRepositories", "{}"))
    };
    works(&narrowed(&allow(&["ecr:*"], "*")));
    let refused = narrowed(&allow(&["s3:*"], "*"));
    assert!(
        refused.fault().1.ends_with("because no session policy allows the ecr:DescribeRepositories action")
    );
}

#[test]
fn a_role_that_is_gone_takes_no_other() {
    let stage = Stage::new();
    let keys = stage.bench.session("plain");
    works(&stage.bench.iam("DeleteRolePolicy", &[("RoleName", "plain"), ("PolicyName", "own")]));
    works(&stage.bench.iam("DeleteRole", &[("RoleName", "plain")]));
    stage.make_role("plain", &stage.table.roles["plain"]);
    let ask = [("RoleArn", "${role by-role}"), ("RoleSessionName", "next")];
    let ask: Vec<_> = ask.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let refused = stage.ask(Some(&keys), "AssumeRole", &ask);
    assert_eq!((refused.status, stage.bench.rule()), (403, "role-deleted"));
}

/// The sessions of root users, as far as they differ from their keys.
#[test]
fn a_session_of_a_root_user_opens_what_its_key_opens_but_iam() {
    let stage = Stage::new();
    let keys = keys_of(&stage.ask(Some(&root()), "GetSessionToken", &[]));
    works(&stage.bench.call(&keys, "ecr", Request::ecr("DescribeRepositories", "{}")));
    let roles = stage.bench.call(&keys, "iam", Request::query(IAM, "ListRoles", &[]));
    assert_eq!((roles.status, roles.fault().0.as_str()), (403, "InvalidClientTokenId"));
    let again = stage.ask(Some(&keys), "GetSessionToken", &[]);
    assert_eq!(again.fault().1, "Cannot call GetSessionToken with session credentials");
    stage.bench.server.world.clock.advance(3600);
    let ended = stage.bench.call(&keys, "ecr", Request::ecr("DescribeRepositories", "{}"));
    assert_eq!((ended.fault().0.as_str(), stage.bench.rule()), ("ExpiredTokenException", "session-expired"));
}

#[test]
fn a_federated_user_may_what_the_passed_policies_allow() {
    let stage = Stage::new();
    let federate = |more: &[(&str, &str)]| {
        let ask = std::iter::once(&("Name", "bob")).chain(more);
        let ask: Vec<_> = ask.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        keys_of(&stage.ask(Some(&root()), "GetFederationToken", &ask))
    };
    let list = |keys: &Keys| stage.bench.call(keys, "ecr", Request::ecr("DescribeRepositories", "{}"));
    let refused = list(&federate(&[]));
    assert_eq!(
        refused.fault().1,
        format!(
            "User: arn:aws:sts::{ACCOUNT}:federated-user/bob is not authorized to perform: ecr:DescribeRepositories on resource: arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/* because no session policy allows the ecr:DescribeRepositories action"
        )
    );
    let keys = federate(&[("Policy", &allow(&["ecr:*"], "*"))]);
    works(&list(&keys));
    let refused = stage.ask(Some(&keys), "GetAccessKeyInfo", &[]);
    assert_eq!(refused.fault().1, "Cannot call GetAccessKeyInfo with session credentials");
    let login = stage.bench.login(&keys);
    let tags = Request::new("GET", "/v2/none/tags/list").header("authorization", &login);
    assert_eq!(stage.bench.send(&tags).status, 404);
}

#[test]
fn a_users_federated_user_may_what_both_allow() {
    let stage = Stage::new();
    let key = stage.key_of("proxy");
    let ask = [
        ("Name", "bob"),
        ("Policy", &allow(&["*"], "*")),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "web"),
    ];
    let ask: Vec<_> = ask.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let keys = keys_of(&stage.ask(Some(&key), "GetFederationToken", &ask));
    works(&stage.bench.call(&keys, "ecr", Request::ecr("DescribeRepositories", "{}")));
    let refused =
        stage.bench.call(&keys, "ecr", Request::ecr("CreateRepository", r#"{"repositoryName":"team/x"}"#));
    let sentence = format!(
        "User: arn:aws:sts::{ACCOUNT}:federated-user/bob is not authorized to perform: ecr:CreateRepository on resource: arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/x because no identity-based policy allows the ecr:CreateRepository action"
    );
    assert_eq!(refused.fault().1, sentence);
    // With the user goes all that it vouched for.
    for call in ["DeleteUserPolicy", "DeleteAccessKey", "DeleteUser"] {
        let params = [("UserName", "proxy"), ("PolicyName", "own"), ("AccessKeyId", key.id.as_str())];
        works(&stage.bench.iam(call, &params));
    }
    assert_eq!(stage.bench.call(&keys, "ecr", Request::ecr("DescribeRepositories", "{}")).status, 400);
}

#[test]
fn the_global_endpoint_is_signed_for_its_region_and_its_sessions_stay_in_regions_that_are_on() {
    let stage = Stage::new();
    let at = |host: &str, region: &str, keys: &Keys, operation: &str| {
        let request = Request::query(STS, operation, &[]).header("host", host);
        let at = crate::bench::NOW;
        stage.bench.send(&request.sign(keys, crate::client::Signing { service: "sts", region, at }))
    };
    let wrong = at("sts.amazonaws.com", "eu-west-1", &root(), "GetCallerIdentity");
    assert_eq!(
        wrong.fault(),
        ("SignatureDoesNotMatch".to_owned(), "Credential should be scoped to a valid region. ".to_owned())
    );
    works(&at("sts.amazonaws.com", "us-east-1", &root(), "GetCallerIdentity"));
    let global = keys_of(&at("sts.amazonaws.com", "us-east-1", &root(), "GetSessionToken"));
    let regional = keys_of(&at("sts.eu-west-1.amazonaws.com", "eu-west-1", &root(), "GetSessionToken"));
    works(&at("127.0.0.1", "eu-west-1", &global, "GetCallerIdentity"));
    works(&at("127.0.0.1", "me-south-1", &regional, "GetCallerIdentity"));
    let elsewhere = at("127.0.0.1", "me-south-1", &global, "GetCallerIdentity");
    assert_eq!(elsewhere.fault().0, "InvalidClientTokenId");
}

#[test]
fn get_and_json_are_answered_too() {
    let stage = Stage::new();
    let target = format!("/?Action=GetCallerIdentity&Version={STS}");
    let request = Request::new("GET", &target).header("accept", "application/json");
    let reply = stage.bench.call(&root(), "sts", request);
    let result = &reply.json()["GetCallerIdentityResponse"]["GetCallerIdentityResult"];
    assert_eq!(result["Arn"], format!("arn:aws:iam::{ACCOUNT}:root"));
    let request = Request::query(STS, "GetSessionToken", &[]).header("accept", "application/json");
    let reply = stage.bench.call(&root(), "sts", request);
    let credentials = &reply.json()["GetSessionTokenResponse"]["GetSessionTokenResult"]["Credentials"];
    assert_eq!(credentials["Expiration"], 1_790_859_600);
    let asked = [("RoleArn", "arn:aws:iam::123456789012:role/hub"), ("RoleSessionName", "next")];
    let request = Request::query(STS, "AssumeRole", &asked).header("accept", "application/json");
    let reply = stage.bench.call(&root(), "sts", request);
    assert_eq!(reply.json()["Error"]["Code"], "AccessDenied");
}
