//! Parts of a customised subject of GitHub: `KEY:VALUE` of a claim, several of them with colons between.
//! <https://docs.github.com/en/actions/reference/security/oidc#customizing-the-token-claims>

/// Which parts a segment of a tape takes in. Keys are words here: which of them GitHub knows is looked
/// at when a subject is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Parts {
    pub(crate) place: PartsPlace,
    /// Words that are not keys here, and [`LONE`]; sorted.
    words: Vec<String>,
}

/// Where the parts stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartsPlace {
    /// Before another part: none, or parts that each end in a colon.
    Before,
    /// Behind another part: none, or parts that each begin with a colon.
    Behind,
    /// One part at least, and nothing else.
    Alone,
}

/// What a template may name: the claims of a token, and `repo`. Sorted.
pub(crate) const TEMPLATE_KEYS: &[&str] = &[
    "actor",
    "actor_id",
    "aud",
    "base_ref",
    "check_run_id",
    "enterprise",
    "enterprise_id",
    "environment",
    "environment_node_id",
    "event_name",
    "head_ref",
    "iss",
    "issuer_scope",
    "job_workflow_ref",
    "job_workflow_sha",
    "ref",
    "ref_protected",
    "ref_type",
    "repo",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "run_attempt",
    "run_id",
    "run_number",
    "runner_environment",
    "sha",
    "workflow",
    "workflow_ref",
    "workflow_sha",
];

/// What the key `context` becomes for pull requests: a part without a value.
pub(crate) const LONE: &str = "pull_request";

/// Whether a template may name it. Custom properties of repositories are claims as well.
pub(crate) fn is_template_key(key: &str) -> bool {
    let property = key.strip_prefix("repo_property_").is_some_and(|name| !name.is_empty());
    property || TEMPLATE_KEYS.binary_search(&key).is_ok()
}

/// Keys whose values their owner chooses freely, for subjects that are to be shown.
const FREE_KEYS: [&str; 3] = ["head_ref", "workflow", "base_ref"];

// States: nothing read; a key is due; a value is due; within a value; within a key that is none of the
// words; and from `IN_WORD` on what may become one of them, by the first that begins so and how much of it.
const START: u32 = 0;
const KEY: u32 = 1;
const VALUE_START: u32 = 2;
const VALUE: u32 = 3;
const OTHER: u32 = 4;
const IN_WORD: u32 = 64;

/// Longer words don't count as such.
const WORD_BYTES_MAX: u32 = 64;

impl Parts {
    /// `without` are the words that are not keys here.
    pub(crate) fn new(place: PartsPlace, without: &[String]) -> Self {
        let is_short = |word: &&String| word.is_ascii() && word.len() < WORD_BYTES_MAX as usize;
        let mut words: Vec<String> = without.iter().filter(is_short).cloned().collect();
        words.push(LONE.to_owned());
        words.sort_unstable();
        words.dedup();
        Self { place, words }
    }

    /// The characters that tell its states apart.
    pub(crate) fn characters(&self) -> impl Iterator<Item = char> {
        self.words.iter().flat_map(|word| word.chars()).chain([':'])
    }

    pub(crate) fn step(&self, state: u32, character: char) -> Option<u32> {
        match (state, character) {
            (START, _) if self.place == PartsPlace::Behind => (character == ':').then_some(KEY),
            (START | KEY, ':') | (VALUE_START, ':') => None,
            (VALUE | OTHER, ':') => Some(if state == VALUE { KEY } else { VALUE_START }),
            (VALUE_START | VALUE, _) => (!character.is_control()).then_some(VALUE),
            (START | KEY, _) => self.in_key(0, "", character),
            (OTHER, _) => is_of_key(character).then_some(OTHER),
            _ => {
                let (first, so_far) = self.read_of(state)?;
                if character != ':' {
                    return self.in_key(first, so_far, character);
                }
                match self.words.iter().any(|word| word == so_far) {
                    _ if so_far == LONE => Some(KEY),
                    true => None,
                    false => Some(VALUE_START),
                }
            }
        }
    }

    pub(crate) fn may_end(&self, state: u32) -> bool {
        let is_lone = self.read_of(state).is_some_and(|(_, so_far)| so_far == LONE);
        let is_whole = state == VALUE || is_lone;
        match self.place {
            PartsPlace::Before => matches!(state, START | KEY),
            PartsPlace::Behind => state == START || is_whole,
            PartsPlace::Alone => is_whole,
        }
    }

    /// Texts that read like the real thing, in place of one that may name keys that don't exist.
    pub(crate) fn candidates(&self, text: &str) -> Vec<String> {
        let plain = match self.place {
            PartsPlace::Before | PartsPlace::Behind => "",
            PartsPlace::Alone => "run_id:123456789",
        };
        let free = FREE_KEYS.iter().find(|key| !self.words.iter().any(|word| word == *key));
        let mut parts = text.split(':').peekable();
        let mut real = Vec::new();
        while let Some(part) = parts.next() {
            let is_key = !part.is_empty() && part != LONE;
            if is_key && parts.peek().is_some() {
                real.push(if is_template_key(part) { part } else { free.copied().unwrap_or(part) });
                real.extend(parts.next());
            } else {
                real.push(part);
            }
        }
        [plain.to_owned(), real.join(":")].into_iter().collect()
    }

    /// What of a word was read, and the first word that begins so.
    fn read_of(&self, state: u32) -> Option<(usize, &str)> {
        let state = state.checked_sub(IN_WORD)?;
        let first = (state / WORD_BYTES_MAX) as usize;
        Some((first, self.words.get(first)?.get(..(state % WORD_BYTES_MAX) as usize)?))
    }

    /// The state after one more character of a key.
    fn in_key(&self, first: usize, so_far: &str, character: char) -> Option<u32> {
        if !is_of_key(character) {
            return None;
        }
        let goes_on =
            |word: &String| word.strip_prefix(so_far).is_some_and(|rest| rest.starts_with(character));
        let Some(index) = self.words.iter().skip(first).position(goes_on) else { return Some(OTHER) };
        let (index, read) = (u32::try_from(first + index).ok()?, u32::try_from(so_far.len() + 1).ok()?);
        Some(IN_WORD + index * WORD_BYTES_MAX + read)
    }
}

fn is_of_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-')
}
