//! amazon-ecs-deploy-task-definition v2 as `landfall deploy`: the same inputs, outputs and order. Its verdict
//! is Landfall's own, which waits for what is really stable.

use std::time::Duration;

use serde_json::Value;

use super::{Inputs, Invocation, boolean, input};

/// `action.yml`.
const INPUTS: [&str; 33] = [
    "task-definition",
    "desired-count",
    "service",
    "cluster",
    "wait-for-service-stability",
    "wait-for-minutes",
    "wait-max-delay-seconds",
    "max-retries",
    "codedeploy-appspec",
    "codedeploy-application",
    "codedeploy-deployment-group",
    "codedeploy-deployment-description",
    "codedeploy-deployment-config",
    "force-new-deployment",
    "service-managed-ebs-volume-name",
    "service-managed-ebs-volume",
    "run-task",
    "run-task-container-overrides",
    "run-task-security-groups",
    "run-task-subnets",
    "run-task-assign-public-IP",
    "run-task-capacity-provider-strategy",
    "run-task-launch-type",
    "run-task-started-by",
    "run-task-tags",
    "run-task-managed-ebs-volume-name",
    "run-task-managed-ebs-volume",
    "wait-for-task-stopped",
    "enable-ecs-managed-tags",
    "propagate-tags",
    "keep-null-value-keys",
    "http-proxy",
    "no-proxy",
];

/// Longest wait that the action allows, in minutes, and what it waits when nothing is said.
const WAIT_MINUTES: (u64, u64) = (360, 30);
/// Tries after the first when nothing is said, or nothing that counts.
const RETRIES: u64 = 3;

/// Stands in later commands for the output `task-definition-arn` of those before.
pub const REGISTERED: &str = "{task-definition-arn}";

/// The step's `task-definition`, and the keys that it keeps when they are empty.
///
/// # Errors
/// The text that the step fails with.
pub fn file(inputs: &Inputs) -> Result<(String, Vec<&str>), String> {
    let file = input(inputs, "task-definition")
        .ok_or_else(|| "Input required and not supplied: task-definition".to_owned())?;
    let keep = input(inputs, "keep-null-value-keys").unwrap_or_default();
    Ok((file.to_owned(), keep.split(',').map(str::trim).filter(|key| !key.is_empty()).collect()))
}

/// The commands of a step, where `file` is the task definition as the action cleans it.
///
/// # Errors
/// The text that the step fails with.
pub fn invocation(inputs: &Inputs, file: &str) -> Result<Invocation, String> {
    let mut invocation = Invocation::default();
    invocation.warnings.extend(super::unexpected(INPUTS.into_iter(), inputs));
    let source = format!("--task-definition={file}");
    let service = input(inputs, "service");
    let runs_task = input(inputs, "run-task").is_some_and(|word| word.eq_ignore_ascii_case("true"));
    if !runs_task {
        invocation.args = match service {
            Some(_) => update(inputs, &source, &mut invocation.warnings)?,
            None => words(&["deploy", "--register-only", &source]),
        };
        return Ok(invocation);
    }
    // The task runs before the service is touched.
    let registered = format!("--family={REGISTERED}");
    invocation.args = words(&["deploy", "--register-only", &source]);
    invocation.then.push(run_task(inputs, &registered, &mut invocation.warnings)?);
    if service.is_some() {
        invocation.then.push(update(inputs, &registered, &mut invocation.warnings)?);
    }
    Ok(invocation)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// JavaScript's `parseInt(…) || default`.
fn number(inputs: &Inputs, name: &str, default: u64) -> u64 {
    let text = input(inputs, name).unwrap_or_default();
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|number| *number > 0).unwrap_or(default)
}

fn retries(inputs: &Inputs, warnings: &mut Vec<String>) -> String {
    if input(inputs, "max-retries") == Some("0") {
        warnings.push(format!("the action takes `max-retries: 0` for its default, {RETRIES}"));
    }
    format!("--max-retries={}", number(inputs, "max-retries", RETRIES))
}

fn wait(inputs: &Inputs) -> String {
    let (most, default) = WAIT_MINUTES;
    format!("--timeout={}m", number(inputs, "wait-for-minutes", default).min(most))
}

