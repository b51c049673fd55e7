//! Flags that say which task definition, and what is changed in it.

use std::path::{Path, PathBuf};

use landfall_deliver::Failure;
use landfall_deliver::deploy::definition::{Definition, Read};
use landfall_deliver::deploy::edit::{Change, Edit};
use landfall_deliver::deploy::members;
use landfall_deliver::deploy::plan::Source;
use landfall_deliver::deploy::words;
use serde_json::Value;

use super::file::{self, Document};
use crate::{files, ui};

/// Where the task definition comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SourceArgs {
    /// A file with the task definition, JSON or YAML; what only AWS can say in it is left out
    #[arg(long, value_name = "FILE", conflicts_with = "family")]
    pub task_definition: Option<PathBuf>,

    /// A task definition that is registered: the latest of a family, or a revision of it
    #[arg(long, value_name = "FAMILY[:REVISION]|ARN")]
    pub family: Option<String>,
}

impl SourceArgs {
    /// Reads what is to be read.
    ///
    /// # Errors
    /// A file that can't be read or is no task definition.
    pub fn read(&self) -> Result<(Source, Option<ReadFile>), Failure> {
        if let Some(name) = &self.family {
            if name.is_empty() {
                return Err(Failure::usage("--family: a name is expected"));
            }
            return Ok((Source::Named(name.clone()), None));
        }
        let Some(path) = &self.task_definition else { return Ok((Source::Running, None)) };
        let document = file::read(path)?;
        let read = Definition::from_document(document.value.clone())
            .map_err(|reason| Failure::usage(format!("{}: {reason}", files::shown(path))))?;
        let Read { definition, left_out, unknown } = read;
        let file = ReadFile { path: files::shown(path), document, left_out };
        if let Some(misspelt) = unknown.iter().find(|one| one.meant.is_some()) {
            return Err(file.point(Failure::usage(misspelt.to_string())));
        }
        // Some may be newer than what is known here.
        unknown.iter().for_each(|one| ui::warning(&format!("{}: {one}", file.path)));
        Ok((Source::Document(definition), Some(file)))
    }
}

/// A task definition's file.
pub struct ReadFile {
    /// As messages show it.
    pub path: String,
    /// What it says.
    pub document: Document,
    /// Members that only AWS can say.
    pub left_out: Vec<String>,
}

impl ReadFile {
    /// A refusal with the place in the file that it is about.
    pub fn point(&self, failure: Failure) -> Failure {
        let place = file::place(&self.document, &failure.message).unwrap_or_else(|| self.path.clone());
        let mut failure = failure;
        failure.details.insert(0, format!("--> {place}"));
        failure
    }
}

/// What is changed in the task definition. `CONTAINER` may be left out where there is only one, or where
/// --container says which ones are meant.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Changes of the task definition")]
pub struct EditArgs {
    /// The containers that the following flags are about where they name none
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    container: Vec<String>,

    /// Another image; may be repeated, as all of these
    #[arg(long, value_name = "[CONTAINER,…=]IMAGE")]
    image: Vec<String>,

    /// A variable; the value is all that follows the first `=`
    #[arg(long, value_name = "[CONTAINER:]KEY=VALUE")]
    env: Vec<String>,

    /// Variables from a file of KEY=VALUE lines
    #[arg(long, value_name = "[CONTAINER:]FILE")]
    env_file: Vec<String>,

    /// Take a variable away
    #[arg(long, value_name = "[CONTAINER:]KEY")]
    remove_env: Vec<String>,

    /// Take all variables away first
    #[arg(long)]
    clear_env: bool,

    /// A variable with the value of a secret: a parameter's name or ARN, or a secret's ARN
    #[arg(long, value_name = "[CONTAINER:]KEY=ARN")]
    secret: Vec<String>,

    /// Take a secret away
    #[arg(long, value_name = "[CONTAINER:]KEY")]
    remove_secret: Vec<String>,

    /// Files in S3 that ECS reads variables from; they take the place of those that are there
    #[arg(long, value_name = "[CONTAINER=]ARN,…")]
    s3_env_file: Vec<String>,

    /// A Docker label
    #[arg(long, value_name = "[CONTAINER:]KEY=VALUE")]
    docker_label: Vec<String>,

    /// Take a Docker label away
    #[arg(long, value_name = "[CONTAINER:]KEY")]
    remove_docker_label: Vec<String>,

    /// Another log driver; its options go with the old one
    #[arg(long, value_name = "[CONTAINER=]DRIVER")]
    log_driver: Vec<String>,

    /// An option of the log driver
    #[arg(long, value_name = "[CONTAINER:]KEY=VALUE")]
    log_option: Vec<String>,

    /// Take an option of the log driver away
    #[arg(long, value_name = "[CONTAINER:]KEY")]
    remove_log_option: Vec<String>,

    /// What the container runs: words with a shell's quotes, or a JSON array; empty takes it away
    #[arg(long, value_name = "[CONTAINER=]WORDS", allow_hyphen_values = true)]
    command: Vec<String>,

