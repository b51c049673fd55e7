//! `on:` from a tree.

use landfall_types::tree::Key;
use landfall_types::{Node, Spanned, Tree};

use super::read::Reader;
use super::slot::Slot;
use super::template::unexpected;
use super::trigger::{CallTrigger, DeclaredSecret, Filter, Input, InputKind, Trigger, Triggers};

/// An event: the keys under it and its activity types. `types: *` stands for free ones.
struct Event {
    name: &'static str,
    keys: &'static [&'static str],
    types: &'static [&'static str],
}

const fn event(name: &'static str, keys: &'static [&'static str], types: &'static [&'static str]) -> Event {
    Event { name, keys, types }
}

const TYPES: &[&str] = &["types"];
const PULL: &[&str] = &["types", "branches", "branches-ignore", "paths", "paths-ignore"];
const EDITS: &[&str] = &["created", "edited", "deleted"];
const PULL_TYPES: &[&str] = &[
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "opened",
    "edited",
    "closed",
    "reopened",
    "synchronize",
    "converted_to_draft",
    "locked",
    "unlocked",
    "enqueued",
    "dequeued",
    "milestoned",
    "demilestoned",
    "ready_for_review",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
    "stacked",
];
const ISSUE_TYPES: &[&str] = &[
    "opened",
    "edited",
    "deleted",
    "transferred",
    "pinned",
    "unpinned",
    "closed",
    "reopened",
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "locked",
    "unlocked",
    "milestoned",
    "demilestoned",
    "typed",
    "untyped",
    "field_added",
    "field_removed",
];
const DISCUSSION_TYPES: &[&str] = &[
    "created",
    "edited",
    "deleted",
    "transferred",
    "pinned",
    "unpinned",
    "labeled",
    "unlabeled",
    "locked",
    "unlocked",
    "category_changed",
    "answered",
    "unanswered",
];
const RELEASE_TYPES: &[&str] =
    &["published", "unpublished", "created", "edited", "deleted", "prereleased", "released"];

/// All events. GitHub's schema `workflow-v1.0.json`, `on-mapping-strict`.
const EVENTS: &[Event] = &[
    event("branch_protection_rule", TYPES, EDITS),
    event("check_run", TYPES, &["completed", "created", "rerequested", "requested_action"]),
    event("check_suite", TYPES, &["completed"]),
    event("create", &[], &[]),
    event("delete", &[], &[]),
    event("deployment", &[], &[]),
    event("deployment_status", &[], &[]),
    event("discussion", TYPES, DISCUSSION_TYPES),
    event("discussion_comment", TYPES, EDITS),
    event("fork", &[], &[]),
    event("gollum", &[], &[]),
    event("image_version", &["types", "names", "versions"], &["created", "ready", "deleted"]),
    event("issue_comment", TYPES, EDITS),
    event("issues", TYPES, ISSUE_TYPES),
    event("label", TYPES, EDITS),
    event("merge_group", &["types", "branches", "branches-ignore"], &["checks_requested"]),
    event("milestone", TYPES, &["created", "closed", "opened", "edited", "deleted"]),
    event("page_build", &[], &[]),
    event("project", TYPES, &["created", "closed", "reopened", "edited", "deleted"]),
    event("project_card", TYPES, &["created", "moved", "converted", "edited", "deleted"]),
    event("project_column", TYPES, &["created", "updated", "moved", "deleted"]),
    event("public", &[], &[]),
    event("pull_request", PULL, PULL_TYPES),
    event("pull_request_comment", TYPES, EDITS),
    event("pull_request_review", TYPES, &["submitted", "edited", "dismissed"]),
    event("pull_request_review_comment", TYPES, EDITS),
    event("pull_request_target", PULL, PULL_TYPES),
    event("push", &["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"], &[]),
    event("registry_package", TYPES, &["published", "updated"]),
    event("release", TYPES, RELEASE_TYPES),
    event("repository_dispatch", TYPES, &["*"]),
    event("schedule", &[], &[]),
    event("status", &[], &[]),
    event("watch", TYPES, &["started"]),
    event("workflow_call", &["inputs", "secrets", "outputs"], &[]),
    event("workflow_dispatch", &["inputs"], &[]),
    event(
        "workflow_run",
        &["types", "workflows", "branches", "branches-ignore"],
        &["requested", "completed", "in_progress"],
    ),
];

/// The names of all events.
pub fn names() -> impl Iterator<Item = &'static str> {
    EVENTS.iter().map(|event| event.name)
}

pub(super) fn triggers(reader: &mut Reader, tree: &Tree) -> Option<Triggers> {
    let mut events = Vec::new();
    match &tree.node {
        Node::Map(entries) => {
            for (key, value) in entries {
                if key.text.contains("${{") {
                    reader.error(key.span, "A template expression is not allowed in this context", "here");
                    continue;
                }
                let name = Spanned::new(key.text.clone(), key.span);
                events.extend(known(reader, &name).and_then(|event| trigger(reader, event, name, value)));
            }
        }
        Node::List(items) => {
            for item in items {
                events.extend(bare(reader, item));
            }
        }
        _ => events.extend(bare(reader, tree)),
    }
    Some(Triggers { events, span: tree.span })
}

fn bare(reader: &mut Reader, tree: &Tree) -> Option<Trigger> {
    let name = reader.plain_text(tree)?;
    let event = known(reader, &name)?;
    let nothing = Tree::new(Node::Null, name.span);
    match event.name {
        // Without times there is nothing to start it.
        "schedule" => {
            reader.error(name.span, unexpected("schedule"), "`schedule` needs a list of `cron` entries");
            None
        }
        _ => trigger(reader, event, name, &nothing),
    }
}

fn known(reader: &mut Reader, name: &Spanned<String>) -> Option<&'static Event> {
    let event = EVENTS.iter().find(|event| event.name == name.value);
    if event.is_none() {
        reader.error(name.span, unexpected(&name.value), "there is no such event");
    }
    event
}

