//! Customised subjects of GitHub: a repository or its organization may choose, by `include_claim_keys`,
//! of which claims `sub` is made. Whoever owns a repository chooses, so tokens of anybody may carry any
//! such subject, as far as its claims are theirs.
//! <https://docs.github.com/en/actions/reference/security/oidc#customizing-the-token-claims>

use super::tokens::{Builder, REPOSITORY, SUB, github_others, github_product, plain_text as text};
use super::{Coordinate, Free, Presence, ProviderFacts, Region, Slot};
use crate::set::{LONE, Parts, PartsPlace, Shape, TEMPLATE_KEYS, is_template_key};

/// Whose customised subjects a product holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Templates {
    /// Of anybody who has chosen a template; nobody knows which.
    Unknown,
    /// Of repositories that are said to use one.
    Said,
}

/// A subject template that a repository, or those of an owner, are said to use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectTemplate {
    /// The owner.
    pub owner: String,
    /// The repository's name; none for any of the owner's that have opted in.
    pub name: Option<String>,
    /// `include_claim_keys`, in order.
    pub keys: Vec<String>,
}

impl SubjectTemplate {
    /// Reads `OWNER/NAME=KEY,KEY` or `OWNER=KEY,KEY`.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (whose, keys) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` is not OWNER[/NAME]=KEY,KEY, such as `acme=repo,context,job_workflow_ref`")
        })?;
        Self::of(whose.trim(), keys.split(',').map(|key| key.trim().to_owned()).collect())
    }

    /// The template of `OWNER` or `OWNER/NAME`.
    ///
    /// # Errors
    /// What is wrong with it, as a phrase.
    pub fn of(whose: &str, keys: Vec<String>) -> Result<Self, String> {
        let (owner, name) = whose.split_once('/').map_or((whose, None), |(owner, name)| (owner, Some(name)));
        if !Shape::Owner.admits(owner) || name.is_some_and(|name| !Shape::Repository.admits(name)) {
            return Err(format!("`{whose}` is neither an owner nor OWNER/NAME"));
        }
        let known = |key: &String| key == "context" || is_template_key(key);
        match keys.iter().find(|key| !known(key)) {
            Some(key) => Err(format!("`{key}` is not a claim that a subject can be made of")),
            None if keys.is_empty() => Err("a template names one claim at least".to_owned()),
            None => Ok(Self { owner: owner.to_owned(), name: name.map(str::to_owned), keys }),
        }
    }

    /// Whether a repository's tokens have no other subjects than those of this template.
    pub(crate) fn is_of(&self, repository: &str) -> bool {
        self.name.as_ref().is_some_and(|name| repository == format!("{}/{name}", self.owner))
    }
}

impl Region {
    /// Tokens with customised subjects, of whatever template, as far as some patterns tell them apart.
    pub(crate) fn customised(provider: &ProviderFacts, role: &str, asked: &AskedSubjects) -> Self {
        let mut products = Vec::new();
        for keys in &asked.orders {
            let forms: &[bool] = if keys.contains(&"repo") { &[false, true] } else { &[false] };
            for has_ids in forms {
                let sketch = Sketch {
                    keys: keys.clone(),
                    has_ids: *has_ids,
                    between: Some(&asked.words),
                    owner: None,
                    name: None,
                };
                let claims = sketch.coordinates(provider);
                products.push(github_product(provider, role, Templates::Unknown, claims));
            }
        }
        Self { products }
    }

    /// The tokens of a repository, or of the repositories of an owner, that use a template.
    pub(crate) fn templated(provider: &ProviderFacts, role: &str, template: &SubjectTemplate) -> Self {
        let mut products = Vec::new();
        for context in ["ref", "environment", LONE] {
            let keys: Vec<&str> = template
                .keys
                .iter()
                .map(|key| if key == "context" { context } else { key.as_str() })
                .collect();
            for has_ids in [false, true] {
                let sketch = Sketch {
                    keys: keys.clone(),
                    has_ids,
                    between: None,
                    owner: Some(template.owner.clone()),
                    name: template.name.clone(),
                };
                products.push(github_product(provider, role, Templates::Said, sketch.coordinates(provider)));
            }
            if !template.keys.iter().any(|key| key == "context") {
                break;
            }
        }
        Self { products }
    }
}

/// What is asked about customised subjects.
///
/// A value holds no colon, so where a pattern says `KEY:` a subject that fits has that key, in that order;
/// beside those keys there may be any others. Of a subject that has a key of another pattern, too, one
/// without it fits as well.
#[derive(Clone, Debug)]
pub(crate) struct AskedSubjects {
    /// The keys of each pattern, in order; and none.
    orders: Vec<Vec<&'static str>>,
    /// The words of the patterns, which are no further keys.
    words: Vec<String>,
}

