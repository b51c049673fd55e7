//! CI/CD variables: who says them, which one wins, and what `$NAME` inside of a value becomes.
//!
//! <https://docs.gitlab.com/ci/variables/#cicd-variable-precedence>

use landfall_types::Span;

/// Longest value after expansion, in bytes.
const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Variables inside of variables, in levels.
const LEVELS_MAX: usize = 32;
/// Replacements that one value may take: each variable may name the next one twice.
const REPLACEMENTS_MAX: usize = 10_000;

/// A variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value as it was written.
    pub value: String,
    /// Whether `$NAME` inside of the value is replaced.
    pub expand: bool,
    /// Whether jobs' output hides it.
    pub masked: bool,
    /// Where it was written; none for one that GitLab sets, or that was said from outside.
    pub span: Option<Span>,
}

impl Variable {
    /// A variable that GitLab sets.
    pub fn predefined(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), expand: false, masked: false, span: None }
    }

    /// A variable of the project, or of whoever starts the pipeline.
    pub fn said(name: impl Into<String>, value: impl Into<String>, masked: bool) -> Self {
        Self { name: name.into(), value: value.into(), expand: !masked, masked, span: None }
    }
}

/// Variables in the order in which later ones win.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Variables(Vec<Variable>);

impl Variables {
    /// Adds one over those that are there.
    pub fn set(&mut self, variable: Variable) {
        self.0.retain(|known| known.name != variable.name);
        self.0.push(variable);
    }

    /// Adds all of some over those that are there.
    pub fn extend(&mut self, variables: impl IntoIterator<Item = Variable>) {
        for variable in variables {
            self.set(variable);
        }
    }

    /// A variable by its name.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.0.iter().find(|variable| variable.name == name)
    }

    /// A variable's value with the variables inside of it in place.
    pub fn value(&self, name: &str) -> Option<String> {
        self.get(name).map(|variable| self.whole(variable))
    }

    /// All of them, values with the variables inside of them in place.
    pub fn values(&self) -> Vec<(String, String)> {
        self.0.iter().map(|variable| (variable.name.clone(), self.whole(variable))).collect()
    }

    /// As they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter()
    }

    /// A text with its variables in place. One that isn't there is empty.
    pub fn replace(&self, text: &str) -> String {
        replace(text, &mut |name| self.value(name))
    }

    fn whole(&self, variable: &Variable) -> String {
        let mut left = REPLACEMENTS_MAX;
        self.expanded(variable, 0, &mut left)
    }

    /// The value with what it names in place, as long as there are replacements left.
    fn expanded(&self, variable: &Variable, level: usize, left: &mut usize) -> String {
        if !variable.expand || level > LEVELS_MAX {
            return variable.value.clone();
        }
        replace(&variable.value, &mut |name| {
            // A variable that names itself means the one that it takes the place of: there is none here.
            if name == variable.name || *left == 0 {
                return None;
            }
            *left -= 1;
            self.get(name).map(|inner| self.expanded(inner, level + 1, left))
        })
    }
}

/// Replaces `$NAME`, `${NAME}` and `%NAME%`; `$$` is a dollar.
pub fn replace(text: &str, value_of: &mut dyn FnMut(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '%']) {
        out.push_str(&rest[..at]);
        let from = &rest[at..];
        let (name, length) = match from.as_bytes() {
            [b'$', b'$', ..] => {
                out.push('$');
                rest = &from[2..];
                continue;
            }
            [b'$', b'{', ..] => {
                let name = word(&from[2..]);
                let closed = from[2 + name.len()..].starts_with('}');
                if closed { (name, name.len() + 3) } else { ("", 0) }
            }
            [b'$', ..] => (word(&from[1..]), word(&from[1..]).len() + 1),
            _ => {
                let name = word(&from[1..]);
                let closed = from[1 + name.len()..].starts_with('%');
                if closed { (name, name.len() + 2) } else { ("", 0) }
            }
        };
        if name.is_empty() {
            out.push_str(&from[..1]);
            rest = &from[1..];
            continue;
        }
        if let Some(value) = value_of(name) {
            out.push_str(&value);
        }
        rest = &from[length..];
        if out.len() > VALUE_BYTES_MAX {
            return out;
        }
    }
    out.push_str(rest);
    out
}

/// The name at a text's beginning.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &text[..end] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let mut all = Variables::default();
        for (name, value) in pairs {
            all.set(Variable { expand: true, ..Variable::predefined(*name, *value) });
        }
        all
    }

    #[test]
    fn variables_inside_of_values_are_replaced_wherever_they_are_said() {
        let all = variables(&[
            ("A", "$B/x"),
            ("B", "${C}-%C%"),
            ("C", "c"),
            ("D", "$$C $NONE 5$"),
            ("LOOP", "a$LOOP"),
        ]);
        for (name, wanted) in [("A", "c-c/x"), ("D", "$C  5$"), ("LOOP", "a")] {
            assert_eq!(all.value(name).as_deref(), Some(wanted), "{name}");
        }
        assert_eq!(all.replace("100% of ${A"), "100% of ${A");
    }

    #[test]
    fn circles_end() {
        let all = variables(&[("A", "$B"), ("B", "$A")]);
        assert!(all.value("A").is_some());
    }

    #[test]
    fn variables_that_double_each_other_end() {
        let names: Vec<String> = (0..30).map(|number| format!("V{number}")).collect();
        let mut all = Variables::default();
        for pair in names.windows(2) {
            let value = format!("${{{0}}}${{{0}}}", pair[1]);
            all.set(Variable { expand: true, ..Variable::predefined(&pair[0], value) });
        }
        assert_eq!(all.value("V0").as_deref(), Some(""));
    }

    #[test]
    fn a_raw_variable_keeps_its_dollars() {
        let mut all = variables(&[("A", "a")]);
        all.set(Variable { expand: false, ..Variable::predefined("RAW", "$A") });
        assert_eq!(all.value("RAW").as_deref(), Some("$A"));
    }
}
