//! Terraform's functions. <https://developer.hashicorp.com/terraform/language/functions>
//!
//! A function that isn't evaluated here gives an unknown value; a name that Terraform doesn't know
//! either is a mistake.

mod collections;
mod encoding;
mod strings;

pub(super) use encoding::from_tree;

use std::rc::Rc;

use landfall_types::Span;

use super::eval::{Evaluator, TEXT_BYTES_MAX};
use super::scope::Scope;
use super::syntax::Expr;
use super::value::{Kind, Value};

/// What a function got, and where it is called.
struct Call<'e, 'a> {
    evaluator: &'e Evaluator<'a>,
    name: &'e str,
    args: Vec<Value>,
    span: Span,
}

/// Why there is no result.
enum Stop {
    /// An argument, or a part of one that matters, is unknown.
    Unknown(Value),
    /// The call is wrong.
    Wrong(String),
}

type Answer = Result<Value, Stop>;

/// Functions that Terraform has and this evaluator does not: their results depend on the machine, on
/// time or chance, or never matter to a policy.
const NOT_EVALUATED: &[&str] = &[
    "abspath",
    "base64gzip",
    "base64sha256",
    "base64sha512",
    "bcrypt",
    "cidrhost",
    "cidrnetmask",
    "cidrsubnet",
    "cidrsubnets",
    "csvdecode",
    "ephemeralasnull",
    "filebase64",
    "filebase64sha256",
    "filebase64sha512",
    "filemd5",
    "fileset",
    "filesha1",
    "filesha256",
    "filesha512",
    "formatdate",
    "issensitive",
    "log",
    "md5",
    "pathexpand",
    "plantimestamp",
    "rsadecrypt",
    "sha1",
    "sha256",
    "sha512",
    "templatestring",
    "textdecodebase64",
    "textencodebase64",
    "timeadd",
    "timecmp",
    "timestamp",
    "uuid",
    "uuidv5",
    "yamldecode",
    "yamlencode",
];

/// The value of `name(args…)`.
pub(super) fn call(
    evaluator: &Evaluator,
    name: &str,
    args: &[Expr],
    expand_final: bool,
    span: Span,
    scope: &Scope,
) -> Value {
    // `core::` is another way to write a built-in function.
    let name = name.strip_prefix("core::").unwrap_or(name);
    if let "try" | "can" = name {
        return attempt(evaluator, name, args, span, scope);
    }
    let mut values: Vec<Value> = args.iter().map(|arg| evaluator.eval(arg, scope)).collect();
    if expand_final && let Some(last) = values.pop() {
        match (&last.kind, last.items()) {
            (_, Some(items)) => values.extend_from_slice(items),
            (Kind::Unknown(_), None) => return last.at(span),
            _ => {
                let message = "Invalid expanding argument value: the expanding argument must be a list";
                return evaluator.fail("terraform-function", message, last.span, "this argument");
            }
        }
    }
    if !evaluator.spend_on(&values) {
        return evaluator.out_of_steps(span);
    }
    let call = Call { evaluator, name, args: values, span };
    let answer = strings::evaluate(&call)
        .or_else(|| collections::evaluate(&call))
        .or_else(|| encoding::evaluate(&call));
    match answer {
        Some(Ok(value)) => value,
        Some(Err(Stop::Unknown(unknown))) => unknown,
        Some(Err(Stop::Wrong(reason))) => {
            let message = format!("Error in function call: call to function \"{name}\" failed: {reason}");
            evaluator.fail("terraform-function", message, span, "this call")
        }
        None if NOT_EVALUATED.contains(&name) || name.contains("::") => {
            Value::unknown(format!("the function `{name}` is not evaluated here"), span)
        }
        None => {
            let message = format!("Call to unknown function: there is no function named \"{name}\"");
            evaluator.fail("terraform-function", message, span, "this call")
        }
    }
}

