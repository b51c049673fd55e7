//! amazon-ecs-render-task-definition v1: a task definition with another image, and what else the step says.
//! What the original loses is lost here as well, with a warning: the rehearsal shows what CI would do.

use serde_json::{Map, Value, json};

use super::clean::READ_ONLY;
use super::{Inputs, input};

/// What the action reads from `action.yml`.
const INPUTS: [&str; 15] = [
    "task-definition",
    "task-definition-arn",
    "task-definition-family",
    "task-definition-revision",
    "container-name",
    "image",
    "environment-variables",
    "env-files",
    "secrets",
    "log-configuration-log-driver",
    "log-configuration-options",
    "docker-labels",
    "command",
    "task-role-arn",
    "execution-role-arn",
];

/// Log drivers that the action knows.
const LOG_DRIVERS: [&str; 9] =
    ["json-file", "syslog", "journald", "logentries", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens"];

/// Where the task definition comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum From {
    /// A file, as the step names it.
    File(String),
    /// One that is registered: an ARN, a family, or a family with its revision.
    Registered(String),
}

/// Where a step's task definition comes from: a file wins over an ARN, an ARN over a family.
///
/// # Errors
/// The text that the step fails with.
pub fn from(inputs: &Inputs) -> Result<From, String> {
    for name in ["container-name", "image"] {
        if input(inputs, name).is_none() {
            return Err(format!("Input required and not supplied: {name}"));
        }
    }
    let revision = input(inputs, "task-definition-revision");
    if let Some(file) = input(inputs, "task-definition") {
        return Ok(From::File(file.to_owned()));
    }
    if let Some(arn) = input(inputs, "task-definition-arn") {
        return Ok(From::Registered(arn.to_owned()));
    }
    match (input(inputs, "task-definition-family"), revision) {
        (Some(family), Some(revision)) => Ok(From::Registered(format!("{family}:{revision}"))),
        (Some(family), None) => Ok(From::Registered(family.to_owned())),
        (None, Some(_)) => Err(
            "You can't fetch task definition with just revision: Either use task definition file, arn or family name"
                .to_owned(),
        ),
        (None, None) => {
            Err("Either task definition, task definition arn or task definition family must be provided".to_owned())
        }
    }
}

/// A task definition with a step's changes.
#[derive(Clone, PartialEq, Debug)]
pub struct Rendered {
    /// What the action writes.
    pub definition: Value,
    /// What it would lose, and inputs that it doesn't know.
    pub warnings: Vec<String>,
}

/// Makes a step's changes.
///
/// # Errors
/// The text that the step fails with.
pub fn render(mut definition: Value, inputs: &Inputs) -> Result<Rendered, String> {
    let mut warnings: Vec<String> = super::unexpected(INPUTS.into_iter(), inputs).into_iter().collect();
    let names = input(inputs, "container-name").unwrap_or_default();
    let Some(containers) = definition.get_mut("containerDefinitions").and_then(Value::as_array_mut) else {
        return Err(
            "Invalid task definition format: containerDefinitions section is not present or is not an array"
                .to_owned(),
        );
    };
    for name in names.split(',') {
        let found = containers.iter_mut().filter_map(Value::as_object_mut);
        let container = found.into_iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name));
        let container = container.ok_or_else(|| {
            "Invalid task definition: Could not find container definition with matching name".to_owned()
        })?;
        change(container, inputs, &mut warnings)?;
    }
    for (name, member) in [("task-role-arn", "taskRoleArn"), ("execution-role-arn", "executionRoleArn")] {
        if let Some(arn) = input(inputs, name) {
            if !arn.starts_with("arn:") || !arn.contains(":role/") {
                return Err(format!("Invalid {name} '{arn}': a role's whole ARN is expected"));
            }
            definition[member] = Value::from(arn);
        }
    }
    if let Some(members) = definition.as_object_mut() {
        members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    warnings.dedup();
    Ok(Rendered { definition, warnings })
}

type Container = Map<String, Value>;