    /// The container's entry point, written as a command
    #[arg(long, value_name = "[CONTAINER=]WORDS", allow_hyphen_values = true)]
    entry_point: Vec<String>,

    /// A container's CPU units
    #[arg(long, value_name = "[CONTAINER=]UNITS")]
    container_cpu: Vec<String>,

    /// A container's memory
    #[arg(long, value_name = "[CONTAINER=]MIB")]
    container_memory: Vec<String>,

    #[command(flatten)]
    task: TaskArgs,

    /// A tag of the task definition
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,

    /// Take a tag away
    #[arg(long, value_name = "KEY")]
    remove_tag: Vec<String>,

    /// Any other member, by its name in the API: `web:stopTimeout=30`, `runtimePlatform={"cpuArchitecture":"ARM64"}`;
    /// null takes it away
    #[arg(long, value_name = "[CONTAINER:]MEMBER=JSON")]
    set: Vec<String>,
}

/// What a task as a whole has.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TaskArgs {
    /// The task's CPU: units, or such as `1 vCPU`
    #[arg(long, value_name = "UNITS")]
    pub cpu: Option<String>,

    /// The task's memory: MiB, or such as `2 GB`
    #[arg(long, value_name = "MIB")]
    pub memory: Option<String>,

    /// The role of the program in the task
    #[arg(long, value_name = "ARN")]
    pub task_role: Option<String>,

    /// The role that pulls images, reads secrets and writes logs
    #[arg(long, value_name = "ARN")]
    pub execution_role: Option<String>,
}

/// A flag of the shape `[CONTAINER:]KEY=VALUE`, and what it means.
type PairFlag<'a> = (&'static str, &'a [String], fn(String, String) -> Change);
/// A flag whose text is the value, and what it means.
type TextFlag<'a> = (&'static str, &'a Option<String>, fn(String) -> Change);
/// A flag of the shape `[CONTAINER:]KEY`, and what it means.
type KeyFlag<'a> = (&'static str, &'a [String], fn(String) -> Change);

impl EditArgs {
    /// The changes, in an order in which what is taken away goes first.
    ///
    /// # Errors
    /// A value that has another shape, a file that can't be read.
    pub fn edits(&self, known: &[&str]) -> Result<Vec<Edit>, Failure> {
        let mut list = List { edits: Vec::new(), default: &self.container, known };
        if self.clear_env {
            list.push("--clear-env", Vec::new(), Change::ClearEnvironment);
        }
        list.keys(&[
            ("--remove-env", &self.remove_env, Change::RemoveEnvironment),
            ("--remove-secret", &self.remove_secret, Change::RemoveSecret),
            ("--remove-docker-label", &self.remove_docker_label, Change::RemoveDockerLabel),
            ("--remove-log-option", &self.remove_log_option, Change::RemoveLogOption),
        ])?;
        list.assign("--image", &self.image, |text| image(text, known))?;
        for text in &self.env_file {
            list.env_file(text)?;
        }
        list.assign("--log-driver", &self.log_driver, |text| Ok(Change::LogDriver(not_empty(text)?)))?;
        list.pairs(&[
            ("--env", &self.env, |name, value| Change::Environment { name, value }),
            ("--secret", &self.secret, |name, value_from| Change::Secret { name, value_from }),
            ("--docker-label", &self.docker_label, |name, value| Change::DockerLabel { name, value }),
            ("--log-option", &self.log_option, |name, value| Change::LogOption { name, value }),
        ])?;
        list.assign("--s3-env-file", &self.s3_env_file, |text| {
            let arns = text.split(',').map(str::trim).filter(|arn| !arn.is_empty());
            Ok(Change::EnvironmentFiles(arns.map(str::to_owned).collect()))
        })?;
        list.assign("--command", &self.command, |text| Ok(Change::Command(words::command(text)?)))?;
        list.assign("--entry-point", &self.entry_point, |text| {
            Ok(Change::EntryPoint(words::command(text)?))
        })?;
        list.assign("--container-cpu", &self.container_cpu, |text| Ok(Change::ContainerCpu(whole(text)?)))?;
        list.assign("--container-memory", &self.container_memory, |text| {
            Ok(Change::ContainerMemory(whole(text)?))
        })?;
        self.task(&mut list)?;
        Ok(list.edits)
    }

