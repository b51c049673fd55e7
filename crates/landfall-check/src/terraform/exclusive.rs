//! `aws_iam_*_policies_exclusive` and `aws_iam_*_policy_attachments_exclusive`: what they don't list is taken away,
//! whoever has put it there.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/iam_role_policy_attachments_exclusive>

use landfall_types::{Finding, Span, Spanned};

use super::holders::{Holder, HolderKind, all_of};
use super::infra::{Owner, Reader};
use super::model::{CustomerPolicy, Infra};

/// A list that is all that a role, a user or a group has.
#[derive(Clone, Debug)]
pub(super) struct Exclusive {
    address: String,
    kind: HolderKind,
    owner: Of,
    is_inline: bool,
    listed: Vec<String>,
    /// The list.
    span: Span,
}

/// Whose list it is.
#[derive(Clone, Debug)]
enum Of {
    Address(String),
    Name(Spanned<String>),
}

impl Of {
    fn is(&self, holder: &impl Holder) -> bool {
        match self {
            Self::Address(address) => holder.address() == address,
            Self::Name(name) => holder.known_name() == Some(name.value.as_str()),
        }
    }
}

impl Reader<'_, '_> {
    /// The exclusive lists of a kind of holder. Of a list that isn't known whole nothing is told to be away.
    pub(super) fn exclusive_of<H: Holder>(
        &self,
        holders: &mut [H],
        managed: &[CustomerPolicy],
    ) -> Vec<Exclusive> {
        let noun = H::KIND.noun();
        let mut found = Vec::new();
        for (kind, policies, is_inline) in [
            (format!("aws_iam_{noun}_policies_exclusive"), "policy_names", true),
            (format!("aws_iam_{noun}_policy_attachments_exclusive"), "policy_arns", false),
        ] {
            for (_, object) in self.instances(&kind) {
                let owner = object.written(&format!("{noun}_name"));
                let (Some(owner), Some(list)) = (owner, object.written(policies)) else { continue };
                let all = all_of(list);
                let listed: Vec<String> = if is_inline {
                    let what = || format!("a name in `{}`", object.address);
                    all.iter().filter_map(|item| self.known_text(item, what)).map(|name| name.value).collect()
                } else {
                    let attached = self.attached(&object, list, managed);
                    attached.into_iter().map(|attachment| attachment.policy_arn.value).collect()
                };
                let owner = match self.owner_of(owner, &object, holders) {
                    Owner::Here(holder) => Of::Address(holder.address().to_owned()),
                    Owner::Elsewhere(name) => Of::Name(name),
                    Owner::Nowhere => continue,
                };
                if listed.len() < all.len() || list.cause().is_some() {
                    let because = list.cause().unwrap_or_else(|| "a name in it is not known".into());
                    self.doubt_policies(&object, because, list.span);
                    continue;
                }
                let (address, span) = (object.address.to_string(), list.span);
                found.push(Exclusive { address, kind: H::KIND, owner, is_inline, listed, span });
            }
        }
        found
    }
}

impl Infra {
    /// Takes away what exclusive lists leave out, and tells it.
    pub(super) fn take_unlisted(&mut self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for list in std::mem::take(&mut self.exclusive) {
            match list.kind {
                HolderKind::Role => list.take_of(&mut self.roles, &mut findings),
                HolderKind::User => list.take_of(&mut self.users, &mut findings),
                HolderKind::Group => list.take_of(&mut self.groups, &mut findings),
            }
        }
        findings
    }
}

impl Exclusive {
    fn take_of<H: Holder>(&self, holders: &mut [H], findings: &mut Vec<Finding>) {
        let Some(holder) = holders.iter_mut().find(|holder| self.owner.is(*holder)) else { return };
        let whose = format!("{} `{}`", H::KIND.noun(), holder.name());
        let (inline, attached) = holder.policies();
        let mut is_listed = |name: &str, span: Span| {
            let is_listed = self.listed.iter().any(|listed| listed == name);
            if !is_listed {
                findings.push(self.taken(name, &whose, span));
            }
            is_listed
        };
        match self.is_inline {
            true => inline.retain(|policy| is_listed(&policy.name, policy.span)),
            false => attached.retain(|policy| is_listed(&policy.policy_arn.value, policy.span)),
        }
    }

    fn taken(&self, policy: &str, whose: &str, span: Span) -> Finding {
        let message = format!("`{policy}` is taken from {whose} again: `{}` doesn't list it", self.address);
        Finding::warning("terraform-exclusive", message)
            .at(span, "given here")
            .at(self.span, "what isn't listed here is taken away")
            .note("where one apply makes both, it may be there until the next one")
            .help("list it as well, or leave it out")
    }
}