fn change(container: &mut Container, inputs: &Inputs, warnings: &mut Vec<String>) -> Result<(), String> {
    let lines = |name: &str| lines(input(inputs, name).unwrap_or_default());
    if let Some(image) = input(inputs, "image") {
        container.insert("image".to_owned(), Value::from(image));
    }
    if let Some(command) = input(inputs, "command") {
        if command.contains(['"', '\'']) {
            warnings.push(format!(
                "the action splits `command` at spaces and knows no quotes: {}",
                json!(command.split(' ').collect::<Vec<_>>())
            ));
        }
        container.insert("command".to_owned(), json!(command.split(' ').collect::<Vec<_>>()));
    }
    if input(inputs, "env-files").is_some() {
        let files = lines("env-files").map(|file| json!({ "value": file, "type": "s3" }));
        container.insert("environmentFiles".to_owned(), files.collect());
    }
    for (name, list, member) in
        [("environment-variables", "environment", "value"), ("secrets", "secrets", "valueFrom")]
    {
        for line in lines(name) {
            let Some((key, value)) = line.split_once('=') else {
                return Err(match name {
                    "secrets" => format!(
                        "Cannot parse the secret '{line}'. Secret pairs must be of the form NAME=valueFrom"
                    ),
                    _ => format!(
                        "Cannot parse the environment variable '{line}'. Environment variable pairs must be of the form NAME=value."
                    ),
                });
            };
            if let Some(lost) = put_named(container, list, (key, member, value)) {
                warnings.push(format!(
                    "the action drops the container's `{list}`, which is no list: {lost}; write [{{\"name\": …, \"{member}\": …}}]"
                ));
            }
        }
    }
    change_log(container, inputs, warnings)?;
    for line in lines("docker-labels") {
        let (key, value) = cut("docker-labels", line, warnings)?;
        object(container, "dockerLabels").insert(key, Value::from(value));
    }
    Ok(())
}

