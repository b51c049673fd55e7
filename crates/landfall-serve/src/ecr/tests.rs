#![allow(clippy::unwrap_used, clippy::panic)]

use landfall_types::{Digest, Tag};
use landfall_wire::hash::sha256_digest;

use serde_json::json;

use super::*;
use crate::authn::{RegistryAuthn, RegistryLogin, registry_login};
use crate::caller::Caller;
use crate::store::{Content, Image, RepositorySettings};
use crate::testing::{self, NOW, TestWorld};

#[test]
fn the_api_answers_as_the_cases_say() {
    for cases in [
        include_str!("../../cases/registry-api.txt"),
        include_str!("../../cases/ecr-repositories.txt"),
        include_str!("../../cases/ecr-images.txt"),
        include_str!("../../cases/ecr-registries.txt"),
        include_str!("../../cases/ecr-public.txt"),
    ] {
        let mut count = 0;
        for case in cases.split("\n### ").skip(1) {
            count += run(case);
        }
        assert!(count > 20, "{count} lines");
    }
}

/// Runs one case; gives the number of its lines.
fn run(case: &str) -> usize {
    let (title, lines) = case.split_once('\n').unwrap();
    let test = world_with_images();
    let nobody = testing::session(&test.world, "nobody", &["s3:GetObject"]);
    let mut answer = Ok(Value::Null);
    let mut kept = String::new();
    let (mut count, mut is_checked) = (0, true);
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        count += 1;
        let line = fill(line).replace("${kept}", &kept);
        let (kind, rest) = line.split_once(' ').unwrap();
        let was_checked = is_checked;
        match kind {
            "<" | "!" | "log" | "sweep" => is_checked = true,
            ">" => is_checked = false,
            _ => {}
        }
        match kind {
            ">" => {
                assert!(was_checked || answer.is_ok(), "{title}, before `{line}`: {answer:?}");
                answer = call(&test, &nobody, rest);
            }
            "<" => {
                let given = answer.as_ref().unwrap_or_else(|error| panic!("{title}: {error}"));
                let expected: Value =
                    serde_json::from_str(rest).unwrap_or_else(|_| panic!("{title}: {given}"));
                assert_eq!(given, &expected, "{title}: {given}");
            }
            "!" => {
                let error = answer.as_ref().map_or_else(Clone::clone, |given| panic!("{title}: {given}"));
                let said = format!("{}: {}", error.code, error.message.replace('\n', "\\n"));
                assert_eq!(said, rest, "{title}");
                assert_eq!(error.status, 400, "{title}");
            }
            // What the newest decision refused, and on what.
            "log" => {
                let records = test.world.log.after(0);
                let newest = records.last().unwrap();
                let refused = (newest.action.as_deref(), newest.resource.as_deref());
                let expected = rest.split_once(' ').unwrap();
                assert_eq!(refused, (Some(expected.0), Some(expected.1)), "{title}: {answer:?}");
                assert_eq!(answer.as_ref().unwrap_err().code, "AccessDeniedException", "{title}");
            }
            // A member of the last answer, for `${kept}`.
            "keep" => answer.as_ref().unwrap()[rest].as_str().unwrap().clone_into(&mut kept),
            "wait" => test.world.clock.advance(rest.parse().unwrap()),
            "sweep" => {
                let swept = sweep(&test.world, rest == "all");
                let gone = swept.iter().map(|it| json!([it.digest.as_str(), it.priority, it.action]));
                answer = Ok(gone.collect());
            }
            _ => panic!("{title}: `{line}`"),
        }
    }
    count
}

