//! Policy documents as they are kept: the text as the API returns it, and what could not be worked out of one that
//! Terraform describes, with the lines where that stands. What is unknown stays unknown in the next start, which may
//! not be given the Terraform.

use std::sync::Arc;

use landfall_policy::{Policy, PolicyKind};
use landfall_types::{Node, SourceMap, Span, Tree};
use serde::{Deserialize, Deserializer, Serialize};

use super::principals::Meant;
use super::text;
use crate::policies::NOT_KEPT;

/// The longest text of the lines around an unknown part, in bytes. Of longer ones only the place is kept.
const LINES_BYTES_MAX: usize = 2_000;
/// Lines before an unknown part, at most: beyond, its lines are not shown.
const LINES_BEFORE_MAX: usize = 100_000;

/// A policy document: the text as the API returns it, and what was understood of it.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// JSON.
    #[serde(serialize_with = "text::str_to")]
    pub text: Arc<str>,
    /// Where it is used.
    #[serde(serialize_with = "text::kind_to")]
    pub kind: PolicyKind,
    /// What stands in its text as `<unknown: …>`, in the order of the text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UnknownPart>,
    /// Whom it means by the users and roles that it names; none until that is settled, and for identity policies,
    /// which name nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meant: Option<Vec<Meant>>,
    /// Whether it came in a file, which is read whole: whom it names may come to be later.
    #[serde(skip)]
    pub is_from_file: bool,
    /// The policy, with the places of where it was written.
    #[serde(skip)]
    pub policy: Arc<Policy>,
}

impl Document {
    /// A document of which all is known.
    pub fn known(text: impl Into<Arc<str>>, kind: PolicyKind, policy: Policy) -> Self {
        Self::new(text, kind, Vec::new(), policy)
    }

    /// A document that came over the API.
    pub fn new(
        text: impl Into<Arc<str>>,
        kind: PolicyKind,
        unknown: Vec<UnknownPart>,
        policy: Policy,
    ) -> Self {
        let policy = Arc::new(policy);
        Self { text: text.into(), kind, unknown, meant: None, is_from_file: false, policy }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Kept {
            text: String,
            #[serde(deserialize_with = "text::kind_from")]
            kind: PolicyKind,
            #[serde(default)]
            unknown: Vec<UnknownPart>,
            #[serde(default)]
            meant: Option<Vec<Meant>>,
        }
        let Kept { text, kind, unknown, meant } = Kept::deserialize(deserializer)?;
        // It was accepted when it was written: what can't be read in it by now is not granted.
        let (mut tree, _) = landfall_policy::json::parse(text::source(&text), &text);
        forget(&mut tree, &mut unknown.iter().peekable());
        let mut document = Self::new(text, kind, unknown, landfall_policy::parse::policy(&tree, kind).0);
        if let Some(meant) = meant {
            document.mean(meant);
        }
        Ok(document)
    }
}

/// A part of a document that could not be worked out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnknownPart {
    /// Why.
    pub reason: String,
    /// The file that it is written in.
    file: String,
    /// The line that it begins in; the first is 1.
    line: usize,
    /// The lines that it stands in, whole; empty when they are too long to be kept.
    lines: String,
    /// From where to where it goes in them, in bytes.
    range: (usize, usize),
}

impl UnknownPart {
    /// All unknown parts of a document, in the order in which they are written to its text.
    pub fn all_of(tree: &Tree, sources: &SourceMap) -> Vec<Self> {
        let mut parts = Vec::new();
        collect(tree, sources, &mut parts);
        parts
    }

    fn new(reason: &str, span: Span, sources: &SourceMap) -> Self {
        let (place, text) = (sources.place(span), sources.text(span.source));
        let (start, end) = (span.start as usize, (span.end as usize).min(text.len()));
        let from = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let to = text.get(end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| end + at);
        let lines = text.get(from..to).filter(|lines| lines.len() <= LINES_BYTES_MAX).unwrap_or("");
        Self {
            reason: reason.to_owned(),
            file: place.name.to_string(),
            line: place.line,
            range: (start.saturating_sub(from), end.saturating_sub(from)),
            lines: lines.to_owned(),
        }
    }

