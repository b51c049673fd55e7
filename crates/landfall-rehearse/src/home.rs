//! What a job may see of this machine: a home of its own, and no way to the real AWS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Variables of the user that a job is given as they are: where tools are, which language they speak.
const PASSED_ON: &[&str] = &[
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TERM",
    "USER",
    "LOGNAME",
    "SHELL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "JAVA_HOME",
    "GOPATH",
    "GOROOT",
    "GOFLAGS",
    "GOPROXY",
    "NVM_DIR",
    "PYENV_ROOT",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "DOCKER_HOST",
    "XDG_RUNTIME_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
];
/// Variables that keep a job on this machine, whatever a workflow says.
const HELD: &[&str] =
    &["AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"];
/// What of the user's Cargo folder a job may see: what was downloaded before, and no credentials.
const CARGO_CACHES: &[&str] = &["registry", "git"];
/// Hosts that are never reached by a proxy.
const NO_PROXY: &str = "127.0.0.1,localhost,::1";

/// The end of a sentence about what would lead to AWS.
pub(crate) const NEVER: &str = "a rehearsal never talks to the real AWS";

/// Whether a variable says where this machine has its tools, which a container has elsewhere.
pub(crate) fn is_of_machine(name: &str) -> bool {
    let is_proxy = name.to_ascii_uppercase().ends_with("_PROXY");
    name == "TMPDIR" || (PASSED_ON.contains(&name) && !is_proxy)
}

/// The folders of one job.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `GITHUB_WORKSPACE`.
    pub workspace: PathBuf,
    /// `RUNNER_TEMP`.
    pub temp: PathBuf,
    /// `HOME`.
    pub home: PathBuf,
    /// Where the `landfall` of this rehearsal is, first in `PATH`.
    pub bin: PathBuf,
    /// Files of the runner's protocol.
    pub commands: PathBuf,
    /// Copies of the actions that are not in the workspace.
    pub actions: PathBuf,
}

impl Folders {
    /// Makes the folders of a job below `dir`.
    ///
    /// # Errors
    /// When a folder can't be made.
    pub fn make(dir: &Path, repository: &str, landfall: &Path) -> std::io::Result<Self> {
        let name = repository.rsplit('/').next().unwrap_or("repository");
        let folders = Self {
            workspace: dir.join("work").join(name).join(name),
            temp: dir.join("temp"),
            home: dir.join("home"),
            bin: dir.join("bin"),
            commands: dir.join("commands"),
            actions: dir.join("work/_actions"),
        };
        for folder in [&folders.workspace, &folders.temp, &folders.home, &folders.bin, &folders.commands] {
            std::fs::create_dir_all(folder)?;
        }
        std::os::unix::fs::symlink(landfall, folders.bin.join("landfall"))?;
        Ok(folders)
    }

    /// Lets the job use what Cargo has downloaded for the user before.
    ///
    /// # Errors
    /// When a link can't be made.
    pub fn share_cargo(&self, user: &dyn Fn(&str) -> Option<String>) -> std::io::Result<()> {
        let theirs = user("CARGO_HOME").or_else(|| user("HOME").map(|home| format!("{home}/.cargo")));
        let Some(theirs) = theirs.map(PathBuf::from).filter(|dir| dir.is_dir()) else { return Ok(()) };
        let ours = self.home.join(".cargo");
        std::fs::create_dir_all(&ours)?;
        for cache in CARGO_CACHES.iter().filter(|cache| theirs.join(cache).is_dir()) {
            std::os::unix::fs::symlink(theirs.join(cache), ours.join(cache))?;
        }
        Ok(())
    }
}

/// Tells where a registry of ECR is on this machine, by its name; none for other names, and where it can't be had.
pub type Home<'h> = dyn Fn(&str) -> Option<String> + 'h;

/// Lets skopeo, podman and buildah talk to the local registries, which have no certificates. They read such files
/// beside their own configuration.
///
/// # Errors
/// When the file can't be written.
pub fn trust_registries<'r>(home: &Path, addresses: impl Iterator<Item = &'r str>) -> std::io::Result<()> {
    let dir = home.join(".config/containers/registries.conf.d");
    for address in addresses {
        let file = dir.join(format!("landfall-{}.conf", address.replace(':', "-")));
        if !file.exists() {
            std::fs::create_dir_all(&dir)?;
            std::fs::write(&file, format!("[[registry]]\nlocation = \"{address}\"\ninsecure = true\n"))?;
        }
    }
    Ok(())
}

/// Lets the tools of a job talk to the local registries, and says which address each has that was not told before.
/// The first is the AWS side's own, where everybody expects the registry.
///
/// # Errors
/// When a file can't be written.
pub(crate) fn introduce(
    home: &Path,
    all: &[(String, String)],
    told: &mut usize,
) -> Result<Vec<String>, String> {
    trust_registries(home, all.iter().map(|(_, address)| address.as_str()))
        .map_err(|error| format!("cannot write a registries.conf: {error}"))?;
    let new = all.iter().skip((*told).max(1)).map(|(name, address)| format!("{name} is {address} here"));
    *told = all.len();
    Ok(new.collect())
}