/// Manifests that cases push: `${manifest}` is one as a JSON string, `${@manifest}` its digest.
fn manifests() -> [(&'static str, String); 8] {
    let sized = |layer: &str, layer_bytes: u32, kind: &str| {
        let content = |name: &str, size: u32, kind: &str| json!({ "mediaType": kind, "digest": digest(name).as_str(), "size": size });
        json!({
            "schemaVersion": 2,
            "mediaType": landfall_wire::oci::OCI_MANIFEST,
            "config": content("config", 2, kind),
            "layers": [content(layer, layer_bytes, "application/vnd.oci.image.layer.v1.tar+gzip")],
        })
        .to_string()
    };
    let image = |layer: &str, kind: &str| sized(layer, 5, kind);
    let manifest = image("layer", "application/vnd.oci.image.config.v1+json");
    let big = sized("layer", 1005, "application/vnd.oci.image.config.v1+json");
    let list = |listed: &[(&str, &str)]| {
        let item = |(kind, text): &(&str, &str)| json!({ "mediaType": kind, "digest": sha256_digest(text.as_bytes()).as_str(), "size": text.len() });
        json!({
            "schemaVersion": 2,
            "mediaType": landfall_wire::oci::OCI_INDEX,
            "manifests": listed.iter().map(item).collect::<Vec<_>>(),
        })
        .to_string()
    };
    let one_list = list(&[(landfall_wire::oci::OCI_MANIFEST, &manifest)]);
    let lists = list(&[(landfall_wire::oci::OCI_INDEX, &one_list), (landfall_wire::oci::OCI_MANIFEST, &big)]);
    let about = |subject: &Digest| {
        let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
        manifest["subject"] =
            json!({ "mediaType": landfall_wire::oci::OCI_MANIFEST, "digest": subject.as_str(), "size": 1 });
        manifest.to_string()
    };
    [
        ("early", about(&digest("nothing"))),
        ("signature", about(&sha256_digest(manifest.as_bytes()))),
        ("lacking", image("other", "application/vnd.oci.image.config.v1+json")),
        ("chart", image("layer", "application/vnd.cncf.helm.config.v1+json")),
        ("big", big),
        ("list", one_list),
        ("lists", lists),
        ("manifest", manifest),
    ]
}

fn fill(line: &str) -> String {
    let mut line = line.to_owned();
    for (name, text) in manifests() {
        line = line.replace(&format!("${{{name}}}"), &Value::from(text.as_str()).to_string());
        line = line.replace(&format!("${{@{name}}}"), sha256_digest(text.as_bytes()).as_str());
    }
    for name in ["one", "two", "three", "layer", "other", "config"] {
        line = line.replace(&format!("${{{name}}}"), digest(name).as_str());
    }
    line
}

/// `[public] [@REGION] [CALLER] OPERATION INPUT`, where a caller is `anonymous`, `nobody`, an account whose root calls,
/// or `may:ACTION,ACTION…`, whose role allows these.
fn call(test: &TestWorld, nobody: &Caller, line: &str) -> Result<Value, AwsError> {
    let (mut face, mut region, mut caller) = (Face::Private, testing::REGION.to_owned(), testing::root());
    let mut rest = line;
    loop {
        let (word, more) = rest.split_once(' ').unwrap();
        match word {
            "public" => face = Face::Public,
            "anonymous" => caller = Caller::Anonymous,
            "nobody" => caller = nobody.clone(),
            _ if word.starts_with("may:") => {
                let actions: Vec<&str> = word.trim_start_matches("may:").split(',').collect();
                let name = format!("may-{}", test.world.request_id());
                caller = testing::session(&test.world, &name, &actions);
            }
            _ if word.starts_with('@') => word.trim_start_matches('@').clone_into(&mut region),
            _ => match AccountId::parse(word) {
                Ok(account) => caller = Caller::Root { account },
                Err(_) => break,
            },
        }
        rest = more;
    }
    let (operation, input) = rest.split_once(' ').unwrap();
    let identified = Identified { caller, region, connection: testing::connection() };
    let input = serde_json::from_str(input).unwrap_or_else(|error| panic!("{line}: {error}"));
    testing::ecr_of(&test.world, &identified, (face, operation), input)
}

fn digest(name: &str) -> Digest {
    sha256_digest(name.as_bytes())
}

fn world_with_images() -> TestWorld {
    let test = testing::world();
    testing::repository(&test.world, "team/api", false, None);
    let name = RepositoryName::parse("team/api").unwrap();
    let push = |image: &str, size_in_bytes, subject: Option<&str>, tag: Option<&str>| {
        let image = Image {
            digest: digest(image),
            media_type: landfall_wire::oci::OCI_MANIFEST.to_owned(),
            manifest: image.to_owned().into(),
            artifact_type: Some("application/vnd.oci.image.config.v1+json".to_owned()),
            annotations: Vec::new(),
            subject: subject.map(digest),
            size_in_bytes,
            pushed_at: NOW,
        };
        let tag = tag.map(|tag| Tag::parse(tag).unwrap());
        test.world
            .store
            .put_image(&testing::registry(), &name, image, tag.as_ref().as_slice(), &Content::default(), NOW)
            .unwrap();
    };
    push("one", 10, None, Some("v1"));
    push("two", 20, None, None);
    push("three", 30, Some("one"), Some("v3"));
    push("one", 10, None, Some("latest"));
    for blob in ["layer", "config"] {
        test.world.blobs.put(blob.as_bytes()).unwrap();
        let place = (&testing::registry(), &name);
        test.world.store.link_blob(place, NOW, &digest(blob), blob.len() as u64).unwrap();
    }
    test
}

fn tokens(test: &TestWorld, caller: Caller, input: Value) -> Vec<Value> {
    let identified =
        Identified { caller, region: testing::REGION.to_owned(), connection: testing::connection() };
    let answer = testing::ecr(&test.world, &identified, "GetAuthorizationToken", input).unwrap();
    answer["authorizationData"].as_array().unwrap().clone()
}

fn login_of(test: &TestWorld, token: &Value) -> RegistryLogin {
    let header = format!("Basic {}", token["authorizationToken"].as_str().unwrap());
    match registry_login(&test.world, Some(&header)) {
        RegistryAuthn::Login(login) => *login,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_login_lasts_twelve_hours_of_pretended_time_and_leads_to_this_server() {
    let test = testing::world();
    test.world.clock.advance(100);
    let caller = testing::session(&test.world, "pusher", &["ecr:GetAuthorizationToken"]);
    let tokens = tokens(&test, caller.clone(), json!({}));
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0]["expiresAt"], json!(1_790_856_000.0 + 100.0 + 43_200.0));
    assert_eq!(tokens[0]["proxyEndpoint"], "http://127.0.0.1:4566");
    let login = login_of(&test, &tokens[0]);
    assert_eq!(login.caller().arn(), caller.arn());
    assert_eq!((login.account.as_str(), login.region.as_str()), (testing::ACCOUNT, testing::REGION));
}

#[test]
fn a_login_for_another_account_has_the_same_caller() {
    let test = testing::world();
    let accounts = json!({ "registryIds": ["999999999999", testing::ACCOUNT] });
    let caller = testing::session(&test.world, "pusher", &["ecr:GetAuthorizationToken"]);
    let logins: Vec<RegistryLogin> =
        tokens(&test, caller.clone(), accounts.clone()).iter().map(|token| login_of(&test, token)).collect();
    assert_eq!(
        logins.iter().map(|login| login.account.as_str()).collect::<Vec<_>>(),
        ["999999999999", testing::ACCOUNT]
    );
    assert!(logins.iter().all(|login| login.caller().arn() == caller.arn()));
    // The root user of one account does not become that of another.
    for token in tokens(&test, testing::root(), accounts) {
        assert_eq!(login_of(&test, &token).caller().account(), Some(testing::account()));
    }
}

#[test]
fn a_permit_opens_the_repository_that_it_names_and_no_other() {
    let test = testing::world();
    let name = |text: &str| RepositoryName::parse(text).unwrap();
    let permit = authorize_on_repository(
        &test.world,
        (&testing::root(), &testing::connection()),
        &testing::registry(),
        &name("allowed"),
        "id",
    )
    .unwrap();
    let input = CreateRepository {
        registry: testing::registry(),
        name: name("other"),
        settings: RepositorySettings::default(),
        tags: Vec::new(),
        policy: None,
    };
    assert_eq!(create_repository(&test.world, permit, input).unwrap_err().code, "InternalFailure");
    assert!(test.world.store.repository(&testing::registry(), &name("other")).is_none());
}

#[test]
fn tags_of_request_and_repository_are_condition_keys() {
    let test = testing::world();
    let call = |caller: &Caller, operation: &str, input: Value| {
        let identified = Identified {
            caller: caller.clone(),
            region: testing::REGION.to_owned(),
            connection: testing::connection(),
        };
        testing::ecr(&test.world, &identified, operation, input).map_err(|error| error.code.to_string())
    };
    let policy = |condition: Value| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "ecr:*", "Resource": "*", "Condition": {"StringEquals": condition}}
        ]})
    };
    let asks = testing::session_with(
        &test.world,
        "asks",
        &policy(json!({"aws:RequestTag/team": "web"})).to_string(),
    );
    let owns = testing::session_with(
        &test.world,
        "owns",
        &policy(json!({"ecr:ResourceTag/team": "web"})).to_string(),
    );
    let create =
        |name: &str, team: &str| json!({"repositoryName": name, "tags": [{"Key": "team", "Value": team}]});
    assert!(call(&asks, "CreateRepository", create("web/one", "web")).is_ok());
    assert_eq!(call(&asks, "CreateRepository", create("db/one", "db")).unwrap_err(), "AccessDeniedException");
    assert!(call(&testing::root(), "CreateRepository", create("db/two", "db")).is_ok());
    assert!(call(&owns, "ListImages", json!({"repositoryName": "web/one"})).is_ok());
    assert_eq!(
        call(&owns, "ListImages", json!({"repositoryName": "db/two"})).unwrap_err(),
        "AccessDeniedException"
    );
}