    fn task(&self, list: &mut List<'_>) -> Result<(), Failure> {
        let texts: [TextFlag<'_>; 4] = [
            ("--cpu", &self.task.cpu, Change::Cpu),
            ("--memory", &self.task.memory, Change::Memory),
            ("--task-role", &self.task.task_role, Change::TaskRole),
            ("--execution-role", &self.task.execution_role, Change::ExecutionRole),
        ];
        for (flag, text, change) in texts {
            if let Some(text) = text {
                let text = not_empty(text).map_err(|reason| told(flag, &reason))?;
                list.push(flag, Vec::new(), change(text));
            }
        }
        for key in &self.remove_tag {
            list.push("--remove-tag", Vec::new(), Change::RemoveTag(key.clone()));
        }
        for text in &self.tag {
            let (key, value) = crate::cmd::key_value(text).map_err(|reason| told("--tag", &reason))?;
            list.push("--tag", Vec::new(), Change::Tag { key, value });
        }
        for text in &self.set {
            let pair = words::pair(text).map_err(|_| told("--set", &not_a_pair(text)))?;
            match members::unknown_member(pair.container.as_deref(), &pair.key) {
                Some(unknown) if unknown.meant.is_some() => {
                    return Err(told("--set", &unknown.to_string()));
                }
                Some(unknown) => ui::warning(&format!("--set: {unknown}")),
                None => {}
            }
            let value = member_value(&pair.value)
                .map_err(|reason| told("--set", &format!("`{}`: {reason}", pair.key)))?;
            let change = match &pair.container {
                Some(_) => Change::ContainerMember { name: pair.key, value },
                None => Change::Member { name: pair.key, value },
            };
            list.push("--set", pair.container.into_iter().collect(), change);
        }
        Ok(())
    }
}

struct List<'a> {
    edits: Vec<Edit>,
    default: &'a [String],
    known: &'a [&'a str],
}

impl List<'_> {
    fn push(&mut self, flag: &'static str, containers: Vec<String>, change: Change) {
        let containers = if containers.is_empty() {
            self.default.iter().map(|name| name.trim().to_owned()).collect()
        } else {
            containers
        };
        self.edits.push(Edit { flag, containers, change });
    }

    fn pairs(&mut self, flags: &[PairFlag<'_>]) -> Result<(), Failure> {
        for (flag, texts, change) in flags {
            for text in *texts {
                let pair = words::pair(text).map_err(|_| told(flag, &not_a_pair(text)))?;
                self.push(flag, pair.container.into_iter().collect(), change(pair.key, pair.value));
            }
        }
        Ok(())
    }

    fn keys(&mut self, flags: &[KeyFlag<'_>]) -> Result<(), Failure> {
        for (flag, texts, change) in flags {
            for text in *texts {
                let (container, key) = words::scoped(text);
                let key = not_empty(&key).map_err(|reason| told(flag, &reason))?;
                self.push(flag, container.into_iter().collect(), change(key));
            }
        }
        Ok(())
    }

    fn assign(
        &mut self,
        flag: &'static str,
        texts: &[String],
        change: impl Fn(&str) -> Result<Change, String>,
    ) -> Result<(), Failure> {
        for text in texts {
            let (containers, value) = words::assigned(text, self.known);
            let change = change(&value).map_err(|reason| told(flag, &reason))?;
            self.push(flag, containers, change);
        }
        Ok(())
    }

    /// The container is what stands before the first colon, when that is one: a path may have a colon too.
    fn env_file(&mut self, text: &str) -> Result<(), Failure> {
        let (container, path) = match text.split_once(':') {
            Some((name, path)) if self.known.contains(&name) => (Some(name.to_owned()), path),
            _ => (None, text),
        };
        let sources = landfall_types::SourceMap::new();
        let id = files::read(&sources, Path::new(path))?;
        let pairs = words::environment_file(&sources.text(id))
            .map_err(|(line, why)| told("--env-file", &format!("{path}:{line}: {why}")))?;
        for (name, value) in pairs {
            let containers = container.clone().into_iter().collect();
            self.push("--env-file", containers, Change::Environment { name, value });
        }
        Ok(())
    }
}

/// Why `KEY=VALUE` is none. The value may be a secret: the message leaves it out.
fn not_a_pair(text: &str) -> String {
    let key = text.split('=').next().unwrap_or_default();
    format!("`{key}` is not followed by `=VALUE`, or has no name")
}

/// The value of a member: JSON. What can't be meant as JSON is text: `--set networkMode=awsvpc`.
fn member_value(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if text.trim_start().starts_with(['{', '[', '"']) => Err(format!(
            "the value begins as JSON and is none, at column {} of line {}: {}",
            error.column(),
            error.line(),
            kind(&error)
        )),
        Err(_) => Ok(Value::from(text)),
    }
}

/// What is wrong with JSON, without a word of it.
fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early (did the shell take its quotes?)",
        _ => "something else is expected there (did the shell take its quotes?)",
    }
}

fn told(flag: &str, reason: &str) -> Failure {
    Failure::usage(format!("{flag}: {reason}"))
}

/// An image has no `=` in its name: what stands before one was meant to be a container.
fn image(text: &str, known: &[&str]) -> Result<Change, String> {
    if let Some((name, _)) = text.split_once('=') {
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        return Err(format!("there is no container `{name}`; there is {}", known.join(", ")));
    }
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !IMAGE_SIGNS.contains(*c)) {
        let meant = if wrong == '$' { "; was the value of a variable meant?" } else { "" };
        return Err(format!("`{text}` is no image: `{}` is not allowed in one{meant}", wrong.escape_debug()));
    }
    Ok(Change::Image(not_empty(text)?))
}

/// What an image may have beside letters and digits.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
const IMAGE_SIGNS: &str = "-_:./#@";

fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("the value is empty".to_owned()) } else { Ok(text.to_owned()) }
}

fn whole(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is not a whole number"))
}
