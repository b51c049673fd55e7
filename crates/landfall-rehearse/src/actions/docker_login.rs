//! docker/login-action: which registries, how, and what of it is done in a rehearsal.
//!
//! Inputs, modes and messages as in the action's `action.yml` and sources (v3, v4).

use landfall_types::{Node, Secret, SourceMap};

use super::{Inputs, boolean, input};

/// `action.yml`.
const INPUTS: [&str; 7] = ["registry", "username", "password", "scope", "ecr", "logout", "registry-auth"];

/// A registry to log in to.
#[derive(Clone, Debug)]
pub struct Login {
    /// As the step names it.
    pub registry: String,
    /// How.
    pub way: Way,
}

/// How a login is made.
#[derive(Clone, Debug)]
pub enum Way {
    /// ECR is asked for a password, with the key of the step where it hands one over.
    Ecr {
        /// The registry's name in ECR, or `public.ecr.aws`.
        registries: String,
        /// Access key id and secret.
        key: Option<(String, Secret<String>)>,
    },
    /// User and password, as they are.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret<String>,
    },
}

/// What a step does.
#[derive(Clone, Debug)]
pub struct Logins {
    /// In their order.
    pub logins: Vec<Login>,
    /// Whether they end with the job.
    pub log_out: bool,
    /// Inputs that the action doesn't have, and what is left out.
    pub warnings: Vec<String>,
}

/// One entry of `registry-auth`, or the inputs themselves.
#[derive(Default)]
struct Auth {
    registry: String,
    user: String,
    password: String,
    ecr: String,
    scope: String,
}

/// The logins of a step; `in_ecr` tells the name that a local registry has in ECR.
///
/// # Errors
/// The text that the step fails with.
pub fn logins(inputs: &Inputs, in_ecr: &dyn Fn(&str) -> Option<String>) -> Result<Logins, String> {
    let text = |name: &str| input(inputs, name).unwrap_or_default().to_owned();
    let own = Auth {
        registry: text("registry"),
        user: text("username"),
        password: text("password"),
        ecr: text("ecr"),
        scope: text("scope"),
    };
    let auths = match input(inputs, "registry-auth") {
        None => vec![own],
        Some(_)
            if ["registry", "username", "password", "scope", "ecr"]
                .iter()
                .any(|name| input(inputs, name).is_some()) =>
        {
            return Err("Cannot use registry-auth with other inputs".to_owned());
        }
        Some(list) => several(list)?,
    };
    if auths.is_empty() {
        return Err("No registry to login".to_owned());
    }
    let mut warnings: Vec<String> = super::unexpected(INPUTS.into_iter(), inputs).into_iter().collect();
    if auths.iter().any(|auth| !auth.scope.is_empty()) {
        warnings
            .push("`scope` is left out: a rehearsal has one Docker configuration for each job".to_owned());
    }
    let log_out = input(inputs, "logout").map(|value| boolean("logout", value)).transpose()?.unwrap_or(true);
    let logins = auths.into_iter().map(|auth| login(auth, in_ecr)).collect::<Result<_, _>>()?;
    Ok(Logins { logins, log_out, warnings })
}

fn login(auth: Auth, in_ecr: &dyn Fn(&str) -> Option<String>) -> Result<Login, String> {
    let registry = if auth.registry.is_empty() { "docker.io".to_owned() } else { auth.registry };
    let registry_name = in_ecr(&registry).unwrap_or_else(|| registry.clone());
    let is_ecr = is_ecr(&registry_name);
    let by_ecr = auth.ecr.to_ascii_lowercase().contains("true")
        || (matches!(auth.ecr.as_str(), "" | "auto") && is_ecr);
    let way = match (by_ecr, auth.user.is_empty(), auth.password.is_empty()) {
        (true, no_user, no_password) => Way::Ecr {
            registries: registry_name.split('/').next().unwrap_or_default().to_owned(),
            key: (!no_user && !no_password).then(|| (auth.user, Secret::new(auth.password))),
        },
        (false, true, true) => return Err("Username and password required".to_owned()),
        (false, true, false) => return Err("Username required".to_owned()),
        (false, false, true) => return Err("Password required".to_owned()),
        (false, false, false) => Way::Password { user: auth.user, password: Secret::new(auth.password) },
    };
    Ok(Login { registry, way })
}