fn trigger(reader: &mut Reader, event: &Event, name: Spanned<String>, tree: &Tree) -> Option<Trigger> {
    let mut trigger = Trigger {
        name,
        types: Vec::new(),
        branches: None,
        tags: None,
        paths: None,
        dispatch_inputs: Vec::new(),
        schedules: Vec::new(),
        workflows: Vec::new(),
        call: (event.name == "workflow_call").then(CallTrigger::default),
    };
    match &tree.node {
        Node::Null => return Some(trigger),
        Node::List(items) if event.name == "schedule" => {
            trigger.schedules = items.iter().filter_map(|item| schedule(reader, item)).collect();
            return Some(trigger);
        }
        _ => {}
    }
    reader.map(tree)?;
    reader.only(tree, event.keys, &format!("`{}`", event.name));
    for (key, value) in tree.entries().iter().filter(|(key, _)| event.keys.contains(&key.text.as_str())) {
        match (key.text.as_str(), event.name) {
            ("types", _) => trigger.types = types(reader, event, value),
            ("branches" | "branches-ignore", _) => filter(reader, &mut trigger.branches, key, value),
            ("tags" | "tags-ignore", _) => filter(reader, &mut trigger.tags, key, value),
            ("paths" | "paths-ignore", _) => filter(reader, &mut trigger.paths, key, value),
            ("inputs", "workflow_dispatch") => trigger.dispatch_inputs = inputs(reader, value, false),
            (_, "workflow_call") => {
                if let Some(call) = &mut trigger.call {
                    call_key(reader, call, &key.text, value);
                }
            }
            ("workflows", _) => trigger.workflows = reader.plain_list(value),
            _ => drop(reader.plain_list(value)),
        }
    }
    Some(trigger)
}

fn types(reader: &mut Reader, event: &Event, tree: &Tree) -> Vec<Spanned<String>> {
    let types = reader.plain_list(tree);
    for kind in types.iter().filter(|_| event.types != ["*"]) {
        if !event.types.contains(&kind.value.as_str()) {
            let label = format!("the types of `{}` are {}", event.name, event.types.join(", "));
            reader.error(kind.span, unexpected(&kind.value), label);
        }
    }
    types
}

fn filter(reader: &mut Reader, slot: &mut Option<Filter>, key: &Key, tree: &Tree) {
    let patterns = reader.plain_list(tree);
    let ignore = key.text.ends_with("-ignore");
    if let Some(other) = slot {
        reader.error(
            key.span,
            format!("you may only define one of `{}` and `{}` for a single event", other.key.value, key.text),
            "GitHub refuses both together; use `!` patterns instead",
        );
        return;
    }
    if !ignore && !patterns.is_empty() && patterns.iter().all(|pattern| pattern.value.starts_with('!')) {
        reader.error(
            tree.span,
            "a filter with `!` patterns needs at least one pattern without `!`",
            "nothing can match these",
        );
    }
    *slot = Some(Filter { key: Spanned::new(key.text.clone(), key.span), patterns, ignore });
}

