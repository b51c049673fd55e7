//! The script of a `run` step: where it runs, in which shell.
//!
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell>

use std::path::{Path, PathBuf};

/// What a script needs to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shell {
    /// The ending of the script's file, with its dot.
    pub ending: &'static str,
    /// The script's lines, with what the shell needs around them.
    pub text: String,
    /// The command, with `{0}` for the script's file.
    template: String,
}

/// The shell of a step. Without `shell:` it is `bash -e`, and `sh -e` where there is no bash.
///
/// # Errors
/// A sentence for a shell that is not one of GitHub's and has no place for the script's file.
pub fn shell(shell: Option<&str>, script: &str, path: &str) -> Result<Shell, String> {
    let template = match shell {
        None if find_program("bash", path).is_some() => "bash -e {0}",
        None | Some("sh") => "sh -e {0}",
        Some("bash") => "bash --noprofile --norc -eo pipefail {0}",
        Some("python") => "python {0}",
        Some("pwsh") => "pwsh -command . '{0}'",
        Some(custom) if custom.contains("{0}") => custom,
        Some(other) => {
            return Err(format!(
                "shell `{other}` is not known: give a command with {{0}} for the script's file"
            ));
        }
    };
    let program = template.split_whitespace().next().unwrap_or_default();
    let (ending, text) = match program {
        "python" => (".py", script.to_owned()),
        // As the runner does it: errors end the script, and the last program's exit code is the step's.
        "pwsh" => (
            ".ps1",
            format!(
                "$ErrorActionPreference = 'stop'\n{script}\nif ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) {{ exit $LASTEXITCODE }}"
            ),
        ),
        _ => (".sh", script.to_owned()),
    };
    Ok(Shell { ending, text, template: template.to_owned() })
}

impl Shell {
    /// The program and its arguments for a script's file, wherever the program is.
    pub fn words(&self, file: &Path) -> (PathBuf, Vec<String>) {
        let file = file.display().to_string();
        // The file's own blanks are no ends of words.
        let mut words = self.template.split_whitespace().map(|word| word.replace("{0}", &file));
        let program = words.next().unwrap_or_default();
        (program.into(), words.collect())
    }

    /// The program and its arguments for a script's file.
    ///
    /// # Errors
    /// A sentence when the program is not on this machine.
    pub fn command(&self, file: &Path, path: &str) -> Result<(PathBuf, Vec<String>), String> {
        let (program, words) = self.words(file);
        let program = program.display().to_string();
        let found = find_program(&program, path)
            // Many machines have Python under this name alone.
            .or_else(|| find_program("python3", path).filter(|_| program == "python"))
            .ok_or_else(|| format!("shell `{program}` is not on this machine"))?;
        Ok((found, words))
    }
}

/// A program by its name in a `PATH`, or by its path.
pub fn find_program(name: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    let runs = |file: &PathBuf| {
        std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(name)).find(runs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATH: &str = "/usr/bin:/bin";

    #[test]
    fn each_shell_gets_githubs_command_line() {
        for (said, wanted) in [
            (None, "bash -e /a b/s.sh"),
            (Some("bash"), "bash --noprofile --norc -eo pipefail /a b/s.sh"),
            (Some("sh"), "sh -e /a b/s.sh"),
            (Some("env A=1 sh -x {0}"), "env A=1 sh -x /a b/s.sh"),
        ] {
            let shell = shell(said, "echo", PATH).unwrap();
            let (program, args) = shell.command(Path::new("/a b/s.sh"), PATH).unwrap();
            let name = program.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!([vec![name], args].concat().join(" "), wanted);
        }
    }

    #[test]
    fn a_shell_that_is_none_or_not_there_is_said() {
        assert!(shell(Some("fish"), "", PATH).unwrap_err().contains("fish"));
        let nowhere = shell(Some("no-such-shell {0}"), "", PATH).unwrap();
        assert!(nowhere.command(Path::new("/s"), PATH).unwrap_err().contains("no-such-shell"));
        assert_eq!(shell(None, "", "/nonexistent").unwrap().template, "sh -e {0}");
    }
}
