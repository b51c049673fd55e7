//! What later steps of the job get. A file that can't be written is told before anything is changed; where it turns out
//! afterwards, what was done is told all the same, and watched to its end.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use landfall_deliver::{Environment, Failure, github};

use crate::cmd::login::{append, random_delimiter};
use crate::ui;

/// The files of outputs.
pub struct Outputs {
    github: Option<PathBuf>,
    dotenv: Option<PathBuf>,
    /// Why not all of it could be written, the first time.
    failed: RefCell<Option<Failure>>,
}

impl Outputs {
    /// The files, each of which can be opened for writing.
    ///
    /// # Errors
    /// One that can't.
    pub fn new(env: &Environment, dotenv: Option<PathBuf>) -> Result<Self, Failure> {
        let outputs = Self { github: github::output_file(env), dotenv, failed: RefCell::new(None) };
        for (file, name) in [(&outputs.github, "GITHUB_OUTPUT"), (&outputs.dotenv, "--dotenv")] {
            let Some(file) = file else { continue };
            OpenOptions::new().append(true).create(true).open(file).map_err(|error| {
                failure(file, &error).help(format!("{name} names it; nothing was changed in AWS"))
            })?;
        }
        Ok(outputs)
    }

    /// Writes them. What can't be written is a warning now, and the exit code at the end.
    pub fn write(&self, pairs: &[(&str, &str)]) {
        if let Err(failure) = self.try_write(pairs) {
            ui::warning(&format!("{}: the outputs are lost, and it goes on", failure.message));
            self.failed.borrow_mut().get_or_insert(failure);
        }
    }

    fn try_write(&self, pairs: &[(&str, &str)]) -> Result<(), Failure> {
        let github = self.github.as_ref().map(|file| append(file, pairs, &random_delimiter()));
        let mut lines = String::new();
        for (name, value) in pairs {
            lines.push_str(&format!("{}={value}\n", name.replace('-', "_").to_ascii_uppercase()));
        }
        let dotenv = self.dotenv.as_ref().map(|file| {
            let opened = OpenOptions::new().append(true).create(true).open(file);
            let written = opened.and_then(|mut file| file.write_all(lines.as_bytes()));
            written.map_err(|error| failure(file, &error))
        });
        github.transpose().map(drop).and(dotenv.transpose().map(drop))
    }

    /// Why not all of it could be written.
    pub fn failure(&self) -> Option<Failure> {
        self.failed.borrow().clone()
    }

    /// The exit code of what ended with this one: later steps can't do without their outputs.
    ///
    /// # Errors
    /// All went well but for the outputs.
    pub fn exit_code(&self, code: u8) -> Result<u8, Failure> {
        match self.failure() {
            Some(failure) if code == 0 => Err(failure),
            _ => Ok(code),
        }
    }
}

fn failure(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("writing `{}`", file.display())).caused_by(error)
}
