//! What this crate's unit tests share.

use crate::environment::Environment;

/// An environment of exactly these variables, without a home directory.
pub fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), None)
}
