//! A trust policy, and after lines `>>> only` and `>>> template` patterns of subjects and subject templates: who can
//! take the role is proved for each issuer that the text names, and every witness is allowed by the evaluator.

use landfall_policy::catalogue::{cli_need, knows_command};
use landfall_policy::decide::Named;
use landfall_policy::prove::{self, Meant, Only, Witness};
use landfall_policy::region::{ProviderFacts, SubjectTemplate};
use landfall_policy::{Layers, Policy, PolicyKind, decide, parse};
use landfall_types::SourceId;

const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let mut policies: Vec<Policy> = Vec::new();
    let (mut patterns, mut templates) = (Vec::new(), Vec::new());
    for (kind, text) in super::files(super::text(bytes), "policy") {
        match kind {
            "only" => patterns.extend(text.lines().map(str::to_owned).take(4)),
            "template" => {
                templates.extend(text.lines().filter_map(|line| SubjectTemplate::parse(line).ok()).take(4))
            }
            "command" => {
                let words: Vec<&str> = text.split_whitespace().collect();
                assert!(cli_need(&words).is_empty() || knows_command(&words), "{words:?}");
            }
            _ => policies.push(parse::document(SourceId(0), text, PolicyKind::Trust).0),
        }
    }
    let Some(trust) = policies.first() else { return };
    let _ = prove::grants(trust, ROLE);
    let (text, all) = (super::text(bytes), providers());
    // Tokens of an issuer that nobody names are those of any other: of the first, then.
    let is_named = all.iter().any(|provider| text.contains(&provider.arn));
    let asked = all.iter().enumerate().filter(|(at, provider)| match is_named {
        true => text.contains(&provider.arn),
        false => *at == 0,
    });
    for (_, provider) in asked {
        if let Ok(who) = prove::who(trust, provider, ROLE, &templates) {
            who.strata.iter().for_each(|stratum| check(trust, &stratum.witness));
        }
        // Nobody is meant where no pattern is given: then whoever gets in is an outsider.
        let meant = Meant { patterns: patterns.clone(), or_ids: text.len() % 2 == 0 };
        if let Ok(Only::Outsider(witness)) = prove::only(trust, provider, ROLE, &meant, &templates) {
            check(trust, &witness);
        }
        if let Some(other) = policies.get(1)
            && let Ok(change) = prove::diff_trust(trust, other, provider, ROLE)
        {
            let is_allowed = |policy, request| decide(&layers(policy), request).is_allowed();
            if let Some(gained) = &change.gained {
                assert!(!is_allowed(trust, gained) && is_allowed(other, gained), "{gained:?}");
            }
            if let Some(lost) = &change.lost {
                assert!(is_allowed(trust, lost) && !is_allowed(other, lost), "{lost:?}");
            }
        }
    }
}

/// Every witness is one that the evaluator allows.
fn check(trust: &Policy, witness: &Witness) {
    assert!(decide(&layers(trust), &witness.request).is_allowed(), "{witness:?}");
}

fn layers(policy: &Policy) -> Layers<'_> {
    Layers { trust: Some(Named { name: "trust policy".into(), policy }), ..Layers::default() }
}

fn providers() -> [ProviderFacts; 3] {
    let of = |host: &str, audience: &str| ProviderFacts {
        arn: format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"),
        host: host.to_owned(),
        client_ids: vec![audience.to_owned()],
        may_have_others: false,
    };
    [
        ProviderFacts::github(ACCOUNT),
        of("gitlab.com", "https://gitlab.com"),
        of("oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF", "sts.amazonaws.com"),
    ]
}
