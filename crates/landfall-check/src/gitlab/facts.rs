//! What a pipeline is started with, and the variables that GitLab sets by it.
//!
//! <https://docs.gitlab.com/ci/variables/predefined_variables/>

use super::variables::Variable;

/// A branch or a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefType {
    /// A branch; of a merge request too.
    Branch,
    /// A tag.
    Tag,
}

impl RefType {
    /// The claim's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
        }
    }

    /// The full ref.
    pub fn path(self, name: &str) -> String {
        match self {
            Self::Branch => format!("refs/heads/{name}"),
            Self::Tag => format!("refs/tags/{name}"),
        }
    }
}

/// The merge request that a pipeline is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MergeRequest {
    /// Its number in the project.
    pub iid: u64,
    /// The branch that it goes to.
    pub target_branch: String,
    /// The project that it goes to, when it comes from a fork: its pipelines run in the fork.
    pub target_project: Option<String>,
}

/// What a commit says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// `NAME <ADDRESS>`
    pub author: String,
    /// When it was made, as ISO 8601.
    pub timestamp: String,
    /// Its message.
    pub message: String,
}

/// A pipeline's start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PipelineFacts {
    /// The instance, `https://gitlab.com`: the `iss` of its tokens.
    pub server_url: String,
    /// The project's path with its groups.
    pub project: String,
    /// `CI_PROJECT_ID`
    pub project_id: u64,
    /// The id of the innermost group.
    pub namespace_id: u64,
    /// What started it: `push`, `merge_request_event`, `schedule`, …
    pub source: String,
    /// The branch or tag; of a merge request its source branch.
    pub ref_name: String,
    /// Which of them it is.
    pub ref_type: RefType,
    /// The merge request.
    pub merge_request: Option<MergeRequest>,
    /// Whether the ref is protected.
    pub ref_protected: bool,
    /// The project's default branch.
    pub default_branch: String,
    /// The commit.
    pub sha: String,
    /// What is known of the commit.
    pub commit: Option<Commit>,
    /// Who started it.
    pub user_login: String,
    /// Their id.
    pub user_id: u64,
    /// `CI_PIPELINE_ID`
    pub pipeline_id: u64,
    /// The file that is started with.
    pub config_path: String,
    /// Files that its commits changed; none when that isn't known.
    pub changed: Option<Vec<String>>,
    /// Variables of the project: they win over those of the file.
    pub vars: Vec<(String, String)>,
    /// The same, masked.
    pub secrets: Vec<(String, String)>,
    /// Variables of whoever starts it; they win over all others.
    pub variables: Vec<(String, String)>,
}

