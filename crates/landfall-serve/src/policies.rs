//! Policies that are read once and decided on often: AWS's managed ones, and those that travel in
//! sessions as text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use landfall_policy::{Policy, PolicyKind, managed};
use landfall_types::{Node, SourceId, SourceMap, Span, Tree};

use crate::world::World;

/// Distinct texts kept; further ones are read on every decision.
const POLICIES_MAX: usize = 4096;
/// The source of a text that is not kept: its places can't be shown.
pub const NOT_KEPT: SourceId = SourceId(u32::MAX);
/// What the texts that came over the API may have together, in bytes; places in further ones can't be shown.
const GIVEN_BYTES_MAX: usize = 16 << 20;
/// What a kept text costs beside its characters, in bytes.
const GIVEN_BYTES_EACH: usize = 256;

/// Texts that came over the API: each is kept once, however often it is sent, and all of them within a
/// limit, so that whoever writes policies in a loop does not fill the memory.
#[derive(Clone, Default, Debug)]
pub struct GivenTexts {
    known: Arc<Mutex<Known>>,
}

#[derive(Default, Debug)]
struct Known {
    // By the hash of name and text.
    sources: HashMap<[u8; 32], SourceId>,
    bytes: usize,
}

impl GivenTexts {
    /// The source of a text under a name; [`NOT_KEPT`] when there is no room for it.
    pub fn source(&self, world: &World, name: &str, text: &str) -> SourceId {
        self.source_in(&world.sources, name, text)
    }

    /// The same before there is a world.
    pub fn source_in(&self, sources: &SourceMap, name: &str, text: &str) -> SourceId {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(text.as_bytes());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = landfall_wire::hash::sha256(&bytes);
        if let Some(source) = known.sources.get(&key) {
            return *source;
        }
        let size = bytes.len() + GIVEN_BYTES_EACH;
        if known.bytes + size > GIVEN_BYTES_MAX {
            return NOT_KEPT;
        }
        known.bytes += size;
        let source = sources.add(name, text);
        known.sources.insert(key, source);
        source
    }
}

/// Read policies by text.
#[derive(Debug)]
pub struct PolicyCache {
    by_text: RwLock<HashMap<String, Arc<Policy>>>,
    /// Any of AWS's policies that aren't known here.
    not_known: Arc<Policy>,
}

impl Default for PolicyCache {
    fn default() -> Self {
        let unknown = Tree::new(
            Node::Unknown("what this policy of AWS's says is not known here".to_owned()),
            Span::new(NOT_KEPT, 0, 0),
        );
        let (policy, _) = landfall_policy::parse::policy(&unknown, PolicyKind::Identity);
        Self { by_text: RwLock::default(), not_known: Arc::new(policy) }
    }
}

impl PolicyCache {
    /// The default version of a managed policy, AWS's or a customer's. A policy that does not exist
    /// allows nothing; one of AWS's that isn't known here neither, and decisions that it could change say so.
    pub fn managed(&self, world: &World, arn: &str) -> Arc<Policy> {
        if let Some(policy) = world.store.policy(arn)
            && let Some(document) = policy.default_document()
        {
            return Arc::clone(&document.policy);
        }
        match managed::by_arn(arn) {
            Some(policy) => self.read(world, arn, policy.json, PolicyKind::Identity),
            None if managed::is_not_known(arn) => Arc::clone(&self.not_known),
            None => self.read(world, arn, r#"{"Version":"2012-10-17","Statement":[]}"#, PolicyKind::Identity),
        }
    }

    /// Reads a policy that was accepted before. What can't be read in it is not granted.
    pub fn read(&self, world: &World, name: &str, text: &str, kind: PolicyKind) -> Arc<Policy> {
        if let Some(policy) = self.by_text.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Arc::clone(policy);
        }
        let mut by_text = self.by_text.write().unwrap_or_else(PoisonError::into_inner);
        let keep = by_text.len() < POLICIES_MAX;
        let source = if keep { world.sources.add(name, text) } else { NOT_KEPT };
        let (tree, _) = landfall_policy::json::parse(source, text);
        let policy = Arc::new(landfall_policy::parse::policy(&tree, kind).0);
        if keep {
            by_text.insert(text.to_owned(), Arc::clone(&policy));
        }
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_all_texts_have_a_limit() {
        let test = crate::testing::world();
        let given = &test.world.given;
        let first = given.source(&test.world, "policy a", "{}");
        assert_eq!(given.source(&test.world, "policy a", "{}"), first);
        assert_ne!(given.source(&test.world, "policy b", "{}"), first);
        let large = "x".repeat(6_000_000);
        assert_ne!(given.source(&test.world, "one", &large), NOT_KEPT);
        assert_ne!(given.source(&test.world, "two", &large), NOT_KEPT);
        assert_eq!(given.source(&test.world, "three", &large), NOT_KEPT);
        assert_ne!(given.source(&test.world, "small", "[]"), NOT_KEPT);
    }
}
