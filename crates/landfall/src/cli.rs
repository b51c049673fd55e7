//! The command line.

use clap::{Parser, Subcommand};

use crate::cmd;

/// Containers from CI to AWS without a stored key: rehearse the whole crossing on a laptop, and
/// make it in CI.
#[derive(Parser, Debug)]
#[command(name = "landfall", version, max_term_width = 80, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  This repository's pipeline against a local AWS side, also as a pull request:
    landfall rehearse .
    landfall rehearse . --event pull_request

  A local AWS side for any client, and a token for it:
    landfall serve --infra infra/
    landfall token github --repo acme/web > token

  In CI the job's ID token becomes a session, of the job or of one command:
    landfall login --role ROLE_ARN --region R
    landfall exec --role ROLE_ARN --region R -- ./deploy.sh

  From an image to a service:
    landfall ecr login && landfall push --dir ./image REGISTRY/REPOSITORY:TAG
    landfall deploy --cluster C --service S --image REGISTRY/REPOSITORY:TAG

Exit codes: 0 fine; 1 it worked and the answer is bad news; 2 wrong usage or
unreadable input; 3 an outside party failed (network, AWS, a registry).";

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a pipeline end to end on this machine (a GitHub workflow, a .gitlab-ci.yml, a Kubernetes manifest), against
    /// a local AWS side made from Terraform
    Rehearse(Box<cmd::rehearse::RehearseArgs>),
    /// Be a local AWS side (IAM, STS, ECR and its registry, ECS, EKS Pod Identity) and the token issuers of GitHub and
    /// GitLab, for any client
    Serve(Box<cmd::serve::ServeArgs>),
    /// Tell why a token is admitted to a role or not, or a call allowed or not, clause by clause
    Explain(Box<cmd::explain::ExplainArgs>),
    /// Tell exactly which tokens can take a role, each with a token that shows it; with --only a gate
    Who(Box<cmd::who::WhoArgs>),
    /// Tell what a change of a policy newly admits and no longer admits
    Diff(Box<cmd::diff::DiffArgs>),
    /// Mint an ID token for a running `landfall serve`, or look into any
    Token(cmd::token::TokenArgs),
    /// Look at a token issuer as STS looks at it: documents, keys, certificates, times
    Issuer(cmd::issuer::IssuerArgs),
    /// Exchange the job's ID token at STS and hand the session to the job
    Login(Box<cmd::login::LoginArgs>),
    /// Run one command with a session that nothing else gets, renewed while it runs
    Exec(Box<cmd::exec::ExecArgs>),
    /// Print a session as an AWS credential_process does
    Credentials(Box<cmd::credentials::CredentialsArgs>),
    /// Log in to ECR registries, or out of them
    Ecr(cmd::ecr::EcrArgs),
    /// Push an image without a daemon: an OCI layout, an archive, an image of the engine, or plain directories
    Push(Box<cmd::push::PushArgs>),
    /// Bring a new task definition onto ECS services, and watch until it really is stable
    Deploy(Box<cmd::deploy::DeployArgs>),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// A terminal of 80 columns must not break a line in two: what is pasted would be two commands.
    #[test]
    fn examples_can_be_pasted_from_a_narrow_terminal() {
        let all = Cli::command();
        let mut open = vec![&all];
        let mut wide = Vec::new();
        let mut count = 0;
        while let Some(command) = open.pop() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            count += help.lines().count();
            let lines = help.lines().filter(|line| line.chars().count() > COLUMNS_MAX);
            wide.extend(lines.map(|line| format!("{}: {line}", command.get_name())));
            open.extend(command.get_subcommands());
        }
        assert!(wide.is_empty(), "{wide:#?}");
        assert!(count > 100, "{count} lines");
    }

    /// In characters; clap breaks the rest of the help there.
    const COLUMNS_MAX: usize = 80;
}
