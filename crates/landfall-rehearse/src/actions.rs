//! The actions that belong to the crossing, as the `landfall` commands that they are here. Inputs
//! and defaults are those of the originals' `action.yml`.

pub mod build_push;
pub mod clean;
pub mod csv;
pub mod deploy;
pub mod docker_login;
pub mod metadata;
pub mod render;

/// An action that a rehearsal knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Builtin {
    /// `actions/checkout`.
    Checkout,
    /// `aws-actions/configure-aws-credentials`.
    ConfigureAwsCredentials,
    /// `aws-actions/amazon-ecr-login`.
    EcrLogin,
    /// `aws-actions/amazon-ecs-render-task-definition`.
    EcsRender,
    /// `aws-actions/amazon-ecs-deploy-task-definition`.
    EcsDeploy,
    /// `docker/login-action`.
    DockerLogin,
    /// `docker/metadata-action`.
    DockerMetadata,
    /// `docker/setup-buildx-action`.
    SetupBuildx,
    /// `docker/setup-qemu-action`.
    SetupQemu,
    /// `docker/build-push-action`.
    BuildPush,
}

/// The action of a step's `uses`, whatever its version.
pub fn builtin(uses: &str) -> Option<Builtin> {
    let name = uses.split_once('@').map_or(uses, |(name, _)| name);
    match name.to_ascii_lowercase().as_str() {
        "actions/checkout" => Some(Builtin::Checkout),
        "aws-actions/configure-aws-credentials" => Some(Builtin::ConfigureAwsCredentials),
        "aws-actions/amazon-ecr-login" => Some(Builtin::EcrLogin),
        "aws-actions/amazon-ecs-render-task-definition" => Some(Builtin::EcsRender),
        "aws-actions/amazon-ecs-deploy-task-definition" => Some(Builtin::EcsDeploy),
        "docker/login-action" => Some(Builtin::DockerLogin),
        "docker/metadata-action" => Some(Builtin::DockerMetadata),
        "docker/setup-buildx-action" => Some(Builtin::SetupBuildx),
        "docker/setup-qemu-action" => Some(Builtin::SetupQemu),
        "docker/build-push-action" => Some(Builtin::BuildPush),
        _ => None,
    }
}

/// What is said of an action that a rehearsal doesn't know.
pub fn unknown(uses: &str) -> String {
    format!("the action `{uses}` is not on this machine: say where it is with --action {uses}=DIR")
}

/// A `landfall` command that stands for an action.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Invocation {
    /// Arguments; never a secret.
    pub args: Vec<String>,
    /// Variables beside the step's own: secrets go here.
    pub env: Vec<(String, String)>,
    /// Commands that follow when it went well; they may name its outputs.
    pub then: Vec<Vec<String>>,
    /// The command that runs after the job's last step, if there is one.
    pub post: Option<Vec<String>>,
    /// Lines that the action would warn with.
    pub warnings: Vec<String>,
}

