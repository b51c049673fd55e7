//! Every row of every table is read by the evaluator, by the prover, and by an enumerator that tries all
//! requests of a small world one after the other on the plain reading in [`reference`].

use std::collections::{BTreeMap, BTreeSet};

use super::decisions::{layers, policies, request};
use super::*;
use crate::parse::OPERATORS;
use crate::prove::{Proof, allows};
use crate::region::{Coordinate, Others, Presence, Product, Region, Slot};
use crate::set::Language;

/// A row as layers and a request, with the answer that is written down.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) tree: Tree,
    allowed: bool,
    source: String,
}

fn case(name: String, text: &str, allowed: bool, source: String) -> Case {
    let (tree, problems) = json::parse(SourceId(0), text);
    assert!(problems.is_empty(), "{name}: {text} {problems:?}");
    Case { name, tree, allowed, source }
}

/// All rows of all tables about what a policy says.
pub(super) fn all_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for tree in rows(&read_cases("decisions.json")) {
        let field = |name| text(tree.field(name).unwrap()).to_owned();
        let allowed = field("verdict") == "allowed";
        cases.push(Case { name: field("name"), tree: tree.clone(), allowed, source: field("source") });
    }
    let tables =
        ["condition-matrix.json", "condition-special.json", "variable.json", "pattern.json", "action.json"];
    for file in tables {
        let table = read_cases(file);
        let sources = table.field("sources").unwrap();
        for row in rows(&table) {
            let cells = row.items();
            let id = text(cells.last().unwrap());
            let source =
                text(sources.field(id).unwrap_or_else(|| panic!("{file}: no source {id}"))).to_owned();
            cases.push(of_row(file, cells, source));
        }
    }
    cases
}

