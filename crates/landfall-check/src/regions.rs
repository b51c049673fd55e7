//! The regions that a pipeline's file speaks of.

use std::collections::BTreeSet;

use landfall_types::{Node, Tree};

/// Adds the regions in a document: values of keys such as `aws-region` or `AWS_DEFAULT_REGION`.
pub(crate) fn collect(tree: &Tree, regions: &mut BTreeSet<String>) {
    for (key, value) in tree.entries() {
        match &value.node {
            Node::Text(text) if key.text.to_ascii_lowercase().ends_with("region") && is_region(text) => {
                regions.insert(text.clone());
            }
            _ => collect(value, regions),
        }
    }
    tree.items().iter().for_each(|item| collect(item, regions));
}

/// Whether a text looks like `eu-west-1` or `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    words.len() >= 2
        && words.iter().all(is_word)
        && number.len() == 1
        && number.bytes().all(|b| b.is_ascii_digit())
}
