//! Whom policies mean by the users and roles that they name. IAM turns an ARN into a unique id when a policy is saved:
//! the policy then follows a user that is renamed, shows the id of one that was deleted, and lets nobody in who is made
//! under its name later, until it is saved again.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles>
//!
//! A name of which this server knows nobody stays a name: that of another account, or of what a file says is elsewhere.
//! It means whoever goes by it, and from the day on that that one gives the name up, nobody else.

use std::borrow::Cow;
use std::sync::Arc;

use landfall_policy::ast::{Policy, PrincipalPattern};
use landfall_policy::{PolicyKind, parse};
use landfall_types::{AccountId, Arn, Span, Spanned};
use landfall_wire::{hash, ids};
use serde::{Deserialize, Serialize};

use super::records::{Reads, key, within};
use super::{Document, RegistrySettings, Repository, Role, Store, StoreError, User, Writing};
use crate::policies::NOT_KEPT;

/// A name in a policy, and whom it means.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Meant {
    /// The ARN as it is written.
    pub written: String,
    /// The unique id of whom it means.
    pub id: String,
}

/// Who goes by a name.
enum Holder {
    /// The user or role with this unique id.
    Id(String),
    /// Nobody, of an account that this server knows.
    Nobody,
    /// Nobody can tell: what other accounts have is theirs to tell, and sessions go by their names.
    Unknown,
}

/// The first user, role or session that a policy names and that isn't there: IAM refuses it. `own` is the account that
/// the policy is written in.
pub fn missing<'p>(
    reads: &impl Reads,
    own: AccountId,
    policy: &'p Policy,
) -> Option<&'p Spanned<PrincipalPattern>> {
    principals(policy).find(|principal| match &principal.value {
        PrincipalPattern::Unique { id, .. } => arn_of(reads, id).is_none(),
        PrincipalPattern::Aws(name) => {
            matches!(holder(reads, own, name), Holder::Nobody) || is_session_of_nobody(reads, own, name)
        }
        _ => false,
    })
}

/// The first account, user, role, session or provider that a policy names in another partition than its own, with that
/// partition: IAM knows none of those, and refuses them.
pub fn of_another_partition<'p>(
    own: &str,
    policy: &'p Policy,
) -> Option<(&'p Spanned<PrincipalPattern>, String)> {
    principals(policy).find_map(|principal| {
        let partition = match &principal.value {
            PrincipalPattern::Account { partition, .. } => partition.clone(),
            PrincipalPattern::Aws(name) | PrincipalPattern::Federated(name) => {
                Arn::parse(name).ok().map(|arn| arn.partition)
            }
            _ => None,
        };
        Some((principal, partition.filter(|partition| partition != own)?))
    })
}

/// Has a policy that is being saved mean those who have its names now. What isn't there means nobody, unless the policy
/// came in a file, which may speak of whom a later line makes: there it keeps whom it meant `before`, or stays a name.
pub fn settle(reads: &impl Reads, own: AccountId, document: &mut Document, before: Option<&Document>) {
    if document.kind == PolicyKind::Identity || document.meant.is_some() {
        return;
    }
    let mut meant: Vec<Meant> = Vec::new();
    for name in names(&document.policy) {
        let id = match holder(reads, own, name) {
            Holder::Id(id) => id,
            Holder::Nobody if document.is_from_file => match before.and_then(|before| before.meant(name)) {
                Some(id) => id.to_owned(),
                None => continue,
            },
            Holder::Nobody => nobody(name),
            Holder::Unknown => continue,
        };
        if !meant.iter().any(|known| known.written == name) {
            meant.push(Meant { written: name.to_owned(), id });
        }
    }
    document.mean(meant);
}

/// A user or role is about to give up its ARN: policies that have it as a name meant this one.
pub fn let_go(writing: &mut Writing<'_>, arn: &Arn, id: &str) {
    let name = arn.to_string();
    each(writing, |_, _, document| {
        let is_named = names(&document.policy).any(|known| known == name);
        is_named.then(|| document.meaning_also([Meant { written: name.clone(), id: id.to_owned() }]))
    });
}

/// All of a file has been made: its policies mean those who have the names by then, as if they had been saved last.
///
/// # Errors
/// [`StoreError::Disk`].
pub fn settle_files(store: &Store) -> Result<(), StoreError> {
    store.write(|writing| {
        each(writing, |writing, _, document| {
            let written = principals(&document.policy).filter_map(|principal| match &principal.value {
                PrincipalPattern::Aws(name) => Some((name, None)),
                PrincipalPattern::Unique { id, written } if document.is_from_file => {
                    Some((written, Some(id)))
                }
                _ => None,
            });
            let by_now = |(name, before): (&String, Option<&String>)| {
                let id = holder_of(writing, name).filter(|id| Some(id) != before)?;
                Some(Meant { written: name.clone(), id })
            };
            let meant: Vec<Meant> = written.filter_map(by_now).collect();
            (!meant.is_empty()).then(|| document.meaning_also(meant))
        });
        Ok(())
    })
}

