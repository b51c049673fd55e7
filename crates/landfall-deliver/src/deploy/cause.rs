//! Why tasks stopped or never began, in ECS's words and in order: what is said once for each reason, with a task that
//! shows it.

use super::denied::UNTAKEN_HELP;
use super::view::Task;

/// Tasks that stopped, or couldn't be launched, for the same reason.
#[derive(Clone, PartialEq, Debug)]
pub struct Cause {
    /// How many.
    pub count: usize,
    /// One line, ECS's own words.
    pub reason: String,
    /// One of them: the last that stopped. None of those that couldn't be launched.
    pub task: Option<Task>,
    /// The container that is to blame, where one is.
    pub container: Option<String>,
    /// What to do, where that can be said.
    pub help: Option<&'static str>,
}

/// ECS's error, where an event of a service tells that a task couldn't be launched.
pub fn launch_error(event: &str) -> Option<&str> {
    let (_, error) = event.split_once("failed to launch a task with (error ")?;
    Some(error.trim_end_matches('.').strip_suffix(')').unwrap_or(error))
}

/// The reasons why tasks stopped and why others couldn't be launched, the most frequent first.
pub fn of(tasks: &[Task], not_launched: &[String]) -> Vec<Cause> {
    let mut causes: Vec<Cause> = Vec::new();
    for task in tasks {
        let (reason, container) = reason(task);
        let pattern = without_ids(&reason, task.id());
        let is_same = |known: &Cause| {
            let id = known.task.as_ref().map_or("", Task::id);
            without_ids(&known.reason, id) == pattern
        };
        match causes.iter_mut().find(|known| is_same(known)) {
            Some(known) => {
                known.count += 1;
                let before = known.task.as_ref().and_then(|task| task.stopped_at).unwrap_or_default();
                if task.stopped_at.unwrap_or_default() >= before {
                    known.task = Some(task.clone());
                    known.reason = reason;
                }
            }
            None => {
                let help = help(&reason);
                causes.push(Cause { count: 1, reason, task: Some(task.clone()), container, help });
            }
        }
    }
    for error in not_launched {
        match causes.iter_mut().find(|known| known.task.is_none() && known.reason == *error) {
            Some(known) => known.count += 1,
            None => {
                let (reason, help) = (error.clone(), help(error));
                causes.push(Cause { count: 1, reason, task: None, container: None, help });
            }
        }
    }
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    causes
}

/// A reason without what differs from task to task: the task's own id, and the ids of requests.
pub fn without_ids(reason: &str, task: &str) -> String {
    let is_id = |word: &&str| {
        word.len() == REQUEST_ID_CHARS
            && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            && word.bytes().filter(|b| *b == b'-').count() == 4
    };
    let words = reason.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(is_id).fold(reason.replace(task, ""), |text, id| text.replace(id, ""))
}

/// One line about a task that stopped, and the container that is to blame.
pub fn reason(task: &Task) -> (String, Option<String>) {
    let told = task.stopped_reason.as_deref().filter(|text| !text.is_empty());
    let exited = task.containers.iter().find(|one| one.exit_code.is_some_and(|code| code != 0));
    let spoke = task.containers.iter().find(|one| one.reason.is_some());
    let blamed = exited.or(spoke);
    let mut text = told.map_or_else(|| fallback(task), str::to_owned);
    if let Some(container) = blamed {
        if let Some(code) = container.exit_code {
            text.push_str(&format!("; `{}` exited with code {code}", container.name));
            text.push_str(signal(code));
        }
        if let Some(why) = container.reason.as_deref().filter(|why| !text.contains(why)) {
            text.push_str(&format!("; `{}`: {why}", container.name));
        }
    }
    let unhealthy = task.containers.iter().find(|one| one.health_status == "UNHEALTHY");
    let stopped_itself = task.containers.iter().find(|one| one.exit_code == Some(0));
    let container = blamed.or(unhealthy).or(stopped_itself).or(task.containers.first());
    if let Some(done) = stopped_itself.filter(|_| blamed.is_none())
        && task.stop_code.as_deref() == Some("EssentialContainerExited")
    {
        text.push_str(&format!("; `{}` exited with code 0", done.name));
    }
    (text, container.map(|container| container.name.clone()))
}