/// The environment that every step of a job begins with: the machine's tools, the local AWS side, and
/// nothing of the user's own credentials.
pub fn environment(
    user: &dyn Fn(&str) -> Option<String>,
    folders: &Folders,
    aws_url: &str,
) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        PASSED_ON.iter().filter_map(|name| user(name).map(|value| ((*name).to_owned(), value))).collect();
    let path = env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    env.insert("PATH".to_owned(), format!("{}:{path}", folders.bin.display()));
    let no_proxy = user("NO_PROXY").or_else(|| user("no_proxy"));
    let no_proxy = no_proxy.map_or_else(|| NO_PROXY.to_owned(), |hosts| format!("{NO_PROXY},{hosts}"));
    let text = |path: &Path| path.display().to_string();
    // Rust's tools find their toolchain by the home folder unless they are told.
    if let Some(rustup) = user("HOME").map(|home| Path::new(&home).join(".rustup")).filter(|dir| dir.is_dir())
    {
        env.entry("RUSTUP_HOME".to_owned()).or_insert_with(|| text(&rustup));
    }
    let own = [
        ("HOME", text(&folders.home)),
        ("TMPDIR", text(&folders.temp)),
        ("CI", "true".to_owned()),
        ("NO_PROXY", no_proxy.clone()),
        ("no_proxy", no_proxy),
        // Every SDK and the aws CLI go to the local side, and none asks the metadata service of a cloud machine.
        ("AWS_ENDPOINT_URL", aws_url.to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false".to_owned()),
        ("AWS_CONFIG_FILE", text(&folders.home.join(".aws/config"))),
        ("AWS_SHARED_CREDENTIALS_FILE", text(&folders.home.join(".aws/credentials"))),
        ("AWS_PAGER", String::new()),
        // Registry logins of this job stay in this job.
        ("DOCKER_CONFIG", text(&folders.home.join(".docker"))),
        ("REGISTRY_AUTH_FILE", text(&folders.home.join(".docker/config.json"))),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env
}

/// Adds what a workflow or a step says to a job's environment. Registries of ECR become the local ones.
///
/// # Errors
/// A sentence for a variable that would lead to the real AWS.
pub fn extend<'v>(
    env: &mut BTreeMap<String, String>,
    variables: impl Iterator<Item = &'v (String, String)>,
    home: &Home<'_>,
) -> Result<(), String> {
    for (name, value) in variables.filter(|(name, _)| !HELD.contains(&name.as_str())) {
        let value = bring_home(value, home).map_err(|host| {
            format!("the variable `{name}` leads to {host}: a rehearsal never talks to the real AWS")
        })?;
        env.insert(name.clone(), value);
    }
    Ok(())
}

/// What a script that names real AWS hosts becomes: registries of ECR are the local ones, and any other
/// address of AWS is refused.
///
/// # Errors
/// The host that the script would have reached.
pub fn bring_home(script: &str, home: &Home<'_>) -> Result<String, String> {
    let out = bring_registries_home(script, home)?;
    match aws_address(&out) {
        Some(host) => Err(host),
        None => Ok(out),
    }
}

/// The same for registries of ECR alone.
///
/// # Errors
/// The name of a registry that has no address here.
pub(crate) fn bring_registries_home(script: &str, home: &Home<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(script.len());
    let mut rest = script;
    while let Some(position) = rest.find(".dkr") {
        let (before, after) = rest.split_at(position);
        let account = before.len().checked_sub(12).and_then(|start| before.get(start..));
        let account = account.filter(|account| account.bytes().all(|byte| byte.is_ascii_digit()));
        let host_end =
            after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).unwrap_or(after.len());
        let (host, following) = after.split_at(host_end);
        // A host at the end of a sentence takes no full stop with it.
        let host = host.trim_end_matches('.');
        let following_dots = &after[host.len()..after.len() - following.len()];
        rest = following;
        match account.filter(|_| is_of_ecr(host)) {
            Some(account) => {
                let name = format!("{account}{host}");
                let address = home(&name).ok_or(name)?;
                let before = &before[..before.len() - account.len()];
                // There is no certificate here.
                let bare = before.strip_suffix("https://");
                out.push_str(bare.unwrap_or(before));
                out.push_str(if bare.is_some() { "http://" } else { "" });
                out.push_str(&address);
                // Its own port isn't that of the real one.
                if let Some(after) = rest.strip_prefix(":443/") {
                    out.push('/');
                    rest = after;
                }
            }
            None => {
                out.push_str(before);
                out.push_str(host);
            }
        }
        out.push_str(following_dots);
    }
    out.push_str(rest);
    Ok(out)
}

/// Whether a host is a registry of ECR's from behind the account on.
fn is_of_ecr(rest: &str) -> bool {
    let rest = rest.strip_prefix(".dkr.ecr").or_else(|| rest.strip_prefix(".dkr-ecr"));
    let rest = rest.map(|rest| rest.strip_prefix("-fips").unwrap_or(rest));
    rest.is_some_and(|rest| rest.starts_with('.') && OF_AWS.iter().any(|ending| rest.ends_with(ending)))
}