impl AskedSubjects {
    /// `patterns` are those of a policy, `more` are asked about beside them. `is_joint` says that several
    /// of them may have to fit the same subject.
    pub(crate) fn new<'p>(
        patterns: impl Iterator<Item = &'p str> + Clone,
        more: impl Iterator<Item = &'p str>,
        is_joint: bool,
    ) -> Self {
        let keys = |pattern: &str| -> Vec<&'static str> {
            let words = words_of(pattern).filter_map(|word| TEMPLATE_KEYS.iter().find(|key| **key == word));
            let mut keys: Vec<&'static str> = Vec::new();
            for key in words {
                if !keys.contains(key) {
                    keys.push(key);
                }
            }
            keys.truncate(KEYS_IN_ORDER_MAX);
            keys
        };
        let mut orders: Vec<Vec<&'static str>> = patterns.clone().map(keys).collect();
        orders.push(Vec::new());
        orders.sort_unstable();
        orders.dedup();
        if is_joint {
            let mut named: Vec<&'static str> = orders.concat();
            named.sort_unstable();
            named.dedup();
            named.truncate(JOINT_KEYS_MAX);
            orders = every_order(&named);
        }
        // Further keys of a pattern are free to say anything: more seems to get in than does, never less.
        let told_apart: Vec<&str> = orders.concat();
        let mut words: Vec<String> = patterns
            .chain(more)
            .flat_map(words_of)
            .filter(|word| !is_template_key(word) || told_apart.contains(word))
            .map(str::to_owned)
            .collect();
        words.sort_unstable();
        words.dedup();
        Self { orders, words }
    }
}

/// The words of a pattern that stand before a colon.
fn words_of(pattern: &str) -> impl Iterator<Item = &str> {
    let parts: Vec<&str> = pattern.split([':', '*', '?']).collect();
    let ends: Vec<usize> = parts
        .iter()
        .scan(0, |at, part| {
            *at += part.len();
            let end = *at;
            *at += 1;
            Some(end)
        })
        .collect();
    let is_key = move |end: usize| pattern.get(end..).is_some_and(|rest| rest.starts_with(':'));
    let words = parts.into_iter().zip(ends).filter(move |(word, end)| !word.is_empty() && is_key(*end));
    words.map(|(word, _)| word)
}

/// How many keys of a pattern are told apart from others.
const KEYS_IN_ORDER_MAX: usize = 4;

/// How many keys are told apart where several patterns have to fit the same subject.
const JOINT_KEYS_MAX: usize = 3;

/// Every choice of keys in every order.
fn every_order(keys: &[&'static str]) -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&'static str>> = vec![Vec::new()];
    let mut at = 0;
    while let Some(some) = all.get(at).cloned() {
        all.extend(keys.iter().filter(|key| !some.contains(key)).map(|key| {
            let mut more = some.clone();
            more.push(*key);
            more
        }));
        at += 1;
    }
    all
}

/// What a customised subject is made of.
struct Sketch<'k> {
    keys: Vec<&'k str>,
    /// Whether `repo` carries the ids.
    has_ids: bool,
    /// Other parts may stand between, but for those of these keys.
    between: Option<&'k [String]>,
    owner: Option<String>,
    name: Option<String>,
}

/// A subject while it is written.
struct Writing {
    tape: Builder,
    /// The claims that are read from it; `sub` is the first.
    claims: Vec<String>,
}

impl Writing {
    /// The slot of a claim; none when it was written before, as it is not read twice.
    fn slot(&mut self, claim: &str) -> Option<usize> {
        if self.claims.iter().any(|known| known == claim) {
            return None;
        }
        self.claims.push(claim.to_owned());
        Some(self.claims.len() - 1)
    }
}

