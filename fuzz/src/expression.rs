//! An expression is read and evaluated, and a value survives JSON.

use landfall_check::github::Contexts;
use landfall_check::github::Value;
use landfall_check::github::expr::{self, Availability, Expression, StatusCalls};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let text = super::text(bytes);
    let may =
        Availability { contexts: &["github", "env", "inputs"], status: StatusCalls::Bare, hash_files: true };
    let Ok(expression) = Expression::parse(text, &may) else { return };
    let facts = r#"{"ref":"refs/heads/main","event":{"a":[1,true,null,"x"],"b":{"c":2.5}}}"#;
    let contexts = Contexts::new()
        .with("github", expr::from_json(facts).unwrap_or(Value::Null))
        .with("env", Value::Text("env".to_owned()));
    if let Ok(value) = expression.evaluate(&contexts) {
        let _ = value.to_text();
        let _ = expr::from_json(&expr::to_json(&value));
    }
}