/// What an input of an action becomes.
#[derive(Clone, Copy)]
enum Becomes {
    /// A flag with the input's value.
    Flag(&'static str),
    /// A flag for each line of the value.
    Lines(&'static str),
    /// A flag that is there when the input is true.
    Switch(&'static str),
    /// A flag that is there whatever the value is: v6 takes any text for a yes.
    Always(&'static str),
    /// A variable.
    Variable(&'static str),
    /// Nothing: it makes no difference on this machine.
    Nothing,
}

/// configure-aws-credentials v6, `action.yml`.
const LOGIN_INPUTS: &[(&str, Becomes)] = &[
    ("aws-region", Becomes::Flag("--aws-region")),
    ("role-to-assume", Becomes::Flag("--role-to-assume")),
    ("aws-access-key-id", Becomes::Variable("AWS_ACCESS_KEY_ID")),
    ("aws-secret-access-key", Becomes::Variable("AWS_SECRET_ACCESS_KEY")),
    ("aws-session-token", Becomes::Variable("AWS_SESSION_TOKEN")),
    ("web-identity-token-file", Becomes::Flag("--web-identity-token-file")),
    ("role-chaining", Becomes::Switch("--role-chaining")),
    ("audience", Becomes::Flag("--audience")),
    ("http-proxy", Becomes::Nothing),
    ("no-proxy", Becomes::Nothing),
    ("mask-aws-account-id", Becomes::Switch("--mask-aws-account-id")),
    ("role-duration-seconds", Becomes::Flag("--role-duration-seconds")),
    ("role-external-id", Becomes::Flag("--role-external-id")),
    ("role-session-name", Becomes::Flag("--role-session-name")),
    ("role-skip-session-tagging", Becomes::Switch("--role-skip-session-tagging")),
    ("transitive-tag-keys", Becomes::Lines("--transitive-tag-keys")),
    ("custom-tags", Becomes::Flag("--custom-tags")),
    ("inline-session-policy", Becomes::Flag("--inline-session-policy")),
    ("managed-session-policies", Becomes::Lines("--managed-session-policies")),
    ("output-credentials", Becomes::Switch("--output-credentials")),
    ("output-env-credentials", Becomes::Flag("--output-env-credentials")),
    ("unset-current-credentials", Becomes::Switch("--unset-current-credentials")),
    ("disable-retry", Becomes::Switch("--disable-retry")),
    ("retry-max-attempts", Becomes::Flag("--retry-max-attempts")),
    ("special-characters-workaround", Becomes::Switch("--special-characters-workaround")),
    ("use-existing-credentials", Becomes::Always("--use-existing-credentials")),
    ("allowed-account-ids", Becomes::Flag("--allowed-account-ids")),
    ("force-skip-oidc", Becomes::Switch("--force-skip-oidc")),
    ("action-timeout-s", Becomes::Flag("--action-timeout-s")),
    ("aws-profile", Becomes::Flag("--aws-profile")),
    ("overwrite-aws-profile", Becomes::Switch("--overwrite-aws-profile")),
    ("sts-endpoint", Becomes::Flag("--sts-endpoint")),
];

/// amazon-ecr-login v2, `action.yml`.
const ECR_LOGIN_INPUTS: &[(&str, Becomes)] = &[
    ("registries", Becomes::Flag("--registries")),
    ("registry-type", Becomes::Flag("--registry-type")),
    ("mask-password", Becomes::Flag("--mask-password")),
    ("skip-logout", Becomes::Nothing),
    ("http-proxy", Becomes::Nothing),
];

/// Inputs of a step, evaluated: lower-case names and values.
pub type Inputs = [(String, String)];

fn input<'a>(inputs: &'a Inputs, name: &str) -> Option<&'a str> {
    let found = inputs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

/// Reads a boolean as the toolkit does (YAML 1.2 core schema).
fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!(
            "Input does not meet YAML 1.2 \"Core Schema\" specification: {name}\nSupport boolean input list: `true | True | TRUE | false | False | FALSE`"
        )),
    }
}

/// The runner's warning about inputs that an action doesn't have.
fn unexpected<'k>(known: impl Iterator<Item = &'k str>, inputs: &Inputs) -> Option<String> {
    let known: Vec<&str> = known.collect();
    let unexpected: Vec<&str> = inputs
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .collect();
    let quoted = |names: &[&str]| names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    (!unexpected.is_empty()).then(|| {
        format!("Unexpected input(s) {}, valid inputs are [{}]", quoted(&unexpected), quoted(&known))
    })
}

fn translate(action: &str, table: &[(&str, Becomes)], inputs: &Inputs) -> Result<Invocation, String> {
    let mut invocation = Invocation::default();
    invocation.warnings.extend(unexpected(table.iter().map(|(name, _)| *name), inputs));
    for (name, becomes) in table {
        let Some(value) = input(inputs, name) else { continue };
        match becomes {
            // One word: a value that begins with a dash is no flag.
            Becomes::Flag(flag) => invocation.args.push(format!("{flag}={value}")),
            Becomes::Lines(flag) => {
                let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
                invocation.args.extend(lines.map(|line| format!("{flag}={line}")));
            }
            Becomes::Switch(flag) if boolean(name, value)? => invocation.args.push((*flag).to_owned()),
            Becomes::Switch(_) | Becomes::Nothing => {}
            Becomes::Variable(variable) => invocation.env.push(((*variable).to_owned(), value.to_owned())),
            Becomes::Always(flag) => {
                invocation.args.push((*flag).to_owned());
                if boolean(name, value) != Ok(true) {
                    invocation.warnings.push(format!(
                        "{action} takes `{name}: {value}` for a yes, as any text: leave the input out to turn it off"
                    ));
                }
            }
        }
    }
    Ok(invocation)
}

/// `landfall login` for a configure-aws-credentials step.
///
/// # Errors
/// The text that the step fails with.
pub fn login(inputs: &Inputs) -> Result<Invocation, String> {
    if input(inputs, "aws-region").is_none() {
        return Err("Input required and not supplied: aws-region".to_owned());
    }
    let mut invocation = translate("configure-aws-credentials", LOGIN_INPUTS, inputs)?;
    // Keys that are handed over come before GitHub's offer; those that happen to be in the environment don't.
    if input(inputs, "aws-access-key-id").is_some() && input(inputs, "role-to-assume").is_some() {
        invocation.args.push("--force-skip-oidc".to_owned());
    }
    invocation.args.insert(0, "login".to_owned());
    Ok(invocation)
}

