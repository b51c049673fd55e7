//! What holds policies: roles, users and groups. The resources that put a policy into one or attach a policy to one
//! are the same three times, by other names.

use landfall_types::{AccountId, Arn, Finding};

use super::infra::{Owner, Reader, loose};
use super::loose::{Loose, Part};
use super::model::{Attachment, CustomerPolicy, Group, InlinePolicy, Role, User};
use super::value::{Object, Value};

/// Which kind of holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HolderKind {
    /// A role.
    Role,
    /// A user.
    User,
    /// A group.
    Group,
}

impl HolderKind {
    /// What it is called, `role`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::User => "user",
            Self::Group => "group",
        }
    }

    /// The rule of a name that none of them can have.
    fn name_rule(self) -> &'static str {
        match self {
            Self::Role => "terraform-role-name",
            Self::User => "terraform-user-name",
            Self::Group => "terraform-group-name",
        }
    }
}

/// A role, a user or a group.
pub(super) trait Holder {
    /// Which of them.
    const KIND: HolderKind;
    /// The resources that put a policy into it, with the argument that names it.
    const INLINE: (&'static str, &'static str);
    /// The resources that attach policies to it, with the arguments that name it and the policies.
    const ATTACHED: [(&'static str, &'static str, &'static str); 3];

    /// The address of its resource.
    fn address(&self) -> &str;
    /// Its name, or the stand-in for it.
    fn name(&self) -> &str;
    /// Its name, when that is known.
    fn known_name(&self) -> Option<&str>;
    /// The account that it lies in, where that is known.
    fn account(&self) -> Option<String>;
    /// Its inline and its attached policies.
    fn policies(&mut self) -> (&mut Vec<InlinePolicy>, &mut Vec<Attachment>);
}

macro_rules! holder {
    ($type:ident, $inline:expr, $attached:expr, $account:expr) => {
        impl Holder for $type {
            const KIND: HolderKind = HolderKind::$type;
            const INLINE: (&'static str, &'static str) = $inline;
            const ATTACHED: [(&'static str, &'static str, &'static str); 3] = $attached;
            fn address(&self) -> &str {
                &self.address
            }
            fn name(&self) -> &str {
                &self.name.value
            }
            fn known_name(&self) -> Option<&str> {
                self.name_unknown.is_none().then_some(self.name.value.as_str())
            }
            fn account(&self) -> Option<String> {
                $account(self)
            }
            fn policies(&mut self) -> (&mut Vec<InlinePolicy>, &mut Vec<Attachment>) {
                (&mut self.inline, &mut self.attached)
            }
        }
    };
}

holder!(
    Role,
    ("aws_iam_role_policy", "role"),
    [
        ("aws_iam_role_policy_attachment", "role", "policy_arn"),
        ("aws_iam_policy_attachment", "roles", "policy_arn"),
        ("aws_iam_role_policy_attachments_exclusive", "role_name", "policy_arns"),
    ],
    |role: &Role| Arn::parse(&role.arn).ok().map(|arn| arn.account)
);
holder!(
    User,
    ("aws_iam_user_policy", "user"),
    [
        ("aws_iam_user_policy_attachment", "user", "policy_arn"),
        ("aws_iam_policy_attachment", "users", "policy_arn"),
        ("aws_iam_user_policy_attachments_exclusive", "user_name", "policy_arns"),
    ],
    |_: &User| None
);
holder!(
    Group,
    ("aws_iam_group_policy", "group"),
    [
        ("aws_iam_group_policy_attachment", "group", "policy_arn"),
        ("aws_iam_policy_attachment", "groups", "policy_arn"),
        ("aws_iam_group_policy_attachments_exclusive", "group_name", "policy_arns"),
    ],
    |_: &Group| None
);

/// The holder of a name, when that is known.
pub(super) fn named<'h, H: Holder>(holders: &'h mut [H], name: &str) -> Option<&'h mut H> {
    named_in(holders, name, None)
}

/// The holder of a name in an account, where that is known.
fn named_in<'h, H: Holder>(
    holders: &'h mut [H],
    name: &str,
    account: Option<AccountId>,
) -> Option<&'h mut H> {
    let is_there = |holder: &H| match (account, holder.account()) {
        (Some(wanted), Some(account)) => wanted.as_str() == account,
        _ => true,
    };
    holders.iter_mut().find(|holder| holder.known_name() == Some(name) && is_there(holder))
}

