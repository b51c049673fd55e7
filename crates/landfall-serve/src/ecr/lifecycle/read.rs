//! The JSON of a lifecycle policy, read as ECR's schema has it, and written as ECR gives it back.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/lifecycle_policy_parameters.html>

use landfall_wire::error::AwsError;
use landfall_wire::json::ecr_invalid_parameter;
use serde_json::{Map, Value, json};

use super::{Action, Count, LifecyclePolicy, Rule, StorageClass, TagSelection};

/// Rules of one policy (service quota).
const RULES_MAX: usize = 50;
/// Wildcards of one tag pattern.
const PATTERN_WILDCARDS_MAX: usize = 4;
/// An archived image is kept for at least so many days.
const ARCHIVED_DAYS_MIN: u32 = 90;

/// Reads a policy.
///
/// # Errors
/// `InvalidParameterException` with the words of ECR's schema validator (observed in clients' reports), or
/// its own sentences for what a schema can't say.
pub(crate) fn parse(text: &str) -> Result<LifecyclePolicy, AwsError> {
    read(text).map_err(|reason| {
        ecr_invalid_parameter(
            "LifecyclePolicyText",
            &format!("Lifecycle policy validation failure: {reason}"),
        )
    })
}

fn read(text: &str) -> Result<LifecyclePolicy, String> {
    let value: Value = serde_json::from_str(text).map_err(|_| UNREADABLE)?;
    let members = value.as_object().ok_or(UNREADABLE)?;
    check_members(members, &["rules"], &["rules"])?;
    let rules = array(members, "rules")?;
    match rules.len() {
        0 => return Err(too_short()),
        count if count > RULES_MAX => {
            return Err(format!(
                "array is too long: must have at most {RULES_MAX} elements but instance has {count} elements\n"
            ));
        }
        _ => {}
    }
    let mut rules: Vec<Rule> = rules.iter().map(rule).collect::<Result<_, _>>()?;
    rules.sort_by_key(|rule| rule.priority);
    check_together(&rules)?;
    Ok(LifecyclePolicy { rules })
}

const UNREADABLE: &str = "Could not map policyString into LifecyclePolicy.";

fn rule(value: &Value) -> Result<Rule, String> {
    let members = object(value)?;
    check_members(members, &["action", "rulePriority", "selection"], &["description"])?;
    let selection = object(members.get("selection").unwrap_or(&Value::Null))?;
    check_members(
        selection,
        &["countNumber", "countType", "tagStatus"],
        &["countUnit", "storageClass", "tagPatternList", "tagPrefixList"],
    )?;
    let storage = match optional_text(selection, "storageClass")? {
        None => None,
        Some("standard") => Some(StorageClass::Standard),
        Some("archive") => Some(StorageClass::Archive),
        Some(other) => return Err(not_in_enum(other, &["archive", "standard"])),
    };
    let rule = Rule {
        priority: positive(members, "rulePriority")?,
        description: optional_text(members, "description")?.map(str::to_owned),
        tags: tag_selection(selection)?,
        count: count(selection)?,
        storage,
        action: action(object(members.get("action").unwrap_or(&Value::Null))?)?,
    };
    check_rule(&rule)?;
    Ok(rule)
}

fn action(members: &Map<String, Value>) -> Result<Action, String> {
    check_members(members, &["type"], &["targetStorageClass"])?;
    match (text(members, "type")?, optional_text(members, "targetStorageClass")?) {
        ("expire", None) => Ok(Action::Expire),
        ("transition", Some("archive")) => Ok(Action::Archive),
        ("transition", Some(other)) => Err(not_in_enum(other, &["archive"])),
        ("expire" | "transition", _) => Err(no_schema()),
        (other, _) => Err(not_in_enum(other, &["expire", "transition"])),
    }
}

fn tag_selection(selection: &Map<String, Value>) -> Result<TagSelection, String> {
    let prefixes = texts(selection, "tagPrefixList")?;
    let patterns = texts(selection, "tagPatternList")?;
    match (text(selection, "tagStatus")?, prefixes, patterns) {
        ("tagged", Some(prefixes), None) => Ok(TagSelection::Prefixes(prefixes)),
        ("tagged", None, Some(patterns)) => {
            match patterns.iter().find(|pattern| wildcards(pattern) > PATTERN_WILDCARDS_MAX) {
                None => Ok(TagSelection::Patterns(patterns)),
                Some(pattern) => Err(format!(
                    "tagPatternList: '{pattern}' has {} wildcards, at most {PATTERN_WILDCARDS_MAX} are allowed.",
                    wildcards(pattern)
                )),
            }
        }
        ("tagged", None, None) => {
            Err("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.".to_owned())
        }
        ("tagged", Some(_), Some(_)) => {
            Err("tagPrefixList and tagPatternList cannot both be specified in one rule.".to_owned())
        }
        ("untagged", None, None) => Ok(TagSelection::Untagged),
        ("any", None, None) => Ok(TagSelection::Any),
        (status @ ("untagged" | "any"), ..) => Err(format!(
            "tagPrefixList and tagPatternList can only be specified when tagStatus=TAGGED, not {}.",
            status.to_ascii_uppercase()
        )),
        (other, ..) => Err(not_in_enum(other, &["any", "tagged", "untagged"])),
    }
}