/// `landfall ecr login` for an amazon-ecr-login step, with the logout that follows the job.
///
/// # Errors
/// The text that the step fails with.
pub fn ecr_login(inputs: &Inputs) -> Result<Invocation, String> {
    match input(inputs, "registry-type").unwrap_or("private").to_ascii_lowercase().as_str() {
        "private" | "public" => {}
        other => {
            return Err(format!(
                "Invalid input for 'registry-type', must be 'private' or 'public': '{other}'"
            ));
        }
    }
    let mut invocation = translate("amazon-ecr-login", ECR_LOGIN_INPUTS, inputs)?;
    let mut args = vec!["ecr".to_owned(), "login".to_owned(), "--output-docker-credentials".to_owned()];
    args.append(&mut invocation.args);
    invocation.args = args;
    let keep = input(inputs, "skip-logout").map(|value| boolean("skip-logout", value)).transpose()?;
    invocation.post = (keep != Some(true)).then(|| vec!["ecr".to_owned(), "logout".to_owned()]);
    Ok(invocation)
}

/// Puts user name and password out under the name that a registry has in ECR as well: workflows write it down. `all`
/// are the registries' names, each with its address here.
pub fn name_as_in_ecr(outputs: &mut Vec<(String, String)>, all: &[(String, String)]) {
    let part = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    for (name, address) in all {
        for kind in ["docker_username_", "docker_password_"] {
            let here = format!("{kind}{}", part(address));
            let value = outputs.iter().find(|(known, _)| *known == here).map(|(_, value)| value.clone());
            outputs.extend(value.map(|value| (format!("{kind}{}", part(name)), value)));
        }
    }
}

