//! What a root module reads of another's state (`terraform_remote_state`): the outputs of the other root modules, which
//! are read along with it. A state is told apart by its place and its name; where neither tells, an output is taken
//! that one of the others has alone.
//! <https://developer.hashicorp.com/terraform/language/state/remote-state-data>

use landfall_types::{SourceMap, Tree};

use super::eval::{Evaluator, Reading};
use super::functions::from_tree;
use super::library::Library;
use super::scope::Scope;
use super::value::{self, Object, Value};
use super::{Root, Settings};

/// The data source.
pub(super) const KIND: &str = "terraform_remote_state";
/// Root modules that read each other's states, one behind the other.
const ROUNDS_MAX: usize = 5;
/// Levels of a backend's configuration.
const CONFIG_LEVELS_MAX: usize = 5;

/// The outputs of a root module.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct State {
    /// The last part of its folder's name.
    folder: String,
    outputs: Vec<(String, Tree)>,
}

/// The states of root modules, where one of them reads any; none where none does.
pub(super) fn of(sources: &SourceMap, roots: &[Root<'_>], settings: &Settings) -> Vec<State> {
    let reads = |root: &Root<'_>| root.files.iter().any(|file| sources.text(*file).contains(KIND));
    let mut states = Vec::new();
    if roots.len() < 2 || !roots.iter().any(reads) {
        return states;
    }
    // An output may be made of one of a third state.
    for _ in 0..ROUNDS_MAX.min(roots.len()) {
        let next: Vec<State> =
            (0..roots.len()).map(|own| state(sources, roots, settings, &states, own)).collect();
        if next == states {
            break;
        }
        states = next;
    }
    states
}

/// What is wrong in the root module is said when it is read as a whole.
fn state(
    sources: &SourceMap,
    roots: &[Root<'_>],
    settings: &Settings,
    states: &[State],
    own: usize,
) -> State {
    let Some(root) = roots.get(own) else { return State::default() };
    let name = root.files.first().map_or_else(String::new, |file| sources.name(*file).to_string());
    let mut folders = name.rsplit(['/', '\\']).skip(1).filter(|part| !matches!(*part, "" | "." | ".."));
    let folder = folders.next().unwrap_or_default().to_owned();
    let mut findings = Vec::new();
    let (library, _) = Library::read(sources, root);
    let modules = library.modules(&mut findings);
    let reading = Reading { settings, sources, files: &root.files, disk: root.disk, states, own };
    let Some(evaluator) = Evaluator::root(&modules, reading) else {
        return State { folder, outputs: Vec::new() };
    };
    let outputs = evaluator.module.outputs.iter().filter_map(|(name, block)| {
        let value = evaluator.eval(&block.body.attribute("value")?.value, &Scope::default());
        Some(((*name).to_owned(), evaluator.limited(name, value).to_tree()))
    });
    let outputs = outputs.collect();
    State { folder, outputs }
}

/// `outputs` of a data source: what isn't there is read from outside, and not wrong.
pub(super) fn outputs(evaluator: &Evaluator, data: &Object) -> Value {
    let Reading { states, own, .. } = evaluator.reading;
    let others: Vec<&State> =
        states.iter().enumerate().filter(|(index, _)| *index != own).map(|(_, state)| state).collect();
    let of_one = |state: &State| -> Vec<(String, Value)> {
        state.outputs.iter().map(|(name, tree)| (name.clone(), from_tree(tree))).collect()
    };
    let outputs = match meant(data, &others) {
        Some(state) => of_one(state),
        None => of_any(&others),
    };
    let written = outputs.into_iter().map(|(name, value)| (value::key(name, value.span), value)).collect();
    let address = format!("{}.outputs", data.address).into();
    let mut object = Object { address, span: data.span, written, computed: Vec::new() };
    evaluator.add_said(&mut object);
    evaluator.keep(object)
}

/// Outputs that one root module has alone; of the others it isn't known which is meant.
fn of_any(others: &[&State]) -> Vec<(String, Value)> {
    let all = others.iter().flat_map(|state| &state.outputs);
    let all = all.map(|(name, tree)| {
        let having: Vec<&str> = others
            .iter()
            .filter(|state| state.outputs.iter().any(|(other, _)| other == name))
            .map(|state| state.folder.as_str())
            .collect();
        let value = match having.as_slice() {
            [_] => from_tree(tree),
            several => {
                let cause = format!("several root modules have an output `{name}`: {}", several.join(", "));
                Value::unknown(cause, tree.span)
            }
        };
        (name.clone(), value)
    });
    all.collect()
}

/// The root module whose state is read: its folder's name stands in the backend's configuration, or else is the data
/// source's own name.
fn meant<'s>(data: &Object, others: &[&'s State]) -> Option<&'s State> {
    let mut words = Vec::new();
    data.written("config").into_iter().for_each(|config| collect(config, CONFIG_LEVELS_MAX, &mut words));
    let name = data.address.rsplit('.').next().unwrap_or_default();
    let name = name.split('[').next().unwrap_or(name).to_owned();
    one(others, &words).or_else(|| one(others, &[name]))
}

fn one<'s>(others: &[&'s State], words: &[String]) -> Option<&'s State> {
    let plain = |text: &str| text.replace('-', "_");
    let is_meant = |state: &&&State| words.iter().any(|word| plain(word) == plain(&state.folder));
    let mut found = others.iter().filter(is_meant);
    found.next().copied().filter(|_| found.next().is_none())
}

/// The parts of all paths in a configuration: `env/network/terraform.tfstate`.
fn collect(config: &Value, levels: usize, words: &mut Vec<String>) {
    if let Some(text) = config.as_text() {
        let parts = text.split('/').map(|part| part.strip_suffix(".tfstate").unwrap_or(part));
        words.extend(parts.map(str::to_owned));
    }
    if levels > 0 {
        let below = config.entries().into_iter().flatten().map(|(_, value)| value);
        below.chain(config.items().into_iter().flatten()).for_each(|value| collect(value, levels - 1, words));
    }
}
