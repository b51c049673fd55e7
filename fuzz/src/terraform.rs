//! Terraform's files: those of the root module, and with a folder in their names (`>>> modules/role/main.tf`) those of
//! modules that it calls and files that it reads. They are evaluated, and every finding can be shown. The cases of
//! `landfall-check` write `#! file NAME`.

use landfall_check::render;
use landfall_check::terraform::{self, Disk, Root, Settings};
use landfall_types::{AccountId, SourceId, SourceMap};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let sources = SourceMap::new();
    let text = super::text(bytes).replace("\n#! file ", "\n>>> ");
    let files = super::files(&text, "main.tf").into_iter();
    let known = Known(files.map(|(name, text)| (name, sources.add(name, text))).collect());
    let of_root = |name: &str| !name.contains('/') && (name.ends_with(".tf") || name.ends_with(".tfvars"));
    let root = Root {
        files: known.0.iter().filter(|(name, _)| of_root(name)).map(|(_, source)| *source).collect(),
        values: Vec::new(),
        disk: &known,
    };
    let settings = Settings {
        account: AccountId::parse("123456789012").expect("twelve digits"),
        region: "eu-west-1".to_owned(),
        variables: Default::default(),
        workspace: None,
        environment: Default::default(),
    };
    let (infra, findings) = terraform::read(&sources, &[root], &settings);
    for role in &infra.roles {
        let _ = terraform::to_json(&role.trust);
    }
    for finding in &findings {
        let _ = render::terminal(finding, &sources, render::Style::Plain, 100);
        let _ = render::json(finding, &sources);
    }
}

/// The files, by name.
struct Known<'t>(Vec<(&'t str, SourceId)>);

impl Disk for Known<'_> {
    fn configuration(&self, folder: &str) -> Option<Vec<SourceId>> {
        let inside = |name: &str| {
            let rest = name.strip_prefix(folder.trim_end_matches('/'))?.strip_prefix('/')?;
            (!rest.contains('/') && rest.ends_with(".tf")).then_some(())
        };
        let files = self.0.iter().filter(|(name, _)| inside(name).is_some()).map(|(_, source)| *source);
        Some(files.collect::<Vec<_>>()).filter(|files| !files.is_empty())
    }

    fn text(&self, path: &str) -> Option<SourceId> {
        self.0.iter().find(|(name, _)| *name == path).map(|(_, source)| *source)
    }
}
