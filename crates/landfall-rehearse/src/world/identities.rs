//! Users, groups, instance profiles and what else an account has of IAM, and the policies of whatever holds some.

use landfall_check::terraform;
use landfall_policy::{PolicyKind, service_linked};
use landfall_serve::authz::{Call, calls};
use landfall_serve::iam::entity::Entity;
use landfall_serve::iam::holders::Holder;
use landfall_serve::iam::{self, account, groups, keys, profiles, service_roles, tags, users};
use landfall_serve::store::{AttachedPolicy, Group, Role, User};
use landfall_types::{Arn, Finding};

use super::{Key, Seeder, refusal};

impl Seeder<'_> {
    /// Puts policies into a holder and attaches others. One that is refused is told, and keeps nothing else from being
    /// there.
    pub(super) fn policies<H: Holder>(
        &self,
        (name, arn): (&str, &str),
        inline: &[terraform::InlinePolicy],
        attached: &[terraform::Attachment],
    ) {
        let mut failed = Vec::new();
        for policy in inline {
            self.note_old_problems(&policy.document, PolicyKind::Identity);
            let what = format!("the policy `{}` of the {} `{name}`", policy.name, H::NOUN);
            let done = self.permit::<H::Put>(arn.to_owned(), policy.span).and_then(|permit| {
                let document = self.policy_document(&what, &policy.document);
                iam::put_policy::<H>(self.world, &permit, name, &policy.name, document)
                    .map_err(|error| refusal(&error, <H::Put as Call>::NAME, policy.document.span))
            });
            failed.extend(done.err());
        }
        for policy in attached {
            let span = policy.policy_arn.span;
            self.note_not_known(&policy.policy_arn);
            let done = self.permit::<H::Attach>(arn.to_owned(), policy.span).and_then(|permit| {
                let policy = AttachedPolicy { arn: policy.policy_arn.value.clone(), written: span };
                iam::attach::<H>(self.world, &permit, name, policy)
                    .map_err(|error| refusal(&error, <H::Attach as Call>::NAME, span))
            });
            failed.extend(done.err());
        }
        self.aside.borrow_mut().extend(failed);
    }

    pub(super) fn user(&self, user: &terraform::User, new_keys: &mut Vec<Key>) -> Result<(), Finding> {
        let name = &user.name.value;
        user.boundary.iter().for_each(|boundary| self.note_not_known(boundary));
        let arn = Arn::user(self.account, &user.path, name).to_string();
        let input = users::CreateUser {
            path: user.path.clone(),
            name: name.clone(),
            boundary: user.boundary.as_ref().map(|arn| arn.value.clone()),
            tags: user.tags.clone(),
        };
        let permit = self.permit(arn.clone(), user.span)?;
        let there = self.world.store.user(self.account, name);
        let (operation, done) = match self.is_there(&arn) {
            true => ("UpdateUser", users::restate_user(self.world, &permit, input)),
            false => ("CreateUser", users::create_user(self.world, &permit, input).map(|_| ())),
        };
        done.map_err(|error| refusal(&error, operation, user.name.span))?;
        self.policies::<User>((name.as_str(), arn.as_str()), &user.inline, &user.attached);
        // The secret of a key that was there before was told then, and to nobody since.
        let kept = there.map_or(0, |user| self.world.store.access_keys_of(&user).len());
        for written in user.keys.iter().skip(kept) {
            let permit = self.permit(arn.clone(), *written)?;
            let (key, secret) = keys::create_key(self.world, &permit, name)
                .map_err(|error| refusal(&error, "CreateAccessKey", *written))?;
            new_keys.push(Key { user: name.clone(), id: key.id, secret, written: *written });
        }
        Ok(())
    }

    pub(super) fn group(&self, group: &terraform::Group) -> Result<(), Finding> {
        let (name, path) = (&group.name.value, group.path.clone());
        let arn = Arn::group(self.account, &group.path, name).to_string();
        let permit = self.permit(arn.clone(), group.span)?;
        let (operation, done) = match self.is_there(&arn) {
            true => ("UpdateGroup", groups::restate_group(self.world, &permit, path, name)),
            false => {
                ("CreateGroup", groups::create_group(self.world, &permit, path, name.clone()).map(|_| ()))
            }
        };
        done.map_err(|error| refusal(&error, operation, group.name.span))?;
        self.policies::<Group>((name.as_str(), arn.as_str()), &group.inline, &group.attached);
        Ok(())
    }

    /// Puts a user into a group. Others that are in it stay, whatever the Terraform says of them.
    pub(super) fn membership(&self, membership: &terraform::Membership) -> Option<Finding> {
        let (group, user) = (&membership.group, &membership.user);
        let refused = |error| refusal(&error, "AddUserToGroup", group.span);
        let arn = self.arn_of::<Group>(&group.value);
        let added = self.permit(arn, membership.span).and_then(|permit| {
            groups::add_user(self.world, &permit, &group.value, &user.value).map_err(refused)
        });
        added.err()
    }

    /// The ARN of one that is there, or that one of this name would have.
    fn arn_of<E: Entity>(&self, name: &str) -> String {
        let known = E::key_of(self.account, name).and_then(|key| self.world.store.get::<E>(&key));
        known.map_or_else(|| E::arn_of(self.account, name), |known| known.arn().to_string())
    }

    pub(super) fn instance_profile(&self, profile: &terraform::InstanceProfile) -> Result<(), Finding> {
        let name = &profile.name.value;
        let role = profile.role.as_ref().map(|role| role.value.as_str());
        let arn = Arn::instance_profile(self.account, &profile.path, name).to_string();
        let permit = self.permit(arn.clone(), profile.span)?;
        let (path, tags) = (profile.path.clone(), profile.tags.clone());
        let (operation, done) = match self.is_there(&arn) {
            true => {
                let done = profiles::restate_profile(self.world, &permit, (path, name), role, tags);
                ("TagInstanceProfile", done)
            }
            false => {
                let done = profiles::create_profile(self.world, &permit, path, name.clone(), tags);
                ("CreateInstanceProfile", done.map(|_| ()))
            }
        };
        done.map_err(|error| refusal(&error, operation, profile.name.span))?;
        let Some(role) = &profile.role else { return Ok(()) };
        let known = self.world.store.instance_profiles(self.account).into_iter().find(|it| it.name == *name);
        if known.is_some_and(|known| known.role.is_some()) {
            return Ok(());
        }
        let permit = self.permit(arn, role.span)?;
        profiles::add_role(self.world, &permit, name, &role.value)
            .map_err(|error| refusal(&error, "AddRoleToInstanceProfile", role.span))
    }

    /// The role of a service. Of services that have one on AWS and none here, it is told.
    pub(super) fn service_linked_role(&self, role: &terraform::ServiceLinkedRole) -> Result<(), Finding> {
        let service = &role.service.value;
        let suffix = role.suffix.as_deref();
        let Some(linked) = service_linked::by_service(service) else {
            let message =
                format!("the service-linked role of `{service}` is not made: its name is not known here");
            return Err(Finding::warning("terraform-not-made", message).at(role.service.span, "this service"));
        };
        let arn = service_roles::arn(self.account, service, suffix);
        let name = linked.role_name(suffix);
        let description = role.description.clone();
        // A service that was used before has made its own.
        if self.is_there(&arn) {
            if let Some(description) = description {
                let permit = self.permit(arn.clone(), role.span)?;
                iam::roles::update_description(self.world, &permit, &name, description)
                    .map_err(|error| refusal(&error, "UpdateRoleDescription", role.span))?;
            }
        } else {
            let permit = self.permit::<calls::CreateServiceLinkedRole>(arn.clone(), role.span)?;
            service_roles::create(self.world, &permit, service, suffix, description)
                .map_err(|error| refusal(&error, "CreateServiceLinkedRole", role.service.span))?;
        }
        if role.tags.is_empty() {
            return Ok(());
        }
        let permit = self.permit(arn, role.span)?;
        tags::tag::<Role>(self.world, &permit, &name, role.tags.clone())
            .map_err(|error| refusal(&error, "TagRole", role.span))
    }

    pub(super) fn account_alias(&self, alias: &terraform::AccountAlias) -> Result<(), Finding> {
        self.is_there(&Self::alias_of(self.account));
        let permit = self.permit::<calls::CreateAccountAlias>("*".to_owned(), alias.span)?;
        account::create_alias(self.world, &permit, alias.alias.value.clone())
            .map_err(|error| refusal(&error, "CreateAccountAlias", alias.alias.span))
    }
}