fn wildcards(pattern: &str) -> usize {
    pattern.bytes().filter(|byte| *byte == b'*').count()
}

fn count(selection: &Map<String, Value>) -> Result<Count, String> {
    let number = positive(selection, "countNumber")?;
    let in_days = match optional_text(selection, "countUnit")? {
        None => false,
        Some("days") => true,
        Some(other) => return Err(not_in_enum(other, &["days"])),
    };
    match (text(selection, "countType")?, in_days) {
        ("imageCountMoreThan", false) => Ok(Count::MoreThan(number)),
        ("sinceImagePushed", true) => Ok(Count::DaysSincePushed(number)),
        ("sinceImagePulled", true) => Ok(Count::DaysSincePulled(number)),
        ("sinceImageTransitioned", true) => Ok(Count::DaysSinceTransitioned(number)),
        _ => Err(no_schema()),
    }
}

/// What the members of one rule may not say together.
fn check_rule(rule: &Rule) -> Result<(), String> {
    let is_archived = rule.storage == Some(StorageClass::Archive);
    match (rule.count, rule.action) {
        (Count::DaysSinceTransitioned(days), Action::Expire) if is_archived => {
            if days < ARCHIVED_DAYS_MIN {
                return Err(too_low(ARCHIVED_DAYS_MIN, &json!(days)));
            }
            Ok(())
        }
        (Count::DaysSincePulled(_), Action::Archive) if !is_archived => Ok(()),
        (Count::MoreThan(_) | Count::DaysSincePushed(_), _) if !is_archived => Ok(()),
        _ => Err(no_schema()),
    }
}

/// What rules may not say together.
fn check_together(rules: &[Rule]) -> Result<(), String> {
    if rules.windows(2).any(|pair| matches!(pair, [one, other] if one.priority == other.priority)) {
        return Err("Rule priorities must be unique.".to_owned());
    }
    for storage in [StorageClass::Standard, StorageClass::Archive] {
        let of_class: Vec<&Rule> =
            rules.iter().filter(|rule| rule.storage.unwrap_or_default() == storage).collect();
        if of_class.iter().filter(|rule| rule.tags == TagSelection::Untagged).count() > 1 {
            return Err("Only one rule can select Untagged images per storage class.".to_owned());
        }
        let any_before_others = of_class.iter().rev().skip(1).any(|rule| rule.tags == TagSelection::Any);
        if any_before_others {
            return Err("Rule for tagStatus=ANY must have the lowest priority per storage class".to_owned());
        }
        let lists: Vec<Vec<&String>> = of_class.iter().filter_map(|rule| sorted_list(&rule.tags)).collect();
        if lists
            .iter()
            .enumerate()
            .any(|(index, list)| lists.iter().skip(index + 1).any(|other| other == list))
        {
            return Err("The tagPrefixList or tagPatternList of each rule must be unique per storage class."
                .to_owned());
        }
    }
    Ok(())
}

fn sorted_list(tags: &TagSelection) -> Option<Vec<&String>> {
    let (TagSelection::Prefixes(list) | TagSelection::Patterns(list)) = tags else { return None };
    let mut list: Vec<&String> = list.iter().collect();
    list.sort();
    Some(list)
}

fn check_members(members: &Map<String, Value>, required: &[&str], optional: &[&str]) -> Result<(), String> {
    let missing: Vec<&&str> = required.iter().filter(|name| !members.contains_key(**name)).collect();
    if !missing.is_empty() {
        return Err(format!("object has missing required properties ({})\n", json!(missing)));
    }
    let mut unknown: Vec<&String> = members
        .keys()
        .filter(|name| !required.contains(&name.as_str()) && !optional.contains(&name.as_str()))
        .collect();
    unknown.sort();
    if !unknown.is_empty() {
        return Err(format!(
            "object instance has properties which are not allowed by the schema: {}\n",
            json!(unknown)
        ));
    }
    Ok(())
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| wrong_type(value, "object"))
}

fn array<'v>(members: &'v Map<String, Value>, name: &str) -> Result<&'v Vec<Value>, String> {
    let value = members.get(name).unwrap_or(&Value::Null);
    value.as_array().ok_or_else(|| wrong_type(value, "array"))
}

