//! Policies that are read once and decided on often: AWS's managed ones, and those that travel in
//! sessions as text.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use landfall_policy::{Policy, PolicyKind, managed};
use landfall_types::SourceId;

use crate::world::World;

/// Distinct texts kept; further ones are read on every decision.
const POLICIES_MAX: usize = 4096;
/// The source of a policy that is no longer kept: its places can't be shown.
const NOT_KEPT: SourceId = SourceId(u32::MAX);

/// Read policies by text.
#[derive(Default, Debug)]
pub struct PolicyCache {
    by_text: RwLock<HashMap<String, Arc<Policy>>>,
}

impl PolicyCache {
    /// The default version of a managed policy, AWS's or a customer's. A policy that does not exist
    /// allows nothing.
    pub fn managed(&self, world: &World, arn: &str) -> Arc<Policy> {
        if let Some(policy) = world.store.policy(arn) {
            return Arc::clone(&policy.document.policy);
        }
        let text =
            managed::by_arn(arn).map_or(r#"{"Version":"2012-10-17","Statement":[]}"#, |policy| policy.json);
        self.read(world, arn, text, PolicyKind::Identity)
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
