//! Cases of a folder below `cases/`: each file is rehearsed, and its transcript is compared with the file of the same
//! name that ends in `.snap`. Lines of it that begin with `#:` say how.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// The files of a folder.
pub struct Cases {
    dir: PathBuf,
    /// Name and text, by name.
    files: Vec<(String, String)>,
}

impl Cases {
    /// Reads the YAML files of a folder.
    pub fn read(folder: &str) -> Self {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases").join(folder);
        let names =
            std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".yml")).collect();
        names.sort();
        let text = |name: &String| std::fs::read_to_string(dir.join(name)).unwrap();
        let files = names.into_iter().map(|name| (name.clone(), text(&name))).collect();
        Self { dir, files }
    }

    /// The files as they lie in a repository, each in a folder.
    pub fn placed(&self, folder: &str) -> Vec<(String, String)> {
        self.files.iter().map(|(name, text)| (format!("{folder}{name}"), text.clone())).collect()
    }

    /// Rehearses what is a case of its own, at least so many, and compares all of them before it fails. A snapshot is
    /// named as the case without its `ending`.
    pub async fn every_case(
        &self,
        count_min: usize,
        ending: &str,
        is_case: impl Fn(&str) -> bool,
        rehearse: impl AsyncFn(&str, &str) -> Vec<String>,
    ) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&self.dir);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let (mut wrong, mut count) = (Vec::new(), 0);
        for (name, text) in self.files.iter().filter(|(name, _)| is_case(name)) {
            let transcript = rehearse(name, text).await.join("\n");
            let snapshot = name.strip_suffix(ending).unwrap();
            let compare = || settings.bind(|| insta::assert_snapshot!(snapshot, transcript));
            if catch_unwind(AssertUnwindSafe(compare)).is_err() {
                wrong.push(name);
            }
            count += 1;
        }
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(count >= count_min, "{count} cases");
    }
}

/// What the lines that begin with `#:` say: a word, and what follows it.
pub fn said(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#: "));
    lines.map(|line| line.split_once(' ').unwrap_or((line, "")))
}

/// `NAME=VALUE`.
pub fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}