/// Attaches managed policies; one that is attached already stays as it is.
pub(super) fn attach(attached: &mut Vec<Attachment>, more: impl IntoIterator<Item = Attachment>) {
    for attachment in more {
        if !attached.iter().any(|it| it.policy_arn.value == attachment.policy_arn.value) {
            attached.push(attachment);
        }
    }
}

impl Reader<'_, '_> {
    /// Gives holders the policies of this module's resources; what belongs to others is loose.
    pub(super) fn policies_of<H: Holder>(
        &self,
        holders: &mut [H],
        managed: &[CustomerPolicy],
        loose_parts: &mut Vec<Loose>,
    ) {
        let (kind, argument) = H::INLINE;
        for (block, object) in self.instances(kind) {
            let Some(owner) = object.written(argument) else { continue };
            let policy = InlinePolicy {
                name: self.inline_name(&object),
                document: self.document(&object, "policy"),
                span: object.span,
            };
            let account = self.evaluator.account(block);
            match self.owner_in(owner, &object, holders, Some(account)) {
                Owner::Here(holder) => holder.policies().0.push(policy),
                Owner::Elsewhere(name) => {
                    loose_parts.push(loose(&object, name, Part::Policy(H::KIND, policy)));
                }
                Owner::Nowhere => {}
            }
        }
        for (kind, argument, of_policies) in H::ATTACHED {
            for (block, object) in self.instances(kind) {
                let account = self.evaluator.account(block);
                let (Some(owners), Some(arns)) = (object.written(argument), object.written(of_policies))
                else {
                    continue;
                };
                let attached = self.attached(&object, arns, managed);
                for owner in all_of(owners) {
                    match self.owner_in(&owner, &object, holders, Some(account)) {
                        Owner::Here(holder) => attach(holder.policies().1, attached.clone()),
                        Owner::Elsewhere(name) => {
                            let part = Part::Attached(H::KIND, attached.clone());
                            loose_parts.push(loose(&object, name, part));
                        }
                        Owner::Nowhere => {}
                    }
                }
            }
        }
    }

    /// The holder that an argument names.
    pub(super) fn owner_of<'h, H: Holder>(
        &self,
        value: &Value,
        object: &Object,
        holders: &'h mut [H],
    ) -> Owner<&'h mut H> {
        self.owner_in(value, object, holders, None)
    }

    /// The holder that an argument of a resource in an account names.
    fn owner_in<'h, H: Holder>(
        &self,
        value: &Value,
        object: &Object,
        holders: &'h mut [H],
        account: Option<AccountId>,
    ) -> Owner<&'h mut H> {
        if let Some(of) = value.as_unknown().and_then(|unknown| unknown.of.clone()) {
            let found = holders.iter_mut().find(|holder| *holder.address() == *of);
            if found.is_none() && H::KIND == HolderKind::Role {
                self.doubt_owner(object, value);
            }
            return found.map_or(Owner::Nowhere, Owner::Here);
        }
        let noun = H::KIND.noun();
        let Some(name) = self.known_text(value, || format!("the {noun} of `{}`", object.address)) else {
            if H::KIND == HolderKind::Role {
                self.doubt_owner(object, value);
            }
            return Owner::Nowhere;
        };
        if name.value.contains([':', '/']) {
            let message = format!(
                "`{}` names its {noun} with `{}`: a {noun}'s name was expected, which has neither `:` nor `/`",
                object.address, name.value
            );
            let example = if noun == "role" { "deploy" } else { "ci" };
            let finding = Finding::error(H::KIND.name_rule(), message)
                .at(name.span, format!("AWS refuses this as a {noun} name"))
                .help(format!("give the name alone, such as `aws_iam_{noun}.{example}.name`"));
            self.evaluator.report(finding);
            return Owner::Nowhere;
        }
        named_in(holders, &name.value, account).map_or(Owner::Elsewhere(name), Owner::Here)
    }
}

/// The elements of a list; a single value as one of them.
pub(super) fn all_of(value: &Value) -> Vec<Value> {
    value.items().map_or_else(|| vec![value.clone()], <[Value]>::to_vec)
}
