//! What is wrong with a document, and what can be read of it all the same.

use super::*;
use crate::write_time::{
    EcrOwner, chars_without_white_space, ecr_problems, first_told, value_problems, write_time_problems,
};
use crate::{catalogue, managed};

#[test]
fn documents_are_refused_in_the_words_of_iam() {
    for case in rows(&read_cases("problems.json")) {
        let name = text(case.field("name").unwrap());
        let kind = kind(case);
        let (policy, problems) = match case.field("text") {
            Some(document) => parse::document(SourceId(0), text(document), kind),
            None => parse::policy(case.field("document").unwrap(), kind),
        };
        let said: Vec<String> = problems
            .iter()
            .flat_map(|problem| [problem.message.clone(), problem.detail.clone().unwrap_or_default()])
            .collect();
        assert_eq!(said, texts(case.field("problems").unwrap()), "{name}");
        let counts = (policy.statements.len().to_string(), policy.unread_statements.to_string());
        let count = |field: &str| case.field(field).and_then(Tree::scalar).unwrap();
        assert_eq!(counts, (count("read"), count("unread")), "{name}: statements read, unread");
    }
}

#[test]
fn shared_providers_have_to_be_narrowed_when_a_trust_is_written() {
    for case in rows(&read_cases("write-time.json")) {
        let name = text(case.field("name").unwrap());
        let tree = case.field("document").unwrap();
        let policy = sound(tree, PolicyKind::Trust);
        let account = text(case.field("account").unwrap());
        let problems = write_time_problems(&policy, tree, PolicyKind::Trust, account);
        let said: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
        assert_eq!(said, texts(case.field("problems").unwrap()), "{name}");
    }
}

#[test]
fn policies_of_ecr_name_what_is_decided_there() {
    for case in rows(&read_cases("write-time-ecr.json")) {
        let name = text(case.field("name").unwrap());
        let owner = match text(case.field("owner").unwrap()) {
            "repository" => EcrOwner::Repository,
            "public" => EcrOwner::PublicRepository,
            "registry" => EcrOwner::Registry,
            other => panic!("{other}"),
        };
        let clause = |field: &str| {
            let patterns = case.field(field).map(texts)?;
            let patterns = patterns.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",");
            Some(patterns)
        };
        let resource = clause("resource").map(|resource| format!(r#","Resource":[{resource}]"#));
        let document = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":"*","Action":[{}]{}}}}}"#,
            clause("action").unwrap(),
            resource.unwrap_or_default()
        );
        let (policy, _) = parse::document(SourceId(0), &document, PolicyKind::Resource);
        assert_eq!(policy.statements.len(), 1, "{name}: {document}");
        let problems = ecr_problems(&policy, owner);
        assert!(problems.iter().all(|problem| problem.message == owner.refusal()), "{name}");
        let said: Vec<String> = problems.into_iter().filter_map(|problem| problem.detail).collect();
        assert_eq!(said, texts(case.field("problems").unwrap()), "{name}");
    }
}

/// What was accepted, and refused, by AWS when it was stored; and with a session, where only `BinaryEquals` is looked at.
#[test]
fn values_are_looked_at_when_a_policy_is_stored() {
    let cases = [
        ("NumericEquals", "01", true),
        ("NumericEquals", "1e3", true),
        ("NumericEquals", "NaN", false),
        ("NumericNotEquals", "no-number", false),
        ("ForAnyValue:NumericEquals", "no-number", false),
        ("Bool", "TRUE", true),
        ("Bool", "yes", true),
        ("Null", "yes", true),
        ("DateEquals", "not-a-date", false),
        ("ArnLike", "not-an-arn", false),
        ("ArnNotEquals", "not-an-arn", false),
        ("ArnLike", "arn:aws:iam::*:user/*", true),
        ("ArnLike", "*", true),
        ("ArnLike", "${aws:PrincipalArn}", true),
        ("IpAddress", "not-an-ip", false),
        ("IpAddress", "203.0.113.77/24", true),
        ("NotIpAddress", "2001:db8::5/64", false),
        ("BinaryEquals", "no-binary", false),
        ("BinaryEquals", "YQ==", true),
    ];
    for (operator, value, is_accepted) in cases {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"{operator}":{{"aws:RequestTag/value":"{value}"}}}}}}}}"#
        );
        let (policy, problems) = parse::document(SourceId(0), &text, PolicyKind::Identity);
        assert_eq!(problems, Vec::new());
        let said = |is_stored| {
            let problems = value_problems(&policy, is_stored);
            problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
        };
        let refused = vec!["The policy failed legacy parsing".to_owned()];
        let nothing = Vec::new();
        assert_eq!(said(true), if is_accepted { &nothing } else { &refused }[..], "{operator} {value}");
        let is_told = !is_accepted && operator == "BinaryEquals";
        assert_eq!(said(false), if is_told { &refused } else { &nothing }[..], "{operator} {value}");
    }
}