fn change_log(container: &mut Container, inputs: &Inputs, warnings: &mut Vec<String>) -> Result<(), String> {
    if let Some(driver) = input(inputs, "log-configuration-log-driver") {
        if !LOG_DRIVERS.contains(&driver) {
            return Err(format!(
                "'{driver}' is invalid logConfigurationLogDriver. valid options are {}. More details: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LogConfiguration.html",
                LOG_DRIVERS.join(",")
            ));
        }
        object(container, "logConfiguration").insert("logDriver".to_owned(), Value::from(driver));
    }
    for line in lines(input(inputs, "log-configuration-options").unwrap_or_default()) {
        let (key, value) = cut("log-configuration-options", line, warnings)?;
        object(object(container, "logConfiguration"), "options").insert(key, Value::from(value));
    }
    Ok(())
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// A pair as the action reads it: what follows a second `=` is lost.
fn cut(name: &str, line: &str, warnings: &mut Vec<String>) -> Result<(String, String), String> {
    let mut parts = line.split('=');
    let (key, value) = (parts.next().unwrap_or_default(), parts.next());
    let value = value.ok_or_else(|| {
        format!("Can't parse logConfiguration option {line}. Must be in key=value format, one per line")
    })?;
    if parts.next().is_some() {
        warnings.push(format!(
            "the action loses what follows a second `=`: `{key}` of {name} becomes `{value}`; write it into the task definition file"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A member that is an object, made where there is none.
fn object<'c>(of: &'c mut Container, name: &str) -> &'c mut Container {
    let value = of.entry(name).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    // INVARIANT: it was made an object above.
    value.as_object_mut().expect("INVARIANT: an object")
}

/// Puts `{"name": key, member: value}` into a list, or over the entry that has the name. What stands there and is no list is
/// given back: it is lost.
fn put_named(
    container: &mut Container,
    list: &str,
    (key, member, value): (&str, &str, &str),
) -> Option<Value> {
    let entries = container.entry(list).or_insert_with(|| json!([]));
    let lost = (!entries.is_array()).then(|| std::mem::replace(entries, json!([])));
    let entries = entries.as_array_mut()?;
    match entries.iter_mut().find(|entry| entry["name"] == key) {
        Some(entry) => entry[member] = Value::from(value),
        None => entries.push(json!({ "name": key, member: value })),
    }
    lost.filter(|lost| !lost.is_null())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let named = [("container-name", "web"), ("image", "i:2")];
        named.iter().chain(pairs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn rendered(pairs: &[(&str, &str)]) -> Result<Rendered, String> {
        let definition = json!({
            "family": "web",
            "revision": 3,
            "registeredBy": "me",
            "containerDefinitions": [
                { "name": "web", "image": "i:1", "environment": [{ "name": "A", "value": "1" }] },
                { "name": "side", "image": "s" },
            ],
        });
        render(definition, &inputs(pairs))
    }

    #[test]
    fn a_definition_is_found_as_the_action_looks_for_it() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<From, &'a str>);
        let cases: &[Case<'_>] = &[
            (
                &[("task-definition", "a.json"), ("task-definition-arn", "x")],
                Ok(From::File("a.json".to_owned())),
            ),
            (
                &[("task-definition-arn", "x"), ("task-definition-family", "f")],
                Ok(From::Registered("x".to_owned())),
            ),
            (
                &[("task-definition-family", "f"), ("task-definition-revision", "7")],
                Ok(From::Registered("f:7".to_owned())),
            ),
            (&[("task-definition-family", "f")], Ok(From::Registered("f".to_owned()))),
            (&[("task-definition-revision", "7")], Err("just revision")),
            (&[], Err("must be provided")),
        ];
        for (given, wanted) in cases {
            match (from(&inputs(given)), wanted) {
                (Ok(got), Ok(wanted)) => assert_eq!(got, *wanted),
                (Err(got), Err(wanted)) => assert!(got.contains(wanted), "{got}"),
                (got, _) => panic!("{given:?}: {got:?}"),
            }
        }
        let error = from(&[("image".to_owned(), "x".to_owned())]).unwrap_err();
        assert_eq!(error, "Input required and not supplied: container-name");
    }

    #[test]
    fn what_the_step_says_goes_into_the_named_container_and_read_only_members_go() {
        let got = rendered(&[
            ("environment-variables", "A=2\n B=x=y \n"),
            ("secrets", "S=arn:aws:ssm:::parameter/s"),
            ("env-files", "arn:aws:s3:::b/a.env"),
            ("docker-labels", "a=b"),
            ("log-configuration-log-driver", "awslogs"),
            ("log-configuration-options", "awslogs-group=/g"),
            ("command", "serve now"),
            ("task-role-arn", "arn:aws:iam::123456789012:role/t"),
        ])
        .unwrap();
        let wanted = json!({
            "family": "web",
            "taskRoleArn": "arn:aws:iam::123456789012:role/t",
            "containerDefinitions": [
                {
                    "name": "web",
                    "image": "i:2",
                    "environment": [{ "name": "A", "value": "2" }, { "name": "B", "value": "x=y" }],
                    "secrets": [{ "name": "S", "valueFrom": "arn:aws:ssm:::parameter/s" }],
                    "environmentFiles": [{ "value": "arn:aws:s3:::b/a.env", "type": "s3" }],
                    "dockerLabels": { "a": "b" },
                    "logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/g" } },
                    "command": ["serve", "now"],
                },
                { "name": "side", "image": "s" },
            ],
        });
        assert_eq!(got, Rendered { definition: wanted, warnings: Vec::new() });
    }

    #[test]
    fn what_the_action_loses_is_lost_and_told() {
        let got = rendered(&[
            ("docker-labels", "rule=Host(`a`)&&Query(`k=v`)"),
            ("command", "sh -c \"echo hi\""),
            ("colour", "red"),
        ])
        .unwrap();
        let container = &got.definition["containerDefinitions"][0];
        assert_eq!(container["dockerLabels"]["rule"], "Host(`a`)&&Query(`k");
        assert_eq!(container["command"], json!(["sh", "-c", "\"echo", "hi\""]));
        let told = got.warnings.join("\n");
        for part in ["Unexpected input(s) 'colour'", "second `=`", "knows no quotes"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn variables_that_are_no_list_are_lost_and_told() {
        let definition =
            json!({ "containerDefinitions": [{ "name": "web", "environment": { "PORT": "8080" } }] });
        let got = render(definition, &inputs(&[("environment-variables", "A=1\nB=2")])).unwrap();
        let container = &got.definition["containerDefinitions"][0];
        assert_eq!(
            container["environment"],
            json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }])
        );
        assert_eq!(
            got.warnings,
            [
                r#"the action drops the container's `environment`, which is no list: {"PORT":"8080"}; write [{"name": …, "value": …}]"#
            ]
        );
    }

    #[test]
    fn what_the_action_refuses_is_refused_in_its_words() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("environment-variables", "NOTHING")], "Cannot parse the environment variable 'NOTHING'."),
            (&[("docker-labels", "x")], "Must be in key=value format"),
            (&[("log-configuration-log-driver", "paper")], "'paper' is invalid logConfigurationLogDriver."),
            (&[("execution-role-arn", "name")], "a role's whole ARN is expected"),
        ];
        for (given, wanted) in cases {
            let error = rendered(given).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let other = render(json!({}), &inputs(&[])).unwrap_err();
        assert!(other.contains("containerDefinitions section is not present"), "{other}");
        let definition = json!({ "containerDefinitions": [{ "name": "app" }] });
        assert!(render(definition, &inputs(&[])).unwrap_err().contains("matching name"));
    }
}