impl Sketch<'_> {
    fn coordinates(&self, provider: &ProviderFacts) -> Vec<Coordinate> {
        let endings = if self.keys.contains(&"ref") { 0..REF_ROOTS.len() } else { 0..1 };
        let mut tapes = Vec::new();
        let mut claims = Vec::new();
        for ending in endings {
            let written = self.write(ending);
            tapes.push(written.tape.tape());
            claims = written.claims;
        }
        let slots: Vec<Slot> = claims.iter().map(|claim| Slot::Key(provider.key(claim))).collect();
        let is_read = |one: &Coordinate| slots.iter().any(|slot| one.covers(slot));
        let others: Vec<Coordinate> =
            github_others(provider).into_iter().filter(|one| !is_read(one)).collect();
        let mut coordinates = vec![Coordinate::Free(Free {
            languages: vec![None; slots.len()],
            slots,
            tapes,
            presence: Presence::SINGLE,
        })];
        coordinates.extend(others);
        coordinates
    }

    /// One tape; `ending` says of what kind a `ref` is.
    fn write(&self, ending: usize) -> Writing {
        let mut writing =
            Writing { tape: Builder::default(), claims: vec!["sub".to_owned(), "repository".to_owned()] };
        let mut is_repository_written = false;
        if let Some(words) = self.between {
            let place = if self.keys.is_empty() { PartsPlace::Alone } else { PartsPlace::Before };
            writing.tape.part(Shape::Parts(Parts::new(place, words)), &[SUB]);
        }
        for (index, key) in self.keys.iter().enumerate() {
            if index > 0 {
                writing.tape.part(text(":"), &[SUB]);
            }
            self.part(&mut writing, key, ending, &mut is_repository_written);
            if let Some(words) = self.between {
                writing.tape.part(Shape::Parts(Parts::new(PartsPlace::Behind, words)), &[SUB]);
            }
        }
        if !is_repository_written {
            self.repository(&mut writing, &[REPOSITORY], &[REPOSITORY], &[REPOSITORY]);
        }
        writing
    }

    /// The parts of the repository's name, each for its readers.
    fn repository(&self, writing: &mut Writing, owner: &[usize], slash: &[usize], name: &[usize]) {
        writing.tape.part(self.owner.clone().map_or(Shape::Owner, Shape::Text), owner);
        writing.tape.part(text("/"), slash);
        writing.tape.part(self.name.clone().map_or(Shape::Repository, Shape::Text), name);
    }

    fn part(&self, writing: &mut Writing, key: &str, ending: usize, is_repository_written: &mut bool) {
        if key == LONE {
            return writing.tape.part(text(key), &[SUB]);
        }
        writing.tape.part(text(&format!("{key}:")), &[SUB]);
        let both = [SUB, REPOSITORY];
        let readers = |is_written: bool| if is_written { &both[..1] } else { &both[..] };
        match key {
            "repo" if self.has_ids => self.immutable(writing, readers(*is_repository_written)),
            "repo" | "repository" => {
                let both = readers(*is_repository_written);
                self.repository(writing, both, both, both);
            }
            "repository_owner" if *is_repository_written => {
                writing.tape.part(self.owner.clone().map_or(Shape::Owner, Shape::Text), &[SUB]);
            }
            "repository_owner" => self.repository(writing, &both, &[REPOSITORY], &[REPOSITORY]),
            "ref" | "job_workflow_ref" => {
                let slot = writing.slot(key);
                let readers: Vec<usize> = [SUB].into_iter().chain(slot).collect();
                for shape in if key == "ref" { a_ref(ending) } else { any_workflow_file() } {
                    writing.tape.part(shape, &readers);
                }
            }
            _ => {
                let slot = writing.slot(key);
                let shape = match key {
                    "environment" => Shape::Environment,
                    "actor" => Shape::Owner,
                    _ if key.ends_with("_id") || key.starts_with("run_") => Shape::Id,
                    _ => Shape::Printable,
                };
                match slot {
                    Some(slot) => writing.tape.escaped_part(shape, slot),
                    None => writing.tape.escaped(shape),
                }
            }
        }
        *is_repository_written |= matches!(key, "repo" | "repository" | "repository_owner");
    }

    /// `OWNER@ID/NAME@ID`.
    fn immutable(&self, writing: &mut Writing, name: &[usize]) {
        let id = |writing: &mut Writing, claim: &str| {
            let slot = writing.slot(claim);
            let readers: Vec<usize> = [SUB].into_iter().chain(slot).collect();
            writing.tape.part(text("@"), &[SUB]);
            writing.tape.part(Shape::Id, &readers);
        };
        writing.tape.part(self.owner.clone().map_or(Shape::Owner, Shape::Text), name);
        id(writing, "repository_owner_id");
        writing.tape.part(text("/"), name);
        writing.tape.part(self.name.clone().map_or(Shape::Repository, Shape::Text), name);
        id(writing, "repository_id");
    }
}

/// How the refs of branches, tags and pull requests begin.
const REF_ROOTS: [&str; 3] = ["refs/heads/", "refs/tags/", "refs/pull/"];

/// A branch, a tag, or the merge ref of a pull request.
fn a_ref(ending: usize) -> Vec<Shape> {
    let root = text(REF_ROOTS.get(ending).copied().unwrap_or("refs/heads/"));
    match ending {
        0 => vec![root, Shape::RefName],
        1 => vec![root, Shape::TagName],
        _ => vec![root, Shape::Id, text("/merge")],
    }
}

/// A file that defines a job, at a ref or a commit.
fn any_workflow_file() -> Vec<Shape> {
    let path = text("/.github/workflows/");
    vec![Shape::Owner, text("/"), Shape::Repository, path, Shape::File, text("@"), Shape::RefName]
}

/// The owner or repository names that stand in a pattern for subjects: those of `repo:`, `repository:`
/// and `repository_owner:`, wherever they stand.
pub(crate) fn names_in(pattern: &str) -> impl Iterator<Item = &str> {
    let parts: Vec<&str> = pattern.split(':').collect();
    let pairs: Vec<&str> = parts
        .windows(2)
        .filter_map(|pair| match pair {
            ["repo" | "repository" | "repository_owner", name] => Some(*name),
            _ => None,
        })
        .collect();
    pairs.into_iter()
}
