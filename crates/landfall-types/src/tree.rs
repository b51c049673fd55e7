//! What YAML, JSON and evaluated HCL all become: a tree in which every node knows its place.

use crate::span::Span;

/// A value with its place. In evaluated Terraform the place is where the *value* was written, so a
/// local that holds a subject is pointed at where it is defined.
#[derive(Clone, PartialEq, Debug)]
pub struct Tree {
    /// The value.
    pub node: Node,
    /// Where it stands.
    pub span: Span,
}

/// The shapes of a [`Tree`].
#[derive(Clone, PartialEq, Debug)]
pub enum Node {
    /// JSON or YAML null.
    Null,
    /// true or false.
    Bool(bool),
    /// A number, kept as it was written.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A mapping in written order. A key that was written twice stands here twice.
    Map(Vec<(Key, Tree)>),
    /// A value that could not be worked out, with the reason. Never treated as absent or empty.
    Unknown(String),
}

/// A key of a mapping and its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Tree {
    /// A tree from its parts.
    pub fn new(node: Node, span: Span) -> Self {
        Self { node, span }
    }

    /// The last value under `key`, when this is a map (JSON's usual reading of a repeated key).
    pub fn field(&self, key: &str) -> Option<&Tree> {
        self.entries().iter().rev().find(|(name, _)| name.text == key).map(|(_, value)| value)
    }

    /// The entries of a map; none for every other shape.
    pub fn entries(&self) -> &[(Key, Tree)] {
        match &self.node {
            Node::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for every other shape.
    pub fn items(&self) -> &[Tree] {
        match &self.node {
            Node::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string node.
    pub fn as_text(&self) -> Option<&str> {
        match &self.node {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The scalar as text: strings, numbers and booleans.
    pub fn scalar(&self) -> Option<String> {
        match &self.node {
            Node::Text(text) | Node::Number(text) => Some(text.clone()),
            Node::Bool(value) => Some(value.to_string()),
            _ => None,
        }
    }

    /// What a message calls this shape.
    pub fn kind(&self) -> &'static str {
        match self.node {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::Text(_) => "a string",
            Node::List(_) => "a list",
            Node::Map(_) => "a map",
            Node::Unknown(_) => "an unknown value",
        }
    }
}