fn text<'v>(members: &'v Map<String, Value>, name: &str) -> Result<&'v str, String> {
    let value = members.get(name).unwrap_or(&Value::Null);
    value.as_str().ok_or_else(|| wrong_type(value, "string"))
}

fn optional_text<'v>(members: &'v Map<String, Value>, name: &str) -> Result<Option<&'v str>, String> {
    match members.get(name) {
        None => Ok(None),
        // Observed: Terraform writes it for what is not set.
        Some(Value::Null) => Err(no_schema()),
        Some(_) => text(members, name).map(Some),
    }
}

fn texts(members: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, String> {
    match members.get(name) {
        None => return Ok(None),
        Some(Value::Null) => return Err(no_schema()),
        Some(_) => {}
    }
    let items = array(members, name)?;
    if items.is_empty() {
        return Err(too_short());
    }
    let items = items
        .iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong_type(item, "string")))
        .collect::<Result<_, _>>()?;
    Ok(Some(items))
}

fn positive(members: &Map<String, Value>, name: &str) -> Result<u32, String> {
    let value = members.get(name).unwrap_or(&Value::Null);
    if !value.is_i64() && !value.is_u64() {
        return Err(wrong_type(value, "integer"));
    }
    match value.as_u64() {
        None | Some(0) => Err(too_low(1, value)),
        Some(number) => u32::try_from(number).map_err(|_| {
            format!(
                "numeric instance is greater than the required maximum (maximum: {}, found: {number})\n",
                u32::MAX
            )
        }),
    }
}

fn too_low(minimum: u32, found: &Value) -> String {
    format!("numeric instance is lower than the required minimum (minimum: {minimum}, found: {found})\n")
}

fn too_short() -> String {
    "array is too short: must have at least 1 elements but instance has 0 elements\n".to_owned()
}

fn not_in_enum(found: &str, known: &[&str]) -> String {
    format!("instance value ({}) not found in enum (possible values: {})\n", json!(found), json!(known))
}

/// A rule is one of four shapes, one for each way of counting (observed).
fn no_schema() -> String {
    "instance failed to match exactly one schema (matched 0 out of 4)\n".to_owned()
}

fn wrong_type(found: &Value, allowed: &str) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("instance type ({found}) does not match any allowed primitive type (allowed: [\"{allowed}\"])\n")
}

impl LifecyclePolicy {
    /// The policy without white space and with its rules in the order of their priorities, as ECR gives it
    /// back (observed).
    pub(crate) fn to_json(&self) -> String {
        Value::from_iter([("rules", self.rules.iter().map(Rule::to_json).collect::<Value>())]).to_string()
    }
}

impl Rule {
    fn to_json(&self) -> Value {
        let mut selection = Map::new();
        let (status, list) = match &self.tags {
            TagSelection::Prefixes(prefixes) => ("tagged", Some(("tagPrefixList", prefixes))),
            TagSelection::Patterns(patterns) => ("tagged", Some(("tagPatternList", patterns))),
            TagSelection::Untagged => ("untagged", None),
            TagSelection::Any => ("any", None),
        };
        selection.insert("tagStatus".to_owned(), status.into());
        if let Some((name, list)) = list {
            selection.insert(name.to_owned(), json!(list));
        }
        if let Some(storage) = self.storage {
            selection.insert(
                "storageClass".to_owned(),
                json!(storage).as_str().unwrap_or_default().to_lowercase().into(),
            );
        }
        let (kind, number) = match self.count {
            Count::MoreThan(count) => ("imageCountMoreThan", count),
            Count::DaysSincePushed(days) => ("sinceImagePushed", days),
            Count::DaysSincePulled(days) => ("sinceImagePulled", days),
            Count::DaysSinceTransitioned(days) => ("sinceImageTransitioned", days),
        };
        selection.insert("countType".to_owned(), kind.into());
        if !matches!(self.count, Count::MoreThan(_)) {
            selection.insert("countUnit".to_owned(), "days".into());
        }
        selection.insert("countNumber".to_owned(), number.into());
        let mut rule = Map::new();
        rule.insert("rulePriority".to_owned(), self.priority.into());
        if let Some(description) = &self.description {
            rule.insert("description".to_owned(), description.as_str().into());
        }
        rule.insert("selection".to_owned(), Value::Object(selection));
        rule.insert(
            "action".to_owned(),
            match self.action {
                Action::Expire => json!({ "type": "expire" }),
                Action::Archive => json!({ "type": "transition", "targetStorageClass": "archive" }),
            },
        );
        Value::Object(rule)
    }
}
