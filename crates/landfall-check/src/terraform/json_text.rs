//! Writes a [`Tree`] as compact JSON.

use std::fmt::Write;

use landfall_types::{Node, Tree};

/// Levels beyond which a tree is cut off with `null`; readers refuse documents far before.
const LEVELS_MAX: usize = 128;

/// Compact JSON of a tree, keys in the order they stand. An unknown value becomes the string
/// `<unknown: reason>`, so the text is for people, not for AWS, when there is one.
pub fn to_json(tree: &Tree) -> String {
    let mut out = String::new();
    write_node(&mut out, &tree.node, 0);
    out
}

/// The first unknown value in a tree, by its reason.
pub fn first_unknown(tree: &Tree) -> Option<&str> {
    fn find(tree: &Tree, level: usize) -> Option<&str> {
        if level > LEVELS_MAX {
            return None;
        }
        match &tree.node {
            Node::Unknown(reason) => Some(reason),
            Node::List(items) => items.iter().find_map(|item| find(item, level + 1)),
            Node::Map(entries) => entries.iter().find_map(|(_, value)| find(value, level + 1)),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => None,
        }
    }
    find(tree, 0)
}

fn write_node(out: &mut String, node: &Node, level: usize) {
    if level > LEVELS_MAX {
        out.push_str("null");
        return;
    }
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Node::Number(digits) => out.push_str(digits),
        Node::Text(text) => write_text(out, text),
        Node::Unknown(reason) => write_text(out, &format!("<unknown: {reason}>")),
        Node::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_node(out, &item.node, level + 1);
            }
            out.push(']');
        }
        Node::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(out, &key.text);
                out.push(':');
                write_node(out, &value.node, level + 1);
            }
            out.push('}');
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether a tree is an empty list or map.
pub(super) fn is_empty(tree: &Tree) -> bool {
    match &tree.node {
        Node::List(items) => items.is_empty(),
        Node::Map(entries) => entries.is_empty(),
        _ => false,
    }
}