/// Shortens what a word says of the wait, if it says anything.
pub fn wait_at_most(word: &mut String, most: Duration) {
    let minutes = word.strip_prefix("--timeout=").and_then(|rest| rest.strip_suffix('m'));
    let said = minutes.and_then(|minutes| minutes.parse::<u64>().ok());
    if said.is_some_and(|minutes| Duration::from_secs(minutes.saturating_mul(60)) > most) {
        *word = format!("--timeout={}s", most.as_secs());
    }
}

fn update(inputs: &Inputs, source: &str, warnings: &mut Vec<String>) -> Result<Vec<String>, String> {
    let mut args = words(&["deploy", source]);
    let mut add = |flag: &str, name: &str| {
        args.extend(input(inputs, name).map(|value| format!("--{flag}={value}")));
    };
    add("service", "service");
    add("cluster", "cluster");
    for name in [
        "codedeploy-appspec",
        "codedeploy-application",
        "codedeploy-deployment-group",
        "codedeploy-deployment-description",
        "codedeploy-deployment-config",
        "propagate-tags",
    ] {
        add(name, name);
    }
    // Only a number counts.
    let count = input(inputs, "desired-count").and_then(|text| text.parse::<u32>().ok());
    args.extend(count.map(|count| format!("--desired-count={count}")));
    if let Some(value) = input(inputs, "enable-ecs-managed-tags") {
        let value = boolean("enable-ecs-managed-tags", value)?;
        args.push(format!("--enable-ecs-managed-tags={value}"));
    }
    let is_true = |name: &str| input(inputs, name).is_some_and(|word| word.eq_ignore_ascii_case("true"));
    if is_true("force-new-deployment") {
        args.push("--force".to_owned());
    }
    if is_true("wait-for-service-stability") {
        args.push(wait(inputs));
        args.extend(
            input(inputs, "wait-max-delay-seconds")
                .map(|_| format!("--max-pause={}s", number(inputs, "wait-max-delay-seconds", 15))),
        );
    } else {
        args.push("--no-wait".to_owned());
    }
    args.push(retries(inputs, warnings));
    args.extend(volume(inputs, "service-managed-ebs-volume")?);
    Ok(args)
}

fn run_task(inputs: &Inputs, source: &str, warnings: &mut Vec<String>) -> Result<Vec<String>, String> {
    let mut args = words(&["deploy", "run-task", source]);
    args.extend(input(inputs, "cluster").map(|cluster| format!("--cluster={cluster}")));
    args.extend(json(inputs, "run-task-container-overrides")?.map(|text| format!("--overrides={text}")));
    match json(inputs, "run-task-capacity-provider-strategy")? {
        Some(strategy) => args.push(format!("--capacity-provider={strategy}")),
        None => {
            let launch = input(inputs, "run-task-launch-type").unwrap_or("FARGATE");
            args.push(format!("--launch-type={launch}"));
        }
    }
    for (name, flag) in [("run-task-subnets", "subnets"), ("run-task-security-groups", "security-groups")] {
        let Some(value) = input(inputs, name) else { continue };
        // Split at commas and not trimmed, as the action sends it.
        if let Some(id) = value.split(',').find(|id| id.trim() != *id || id.is_empty()) {
            return Err(format!(
                "{name}: the action splits it at commas and trims nothing, and AWS refuses `{}`",
                id.escape_debug()
            ));
        }
        args.push(format!("--{flag}={value}"));
    }
    let is_public = input(inputs, "run-task-assign-public-IP").is_some_and(|word| word == "ENABLED");
    if is_public && input(inputs, "run-task-subnets").is_some() {
        args.push("--assign-public-ip=true".to_owned());
    }
    let by = input(inputs, "run-task-started-by").unwrap_or("GitHub-Actions");
    args.push(format!("--started-by={by}"));
    if let Some(tags) = json(inputs, "run-task-tags")? {
        let tags: Value = serde_json::from_str(&tags).unwrap_or_default();
        for tag in tags.as_array().into_iter().flatten() {
            let part = |name: &str| tag[name].as_str().unwrap_or_default().to_owned();
            args.push(format!("--tag={}={}", part("key"), part("value")));
        }
    }
    args.extend(volume(inputs, "run-task-managed-ebs-volume")?);
    if input(inputs, "wait-for-task-stopped").is_some_and(|word| word.eq_ignore_ascii_case("true")) {
        args.push(wait(inputs));
    } else {
        args.push("--no-wait".to_owned());
    }
    args.push(retries(inputs, warnings));
    Ok(args)
}