fn of_row(file: &str, cells: &[Tree], source: String) -> Case {
    let policy = |clauses: &str, version: &str| {
        format!(r#""identity":[{{"Version":{version},"Statement":[{{"Effect":"Allow",{clauses}}}]}}]"#)
    };
    let current = "\"2012-10-17\"";
    let (body, allowed) = match (file, cells) {
        ("variable.json", [element, wanted, got, keys, version, matches, ..]) => {
            let (element, wanted, got) = (quoted(text(element)), quoted(text(wanted)), quoted(text(got)));
            let mut keys: Vec<String> = keys
                .entries()
                .iter()
                .map(|(key, it)| format!("{}:{}", quoted(&key.text), quoted_list(&texts(it))))
                .collect();
            let (clauses, resource) = if element.ends_with("Resource\"") {
                (format!(r#""Action":"*",{element}:{wanted}"#), got)
            } else {
                keys.push(format!("\"test:Key\":{got}"));
                let condition = format!(r#""Condition":{{{element}:{{"test:Key":{wanted}}}}}"#);
                (format!(r#""Action":"*","Resource":"*",{condition}"#), quoted(REPOSITORY))
            };
            let policy = policy(&clauses, &quoted(text(version)));
            (format!(r#"{policy},"resource":{resource},"context":{{{}}}"#, keys.join(",")), flag(matches))
        }
        ("pattern.json", [wanted, got, matches, ..]) => {
            let clauses = format!(r#""Action":"*","Resource":{}"#, quoted(text(wanted)));
            (format!(r#"{},"resource":{}"#, policy(&clauses, current), quoted(text(got))), flag(matches))
        }
        ("action.json", [wanted, got, matches, ..]) => {
            let clauses = format!(r#""Action":{},"Resource":"*""#, quoted(text(wanted)));
            // Roles are taken by their trust policies' leave.
            let trust = format!(r#""Effect":"Allow","Principal":"*","Action":{}"#, quoted(text(wanted)));
            let trust = format!(r#""trust":{{"Version":{current},"Statement":{{{trust}}}}}"#);
            let action = quoted(text(got));
            (format!(r#"{},{trust},"action":{action}"#, policy(&clauses, current)), flag(matches))
        }
        (_, [operator, wanted, have, holds, ..]) => {
            let clauses = format!(
                r#""Action":"*","Resource":"*","Condition":{{{}:{{"test:Key":{}}}}}"#,
                quoted(text(operator)),
                quoted_list(&texts(wanted))
            );
            let context = match &have.node {
                Node::Null => String::new(),
                _ => format!("\"Test:key\":{}", quoted_list(&texts(have))),
            };
            (format!(r#"{},"context":{{{context}}}"#, policy(&clauses, current)), flag(holds))
        }
        other => panic!("no row: {other:?}"),
    };
    let name = format!("{file}: {body}");
    case(name, &format!("{{{body}}}"), allowed, source)
}

#[test]
fn every_row_is_read_alike_by_evaluator_prover_and_enumerator() {
    let cases = all_cases();
    let (mut worlds, mut requests, mut exact) = (0, 0, 0);
    for case in &cases {
        let name = &case.name;
        assert!(!case.source.is_empty(), "{name}: where is it written?");
        let (policies, request) = (policies(&case.tree), request(&case.tree));
        let layers = layers(&policies);
        let decision = decide(&layers, &request);
        assert_eq!(decision.is_allowed(), case.allowed, "{name}: {decision:#?}");
        assert_eq!(reference::allows(&case.tree, &request), case.allowed, "{name}: by the plain reading");
        let proof = allows(&layers, &Region::request(&request));
        let is_unread = !decision.unknown.is_empty();
        match &proof {
            Proof::Always => assert!(case.allowed && !is_unread, "{name}"),
            Proof::Never => assert!(!case.allowed && !is_unread, "{name}"),
            other => assert!(is_unread, "{name}: {other:?}"),
        }
        if is_unread {
            continue;
        }
        let world = World::of(&case.tree, &request);
        let (mut allowed, mut denied) = (false, false);
        for request in world.requests() {
            requests += 1;
            let is_allowed = reference::allows(&case.tree, &request);
            assert_eq!(decide(&layers, &request).is_allowed(), is_allowed, "{name}: {request:?}");
            assert_eq!(crate::decide::allows(&layers, &request), Some(is_allowed), "{name}: {request:?}");
            (allowed, denied) = (allowed || is_allowed, denied || !is_allowed);
        }
        worlds += 1;
        match allows(&layers, &world.region()) {
            Proof::Always => assert!(allowed && !denied, "{name}: proved always"),
            Proof::Never => assert!(!allowed && denied, "{name}: proved never"),
            Proof::Sometimes { allowed: one, denied: other } => {
                assert!(allowed && denied, "{name}: proved sometimes");
                assert!(reference::allows(&case.tree, &one), "{name}: {one:?}");
                assert!(!reference::allows(&case.tree, &other), "{name}: {other:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
        exact += 1;
    }
    assert!(cases.len() >= 1_700 && worlds >= 1_700, "{} rows, {worlds} worlds", cases.len());
    assert!(requests > 10 * worlds && exact == worlds, "{requests} requests, {exact} exact");
}

/// All requests of a few actions, resources and values of the keys that a row is about.
struct World {
    request: Request,
    actions: Vec<String>,
    resources: Vec<String>,
    /// What a key may hold; keys that stand for variables hold what the row says.
    keys: Vec<(String, Vec<Vec<String>>)>,
}

/// The most values that one key takes in a small world.
const VALUES_MAX: usize = 4;

/// The most requests of a small world.
const REQUESTS_MAX: usize = 150;

impl World {
    fn of(case: &Tree, request: &Request) -> Self {
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        collect(case, &mut wanted);
        for key in request.context.iter() {
            wanted.entry(key.name.to_lowercase()).or_default().extend(key.values.iter().cloned());
        }
        let variables = variables(case);
        let mut keys: Vec<(String, Vec<Vec<String>>)> = Vec::new();
        for (name, values) in wanted {
            let have = request.context.get(&name).map(<[String]>::to_vec);
            if variables.iter().any(|one| one.eq_ignore_ascii_case(&name)) {
                keys.push((name, have.into_iter().collect()));
                continue;
            }
            let mut values: Vec<String> = values.into_iter().take(VALUES_MAX).collect();
            values.push("none-of-these".to_owned());
            let mut may_hold: Vec<Vec<String>> = vec![Vec::new()];
            may_hold.extend(values.iter().map(|one| vec![one.clone()]));
            may_hold.extend(
                values
                    .iter()
                    .flat_map(|one| values.iter().map(move |other| vec![one.clone(), other.clone()])),
            );
            keys.push((name, may_hold));
        }
        let mut world = Self {
            request: request.clone(),
            actions: vec![request.action.clone(), "s3:GetObject".to_owned()],
            resources: vec![request.resource.clone(), "*".to_owned()],
            keys,
        };
        world.actions.dedup();
        world.resources.dedup();
        // Fewer values of a key, then one: the row's own, so that the row stays in its world.
        while world.count() > REQUESTS_MAX {
            let longest = world.keys.iter_mut().max_by_key(|(_, values)| values.len()).unwrap();
            let own = request.context.get(&longest.0).unwrap_or_default().to_vec();
            let is_shrunk = longest.1.len() <= 3;
            longest.1 =
                if is_shrunk { vec![own] } else { vec![Vec::new(), own, vec!["none-of-these".to_owned()]] };
            longest.1.dedup();
        }
        world
    }

    fn count(&self) -> usize {
        self.keys.iter().fold(self.actions.len() * self.resources.len(), |count, (_, values)| {
            count.saturating_mul(values.len().max(1))
        })
    }

    fn requests(&self) -> Vec<Request> {
        let mut all = Vec::new();
        for action in &self.actions {
            for resource in &self.resources {
                let mut request = self.request.clone();
                (request.action, request.resource) = (action.clone(), resource.clone());
                request.context = Context::new();
                all.push(request);
            }
        }
        for (name, may_hold) in &self.keys {
            let with = |request: &Request, values: &Vec<String>| {
                let mut request = request.clone();
                if !values.is_empty() {
                    request.context.set_all(name.clone(), values.clone());
                }
                request
            };
            if !may_hold.is_empty() {
                all = all.iter().flat_map(|one| may_hold.iter().map(|values| with(one, values))).collect();
            }
        }
        all
    }

    /// The same for the prover.
    fn region(&self) -> Region {
        let one_of = |texts: &[String]| Some(Language::one_of(texts.iter().map(String::as_str)));
        let mut coordinates = vec![
            Coordinate::of(Slot::Action, one_of(&self.actions), Presence::SINGLE),
            Coordinate::of(Slot::Resource, one_of(&self.resources), Presence::SINGLE),
        ];
        for (name, may_hold) in &self.keys {
            let slot = Slot::Key(name.clone());
            if let [values] = &may_hold[..] {
                coordinates.push(Coordinate::Fixed { slot, values: values.clone() });
                continue;
            }
            let has = |count: usize| may_hold.iter().any(|values| values.len() == count);
            let presence = Presence { absent: has(0), one: has(1), many: has(2) };
            let mut values: Vec<String> = may_hold.concat();
            values.sort_unstable();
            values.dedup();
            if !values.is_empty() {
                coordinates.push(Coordinate::of(slot, one_of(&values), presence));
            }
        }
        let product = Product {
            family: None,
            templates: None,
            principal: self.request.principal.clone(),
            resource_account: self.request.resource_account.clone(),
            coordinates,
            others: Others::Absent,
        };
        Region { products: vec![product] }
    }
}

/// The keys of all conditions with the values that are wanted of them.
fn collect(tree: &Tree, into: &mut BTreeMap<String, BTreeSet<String>>) {
    for (key, value) in tree.entries() {
        if key.text == "Condition" {
            for (_, keys) in value.entries() {
                for (name, values) in keys.entries() {
                    into.entry(name.text.to_lowercase()).or_default().extend(texts(values));
                }
            }
        } else {
            collect(value, into);
        }
    }
    tree.items().iter().for_each(|item| collect(item, into));
}

/// The keys that stand in variables.
fn variables(tree: &Tree) -> Vec<String> {
    let mut found: Vec<String> = tree.entries().iter().flat_map(|(_, value)| variables(value)).collect();
    found.extend(tree.items().iter().flat_map(variables));
    let mut rest = tree.as_text().unwrap_or("");
    while let Some((_, variable, after)) = crate::pattern::next_variable(rest) {
        found.push(crate::pattern::key_and_default(variable).0.to_owned());
        rest = after;
    }
    found
}

/// Every operator with every qualifier, with and without `IfExists`, on an absent key, an empty one, one
/// value that makes it hold and one that doesn't, and several values of both kinds and of each.
#[test]
fn the_matrix_has_no_hole() {
    let table = read_cases("condition-matrix.json");
    let mut seen: BTreeMap<&str, BTreeSet<(&str, bool)>> = BTreeMap::new();
    for row in rows(&table) {
        let [operator, _, have, holds, ..] = row.items() else { panic!("{row:?}") };
        let have = match (&have.node, have.items().len()) {
            (Node::Null, _) => "absent",
            (_, 0) => "empty",
            (_, 1) => "one",
            _ => "several",
        };
        seen.entry(text(operator)).or_default().insert((have, flag(holds)));
    }
    let mut holes = Vec::new();
    for (name, _) in OPERATORS {
        for qualifier in ["", "ForAllValues:", "ForAnyValue:"] {
            for suffix in if *name == "Null" { &[""][..] } else { &["", "IfExists"] } {
                let operator = format!("{qualifier}{name}{suffix}");
                let found = seen.get(operator.as_str()).cloned().unwrap_or_default();
                let has = |have: &str, holds: bool| found.contains(&(have, holds));
                let either = |have: &str| has(have, true) || has(have, false);
                // Without a qualifier nothing holds of several values but `Null`.
                let is_set = !qualifier.is_empty() || *name == "Null";
                let is_full = either("absent")
                    && either("empty")
                    && has("one", true)
                    && has("one", false)
                    && has("several", true) == is_set
                    && has("several", false);
                if !is_full {
                    holes.push((operator, found));
                }
            }
        }
    }
    assert!(holes.is_empty(), "{} holes: {holes:#?}", holes.len());
}
