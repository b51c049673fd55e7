//! The commands that a step writes to its output: `::add-mask::`, `::error file=…::` and so on.
//!
//! GitHub, "Workflow commands"; parsing as in the runner (`ActionCommand`, `ActionCommandManager`).

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// `::add-mask::VALUE`: hide the value from here on.
    AddMask(String),
    /// `::set-output name=N::VALUE`, deprecated and still honoured.
    SetOutput {
        /// The output.
        name: String,
        /// Its value.
        value: String,
    },
    /// `::save-state name=N::VALUE`, deprecated and still honoured.
    SaveState {
        /// The state.
        name: String,
        /// Its value.
        value: String,
    },
    /// `::set-env name=N::VALUE` or `::add-path::DIR`: refused since 2020 unless the job sets
    /// `ACTIONS_ALLOW_UNSECURE_COMMANDS`.
    Unsecure {
        /// `set-env` or `add-path`.
        command: String,
        /// The variable; empty for `add-path`.
        name: String,
        /// The value.
        value: String,
    },
    /// `::error …::`, `::warning …::`, `::notice …::`
    Annotation(Annotation),
    /// `::debug::TEXT`
    Debug(String),
    /// `::group::TITLE`
    Group(String),
    /// `::endgroup::`
    EndGroup,
    /// `::echo::on` and `::echo::off`
    Echo(bool),
    /// `::stop-commands::TOKEN`: from here on lines are only text.
    Stop,
    /// `::TOKEN::` after a stop.
    Resume,
    /// `::add-matcher::FILE` and `::remove-matcher …::`: of interest to GitHub's pages only.
    Matcher,
    /// A command that cannot be carried out, with the runner's text.
    Invalid(String),
}

/// How loud an annotation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loudness {
    /// `error`
    Error,
    /// `warning`
    Warning,
    /// `notice`
    Notice,
}

/// A message that is shown on a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Annotation {
    /// Its kind.
    pub loudness: Loudness,
    /// Its text.
    pub message: String,
    /// `title`, `file`, `line`, `endLine`, `col`, `endColumn`, in written order.
    pub properties: Vec<(String, String)>,
}

/// Reads a step's output line by line, and remembers whether commands are stopped.
#[derive(Clone, Debug, Default)]
pub struct CommandReader {
    stopped_until: Option<String>,
}

const NAMES: &[&str] = &[
    "add-mask",
    "set-output",
    "save-state",
    "set-env",
    "add-path",
    "error",
    "warning",
    "notice",
    "debug",
    "group",
    "endgroup",
    "echo",
    "stop-commands",
    "add-matcher",
    "remove-matcher",
];

impl CommandReader {
    /// The command of a line; none for a line that is only text.
    pub fn line(&mut self, line: &str) -> Option<Command> {
        let Line { name, properties, data } = split(line)?;
        if let Some(token) = &self.stopped_until {
            let resumes = name.eq_ignore_ascii_case(token);
            return resumes.then(|| {
                self.stopped_until = None;
                Command::Resume
            });
        }
        let property = |wanted: &str| {
            let found = properties.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let named = |make: fn(String, String) -> Command| match property("name") {
            empty if empty.is_empty() => {
                Command::Invalid(format!("Required field 'name' is missing in ##[{name}] command."))
            }
            filled => make(filled, data.clone()),
        };
        Some(match name.to_ascii_lowercase().as_str() {
            "add-mask" if data.trim().is_empty() => {
                Command::Invalid("Can't add secret mask for empty string in ##[add-mask] command.".to_owned())
            }
            "add-mask" => Command::AddMask(data),
            "set-output" => named(|name, value| Command::SetOutput { name, value }),
            "save-state" => named(|name, value| Command::SaveState { name, value }),
            "set-env" => {
                named(|name, value| Command::Unsecure { command: "set-env".to_owned(), name, value })
            }
            "add-path" => {
                Command::Unsecure { command: "add-path".to_owned(), name: String::new(), value: data }
            }
            "error" => annotation(Loudness::Error, properties, data),
            "warning" => annotation(Loudness::Warning, properties, data),
            "notice" => annotation(Loudness::Notice, properties, data),
            "debug" => Command::Debug(data),
            "group" => Command::Group(data),
            "endgroup" => Command::EndGroup,
            "echo" if data.trim().eq_ignore_ascii_case("on") => Command::Echo(true),
            "echo" if data.trim().eq_ignore_ascii_case("off") => Command::Echo(false),
            "echo" => Command::Invalid(format!(
                "Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '{data}'."
            )),
            "stop-commands" => self.stop(data),
            "add-matcher" | "remove-matcher" => Command::Matcher,
            _ => return None,
        })
    }

    fn stop(&mut self, token: String) -> Command {
        // A token that is itself a command could be used to resume by accident (observed in the runner).
        if token.is_empty() || NAMES.iter().any(|name| name.eq_ignore_ascii_case(&token)) {
            return Command::Invalid(format!(
                "Invalid token for ::stop-commands::: '{token}' is empty or the name of a command"
            ));
        }
        self.stopped_until = Some(token);
        Command::Stop
    }
}

fn annotation(loudness: Loudness, properties: Vec<(String, String)>, message: String) -> Command {
    Command::Annotation(Annotation { loudness, message, properties })
}

struct Line {
    name: String,
    properties: Vec<(String, String)>,
    data: String,
}

/// Takes `::name key=value,…::data` apart.
fn split(line: &str) -> Option<Line> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    let (name, rest) = head.split_once(' ').unwrap_or((head, ""));
    let pairs = rest.trim().split(',').filter_map(|pair| pair.split_once('='));
    let properties = pairs.map(|(key, value)| (key.trim().to_owned(), unescape_property(value))).collect();
    let data = data.strip_suffix('\r').unwrap_or(data);
    (!name.is_empty()).then(|| Line { name: name.to_owned(), properties, data: unescape(data) })
}

/// `%0D`, `%0A` and `%25`.
fn unescape(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}

/// As [`unescape`], with `%3A` and `%2C`.
fn unescape_property(text: &str) -> String {
    let text = text.replace("%0D", "\r").replace("%0A", "\n");
    text.replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
}