/// `try` gives the first argument that can be evaluated, `can` says whether its argument can.
fn attempt(evaluator: &Evaluator, name: &str, args: &[Expr], span: Span, scope: &Scope) -> Value {
    for arg in args {
        let before = evaluator.finding_count();
        let value = evaluator.eval(arg, scope);
        let failed =
            evaluator.finding_count() > before || value.as_unknown().is_some_and(|unknown| unknown.failed);
        evaluator.forget_findings(before);
        match (name, failed) {
            ("try", false) => return value,
            ("can", _) if value.as_unknown().is_some() && !failed => return value.at(span),
            ("can", _) => return Value::bool(!failed, span),
            _ => {}
        }
    }
    let message =
        format!("Error in function call: call to function \"{name}\" failed: no expression succeeded");
    evaluator.fail("terraform-function", message, span, "this call")
}

impl Call<'_, '_> {
    fn wrong<T>(&self, reason: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Wrong(reason.into()))
    }

    fn unknown<T>(&self, cause: Rc<str>) -> Result<T, Stop> {
        Err(Stop::Unknown(Value::unknown(cause, self.span)))
    }

    /// The number of arguments must be right.
    fn count(&self, least: usize, most: usize) -> Result<(), Stop> {
        let found = self.args.len();
        if (least..=most).contains(&found) {
            return Ok(());
        }
        let wanted = match (least, most) {
            (least, usize::MAX) => format!("at least {least}"),
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        self.wrong(format!("expected {wanted} arguments, found {found}"))
    }

    /// The argument, which is there and known at its top.
    fn arg(&self, index: usize) -> Result<&Value, Stop> {
        match self.args.get(index) {
            Some(value) if value.as_unknown().is_some() => Err(Stop::Unknown(value.clone().at(self.span))),
            Some(value) => Ok(value),
            None => self.wrong(format!("argument {} is missing", index + 1)),
        }
    }

    fn text(&self, index: usize) -> Result<Rc<str>, Stop> {
        let value = self.arg(index)?;
        self.text_of(value)
    }

    /// A value that must be a string.
    fn text_of(&self, value: &Value) -> Result<Rc<str>, Stop> {
        match (value.as_text(), value.cause()) {
            (Some(text), _) => Ok(text),
            (None, Some(cause)) => self.unknown(cause),
            (None, None) => self.wrong(format!("expected a string, found {}", value.kind_name())),
        }
    }

    fn number(&self, index: usize) -> Result<f64, Stop> {
        let value = self.arg(index)?;
        let wrong = || Stop::Wrong(format!("expected a number, found {}", value.kind_name()));
        value.as_number().ok_or_else(wrong)
    }

    fn index(&self, index: usize) -> Result<usize, Stop> {
        let value = self.arg(index)?;
        let wrong =
            || Stop::Wrong(format!("expected a whole number from 0 on, found {}", value.cause_or("")));
        value.as_index().ok_or_else(wrong)
    }

    fn list(&self, index: usize) -> Result<&[Value], Stop> {
        let value = self.arg(index)?;
        let wrong = || Stop::Wrong(format!("expected a list or set, found {}", value.kind_name()));
        value.items().ok_or_else(wrong)
    }

    fn map(&self, index: usize) -> Result<&[(landfall_types::tree::Key, Value)], Stop> {
        let value = self.arg(index)?;
        let wrong = || Stop::Wrong(format!("expected a map, found {}", value.kind_name()));
        value.entries().ok_or_else(wrong)
    }

    /// A string result.
    fn made_text(&self, text: impl Into<Rc<str>>) -> Answer {
        let text = text.into();
        self.room_for(text.len())?;
        Ok(Value::text(text, self.span))
    }

    /// Refuses a result of so many bytes, before it is made where it can be large.
    fn room_for(&self, bytes: usize) -> Result<(), Stop> {
        if bytes > TEXT_BYTES_MAX {
            return self
                .wrong(format!("the result is longer than {TEXT_BYTES_MAX} bytes, which is the limit"));
        }
        self.effort(bytes / 64)
    }

    /// Takes steps for work that isn't proportional to the arguments.
    fn effort(&self, steps: usize) -> Result<(), Stop> {
        if self.evaluator.spend(steps) {
            return Ok(());
        }
        Err(Stop::Unknown(self.evaluator.out_of_steps(self.span)))
    }
}