/// A private registry of ECR, with or without a repository behind it, or ECR Public.
pub fn is_ecr(registry: &str) -> bool {
    let host = registry.split('/').next().unwrap_or_default();
    let parts = host.split_once(".dkr.ecr.");
    let is_private = parts.is_some_and(|(account, rest)| {
        account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && (rest.ends_with(".amazonaws.com") || rest.ends_with(".amazonaws.com.cn"))
    });
    is_private || registry == "public.ecr.aws"
}

/// The region of a private registry.
pub fn region(registry: &str) -> Option<&str> {
    let (_, rest) = registry.split_once(".dkr.ecr.")?;
    rest.split(".amazonaws.").next()
}

/// The entries of `registry-auth`, which is YAML.
fn several(text: &str) -> Result<Vec<Auth>, String> {
    let source = SourceMap::new().add("registry-auth", text);
    let wrong = |why: &str| format!("`registry-auth` is not a list of registries: {why}");
    let tree = landfall_check::yaml::parse(source, text).map_err(|finding| wrong(&finding.message))?;
    let Node::List(items) = &tree.node else { return Err(wrong("a YAML list is expected")) };
    let auth = |item: &landfall_types::Tree| {
        let text = |name: &str| item.field(name).and_then(landfall_types::Tree::scalar).unwrap_or_default();
        Auth {
            registry: text("registry"),
            user: text("username"),
            password: text("password"),
            ecr: text("ecr"),
            scope: text("scope"),
        }
    };
    Ok(items.iter().map(auth).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LOCAL: &str = "127.0.0.1:4566";
    const OWN: &str = "210987654321.dkr.ecr.us-east-1.amazonaws.com";
    const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    fn way(pairs: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let inputs: Vec<(String, String)> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let told = |login: Login| match login.way {
            Way::Ecr { registries, key } => {
                let key = key.map_or_else(String::new, |(id, _)| format!(" with {id}"));
                format!("ecr {registries}{key}")
            }
            Way::Password { user, .. } => format!("{} as {user}", login.registry),
        };
        Ok(logins(&inputs, &|host| (host == LOCAL).then(|| OWN.to_owned()))?
            .logins
            .into_iter()
            .map(told)
            .collect())
    }

    type Pairs = Vec<(&'static str, &'static str)>;

    #[test]
    fn a_registry_of_ecr_is_told_by_its_name_unless_the_step_says_otherwise() {
        let both = [("username", "AKIA"), ("password", "s")];
        let with = |pairs: &[(&'static str, &'static str)]| [pairs, &both].concat();
        let auth = "- registry: public.ecr.aws\n- registry: ghcr.io\n  username: me\n  password: '1'\n- registry: 127.0.0.1:4566\n  ecr: false\n  username: AWS\n  password: x\n";
        let cases: &[(Pairs, &[&str])] = &[
            (vec![("registry", ECR)], &["ecr 123456789012.dkr.ecr.eu-west-1.amazonaws.com"]),
            (
                with(&[("registry", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web")]),
                &["ecr 123456789012.dkr.ecr.eu-west-1.amazonaws.com with AKIA"],
            ),
            (vec![("registry", LOCAL)], &["ecr 210987654321.dkr.ecr.us-east-1.amazonaws.com"]),
            (with(&[("registry", LOCAL), ("ecr", "false")]), &["127.0.0.1:4566 as AKIA"]),
            (with(&[("registry", "ghcr.io")]), &["ghcr.io as AKIA"]),
            (with(&[]), &["docker.io as AKIA"]),
            (
                vec![("registry-auth", auth)],
                &["ecr public.ecr.aws", "ghcr.io as me", "127.0.0.1:4566 as AWS"],
            ),
        ];
        for (pairs, wanted) in cases {
            assert_eq!(way(pairs).unwrap(), *wanted, "{pairs:?}");
        }
        assert!(is_ecr("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn") && !is_ecr("amazonaws.com"));
        assert_eq!(region(ECR), Some("eu-west-1"));
    }

    #[test]
    fn what_the_action_refuses_is_refused_in_its_words() {
        for (pairs, wanted) in [
            (&[("registry", "ghcr.io")][..], "Username and password required"),
            (&[("username", "me")], "Password required"),
            (&[("password", "x")], "Username required"),
            (
                &[("registry-auth", "- registry: a"), ("registry", "b")],
                "Cannot use registry-auth with other inputs",
            ),
            (&[("registry-auth", "[]")], "No registry to login"),
            (&[("registry-auth", "registry: a")], "a YAML list is expected"),
            (&[("registry", ECR), ("logout", "no")], "Core Schema"),
        ] {
            assert!(way(pairs).is_err_and(|error| error.contains(wanted)), "{pairs:?}");
        }
    }
}
