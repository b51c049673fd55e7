//! What a person sees of deployments that CodeDeploy makes.

use landfall_deliver::deploy::codedeploy::{self, End, Outcome, Request, Told};
use landfall_deliver::deploy::definition::short;

use super::Screen;
use crate::cmd::deploy::report;
use crate::ui::{self, BAD, BOLD, DIM, GOOD, plain_text as plain, styled};

impl Screen {
    /// CodeDeploy has accepted it.
    pub fn codedeploy_begun(&self, service: &str, id: &str, request: &Request, region: &str) {
        self.progress.has(format!("created deployment {id} of CodeDeploy for service `{service}`"));
        if self.is_json() {
            self.json(&report::codedeploy_begun(service, id, request));
            return;
        }
        let (application, group) = (&request.application, &request.group);
        self.at(service, &format!("CodeDeploy deployment {id} begins ({application}, {group})"));
        for (event, function) in codedeploy::hooks(&request.appspec) {
            self.at(service, &styled(DIM, format!("hook {event} asks {function}")));
        }
        let suffix = if region.starts_with("cn-") { "amazonaws.cn" } else { "aws.amazon.com" };
        ui::line(styled(
            DIM,
            format!(
                "           https://{region}.console.{suffix}/codesuite/codedeploy/deployments/{id}?region={region}"
            ),
        ));
    }

    /// CodeDeploy went on.
    pub fn codedeploy_told(&mut self, service: &str, told: &Told) {
        if self.is_json() {
            self.json(&report::codedeploy_told(service, told));
            return;
        }
        match told {
            Told::Status(status) => self.at(service, &format!("deployment {status}")),
            Told::Lifecycle { name, status, message } => {
                let message = message.as_ref().map_or_else(String::new, |text| format!(": {}", plain(text)));
                self.at(service, &styled(DIM, format!("{name} {status}{message}")));
            }
            Told::TaskStopped { task, reason } => self.task_stopped(service, task, reason),
            Told::Note(text) => self.at("", &format!("note: {}", plain(text))),
        }
    }
}

/// How it ended for a service.
pub(super) fn show(outcome: &Outcome) {
    let sign = if outcome.end.is_good() { styled(GOOD, "✓") } else { styled(BAD, "✗") };
    ui::line(format!("\n{sign} {}  {}", styled(BOLD, &outcome.service), plain(&sentence(outcome))));
    match &outcome.end {
        End::Failed { rolled_back_by: Some(by), .. } => {
            ui::line(format!("    deployment {by} brings back what ran"));
        }
        End::Timeout { is_stopped: false, .. } => {
            ui::line("  help: a longer --timeout, or `aws deploy stop-deployment` to end it");
        }
        End::Lost(failure) | End::NotCreated(failure) => {
            failure.details.iter().for_each(|line| ui::line(format!("    {}", plain(line))));
        }
        _ => {}
    }
}

/// The one line that says what it is.
pub fn sentence(outcome: &Outcome) -> String {
    let definition = short(&outcome.definition_arn);
    let id = outcome.deployment.as_deref().unwrap_or_default();
    match &outcome.end {
        End::Unchanged => "nothing to deploy; --force deploys it all the same".to_owned(),
        End::NotWaited => format!("deployment {id} of {definition} goes on; not watched (--no-wait)"),
        End::Done { status } => format!("{definition} is deployed: CodeDeploy says {status}"),
        End::Failed { status, reason, .. } => format!("deployment {id} {}: {reason}", status.to_lowercase()),
        End::Timeout { status, is_stopped: false } => {
            format!("deployment {id} is still {status} when the time is up; it goes on")
        }
        End::Timeout { status, is_stopped: true } => format!(
            "deployment {id} was still {status} when the time was up: it was stopped, and CodeDeploy brings back what ran"
        ),
        End::Interrupted => format!("stopped watching: deployment {id} goes on"),
        End::Lost(failure) | End::NotCreated(failure) => failure.message.clone(),
    }
}
