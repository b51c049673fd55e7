//! Where a task's containers write to, and the last of what they wrote.

use super::definition::{Definition, text};
use super::ecs;
use crate::aws_json::Caller;

/// A container's log stream in CloudWatch Logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stream {
    /// The group.
    pub group: String,
    /// The stream: `prefix/container/task`.
    pub name: String,
}

/// The last lines of a container, or why there are none to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Lines, oldest first; may be empty.
    Lines {
        /// Where they are from.
        stream: Stream,
        /// What was written.
        lines: Vec<String>,
    },
    /// They can't be read; one line that says why, and where they are.
    Elsewhere(String),
}

/// The stream of a container of a task, when its driver is `awslogs` and streams have a prefix.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html>
pub fn stream(definition: &Definition, container: &str, task: &str) -> Option<Stream> {
    let log = definition.container(container)?.get("logConfiguration")?.as_object()?;
    if text(log, "logDriver") != Some("awslogs") {
        return None;
    }
    let options = log.get("options")?.as_object()?;
    let (group, prefix) = (text(options, "awslogs-group")?, text(options, "awslogs-stream-prefix")?);
    Some(Stream { group: group.to_owned(), name: format!("{prefix}/{container}/{task}") })
}

/// The last lines.
pub async fn tail(caller: &Caller, definition: &Definition, container: &str, task: &str) -> Tail {
    if !definition.is_read() {
        let why = "ecs:DescribeTaskDefinition is not allowed here, and only the task definition says where it writes to";
        return Tail::Elsewhere(why.to_owned());
    }
    let Some(stream) = stream(definition, container, task) else {
        let driver = definition
            .container(container)
            .and_then(|container| container.get("logConfiguration"))
            .and_then(|log| log.get("logDriver"))
            .and_then(|driver| driver.as_str());
        return Tail::Elsewhere(match driver {
            Some(driver) => format!("its log goes to the driver `{driver}`, which can't be read from here"),
            None => "it has no logConfiguration: what it wrote is kept nowhere".to_owned(),
        });
    };
    match ecs::log_events(&caller.optional(), &stream.group, &stream.name, None, Some(LINES_MAX)).await {
        Ok((lines, _)) => Tail::Lines { stream, lines },
        Err(error) => {
            let why = match error.answer() {
                Some(answer) if answer.code.starts_with("AccessDenied") => {
                    "logs:GetLogEvents is not allowed here".to_owned()
                }
                Some(answer) if answer.code.starts_with("ResourceNotFound") => "it wrote nothing".to_owned(),
                _ => error.to_string(),
            };
            Tail::Elsewhere(format!("log group {}, stream {}: {why}", stream.group, stream.name))
        }
    }
}

/// How many lines of a log are shown.
const LINES_MAX: usize = 20;