#[test]
fn the_parts_of_an_upload_are_forgotten_with_it() {
    let test = world_with_images();
    let call = |operation: &str, input: Value| {
        let identified = Identified {
            caller: testing::root(),
            region: testing::REGION.to_owned(),
            connection: testing::connection(),
        };
        testing::ecr(&test.world, &identified, operation, input).unwrap()
    };
    let begun = call("InitiateLayerUpload", json!({"repositoryName": "team/api"}));
    let id = begun["uploadId"].as_str().unwrap();
    let part = json!({
        "repositoryName": "team/api", "uploadId": id, "partFirstByte": 0, "partLastByte": 2, "layerPartBlob": "YWJj",
    });
    call("UploadLayerPart", part);
    let has_parts = || test.world.store.layer_parts(&testing::registry(), id).is_some();
    crate::collect::collect(&test.world).unwrap();
    assert!(has_parts());
    test.world.blobs.open_uploads.forget(id);
    crate::collect::collect(&test.world).unwrap();
    assert!(!has_parts());
}

/// Makes a change, two calls at the same time on a disk that has not kept the first when the second is decided, and
/// gives what both came to.
fn at_the_same_time(
    before: (&str, Value),
    calls: [(&str, Value); 2],
) -> (TestWorld, [Result<Value, AwsError>; 2]) {
    let gate = crate::store::Gate::default();
    gate.open(false);
    let store = crate::store::Store::on_disk(Box::new(gate.clone()), crate::store::KINDS, []).unwrap();
    let test = testing::world_of(crate::world::RegistryMode::Ecr, store);
    let call = |(operation, input): &(&str, Value)| {
        let identified = Identified {
            caller: testing::root(),
            region: testing::REGION.to_owned(),
            connection: testing::connection(),
        };
        testing::ecr(&test.world, &identified, operation, input.clone())
    };
    call(&before).unwrap();
    gate.close();
    let [first, second] = &calls;
    let answers = std::thread::scope(|scope| {
        let first = scope.spawn(|| call(first));
        gate.wait_for_one();
        let second = scope.spawn(|| call(second));
        // It waits behind the first, or has its answer already.
        while test.world.store.waiting_writers() == 0 && !second.is_finished() {
            std::thread::yield_now();
        }
        gate.open(false);
        [first.join().unwrap(), second.join().unwrap()]
    });
    (test, answers)
}

