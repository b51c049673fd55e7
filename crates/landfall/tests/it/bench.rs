//! A place of its own for each run: nothing of the user's environment, temporary files where they can be
//! counted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex_lite::Regex;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
const EXAMPLE: &str = "github-ecr";

/// One place.
pub struct Bench {
    dir: tempfile::TempDir,
}

/// How a run ended.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    /// What a person sees, and the exit code, with placeholders.
    pub shown: String,
}

/// A text in a file of the example that stands there exactly once, and what takes its place.
pub type Edit = (String, String, String);

impl Bench {
    pub fn new() -> Self {
        let bench = Self { dir: tempfile::Builder::new().prefix("landfall it ").tempdir().unwrap() };
        for name in ["tmp", "home", "work"] {
            std::fs::create_dir(bench.dir.path().join(name)).unwrap();
        }
        bench
    }

    /// Where commands run.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Copies the example that the README begins with to `work/example`, with an edit.
    pub fn example(self, edit: Option<&Edit>) -> Self {
        self.example_of(EXAMPLE, edit)
    }

    /// As [`Bench::example`], of one of the examples.
    pub fn example_of(self, name: &str, edit: Option<&Edit>) -> Self {
        let to = self.work().join("example");
        copy(&Path::new(EXAMPLES).join(name), &to);
        if let Some((file, old, new)) = edit {
            let path = to.join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches(old.as_str()).count(), 1, "{file} must have {old:?} exactly once");
            std::fs::write(path, text.replace(old, new)).unwrap();
        }
        self
    }

    /// Writes a file below `work`.
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Makes a folder below `work`.
    pub fn folder(self, name: &str) -> Self {
        std::fs::create_dir_all(self.work().join(name)).unwrap();
        self
    }

    pub fn command(&self, program: &Path, folder: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.work().join(folder))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.dir.path().join("home"))
            .env("TMPDIR", self.dir.path().join("tmp"))
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// Runs `landfall` in `work`, and demands that nothing is left behind.
    pub fn landfall(&self, args: &[&str]) -> Done {
        self.landfall_in("", args)
    }

    pub fn landfall_in(&self, folder: &str, args: &[&str]) -> Done {
        self.finish(self.command(Path::new(env!("CARGO_BIN_EXE_landfall")), folder, args), args)
    }

    pub fn finish(&self, mut command: Command, args: &[&str]) -> Done {
        let output = command.output().unwrap();
        let (stdout, stderr) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let code = output.status.code();
        let exit = code.map_or("a signal".to_owned(), |code| code.to_string());
        let mut shown = format!("$ landfall {}\n{stdout}", args.join(" "));
        if !stderr.is_empty() {
            shown.push_str(&format!("--- standard error\n{stderr}"));
        }
        shown.push_str(&format!("--- exit code {exit}\n"));
        let done = Done { code, stdout, shown: self.scrubbed(&shown) };
        assert!(!done.shown.contains("panicked"), "{}", done.shown);
        self.nothing_is_left();
        done
    }

    /// No temporary file, and no process of this place.
    pub fn nothing_is_left(&self) {
        let left: Vec<_> = std::fs::read_dir(self.dir.path().join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        let processes = self.processes();
        assert!(processes.is_empty(), "still running: {processes:?}");
    }

    /// Processes whose environment names this place; none where there is no /proc.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.dir.path().display().to_string();
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let is_ours = |path: &PathBuf| {
            let environment = std::fs::read(path.join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(&mark)
        };
        let line = |path: PathBuf| {
            String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).unwrap_or_default())
                .replace('\0', " ")
        };
        entries.map(|entry| entry.unwrap().path()).filter(is_ours).map(line).collect()
    }

    /// Puts placeholders where things differ from run to run.
    fn scrubbed(&self, text: &str) -> String {
        let text = text.replace(&self.dir.path().display().to_string(), "@@PLACE@@");
        let patterns = [
            (r"127\.0\.0\.1:[0-9]+", "@@ADDRESS@@"),
            (r"landfall-rehearsal-[A-Za-z0-9]{6}", "landfall-rehearsal-@@ID@@"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "@@REQUEST@@"),
            (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z", "@@TIME@@"),
            (r"sha256:[0-9a-f]{64}", "@@DIGEST@@"),
            (r"sha256:[0-9a-f]{12}\b", "@@DIGEST@@"),
            (r"\b[0-9a-f]{40}\b", "@@COMMIT@@"),
            (r"\b[0-9a-f]{7}, latest", "@@TAG@@, latest"),
            (r"\b(web:|tags )[0-9a-f]{7}\b", "$1@@TAG@@"),
            (r"\([0-9a-f]{7}\)", "(@@TAG@@)"),
            (r"/tmp\.[A-Za-z0-9]{10}/", "/tmp.@@ID@@/"),
            (r"\bA(KI|SI|ID)A[A-Z0-9]{16,17}\b", "@@KEY ID@@"),
            (r"`[A-Za-z0-9_-]{43}`", "`@@KEY@@`"),
            (r"\bport [0-9]+", "port @@PORT@@"),
            (r"[0-9]+\.[0-9]{2} s\b", "@@TIME@@"),
            (r"\(os error [0-9]+\)", "(os error @@)"),
        ];
        patterns.iter().fold(text, |text, (pattern, placeholder)| {
            Regex::new(pattern).unwrap().replace_all(&text, *placeholder).into_owned()
        })
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A row of one of the tables beside this file.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The name of its snapshot.
    pub name: String,
    /// More words of the command line.
    #[serde(default)]
    pub flags: Vec<String>,
    /// What is changed in a copy of the example.
    pub edit: Option<Edit>,
    /// The whole command line, where it isn't `rehearse example`.
    pub command: Option<Vec<String>>,
}

/// Reads a table.
pub fn rows(text: &str) -> Vec<Row> {
    #[derive(serde::Deserialize)]
    struct Table {
        row: Vec<Row>,
    }
    toml::from_str::<Table>(text).unwrap().row
}

/// Runs every row in a place of its own, a few at a time, and compares what is shown with the row's snapshot.
pub fn compare(rows: &[Row], code: i32) {
    compare_of(EXAMPLE, rows, code);
}

/// As [`compare`], of one of the examples.
pub fn compare_of(example: &str, rows: &[Row], code: i32) {
    const AT_ONCE: usize = 4;
    let run = |row: &Row| {
        let bench = Bench::new().example_of(example, row.edit.as_ref()).folder("empty");
        let mut words = row.command.clone().unwrap_or_else(|| vec!["rehearse".into(), "example".into()]);
        words.extend(row.flags.clone());
        bench.landfall(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut wrong = Vec::new();
    for some in rows.chunks(AT_ONCE) {
        let done: Vec<Done> = std::thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|row| scope.spawn(|| run(row))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (row, done) in some.iter().zip(done) {
            // All of them are compared before the test fails.
            let same = std::panic::catch_unwind(|| snapshot(&row.name, &done.shown)).is_ok();
            if !same || done.code != Some(code) {
                wrong.push(format!("{}: exit code {:?}, wanted {code}", row.name, done.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares with `snapshots/NAME.snap`.
pub fn snapshot(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}