    /// How it stands in the document's text.
    fn text(&self) -> String {
        format!("<unknown: {}>", self.reason)
    }

    /// Its place: in a text that has its lines where the file had them, and nothing else.
    fn span(&self) -> Span {
        let before = self.line.saturating_sub(1);
        if before > LINES_BEFORE_MAX {
            return Span::new(NOT_KEPT, 0, 0);
        }
        let source = text::source_named(&self.file, &format!("{}{}", "\n".repeat(before), self.lines));
        let (start, end) = self.range;
        let within = |at: usize| before + at.min(self.lines.len());
        Span::new(source, within(start), within(end))
    }
}

fn collect(tree: &Tree, sources: &SourceMap, parts: &mut Vec<UnknownPart>) {
    match &tree.node {
        Node::Unknown(reason) => parts.push(UnknownPart::new(reason, tree.span, sources)),
        Node::List(items) => items.iter().for_each(|item| collect(item, sources, parts)),
        Node::Map(entries) => entries.iter().for_each(|(_, value)| collect(value, sources, parts)),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
    }
}

/// Makes unknown again what stands in the text for it.
fn forget<'p>(tree: &mut Tree, parts: &mut std::iter::Peekable<impl Iterator<Item = &'p UnknownPart>>) {
    match &mut tree.node {
        Node::Text(text) => {
            if let Some(part) = parts.next_if(|part| part.text() == *text) {
                *tree = Tree::new(Node::Unknown(part.reason.clone()), part.span());
            }
        }
        Node::List(items) => items.iter_mut().for_each(|item| forget(item, parts)),
        Node::Map(entries) => entries.iter_mut().for_each(|(_, value)| forget(value, parts)),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Unknown(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policies::GivenTexts;

    #[test]
    fn what_is_unknown_comes_back_with_its_place_and_what_only_looks_like_it_does_not() {
        let sources = SourceMap::new();
        let file = "variable \"who\" {}\n\npolicy = [\n  var.who,\n]\n";
        let source = sources.add("infra/main.tf", file);
        let at = file.find("var.who").unwrap();
        let reason = "variable `who` has no default";
        let json = r#"{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"<unknown: a>"},{"Effect":"Allow","Action":"ecr:*","Resource":"?"}]}"#;
        let (mut tree, _) = landfall_policy::json::parse(sources.add("made", json), json);
        let Node::Map(entries) = &mut tree.node else { unreachable!() };
        let Node::List(statements) = &mut entries[0].1.node else { unreachable!() };
        let Node::Map(members) = &mut statements[1].node else { unreachable!() };
        members[2].1 = Tree::new(Node::Unknown(reason.to_owned()), Span::new(source, at, at + 7));

        let document = Document {
            unknown: UnknownPart::all_of(&tree, &sources),
            ..Document::known(
                json.replace('?', &format!("<unknown: {reason}>")),
                PolicyKind::Identity,
                landfall_policy::parse::policy(&tree, PolicyKind::Identity).0,
            )
        };
        let kept = serde_json::to_string(&document).unwrap();
        let later = SourceMap::new();
        let back: Document =
            text::registering(&GivenTexts::default(), &later, || serde_json::from_str(&kept)).unwrap();
        assert_eq!((back.policy.statements.len(), back.policy.unread_statements), (1, 1));
        let unknown = back.policy.unknown.clone().unwrap();
        assert_eq!(unknown.value, reason);
        assert_eq!(
            later.place(unknown.span).to_string(),
            sources.place(Span::new(source, at, at + 7)).to_string()
        );
        assert_eq!(later.excerpt(unknown.span), "var.who");
        assert_eq!(serde_json::to_string(&back).unwrap(), kept);
    }
}