#[test]
fn what_two_callers_change_at_the_same_time_stands_side_by_side() {
    let prefix = json!("quay");
    let rule = json!({"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": "quay.io"});
    let role = "arn:aws:iam::123456789012:role/pull";
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/quay";
    let update = |member: &str, value: &str| json!({"ecrRepositoryPrefix": prefix, member: value});
    let (_test, [first, second]) = at_the_same_time(
        ("CreatePullThroughCacheRule", rule.clone()),
        [
            ("UpdatePullThroughCacheRule", update("customRoleArn", role)),
            ("UpdatePullThroughCacheRule", update("credentialArn", secret)),
        ],
    );
    assert_eq!(first.unwrap()["customRoleArn"], role);
    let second = second.unwrap();
    assert_eq!((&second["customRoleArn"], &second["credentialArn"]), (&json!(role), &json!(secret)));

    let template = json!({"prefix": "team", "appliedFor": ["REPLICATION"]});
    let update = |member: &str, value: Value| json!({"prefix": "team", member: value});
    let (_test, [first, second]) = at_the_same_time(
        ("CreateRepositoryCreationTemplate", template.clone()),
        [
            ("UpdateRepositoryCreationTemplate", update("description", json!("ours"))),
            ("UpdateRepositoryCreationTemplate", update("appliedFor", json!(["CREATE_ON_PUSH"]))),
        ],
    );
    assert!(first.is_ok());
    let second = second.unwrap();
    let second = &second["repositoryCreationTemplate"];
    assert_eq!((&second["description"], &second["appliedFor"]), (&json!("ours"), &json!(["CREATE_ON_PUSH"])));
}

#[test]
fn what_is_being_deleted_is_not_brought_back_by_an_update() {
    let rule = json!({"ecrRepositoryPrefix": "quay", "upstreamRegistryUrl": "quay.io"});
    let named = json!({"ecrRepositoryPrefix": "quay"});
    let (test, [first, second]) = at_the_same_time(
        ("CreatePullThroughCacheRule", rule),
        [("DeletePullThroughCacheRule", named.clone()), ("UpdatePullThroughCacheRule", named)],
    );
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().code, "PullThroughCacheRuleNotFoundException");
    assert_eq!(test.world.store.count::<crate::store::PullThroughRule>(""), 0);

    let named = json!({"prefix": "team"});
    let (test, [first, second]) = at_the_same_time(
        ("CreateRepositoryCreationTemplate", json!({"prefix": "team", "appliedFor": ["REPLICATION"]})),
        [("DeleteRepositoryCreationTemplate", named.clone()), ("UpdateRepositoryCreationTemplate", named)],
    );
    assert!(first.is_ok());
    assert_eq!(second.unwrap_err().code, "TemplateNotFoundException");
    assert_eq!(test.world.store.count::<crate::store::CreationTemplate>(""), 0);
}
