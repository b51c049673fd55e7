//! An AppSpec that is written in YAML, as JSON. It is small: what makes YAML large (aliases, tags, many
//! documents) is refused.

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// How deep lists and mappings may nest, in levels.
const DEPTH_MAX: usize = 32;

/// Reads the one document of a text.
///
/// # Errors
/// What is wrong with it, with the line.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader { stack: Vec::new(), document: None };
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) =
            next.map_err(|error| format!("{} at line {}", error.info(), error.marker().line()))?;
        let line = span.start.line();
        reader.event(event).map_err(|message| format!("{message} at line {line}"))?;
    }
    reader.document.ok_or_else(|| "it is empty".to_owned())
}

/// A list or mapping that is not closed yet.
enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

struct Reader {
    stack: Vec<Open>,
    document: Option<Value>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, ..) => {
                let is_key = matches!(self.stack.last(), Some(Open::Map(_, None)));
                if is_key || style != ScalarStyle::Plain {
                    return self.place(Value::from(&*text));
                }
                self.place(plain(&text))
            }
            Event::SequenceStart(..) => self.open(Open::List(Vec::new())),
            Event::MappingStart(..) => self.open(Open::Map(Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::List(items)) => self.place(Value::Array(items)),
                Some(Open::Map(members, _)) => self.place(Value::Object(members)),
                None => Ok(()),
            },
            Event::Alias(_) => Err("an alias, which an AppSpec may not have,".to_owned()),
            _ => Ok(()),
        }
    }

    fn open(&mut self, open: Open) -> Result<(), String> {
        if self.stack.len() >= DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} levels"));
        }
        self.stack.push(open);
        Ok(())
    }

    fn place(&mut self, value: Value) -> Result<(), String> {
        match self.stack.last_mut() {
            None if self.document.is_some() => return Err("a second document".to_owned()),
            None => self.document = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(members, key)) => match (key.take(), value) {
                (Some(name), value) => {
                    members.insert(name, value);
                }
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err("a key that is no text".to_owned()),
            },
        }
        Ok(())
    }
}

/// A scalar without quotes. YAML 1.2.2, section 10.3.2, as far as an AppSpec has it.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" | "True" | "TRUE" => Value::from(true),
        "false" | "False" | "FALSE" => Value::from(false),
        _ => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => Value::from(whole),
            (_, Ok(number)) if number.is_finite() => Value::from(number),
            _ => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_appspec_in_yaml_is_the_same_in_json() {
        let text = "version: 0.0\n# Where to.\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      \
                    Properties:\n        TaskDefinition: \"arn:td\"\n        LoadBalancerInfo: {ContainerName: web, ContainerPort: 80}\n\
                    Hooks:\n  - BeforeInstall: check\n";
        let wanted = json!({
            "version": 0.0,
            "Resources": [{ "TargetService": { "Type": "AWS::ECS::Service", "Properties": {
                "TaskDefinition": "arn:td",
                "LoadBalancerInfo": { "ContainerName": "web", "ContainerPort": 80 },
            } } }],
            "Hooks": [{ "BeforeInstall": "check" }],
        });
        assert_eq!(parse(text).unwrap(), wanted);
        for (text, wanted) in [
            ("", "it is empty"),
            ("a: [", "line"),
            ("a: &x 1\nb: *x\n", "an alias"),
            ("a: 1\n---\nb: 2\n", "a second document"),
            ("? [a]\n: 1\n", "a key that is no text"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
        let deep = parse(&format!("{}x", "- ".repeat(40))).unwrap_err();
        assert!(deep.contains("levels"), "{deep}");
    }
}