/// `8-4-4-4-12` hexadecimal digits.
const REQUEST_ID_CHARS: usize = 36;

fn fallback(task: &Task) -> String {
    task.stop_code.clone().unwrap_or_else(|| "ECS gives no reason".to_owned())
}

/// What an exit code of 128 and more says about how a process ended.
fn signal(code: i64) -> &'static str {
    match code {
        137 => " (killed: out of memory, or not ended within stopTimeout)",
        139 => " (segmentation fault)",
        143 => " (asked to end)",
        126 => " (the command can't be executed)",
        127 => " (the command is not in the image)",
        _ => "",
    }
}

/// What to do about it, by ECS's own words.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html>
fn help(reason: &str) -> Option<&'static str> {
    let has = |part: &str| reason.contains(part);
    // What the local AWS side says of services that it doesn't have; nobody's rights help there.
    if has("ResourceInitializationError") && has("there is no ") && has(" here") {
        return Some(
            "the local AWS side does not have that service, whatever the execution role may do: \
             give the value by `environment` in the task definition that is tried here",
        );
    }
    if has("failed to validate logger args") || has("failed to initialize logging driver") {
        return Some(if has("log group does not exist") {
            "make the log group in that region, or set the option awslogs-create-group to \"true\", \
             for which the execution role needs logs:CreateLogGroup"
        } else if has("not authorized to perform: logs:CreateLogGroup") {
            "awslogs-create-group needs logs:CreateLogGroup, which AmazonECSTaskExecutionRolePolicy does not have: \
             allow it to the execution role, or make the group beforehand"
        } else if has("is not authorized to perform") {
            "the execution role needs logs:CreateLogStream and logs:PutLogEvents on the group's ARN with `:*` behind it"
        } else {
            "the task needs a way to CloudWatch Logs in that region, and its group has to be there"
        });
    }
    if has("CannotPullContainerError") {
        return Some(if has("not found") || has("manifest unknown") {
            "no such image: is the tag pushed, to this registry and region?"
        } else if has("denied") || has("AccessDenied") || has("403") {
            "the execution role needs ecr:BatchGetImage and ecr:GetDownloadUrlForLayer on the repository"
        } else if has("timeout") || has("i/o timeout") || has("dial tcp") {
            "the task has no way to the registry: a public IP, a NAT gateway or VPC endpoints are needed"
        } else if has("platform") || has("exec format") {
            "the image is for another machine: runtimePlatform in the task definition says which one runs it"
        } else {
            return None;
        });
    }
    if has("unable to assume the role") {
        return Some(UNTAKEN_HELP);
    }
    if has("ecr:GetAuthorizationToken") {
        return Some("the execution role needs AmazonECSTaskExecutionRolePolicy");
    }
    if has("ResourceInitializationError") && (has("secret") || has("ssm")) {
        return Some(
            "the execution role needs secretsmanager:GetSecretValue or ssm:GetParameters on the secret, \
             and the task a way to that service",
        );
    }
    if has("failed container health checks") {
        return Some("the container's healthCheck fails: run its command inside of the container");
    }
    if has("failed ELB health checks") || has("Target.FailedHealthChecks") {
        return Some(
            "the load balancer gets no good answer: check path, port, security group, \
             and healthCheckGracePeriodSeconds",
        );
    }
    if has("OutOfMemory") {
        return Some("give the container more memory: --memory, or --container-memory");
    }
    if has("exec format error") {
        return Some(
            "the image is for another machine: runtimePlatform in the task definition says which one runs it",
        );
    }
    None
}