/// The first URL that leads to AWS.
pub(crate) fn aws_address(script: &str) -> Option<String> {
    script.match_indices("://").find_map(|(position, _)| {
        let after = script.get(position + 3..)?;
        let end =
            after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).unwrap_or(after.len());
        let host = after.get(..end)?.trim_end_matches('.');
        OF_AWS.iter().any(|ending| host.ends_with(ending)).then(|| host.to_owned())
    })
}

/// What the hosts of AWS's services end with.
const OF_AWS: &[&str] = &[".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".on.aws"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Each registry at a port of its own, but one that gets none.
    fn at_home(host: &str) -> Option<String> {
        let port = match host {
            host if host.starts_with("000000000000") => return None,
            host if host.starts_with("210987654321") => 4568,
            host if host.contains("us-east-1") => 4567,
            _ => 4566,
        };
        Some(format!("127.0.0.1:{port}"))
    }

    #[test]
    fn registries_come_home_and_other_addresses_of_aws_are_refused() {
        let cases = [
            (
                "docker push 123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:v1",
                Ok("docker push 127.0.0.1:4566/web:v1"),
            ),
            ("echo 123456789012.dkr.ecr.eu-west-1.amazonaws.com.", Ok("echo 127.0.0.1:4566.")),
            ("echo $A.dkr.ecr.eu-west-1.amazonaws.com/x", Ok("echo $A.dkr.ecr.eu-west-1.amazonaws.com/x")),
            (
                "aws | docker login --password-stdin https://123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                Ok("aws | docker login --password-stdin http://127.0.0.1:4566"),
            ),
            (
                "docker pull 123456789012.dkr.ecr-fips.us-east-1.amazonaws.com:443/web",
                Ok("docker pull 127.0.0.1:4567/web"),
            ),
            (
                "docker tag 210987654321.dkr.ecr.eu-west-1.amazonaws.com/a 123456789012.dkr-ecr.eu-west-1.on.aws/b",
                Ok("docker tag 127.0.0.1:4568/a 127.0.0.1:4566/b"),
            ),
            (
                "docker push 000000000000.dkr.ecr.eu-west-1.amazonaws.com/x",
                Err("000000000000.dkr.ecr.eu-west-1.amazonaws.com"),
            ),
            ("echo aud=sts.amazonaws.com", Ok("echo aud=sts.amazonaws.com")),
            ("curl https://sts.amazonaws.com/?Action=x", Err("sts.amazonaws.com")),
            ("curl http://127.0.0.1:1/", Ok("curl http://127.0.0.1:1/")),
        ];
        for (script, wanted) in cases {
            let got = bring_home(script, &at_home);
            assert_eq!(got.as_deref().map_err(String::as_str), wanted, "{script}");
        }
    }

    #[test]
    fn nothing_of_the_users_credentials_is_passed_on() {
        let folders = Folders {
            workspace: "/w".into(),
            temp: "/t".into(),
            home: "/h".into(),
            bin: "/b".into(),
            commands: "/c".into(),
            actions: "/a".into(),
        };
        let user = |name: &str| {
            let value = match name {
                "PATH" => "/usr/bin",
                "HOME" => "/nonexistent",
                _ => "secret",
            };
            Some(value.to_owned())
        };
        let env = environment(&user, &folders, "http://127.0.0.1:1");
        for name in
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GITHUB_TOKEN", "AWS_SESSION_TOKEN"]
        {
            assert_eq!(env.get(name), None, "{name}");
        }
        assert_eq!(env.get("PATH").map(String::as_str), Some("/b:/usr/bin"));
        assert_eq!(env.get("AWS_ENDPOINT_URL").map(String::as_str), Some("http://127.0.0.1:1"));
        assert_eq!(env.get("NO_PROXY").map(String::as_str), Some("127.0.0.1,localhost,::1,secret"));
        assert_eq!(env.get("CARGO_HOME"), None, "it holds the token of the package registry");
    }

    #[test]
    fn a_workflows_variables_stay_on_this_machine() {
        let mut env = BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:1".to_owned())]);
        let mut add = |name: &str, value: &str| {
            let variable = (name.to_owned(), value.to_owned());
            let added = extend(&mut env, std::iter::once(&variable), &at_home);
            (added, env.get(name).cloned())
        };
        let home = Some("127.0.0.1:4566/web".to_owned());
        assert_eq!(add("IMAGE", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web"), (Ok(()), home));
        let kept = Some("http://127.0.0.1:1".to_owned());
        assert_eq!(add("AWS_ENDPOINT_URL", "https://elsewhere.example"), (Ok(()), kept));
        assert_eq!(add("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"), (Ok(()), None));
        let (refused, _) = add("AWS_ENDPOINT_URL_STS", "https://sts.eu-west-1.amazonaws.com");
        assert!(
            refused.is_err_and(|why| why.contains("AWS_ENDPOINT_URL_STS") && why.contains("sts.eu-west-1"))
        );
    }
}