/// Settles whom the policies mean that an earlier version has kept, which knew names alone.
///
/// # Errors
/// [`StoreError::Disk`].
pub fn settle_kept(store: &Store) -> Result<(), StoreError> {
    store.write(|writing| {
        each(writing, |writing, own, document| {
            let mut document = document.meant.is_none().then(|| document.clone())?;
            settle(writing, own, &mut document, None);
            Some(document)
        });
        Ok(())
    })
}

/// Changes the policies that name principals, each with the account that it is written in.
fn each(writing: &mut Writing<'_>, change: impl Fn(&Writing<'_>, AccountId, &Document) -> Option<Document>) {
    for role in writing.list::<Role>("") {
        if let Some(own) = role.arn.account_id()
            && let Some(trust) = change(writing, own, &role.trust)
        {
            writing.put(Role { trust, ..Role::clone(&role) });
        }
    }
    for repository in writing.list::<Repository>("") {
        if let Some(policy) = &repository.policy
            && let Some(policy) = change(writing, repository.registry.account, policy)
        {
            writing.put(Repository { policy: Some(policy), ..Repository::clone(&repository) });
        }
    }
    for settings in writing.list::<RegistrySettings>("") {
        if let Some(policy) = &settings.policy
            && let Some(policy) = change(writing, settings.registry.account, policy)
        {
            writing.put(RegistrySettings { policy: Some(policy), ..RegistrySettings::clone(&settings) });
        }
    }
}

impl Document {
    /// The document as AWS shows it: whom it means by the ARNs that they have now, and by their ids once they are gone.
    pub fn shown(&self, store: &Store) -> Cow<'_, str> {
        let mut changed: Vec<(&str, String)> = Vec::new();
        for principal in principals(&self.policy) {
            if let PrincipalPattern::Unique { id, written } = &principal.value {
                let now = match holder_of(store, written) {
                    Some(holder) if holder == *id => continue,
                    _ => arn_of(store, id).unwrap_or_else(|| id.clone()),
                };
                if now != *written {
                    changed.push((written, now));
                }
            }
        }
        if changed.is_empty() {
            return Cow::Borrowed(&self.text);
        }
        // Places of what came in a file are in the file: they are looked for in the text itself.
        let (policy, _) = parse::document(NOT_KEPT, &self.text, self.kind);
        let mut places: Vec<(Span, &str)> = principals(&policy)
            .filter_map(|principal| {
                let (PrincipalPattern::Aws(name) | PrincipalPattern::Unique { written: name, .. }) =
                    &principal.value
                else {
                    return None;
                };
                let (_, now) = changed.iter().find(|(written, _)| written == name)?;
                Some((principal.span, now.as_str()))
            })
            .collect();
        places.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        let mut text = self.text.to_string();
        for (span, now) in places {
            let range = span.start as usize..span.end as usize;
            if text.get(range.clone()).is_some() {
                text.replace_range(range, &format!("\"{now}\""));
            }
        }
        Cow::Owned(text)
    }

    /// The unique id that a name of it means.
    fn meant(&self, name: &str) -> Option<&str> {
        let meant = self.meant.iter().flatten().find(|meant| meant.written == name)?;
        Some(&meant.id)
    }

    /// The document when some more of its names mean somebody in particular.
    fn meaning_also(&self, more: impl IntoIterator<Item = Meant>) -> Self {
        let mut document = self.clone();
        let mut meant = self.meant.clone().unwrap_or_default();
        for one in more {
            meant.retain(|known| known.written != one.written);
            meant.push(one);
        }
        document.mean(meant);
        document
    }

    /// Puts unique ids in the place of names.
    pub(super) fn mean(&mut self, meant: Vec<Meant>) {
        if !meant.is_empty() {
            let mut policy = Policy::clone(&self.policy);
            let clauses = policy.statements.iter_mut().filter_map(|statement| statement.principal.as_mut());
            for principal in clauses.flat_map(|clause| &mut clause.principals) {
                if let PrincipalPattern::Aws(name) | PrincipalPattern::Unique { written: name, .. } =
                    &principal.value
                    && let Some(Meant { written, id }) = meant.iter().find(|meant| meant.written == *name)
                {
                    principal.value = PrincipalPattern::Unique { id: id.clone(), written: written.clone() };
                }
            }
            self.policy = Arc::new(policy);
        }
        self.meant = Some(meant);
    }
}

fn principals(policy: &Policy) -> impl Iterator<Item = &Spanned<PrincipalPattern>> {
    let clauses = policy.statements.iter().filter_map(|statement| statement.principal.as_ref());
    clauses.flat_map(|clause| &clause.principals)
}

/// The names of users, roles and sessions that mean nobody in particular.
fn names(policy: &Policy) -> impl Iterator<Item = &str> {
    principals(policy).filter_map(|principal| match &principal.value {
        PrincipalPattern::Aws(name) => Some(name.as_str()),
        _ => None,
    })
}