impl PipelineFacts {
    /// A push to `main` of a project, to be changed field by field.
    pub fn of(project: impl Into<String>) -> Self {
        Self {
            server_url: "https://gitlab.com".to_owned(),
            project: project.into(),
            project_id: 1,
            namespace_id: 1,
            source: "push".to_owned(),
            ref_name: "main".to_owned(),
            ref_type: RefType::Branch,
            merge_request: None,
            ref_protected: true,
            default_branch: "main".to_owned(),
            sha: "0".repeat(40),
            commit: None,
            user_login: "someone".to_owned(),
            user_id: 1,
            pipeline_id: 1,
            config_path: ".gitlab-ci.yml".to_owned(),
            changed: None,
            vars: Vec::new(),
            secrets: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// The groups' part of the project's path.
    pub fn namespace(&self) -> &str {
        self.project.rsplit_once('/').map_or(self.project.as_str(), |(namespace, _)| namespace)
    }

    /// The full ref.
    pub fn ref_path(&self) -> String {
        self.ref_type.path(&self.ref_name)
    }

    /// The instance's host, with its port where it has one.
    pub fn host(&self) -> &str {
        let url = self.server_url.split_once("://").map_or(self.server_url.as_str(), |(_, rest)| rest);
        url.split('/').next().unwrap_or(url)
    }

    /// Variables from outside of the files, in the order in which later ones win.
    pub fn said(&self) -> Vec<Variable> {
        let vars = self.vars.iter().map(|(name, value)| Variable::said(name, value, false));
        let secrets = self.secrets.iter().map(|(name, value)| Variable::said(name, value, true));
        let variables = self.variables.iter().map(|(name, value)| Variable::said(name, value, false));
        vars.chain(secrets).chain(variables).collect()
    }

    /// The variables that GitLab sets before there are jobs.
    pub fn predefined(&self) -> Vec<Variable> {
        let name = self.project.rsplit('/').next().unwrap_or(&self.project);
        let host = self.host();
        let hostname = host.split(':').next().unwrap_or(host);
        let mut all = vec![
            ("CI", "true".to_owned()),
            ("GITLAB_CI", "true".to_owned()),
            ("CI_API_V4_URL", format!("{}/api/v4", self.server_url)),
            ("CI_CONFIG_PATH", self.config_path.clone()),
            ("CI_DEFAULT_BRANCH", self.default_branch.clone()),
            ("CI_PIPELINE_ID", self.pipeline_id.to_string()),
            ("CI_PIPELINE_IID", "1".to_owned()),
            ("CI_PIPELINE_SOURCE", self.source.clone()),
            (
                "CI_PIPELINE_URL",
                format!("{}/{}/-/pipelines/{}", self.server_url, self.project, self.pipeline_id),
            ),
            ("CI_PROJECT_ID", self.project_id.to_string()),
            ("CI_PROJECT_NAME", name.to_owned()),
            ("CI_PROJECT_TITLE", name.to_owned()),
            ("CI_PROJECT_NAMESPACE", self.namespace().to_owned()),
            ("CI_PROJECT_NAMESPACE_ID", self.namespace_id.to_string()),
            ("CI_PROJECT_PATH", self.project.clone()),
            ("CI_PROJECT_PATH_SLUG", slug(&self.project)),
            ("CI_PROJECT_ROOT_NAMESPACE", self.project.split('/').next().unwrap_or_default().to_owned()),
            ("CI_PROJECT_URL", format!("{}/{}", self.server_url, self.project)),
            ("CI_PROJECT_VISIBILITY", "private".to_owned()),
            ("CI_REPOSITORY_LANGUAGES", String::new()),
            ("CI_SERVER", "yes".to_owned()),
            ("CI_SERVER_FQDN", host.to_owned()),
            ("CI_SERVER_HOST", hostname.to_owned()),
            ("CI_SERVER_NAME", "GitLab".to_owned()),
            ("CI_SERVER_PORT", port(&self.server_url, host)),
            ("CI_SERVER_PROTOCOL", self.server_url.split("://").next().unwrap_or("https").to_owned()),
            ("CI_SERVER_URL", self.server_url.clone()),
            ("GITLAB_USER_ID", self.user_id.to_string()),
            ("GITLAB_USER_LOGIN", self.user_login.clone()),
            ("GITLAB_USER_NAME", self.user_login.clone()),
            ("GITLAB_USER_EMAIL", format!("{}@{hostname}", self.user_login)),
        ];
        all.extend(self.of_commit());
        all.into_iter().map(|(name, value)| Variable::predefined(name, value)).collect()
    }

    fn of_commit(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("CI_COMMIT_SHA", self.sha.clone()),
            ("CI_COMMIT_SHORT_SHA", self.sha.chars().take(8).collect()),
            ("CI_COMMIT_BEFORE_SHA", "0".repeat(40)),
            ("CI_COMMIT_REF_NAME", self.ref_name.clone()),
            ("CI_COMMIT_REF_SLUG", slug(&self.ref_name)),
            ("CI_COMMIT_REF_PROTECTED", self.ref_protected.to_string()),
        ];
        if let Some(commit) = &self.commit {
            let (title, description) = commit.message.split_once('\n').unwrap_or((&commit.message, ""));
            all.extend([
                ("CI_COMMIT_AUTHOR", commit.author.clone()),
                ("CI_COMMIT_TIMESTAMP", commit.timestamp.clone()),
                ("CI_COMMIT_MESSAGE", commit.message.clone()),
                ("CI_COMMIT_TITLE", title.to_owned()),
                ("CI_COMMIT_DESCRIPTION", description.trim().to_owned()),
            ]);
        }
        match (&self.merge_request, self.ref_type) {
            (Some(request), _) => all.extend(self.of_merge_request(request)),
            (None, RefType::Branch) => all.push(("CI_COMMIT_BRANCH", self.ref_name.clone())),
            (None, RefType::Tag) => all.push(("CI_COMMIT_TAG", self.ref_name.clone())),
        }
        all
    }

    fn of_merge_request(&self, request: &MergeRequest) -> Vec<(&'static str, String)> {
        let target = request.target_project.as_ref().unwrap_or(&self.project);
        vec![
            ("CI_MERGE_REQUEST_EVENT_TYPE", "detached".to_owned()),
            ("CI_MERGE_REQUEST_ID", request.iid.to_string()),
            ("CI_MERGE_REQUEST_IID", request.iid.to_string()),
            ("CI_MERGE_REQUEST_PROJECT_ID", self.project_id.to_string()),
            ("CI_MERGE_REQUEST_PROJECT_PATH", target.clone()),
            ("CI_MERGE_REQUEST_PROJECT_URL", format!("{}/{target}", self.server_url)),
            ("CI_MERGE_REQUEST_REF_PATH", format!("refs/merge-requests/{}/head", request.iid)),
            ("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", self.ref_name.clone()),
            ("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", self.sha.clone()),
            ("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH", self.project.clone()),
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", request.target_branch.clone()),
            ("CI_OPEN_MERGE_REQUESTS", format!("{target}!{}", request.iid)),
        ]
    }
}

fn port(url: &str, host: &str) -> String {
    let by_scheme = if url.starts_with("http://") { "80" } else { "443" };
    host.split_once(':').map_or(by_scheme, |(_, port)| port).to_owned()
}

/// Lower case, everything but letters and digits a dash, no dash at either end, at most 63 bytes.
pub fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let slug: String = text.chars().map(plain).take(63).collect();
    slug.trim_matches('-').to_owned()
}