/// Those that were accepted, and that were refused, by AWS.
#[test]
fn dates_are_looked_at_when_a_policy_is_stored() {
    let problems = |date: &str| {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"DateLessThan":{{"aws:CurrentTime":"{date}"}}}}}}}}"#
        );
        let (policy, problems) = parse::document(SourceId(0), &text, PolicyKind::Identity);
        assert_eq!(problems, Vec::new());
        value_problems(&policy, true).into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    for date in [
        "2019-07-01T13:20:15Z",
        "2016-12-13T21:20:37.593194+00:00",
        "2016-12-13t2:00:00.593194+23",
        "2026-09-11T13:48+0200",
        "2026",
        "01T",
        "-292275054",
        "1790000000",
        "0",
    ] {
        assert_eq!(problems(date), Vec::<String>::new(), "{date}");
    }
    for date in [
        "sdfdsf",
        "234-13",
        "2016-12-13t2:00:00.593194+1",
        "2016-12-13t2:00:00.1999999999+10:59",
        "9223372036854775808",
        "2016-01-01-01",
        "2016-01-01T25:00:00Z",
        "",
    ] {
        assert_eq!(problems(date), ["The policy failed legacy parsing"], "{date}");
    }
}

/// Which of several mistakes AWS told.
#[test]
fn of_several_mistakes_iam_tells_one() {
    for (statement, told) in [
        (r#"{"Effect":"Allow","Resource":"arn:aws:s3::x"}"#, "The policy failed legacy parsing"),
        (
            r#"{"Effect":"Allow","Action":"s:3:ListBucket","Resource":"x"}"#,
            r#"Resource x must be in ARN format or "*"."#,
        ),
        (
            r#"{"Effect":"Allow","Action":"invalid"}"#,
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (r#"{"Effect":"Allow"}"#, "Policy statement must contain actions."),
        (r#"{"Effect":"allow","Resource":"arn:aws:s3:us-east-1::x"}"#, "The policy failed legacy parsing"),
        (r#"{"Resource":"x","Action":"y"}"#, "Syntax errors in policy."),
        (r#"{"Effect":"Allow","Action":"s3:x","NotAction":[],"Resource":[]}"#, "Syntax errors in policy."),
    ] {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
        let (_, problems) = parse::document(SourceId(0), &text, PolicyKind::Identity);
        let first = first_told(&problems, PolicyKind::Identity).map(|problem| problem.message.as_str());
        assert_eq!(first, Some(told), "{statement}");
    }
}

#[test]
fn a_value_that_is_not_known_leaves_its_statement_unread_and_says_why() {
    let document = r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
        {"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"x"}}}]}"#;
    for path in [&["Resource"][..], &["Effect"], &["Action"], &["Condition", "StringEquals", "aws:username"]]
    {
        let mut tree = json::parse(SourceId(0), document).0;
        let mut place = field_mut(&mut tree, "Statement");
        let Node::List(items) = &mut place.node else { panic!("a list") };
        place = items.last_mut().unwrap();
        for key in path {
            place = field_mut(place, key);
        }
        place.node = Node::Unknown("var.x has no value".to_owned());
        let (policy, problems) = parse::policy(&tree, PolicyKind::Identity);
        assert_eq!((policy.statements.len(), policy.unread_statements), (1, 1), "{path:?}");
        assert_eq!(problems.len(), 1, "{path:?}: {problems:?}");
        assert!(problems[0].message.ends_with("is not known: var.x has no value"), "{problems:?}");
    }
}

#[test]
fn an_unknown_document_is_unread_as_a_whole() {
    let mut tree = json::parse(SourceId(0), "{}").0;
    tree.node = Node::Unknown("data.aws_iam_policy_document.x is not here".to_owned());
    let (policy, problems) = parse::policy(&tree, PolicyKind::Identity);
    assert_eq!((policy.statements.len(), policy.unread_statements), (0, 1));
    assert_eq!(problems[0].message, "a policy is not known: data.aws_iam_policy_document.x is not here");
}

#[test]
fn problems_of_a_document_within_a_string_are_placed_at_the_string() {
    let text = r#"{"policy": "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"x\",\"Resource\":\"*\"}}"}"#;
    let (sources, id) = sources_with("main.tf.json", text);
    let tree = json::parse(id, text).0;
    let (policy, problems) = parse::policy(tree.field("policy").unwrap(), PolicyKind::Identity);
    assert!(sources.excerpt(problems[0].span).starts_with(r#""{\"Statement\""#));
    assert_eq!(policy.statements[0].action.patterns[0].span, problems[0].span);
}

#[test]
fn a_syntax_error_is_placed_where_reading_stopped() {
    let text = "{\n  \"Statement\": [\n    {\"Effect\": Allow}\n  ]\n}";
    let (sources, id) = sources_with("p.json", text);
    let (_, problems) = parse::document(id, text, PolicyKind::Identity);
    let place = sources.place(problems[0].span);
    assert_eq!((place.line, place.column), (3, 16));
}

#[test]
fn json_is_read_as_rfc_8259_has_it() {
    let read = |text: &str| json::parse(SourceId(0), text);
    for (text, node) in [
        (r#""\u00e9\n\/\"\\\b\f\r\t""#, Node::Text("é\n/\"\\\u{8}\u{c}\r\t".to_owned())),
        (r#""\ud83d\ude00""#, Node::Text("😀".to_owned())),
        ("-0.5e+10", Node::Number("-0.5e+10".to_owned())),
        (" \t\r\n true ", Node::Bool(true)),
        ("null", Node::Null),
        ("[]", Node::List(Vec::new())),
        ("{}", Node::Map(Vec::new())),
    ] {
        let (tree, problems) = read(text);
        assert_eq!((tree.node, problems), (node, Vec::new()), "{text}");
    }
    for text in [
        "",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "-",
        "tru",
        "nul",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"a\nb\"",
        "[1,]",
        "[1 2]",
        "[",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "1 2",
        "// x\n1",
        "\u{feff}1",
        "NaN",
        "Infinity",
        "[1]]",
    ] {
        let (tree, problems) = read(text);
        assert_eq!(problems.len(), 1, "{text}");
        assert!(holds_unknown(&tree), "{text}: a torn text must not look whole: {tree:?}");
    }
}

#[test]
fn a_repeated_key_is_reported_and_both_entries_are_kept() {
    let text = r#"{"a":1,"b":2,"a":3,"\u0061":4}"#;
    let (sources, id) = sources_with("x.json", text);
    let (tree, problems) = json::parse(id, text);
    assert_eq!(tree.entries().len(), 4);
    let said: Vec<_> = problems.iter().map(|one| (one.message.as_str(), sources.excerpt(one.span))).collect();
    let message = "the key `a` is repeated";
    assert_eq!(said, [(message, "\"a\"".to_owned()), (message, "\"\\u0061\"".to_owned())]);
}

#[test]
fn every_managed_policy_is_a_sound_policy_and_found_in_any_partition() {
    assert_eq!(managed::all().len(), 43);
    for policy in managed::all() {
        sound_text(policy.json, PolicyKind::Identity);
        for partition in ["aws", "aws-cn", "aws-us-gov"] {
            let arn = format!("arn:{partition}:iam::aws:policy{}", policy.path_and_name);
            assert_eq!(managed::by_arn(&arn).unwrap().path_and_name, policy.path_and_name);
        }
        assert!(policy.path_and_name.ends_with(policy.name()));
    }
    for arn in [
        "arn:aws:iam::123456789012:policy/AdministratorAccess",
        "arn:aws:iam::aws:policy/administratoraccess",
        "arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy",
        "AdministratorAccess",
        "",
    ] {
        assert!(managed::by_arn(arn).is_none(), "{arn}");
    }
}

#[test]
fn a_policy_of_aws_that_is_not_known_is_told_from_what_can_be_none() {
    for (arn, is_not_known, nearest) in [
        ("arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore", true, None),
        ("arn:aws-cn:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole", true, None),
        (
            "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUsr",
            true,
            Some("AmazonEC2ContainerRegistryPowerUser"),
        ),
        (
            "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUesr",
            true,
            Some("AmazonEC2ContainerRegistryPowerUser"),
        ),
        // A name that is known, at another path or in other letters: there is no second one.
        (
            "arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy",
            false,
            Some("AmazonECSTaskExecutionRolePolicy"),
        ),
        ("arn:aws:iam::aws:policy/administratoraccess", false, Some("AdministratorAccess")),
        ("arn:aws:iam::aws:policy/AdministratorAccess", false, Some("AdministratorAccess")),
        ("arn:aws:iam::aws:policy/", false, None),
        ("arn:aws:iam::aws:policy/a b", false, None),
        ("arn:aws:iam::aws:policy", false, None),
        ("arn:aws:iam::aws:policyAmazonNothing", false, None),
        ("arn:aws:iam::aws:role/AmazonNothing", false, None),
        ("arn:aws:iam::123456789012:policy/AmazonNothing", false, None),
        ("arn:aws:s3::aws:policy/AmazonNothing", false, None),
    ] {
        assert_eq!(managed::is_not_known(arn), is_not_known, "{arn}");
        assert_eq!(managed::nearest(arn), nearest, "{arn}");
    }
    let too_long = format!("arn:aws:iam::aws:policy/{}", "a".repeat(129));
    assert!(!managed::is_not_known(&too_long));
}

#[test]
fn the_catalogue_names_each_operation_once_and_its_action_by_the_service() {
    let mut names: Vec<_> = catalogue::operations().iter().map(|one| (one.service, one.name)).collect();
    assert!(names.is_sorted());
    names.dedup();
    assert_eq!(names.len(), catalogue::operations().len());
    for operation in catalogue::operations() {
        let Some(need) = operation.need else { continue };
        let own = format!("{}:{}", operation.service, operation.name);
        assert!(need.action == own || operation.name == "ListImageReferrers", "{operation:?}");
        assert_eq!(catalogue::need(operation.service, operation.name), Some(need));
    }
}

#[test]
fn the_catalogue_knows_what_needs_no_permission_and_what_needs_the_star() {
    use catalogue::{Need, ResourceKind, need};
    assert_eq!(need("sts", "GetCallerIdentity"), None);
    assert_eq!(need("ecr", "NoSuchOperation"), None);
    let any = |action| Some(Need { action, resource: ResourceKind::Any });
    assert_eq!(need("ecr", "GetAuthorizationToken"), any("ecr:GetAuthorizationToken"));
    let repository = |action| Need { action, resource: ResourceKind::Repository };
    assert_eq!(need("ecr", "CreateRepository"), Some(repository("ecr:CreateRepository")));
    assert_eq!(need("ecr", "ListImageReferrers"), Some(repository("ecr:BatchGetImage")));
    let role = |action| Some(Need { action, resource: ResourceKind::Role });
    assert_eq!(need("sts", "AssumeRoleWithWebIdentity"), role("sts:AssumeRoleWithWebIdentity"));
    let known = |need: Need| catalogue::operations().iter().any(|one| one.need == Some(need));
    assert!(catalogue::RegistryCall::ALL.iter().all(|call| known(catalogue::registry_need(*call))));
}

#[test]
fn a_push_needs_just_what_the_documentation_lists() {
    use catalogue::RegistryCall as Call;
    let calls = [
        Call::CheckBlob,
        Call::StartUpload,
        Call::AppendUpload,
        Call::FinishUpload,
        Call::PutManifest,
        Call::ReadManifest,
    ];
    let actions: Vec<_> = calls.iter().map(|call| catalogue::registry_need(*call).action).collect();
    let documented = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
        "ecr:PutImage",
        "ecr:BatchGetImage",
    ];
    assert_eq!(actions, documented);
}

#[test]
fn white_space_does_not_count_towards_a_quota() {
    let text = "{ \"a\" :\n [ 1 , \"b c\" ] }";
    let tree = json::parse(SourceId(0), text).0;
    assert_eq!(chars_without_white_space(&tree), r#"{"a":[1,"bc"]}"#.len());
    let quoted = Tree::new(Node::Text(text.to_owned()), tree.span);
    assert_eq!(chars_without_white_space(&quoted), chars_without_white_space(&tree));
}

#[test]
fn operators_are_read_in_their_documented_spelling_alone() {
    for (name, _) in parse::OPERATORS {
        for spelled in [(*name).to_owned(), format!("ForAnyValue:{name}"), format!("ForAllValues:{name}")] {
            assert!(parse::operator(&spelled).is_some(), "{spelled}");
            let lower = spelled.to_lowercase();
            assert_eq!(parse::operator(&lower), None, "{lower}");
            assert_eq!(parse::operator_spelling(&lower), Some(spelled), "{lower}");
        }
        assert_eq!(parse::operator(&format!("{name}IfExists")).is_some(), *name != "Null");
    }
    assert_eq!(parse::operator("ForSomeValue:StringLike"), None);
}

fn kind(case: &Tree) -> PolicyKind {
    match text(case.field("kind").unwrap()) {
        "trust" => PolicyKind::Trust,
        "identity" => PolicyKind::Identity,
        "resource" => PolicyKind::Resource,
        other => panic!("no kind: {other}"),
    }
}

fn field_mut<'t>(tree: &'t mut Tree, name: &str) -> &'t mut Tree {
    let Node::Map(entries) = &mut tree.node else { panic!("no map at {name}") };
    entries.iter_mut().find(|(key, _)| key.text == name).map(|(_, value)| value).unwrap()
}

fn holds_unknown(tree: &Tree) -> bool {
    match &tree.node {
        Node::Unknown(_) => true,
        Node::List(items) => items.iter().any(holds_unknown),
        Node::Map(entries) => entries.iter().any(|(_, value)| holds_unknown(value)),
        _ => false,
    }
}
