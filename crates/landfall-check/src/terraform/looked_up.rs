//! What the modules only look up: it exists, made by somebody else, and is not made a second time where another
//! root module of these makes it.

use landfall_policy::PolicyKind;
use landfall_policy::ast::PrincipalPattern;
use landfall_types::{Arn, Finding, Node, Severity, Spanned, Tree};

use super::doubts::{About, Doubt};
use super::model::{Infra, OidcProvider, Role};

/// The audience of tokens that are meant for AWS, as AWS's own action and EKS's webhook ask for them.
const USUAL_AUDIENCE: &str = "sts.amazonaws.com";

impl Infra {
    /// Leaves what is looked up and not made by any module, once each; and works out the audiences of such a
    /// provider, which no data source tells.
    pub(super) fn settle_looked_up(&mut self) -> Vec<Finding> {
        self.looked_up_providers.extend(self.named_providers());
        self.doubts.extend(self.roles.iter().filter_map(unknown_provider).collect::<Vec<_>>());
        let mut known: Vec<String> = self.providers.iter().map(|it| it.arn.clone()).collect();
        self.looked_up_providers.retain(|it| is_new(&mut known, &it.arn));
        let mut known: Vec<String> = self.repositories.iter().map(|it| it.arn.clone()).collect();
        self.looked_up_repositories.retain(|it| it.name_unknown.is_none() && is_new(&mut known, &it.arn));
        let place = |cluster: &super::EcsCluster| format!("{}/{}", cluster.region, cluster.name.value);
        let mut known: Vec<String> = self.ecs_clusters.iter().map(place).collect();
        self.looked_up_ecs_clusters.retain(|it| is_new(&mut known, &place(it)));
        let place = |group: &super::LogGroup| format!("{}/{}", group.region, group.name.value);
        let mut known: Vec<String> = self.log_groups.iter().map(place).collect();
        self.looked_up_log_groups.retain(|it| is_new(&mut known, &place(it)));

        let trusts: Vec<&Tree> = self.roles.iter().map(|role| &role.trust).collect();
        let mut findings = Vec::new();
        for provider in &mut self.looked_up_providers {
            provider.client_ids = audiences(provider, &trusts);
            let ids: Vec<String> = provider.client_ids.iter().map(|id| format!("`{}`", id.value)).collect();
            self.doubts.push(Doubt {
                about: About::Audiences(provider.arn.clone()),
                because: format!("`{}` is made elsewhere", provider.address),
                span: provider.span,
            });
            let is_named = provider.address == provider.arn;
            let message = format!(
                "`{}` is made elsewhere, so its audiences are not in these files; they are taken to be {}",
                provider.address,
                ids.join(", ")
            );
            let mut note = Finding::warning("terraform-looked-up", message)
                .at(provider.span, if is_named { "only named here" } else { "only looked up here" })
                .help("where another root module makes it, name that folder with a further --infra");
            note.severity = Severity::Note;
            findings.push(note);
        }
        findings
    }
}

impl Infra {
    /// The providers that trust policies name by their ARNs alone: put together, or handed in by a variable. Who
    /// writes such an ARN knows that it is there.
    fn named_providers(&self) -> Vec<OidcProvider> {
        let of_role = |role: &Role| {
            let account = Arn::parse(&role.arn).ok().map(|arn| arn.account);
            let (policy, _) = landfall_policy::parse::policy(&role.trust, PolicyKind::Trust);
            let clauses = policy.statements.into_iter().filter_map(|statement| statement.principal);
            let principals = clauses.flat_map(|clause| clause.principals);
            let named = principals.filter_map(|principal| match principal.value {
                PrincipalPattern::Federated(arn) => Some(Spanned::new(arn, principal.span)),
                _ => None,
            });
            named.filter_map(|arn| named_provider(arn, account.as_deref()?)).collect::<Vec<_>>()
        };
        self.roles.iter().flat_map(of_role).collect()
    }
}

/// A trust policy whose provider isn't known: there may be one that these files don't make.
fn unknown_provider(role: &Role) -> Option<Doubt> {
    let statements = role.trust.field("Statement")?;
    let all =
        if statements.items().is_empty() { std::slice::from_ref(statements) } else { statements.items() };
    let federated = all.iter().filter_map(|statement| statement.field("Principal")?.field("Federated"));
    let unknown =
        federated.flat_map(|value| std::iter::once(value).chain(value.items())).find_map(
            |value| match &value.node {
                Node::Unknown(cause) => Some((cause, value.span)),
                _ => None,
            },
        );
    let (cause, span) = unknown?;
    let because = format!("the provider in the trust policy of `{}` is not known: {cause}", role.name.value);
    Some(Doubt { about: About::Providers, because, span })
}

/// The provider that an ARN of the account is of.
fn named_provider(arn: Spanned<String>, account: &str) -> Option<OidcProvider> {
    let span = arn.span;
    let parsed = Arn::parse(&arn.value).ok().filter(|parsed| parsed.account == account)?;
    let host = parsed.resource.strip_prefix("oidc-provider/")?;
    Some(OidcProvider {
        address: arn.value.clone(),
        url: Spanned::new(format!("https://{host}"), span),
        client_ids: Vec::new(),
        client_ids_span: span,
        thumbprints: Vec::new(),
        tags: Vec::new(),
        arn: arn.value,
        span,
    })
}

fn is_new(known: &mut Vec<String>, name: &str) -> bool {
    let is_new = !known.iter().any(|it| it == name);
    if is_new {
        known.push(name.to_owned());
    }
    is_new
}

/// The audiences that the trust policies compare the provider's tokens with, and the usual one.
fn audiences(provider: &OidcProvider, trusts: &[&Tree]) -> Vec<Spanned<String>> {
    let host = provider.arn.split_once(":oidc-provider/").map_or("", |(_, host)| host);
    let mut found: Vec<Spanned<String>> = Vec::new();
    trusts.iter().for_each(|trust| compared(trust, &format!("{host}:aud"), &mut found));
    let is_usual = host == "token.actions.githubusercontent.com" || host.starts_with("oidc.eks.");
    let usual = if is_usual { USUAL_AUDIENCE.to_owned() } else { format!("https://{host}") };
    if (is_usual || found.is_empty()) && !found.iter().any(|it| it.value == usual) {
        found.push(Spanned::new(usual, provider.span));
    }
    found
}

/// The whole texts that a key is compared with, anywhere in a document.
fn compared(tree: &Tree, wanted: &str, found: &mut Vec<Spanned<String>>) {
    for (key, value) in tree.entries() {
        if key.text.eq_ignore_ascii_case(wanted) {
            let values = if value.items().is_empty() { std::slice::from_ref(value) } else { value.items() };
            for value in values {
                if let Node::Text(text) = &value.node
                    && !text.contains(['*', '?', '$'])
                    && !found.iter().any(|it| it.value == *text)
                {
                    found.push(Spanned::new(text.clone(), value.span));
                }
            }
        } else if !key.text.contains("Not") {
            compared(value, wanted, found);
        }
    }
    tree.items().iter().for_each(|item| compared(item, wanted, found));
}