/// The `cron` of an entry.
fn schedule(reader: &mut Reader, tree: &Tree) -> Option<Spanned<String>> {
    reader.map(tree)?;
    reader.only(tree, &["cron", "timezone"], "a schedule");
    match tree.field("cron") {
        Some(cron) => reader.plain_filled(cron),
        None => reader.missing(tree, "cron"),
    }
}

fn call_key(reader: &mut Reader, call: &mut CallTrigger, key: &str, tree: &Tree) {
    if tree.node == Node::Null {
        return;
    }
    match key {
        "inputs" => call.inputs = inputs(reader, tree, true),
        "secrets" => {
            for (name, value) in reader.map(tree).unwrap_or(&[]) {
                let required = secret(reader, value);
                let name = Spanned::new(name.text.clone(), name.span);
                call.secrets.push(DeclaredSecret { name, required });
            }
        }
        _ => {
            for (name, value) in reader.map(tree).unwrap_or(&[]) {
                if reader.map(value).is_none() {
                    continue;
                }
                reader.only(value, &["description", "value"], "an output");
                let template = match value.field("value") {
                    Some(tree) => reader.template(tree, Slot::WorkflowOutput),
                    None => reader.missing(value, "value"),
                };
                let name = Spanned::new(name.text.clone(), name.span);
                call.outputs.extend(template.map(|template| (name, template)));
            }
        }
    }
}

fn secret(reader: &mut Reader, tree: &Tree) -> bool {
    if tree.node == Node::Null || reader.map(tree).is_none() {
        return false;
    }
    reader.only(tree, &["description", "required"], "a secret");
    tree.field("required").and_then(|tree| reader.plain_bool(tree)).unwrap_or(false)
}

fn inputs(reader: &mut Reader, tree: &Tree, of_call: bool) -> Vec<Input> {
    if tree.node == Node::Null {
        return Vec::new();
    }
    let entries = reader.map(tree).unwrap_or(&[]);
    entries.iter().filter_map(|(key, value)| input(reader, key, value, of_call)).collect()
}

fn input(reader: &mut Reader, key: &Key, tree: &Tree, of_call: bool) -> Option<Input> {
    const CALL_KEYS: &[&str] = &["type", "description", "required", "default", "deprecationMessage"];
    const DISPATCH_KEYS: &[&str] =
        &["type", "description", "required", "default", "options", "deprecationMessage"];
    let name = Spanned::new(key.text.clone(), key.span);
    let mut input = Input {
        name,
        kind: InputKind::Text,
        required: false,
        default: None,
        options: Vec::new(),
        description: None,
    };
    if tree.node == Node::Null && !of_call {
        return Some(input);
    }
    reader.map(tree)?;
    reader.only(tree, if of_call { CALL_KEYS } else { DISPATCH_KEYS }, "an input");
    input.kind = match tree.field("type") {
        Some(kind) => input_kind(reader, kind, of_call)?,
        None if of_call => return reader.missing(tree, "type"),
        None => InputKind::Text,
    };
    input.required = tree.field("required").and_then(|tree| reader.plain_bool(tree)).unwrap_or(false);
    input.description =
        tree.field("description").and_then(|tree| reader.plain_text(tree)).map(|text| text.value);
    let slot = if of_call { Slot::Run } else { Slot::None };
    input.default = tree
        .field("default")
        .filter(|tree| tree.node != Node::Null)
        .and_then(|tree| reader.template(tree, slot));
    input.options = tree.field("options").map_or_else(Vec::new, |tree| reader.plain_list(tree));
    if input.kind == InputKind::Choice && input.options.is_empty() {
        return reader.missing(tree, "options");
    }
    check_default(reader, &input);
    Some(input)
}

fn check_default(reader: &mut Reader, input: &Input) {
    let Some(default) = &input.default else { return };
    let Some(value) = default.as_literal() else { return };
    if input.kind.convert(value).is_none() {
        let label = format!("the default of a {} input", input.kind.as_str());
        reader.error(default.span, unexpected(&default.text), label);
    }
}

fn input_kind(reader: &mut Reader, tree: &Tree, of_call: bool) -> Option<InputKind> {
    let text = reader.plain_text(tree)?;
    let all =
        [InputKind::Text, InputKind::Number, InputKind::Boolean, InputKind::Choice, InputKind::Environment];
    let offered = if of_call { all.get(..3) } else { Some(&all[..]) }.unwrap_or(&[]);
    let kind = offered.iter().copied().find(|kind| kind.as_str() == text.value);
    if kind.is_none() {
        let names: Vec<&str> = offered.iter().map(|kind| kind.as_str()).collect();
        reader.error(text.span, unexpected(&text.value), format!("the types are {}", names.join(", ")));
    }
    kind
}