/// An input that is JSON; an empty list is as good as nothing.
fn json(inputs: &Inputs, name: &str) -> Result<Option<String>, String> {
    let Some(text) = input(inputs, name) else { return Ok(None) };
    let value: Value = serde_json::from_str(text).map_err(|error| format!("{name} is not JSON: {error}"))?;
    Ok((value.as_array().map(Vec::len) != Some(0)).then(|| text.to_owned()))
}

fn volume(inputs: &Inputs, name: &str) -> Result<Option<String>, String> {
    let (volume, settings) = (input(inputs, &format!("{name}-name")), json(inputs, name)?);
    Ok(match (volume, settings) {
        (Some(volume), Some(settings)) => Some(format!("--ebs-volume={volume}={settings}")),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn invoked(pairs: &[(&str, &str)]) -> Invocation {
        let inputs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        invocation(&inputs, "t.json").unwrap()
    }

    #[test]
    fn a_service_is_updated_and_waited_for_as_the_inputs_say() {
        let got = invoked(&[
            ("service", "web"),
            ("cluster", "prod"),
            ("wait-for-service-stability", "True"),
            ("wait-for-minutes", "999"),
            ("desired-count", "2"),
            ("force-new-deployment", "true"),
            ("propagate-tags", "SERVICE"),
            ("max-retries", "0"),
        ]);
        let wanted = [
            "deploy",
            "--task-definition=t.json",
            "--service=web",
            "--cluster=prod",
            "--propagate-tags=SERVICE",
            "--desired-count=2",
            "--force",
            "--timeout=360m",
            "--max-retries=3",
        ];
        assert_eq!(got.args, wanted);
        assert!(got.warnings.iter().any(|line| line.contains("max-retries: 0")), "{:?}", got.warnings);
        let quick = invoked(&[("service", "web"), ("desired-count", "many"), ("colour", "red")]);
        assert!(quick.args.contains(&"--no-wait".to_owned()), "{:?}", quick.args);
        assert!(!quick.args.iter().any(|word| word.starts_with("--desired-count")), "{:?}", quick.args);
        assert!(quick.warnings.iter().any(|line| line.starts_with("Unexpected input(s) 'colour'")));
        let mut words = vec!["--timeout=360m".to_owned(), "--cluster=a".to_owned()];
        words.iter_mut().for_each(|word| wait_at_most(word, Duration::from_secs(5)));
        assert_eq!(words, ["--timeout=5s", "--cluster=a"]);
        assert_eq!(invoked(&[]).args, ["deploy", "--register-only", "--task-definition=t.json"]);
    }

    #[test]
    fn blanks_in_a_list_of_ids_go_to_aws_which_refuses_them() {
        for value in ["subnet-a, subnet-b", "subnet-a ,subnet-b", "subnet-a,", "subnet-a,\n  subnet-b"] {
            let inputs = [("run-task", "true"), ("run-task-subnets", value)];
            let inputs: Vec<(String, String)> =
                inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let error = invocation(&inputs, "t.json").unwrap_err();
            assert!(error.starts_with("run-task-subnets: the action splits it at commas"), "{error}");
        }
    }

    #[test]
    fn a_task_runs_before_the_service_is_updated() {
        let got = invoked(&[
            ("run-task", "true"),
            ("service", "web"),
            ("run-task-subnets", "a,b"),
            ("run-task-assign-public-IP", "ENABLED"),
            ("run-task-container-overrides", r#"[{"name":"web"}]"#),
            ("run-task-capacity-provider-strategy", "[]"),
            ("run-task-tags", r#"[{"key":"a","value":"b=c"}]"#),
            ("wait-for-task-stopped", "true"),
        ]);
        assert_eq!(got.args, ["deploy", "--register-only", "--task-definition=t.json"]);
        let wanted = [
            "deploy",
            "run-task",
            "--family={task-definition-arn}",
            r#"--overrides=[{"name":"web"}]"#,
            "--launch-type=FARGATE",
            "--subnets=a,b",
            "--assign-public-ip=true",
            "--started-by=GitHub-Actions",
            "--tag=a=b=c",
            "--timeout=30m",
            "--max-retries=3",
        ];
        assert_eq!(got.then[0], wanted);
        assert_eq!(got.then[1][..3], ["deploy", "--family={task-definition-arn}", "--service=web"]);
    }
}
