//! Names that are only there in part of a file: `each`, `count`, and the variables of `for`
//! expressions and dynamic blocks.

use std::rc::Rc;

use super::value::Value;

/// A chain of names; the innermost wins. Cloning is cheap.
#[derive(Clone, Default, Debug)]
pub(super) struct Scope(Option<Rc<Link>>);

#[derive(Debug)]
struct Link {
    name: String,
    value: Value,
    outer: Scope,
}

impl Scope {
    /// The scope with one more name.
    pub fn with(&self, name: &str, value: Value) -> Scope {
        Scope(Some(Rc::new(Link { name: name.to_owned(), value, outer: self.clone() })))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let mut scope = self;
        while let Some(link) = &scope.0 {
            if link.name == name {
                return Some(&link.value);
            }
            scope = &link.outer;
        }
        None
    }
}