/// Where a checkout goes, below the workspace.
///
/// # Errors
/// The text that the step fails with: a checkout of something else than the run's own commit.
pub fn checkout(inputs: &Inputs, repository: &str, git_ref: &str, sha: &str) -> Result<String, String> {
    if let Some(other) = input(inputs, "repository").filter(|other| !other.eq_ignore_ascii_case(repository)) {
        return Err(format!("a checkout of another repository ({other}) is not rehearsed yet"));
    }
    let short =
        git_ref.strip_prefix("refs/heads/").or_else(|| git_ref.strip_prefix("refs/tags/")).unwrap_or(git_ref);
    if let Some(other) = input(inputs, "ref").filter(|other| ![git_ref, short, sha].contains(other)) {
        return Err(format!("a checkout of `{other}` is not rehearsed: the run is for `{git_ref}`"));
    }
    let path = input(inputs, "path").unwrap_or("");
    let inside = std::path::Path::new(path)
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if inside {
        Ok(path.to_owned())
    } else {
        Err(format!("Repository path '{path}' is not under the workspace"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn versions_and_case_of_an_action_do_not_matter() {
        assert_eq!(builtin("actions/checkout@v4"), Some(Builtin::Checkout));
        assert_eq!(builtin("AWS-Actions/amazon-ecr-login@0123"), Some(Builtin::EcrLogin));
        assert_eq!(builtin("actions/checkout2@v4"), None);
    }

    #[test]
    fn inputs_become_flags_and_secrets_become_variables() {
        let got = login(&inputs(&[
            ("role-to-assume", "arn:r"),
            ("aws-region", "eu-west-1"),
            ("mask-aws-account-id", "true"),
            ("output-credentials", "false"),
            ("managed-session-policies", "a\n  b\n"),
            ("aws-secret-access-key", "hunter2"),
            ("audience", ""),
        ]))
        .unwrap();
        let wanted = [
            "login",
            "--aws-region=eu-west-1",
            "--role-to-assume=arn:r",
            "--mask-aws-account-id",
            "--managed-session-policies=a",
            "--managed-session-policies=b",
        ];
        assert_eq!(got.args, wanted);
        assert_eq!(got.env, [("AWS_SECRET_ACCESS_KEY".to_owned(), "hunter2".to_owned())]);
    }

    #[test]
    fn every_input_of_the_login_leads_somewhere() {
        let flags = |pairs: &[(&str, &str)]| {
            let region = ("aws-region", "eu-west-1");
            let args = login(&inputs(&[&[region], pairs].concat())).unwrap().args;
            args.into_iter().skip(2).collect::<Vec<_>>()
        };
        for (pairs, wanted) in [
            (
                &[("transitive-tag-keys", "Team\n Tier\n")][..],
                &["--transitive-tag-keys=Team", "--transitive-tag-keys=Tier"][..],
            ),
            (&[("custom-tags", r#"{"Team": "web"}"#)], &[r#"--custom-tags={"Team": "web"}"#]),
            (&[("disable-retry", "true")], &["--disable-retry"]),
            (&[("special-characters-workaround", "True")], &["--special-characters-workaround"]),
            (&[("force-skip-oidc", "true")], &["--force-skip-oidc"]),
            (&[("force-skip-oidc", "false")], &[]),
            (&[("action-timeout-s", "30")], &["--action-timeout-s=30"]),
            (
                &[("aws-profile", "ci"), ("overwrite-aws-profile", "true")],
                &["--aws-profile=ci", "--overwrite-aws-profile"],
            ),
            (&[("sts-endpoint", "http://127.0.0.1:1")], &["--sts-endpoint=http://127.0.0.1:1"]),
            (
                &[("aws-access-key-id", "A"), ("role-to-assume", "r")],
                &["--role-to-assume=r", "--force-skip-oidc"],
            ),
            (&[("aws-access-key-id", "A")], &[]),
        ] {
            assert_eq!(flags(pairs), wanted, "{pairs:?}");
        }
    }

    #[test]
    fn a_login_has_the_name_of_its_registry_in_ecr_as_well() {
        let all = [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "127.0.0.1:1"),
            ("210987654321.dkr.ecr.us-east-1.amazonaws.com", "127.0.0.1:2"),
        ];
        let all = all.map(|(name, address)| (name.to_owned(), address.to_owned()));
        for (here, wanted) in [
            ("docker_password_127_0_0_1_1", "docker_password_123456789012_dkr_ecr_eu_west_1_amazonaws_com"),
            ("docker_username_127_0_0_1_2", "docker_username_210987654321_dkr_ecr_us_east_1_amazonaws_com"),
            ("docker_password_127_0_0_1_3", "docker_password_127_0_0_1_3"),
        ] {
            let mut outputs = inputs(&[("registry", "127.0.0.1:1"), (here, "x")]);
            name_as_in_ecr(&mut outputs, &all);
            assert_eq!(outputs.last(), Some(&(wanted.to_owned(), "x".to_owned())));
        }
    }

    #[test]
    fn a_false_that_the_action_takes_for_a_yes_is_told() {
        let got = login(&inputs(&[("aws-region", "x"), ("use-existing-credentials", "false")])).unwrap();
        assert!(got.args.contains(&"--use-existing-credentials".to_owned()));
        assert!(got.warnings.first().is_some_and(|line| line.contains("for a yes")), "{:?}", got.warnings);
    }

    #[test]
    fn what_the_action_would_refuse_is_refused_in_its_words() {
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[], "Input required and not supplied: aws-region"),
            (&[("aws-region", "x"), ("role-chaining", "yes")], "Core Schema"),
        ];
        for (given, wanted) in cases {
            let error = login(&inputs(given)).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let warned = login(&inputs(&[("aws-region", "x"), ("rol", "y")])).unwrap().warnings;
        assert!(
            warned.first().is_some_and(|line| line.starts_with("Unexpected input(s) 'rol'")),
            "{warned:?}"
        );
    }

    #[test]
    fn a_login_is_undone_after_the_job_unless_it_is_told_not_to() {
        assert!(ecr_login(&inputs(&[])).unwrap().post.is_some());
        assert!(ecr_login(&inputs(&[("skip-logout", "true")])).unwrap().post.is_none());
        assert!(ecr_login(&inputs(&[("registry-type", "other")])).is_err());
        let public = ecr_login(&inputs(&[("registry-type", "Public"), ("mask-password", "false")])).unwrap();
        let flags = ["--output-docker-credentials", "--registry-type=Public", "--mask-password=false"];
        assert_eq!(public.args.get(2..), Some(&flags.map(str::to_owned)[..]));
    }

    #[test]
    fn a_checkout_stays_in_the_workspace_and_at_the_runs_commit() {
        let check = |pairs: &[(&str, &str)]| checkout(&inputs(pairs), "acme/web", "refs/heads/main", "abc");
        assert_eq!(check(&[]).as_deref(), Ok(""));
        assert_eq!(
            check(&[("path", "src"), ("ref", "main"), ("repository", "Acme/Web")]).as_deref(),
            Ok("src")
        );
        for pairs in [&[("path", "../x")], &[("path", "/x")], &[("ref", "v1")], &[("repository", "a/b")]] {
            assert!(check(pairs).is_err(), "{pairs:?}");
        }
    }
}
