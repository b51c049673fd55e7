//! What a rehearsal tells while it runs. The terminal's tree and the JSON lines are made of the same
//! events.

use std::sync::Arc;
use std::time::Duration;

pub use landfall_check::github::Outcome;
use landfall_serve::log::Record;
use landfall_types::Finding;

/// Is told of everything that happens, in order.
pub trait Observer {
    /// Something happened.
    fn event(&mut self, event: Event<'_>);
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The local AWS side is up and holds what the Terraform describes.
    Ready(&'a Ready),
    /// A run of a workflow was accepted and begins.
    RunStarted {
        /// The workflow's name.
        workflow: &'a str,
        /// The workflow's file as the user knows it.
        file: &'a str,
        /// The run's concurrency group: on GitHub it waits for the run that is in it, or ends it.
        group: Option<&'a str>,
    },
    /// This workflow does not run: another event starts it (the finding says which line keeps it out), or
    /// it doesn't have the one job that is to run.
    NotTriggered {
        /// The workflow's file.
        file: &'a str,
        /// Why not.
        finding: &'a Finding,
        /// Whether it is the only workflow: of several, most are for other events.
        alone: bool,
    },
    /// GitHub would refuse the run before any job starts.
    RunRefused {
        /// The workflow's file.
        file: &'a str,
        /// Why.
        findings: &'a [Finding],
    },
    /// A job begins.
    JobStarted(&'a JobStarted),
    /// A job does not run.
    JobSkipped {
        /// The job's name, `caller / callee`.
        name: &'a str,
        /// Why, in a few words.
        why: &'a str,
    },
    /// A step begins.
    StepStarted {
        /// The step's name as GitHub shows it.
        name: &'a str,
    },
    /// A step wrote a line (masked).
    Output {
        /// The line.
        line: &'a str,
    },
    /// A step ended.
    StepEnded(&'a StepEnded),
    /// A job ended.
    JobEnded {
        /// The job's name.
        name: &'a str,
        /// How.
        outcome: Outcome,
    },
    /// Something about the rehearsal as a whole.
    Remark {
        /// What.
        finding: &'a Finding,
    },
    /// All is over.
    Ended(&'a Summary),
}

/// The local AWS side at the start.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it listens.
    pub url: String,
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The repository whose pipeline runs.
    pub repository: String,
    /// The event.
    pub event: String,
    /// The ref.
    pub git_ref: String,
    /// What was made from the Terraform: `1 provider`, `2 roles`, …
    pub made: Vec<String>,
    /// What was said of the Terraform that does not stop the rehearsal.
    pub warnings: Vec<Finding>,
}

/// A job at its start.
#[derive(Clone, Debug)]
pub struct JobStarted {
    /// The job's name, `caller / callee`.
    pub name: String,
    /// The file that defines the job.
    pub file: String,
    /// The subject of the ID token that the job may ask for; none when it may not.
    pub subject: Option<String>,
    /// The job's concurrency group.
    pub group: Option<String>,
    /// What else is to be said of it, a line each; where there is something it stands in place of the subject.
    pub about: Vec<String>,
}

/// A step at its end.
#[derive(Clone, Debug)]
pub struct StepEnded {
    /// The step's name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What ended it, for one that failed.
    pub error: Option<String>,
    /// What it wrote to `GITHUB_STEP_SUMMARY` (masked).
    pub summary: String,
    /// How long it took.
    pub took: Duration,
    /// The decisions of the AWS side that fell while it ran.
    pub decisions: Vec<Arc<Record>>,
    /// What is to be said of the refusals among them, with both sides' lines.
    pub findings: Vec<Finding>,
}

/// The end of a rehearsal.
#[derive(Clone, Default, Debug)]
pub struct Summary {
    /// Whether every run of every workflow ended well.
    pub success: bool,
    /// Whether no job was started because of what was asked for: a called workflow that is missing or can't be
    /// read, a job that isn't there.
    pub unreadable: bool,
    /// Services that were deployed to and whose tasks nothing ran: what depends on them was not shown.
    pub not_run: Vec<String>,
    /// Jobs that ran.
    pub jobs: usize,
    /// Steps that ran.
    pub steps: usize,
    /// Calls that were decided.
    pub calls: usize,
    /// Refused among them.
    pub refused: usize,
    /// The sessions that were made.
    pub sessions: Vec<SessionMade>,
    /// The images that there are now.
    pub images: Vec<ImageMade>,
    /// ECS services as they stand.
    pub services: Vec<ServiceNow>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    /// Whether the crossing was shown to work.
    pub fn works(&self) -> bool {
        self.success && self.not_run.is_empty()
    }

    /// Whether all went well, and yet something that depends on it was not run.
    pub fn is_unfinished(&self) -> bool {
        self.success && !self.not_run.is_empty()
    }
}

/// A session that an exchange gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionMade {
    /// The role's ARN.
    pub role: String,
    /// The token's subject.
    pub subject: String,
}

/// An ECS service in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceNow {
    /// `CLUSTER/NAME`.
    pub name: String,
    /// `FAMILY:REVISION` of its primary deployment.
    pub definition: String,
    /// How many tasks it should have.
    pub desired: u32,
    /// How many it has.
    pub running: u32,
    /// `rolloutState` of its primary deployment.
    pub state: String,
    /// `status` of the service deployment, where the rehearsal made one.
    pub deployed: Option<String>,
    /// Its events since the rehearsal began, oldest first.
    pub events: Vec<String>,
    /// Where its containers are, and whether they answer: `127.0.0.1:8080 answers HTTP 200`.
    pub addresses: Vec<String>,
    /// Why its tasks were not run.
    pub not_run: Option<String>,
}

/// An image that was pushed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageMade {
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME`.
    pub repository: String,
    /// The digest.
    pub digest: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Config and layers, in bytes.
    pub size_in_bytes: u64,
}