fn holder(reads: &impl Reads, own: AccountId, name: &str) -> Holder {
    let Ok(arn) = Arn::parse(name) else { return Holder::Unknown };
    let is_entity = ["user/", "role/"].iter().any(|kind| arn.resource.starts_with(kind));
    let (true, Some(account)) = (is_entity && arn.service == "iam", arn.account_id()) else {
        return Holder::Unknown;
    };
    match holder_of(reads, name) {
        Some(id) => Holder::Id(id),
        None if is_known(reads, own, account) => Holder::Nobody,
        None => Holder::Unknown,
    }
}

/// The unique id of the user or role that has an ARN.
pub fn holder_of(reads: &impl Reads, name: &str) -> Option<String> {
    let arn = Arn::parse(name).ok()?;
    let (kind, path) = arn.resource.split_once('/')?;
    let place = key(&[&arn.account, &path.rsplit('/').next()?.to_ascii_lowercase()]);
    match kind {
        "role" => reads.record::<Role>(&place).filter(|role| role.arn == arn).map(|role| role.id.clone()),
        "user" => reads.record::<User>(&place).filter(|user| user.arn == arn).map(|user| user.id.clone()),
        _ => None,
    }
}

/// The ARN of whoever has a unique id.
fn arn_of(reads: &impl Reads, id: &str) -> Option<String> {
    if id.starts_with(ids::ROLE_PREFIX) {
        let role = reads.records::<Role>("").into_iter().find(|role| role.id == id)?;
        return Some(role.arn.to_string());
    }
    let user = reads.records::<User>("").into_iter().find(|user| user.id == id)?;
    Some(user.arn.to_string())
}

/// Whether this server is the one to tell whom an account has: the policy's own account, and those in which somebody
/// was made here.
fn is_known(reads: &impl Reads, own: AccountId, account: AccountId) -> bool {
    let of_account = within(&[account.as_str()]);
    account == own
        || !reads.records::<Role>(&of_account).is_empty()
        || !reads.records::<User>(&of_account).is_empty()
}

/// Whether a name is that of a session whose role isn't there.
fn is_session_of_nobody(reads: &impl Reads, own: AccountId, name: &str) -> bool {
    let Ok(arn) = Arn::parse(name) else { return false };
    let (Some(account), Some(rest)) = (arn.account_id(), arn.resource.strip_prefix("assumed-role/")) else {
        return false;
    };
    let role = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    reads.record::<Role>(&key(&[account.as_str(), &role])).is_none() && is_known(reads, own, account)
}

/// The unique id that stands for one who was gone before anybody asked for its id. It is nobody's.
fn nobody(name: &str) -> String {
    let is_role = Arn::parse(name).is_ok_and(|arn| arn.resource.starts_with("role/"));
    let prefix = if is_role { ids::ROLE_PREFIX } else { ids::USER_PREFIX };
    let mut seed = [0; 17];
    seed.iter_mut().zip(hash::sha256(name.as_bytes())).for_each(|(byte, hashed)| *byte = hashed);
    ids::unique_id(prefix, seed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing;

    const NAMING: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/there","arn:aws:iam::123456789012:role/gone","arn:aws:iam::210987654321:role/theirs"]},"Action":"ecr:ListImages"}]}"#;

    /// A directory of an earlier version: whom its policies name is meant when they are there, nobody of their names is
    /// when they are not, and of other accounts nothing is known.
    #[test]
    fn what_an_earlier_version_kept_is_settled_once() {
        let here = testing::world();
        let store = &here.world.store;
        testing::session(&here.world, "there", &["s3:GetObject"]);
        let there = store.role(testing::account(), "there").unwrap().id.clone();
        let kept = serde_json::json!({ "text": NAMING, "kind": "resource" });
        testing::repository(&here.world, "api", false, None);
        let name = landfall_types::RepositoryName::parse("api").unwrap();
        let earlier = || -> Document { serde_json::from_value(kept.clone()).unwrap() };
        store
            .write(|writing| -> Result<(), StoreError> {
                let mut repository = Repository::clone(&writing.list::<Repository>("")[0]);
                repository.policy = Some(earlier());
                writing.put(repository);
                Ok(())
            })
            .unwrap();
        settle_kept(store).unwrap();
        let meant = || {
            let policy = store.repository(&testing::registry(), &name).unwrap().policy.clone().unwrap();
            let ids = policy.meant.iter().flatten().map(|meant| meant.id.clone()).collect::<Vec<_>>();
            (ids, names(&policy.policy).map(str::to_owned).collect::<Vec<_>>())
        };
        let theirs = vec!["arn:aws:iam::210987654321:role/theirs".to_owned()];
        let gone = nobody("arn:aws:iam::123456789012:role/gone");
        assert_eq!(meant(), (vec![there.clone(), gone.clone()], theirs.clone()));
        // One who is made under the name later is not meant, not even by the next start.
        testing::session(&here.world, "gone", &["s3:GetObject"]);
        settle_kept(store).unwrap();
        assert_eq!(meant(), (vec![there, gone], theirs));
    }
}
