//! The variables of a container: `envFrom`, `env`, and what `$(NAME)` stands for.
//! <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#environment-variables>

use landfall_types::{Finding, Span, Tree};

use super::{Pod, find, text};

/// Where else a value may come from, and that it isn't read.
const ELSEWHERE: &str = "ConfigMaps of the manifest are read, and the pod's name, namespace and service account; Secrets and all else are not: give a value";

/// The variables in their order; of two with one name the later one counts.
pub(super) fn of(
    container: &Tree,
    pod: &Pod,
    objects: &[&Tree],
) -> Result<Vec<(String, String)>, Box<Finding>> {
    let mut env: Vec<(String, String)> = Vec::new();
    for source in container.field("envFrom").map(Tree::items).unwrap_or_default() {
        for (name, value) in all_of(source, pod, objects)? {
            set(&mut env, name, value);
        }
    }
    for variable in container.field("env").map(Tree::items).unwrap_or_default() {
        let name = text(Some(variable), "name").unwrap_or_default();
        let value = match (text(Some(variable), "value"), variable.field("valueFrom")) {
            (Some(value), _) => Some(expand(&value, &env)),
            (None, Some(from)) => value_from(&name, from, variable.span, pod, objects)?,
            // Neither is an empty text.
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            set(&mut env, name, value);
        }
    }
    Ok(env)
}

fn set(env: &mut Vec<(String, String)>, name: String, value: String) {
    env.retain(|(known, _)| *known != name);
    env.push((name, value));
}

/// An item of `envFrom`.
fn all_of(source: &Tree, pod: &Pod, objects: &[&Tree]) -> Result<Vec<(String, String)>, Box<Finding>> {
    let prefix = text(Some(source), "prefix").unwrap_or_default();
    let Some(reference) = source.field("configMapRef") else {
        let message = "the variables of this `envFrom` are not in the manifest".to_owned();
        return Err(elsewhere(message, source.span));
    };
    let name = text(Some(reference), "name").unwrap_or_default();
    match find(objects, "ConfigMap", &pod.namespace, &name) {
        Some(map) => {
            let data = map.field("data").into_iter().flat_map(Tree::entries);
            let values =
                data.filter_map(|(key, value)| Some((format!("{prefix}{}", key.text), value.scalar()?)));
            Ok(values.filter(|(name, _)| is_name(name)).collect())
        }
        None if is_optional(reference) => Ok(Vec::new()),
        None => Err(no_map(&name, pod, source.span)),
    }
}

/// `valueFrom`; none where the variable is not there at all.
fn value_from(
    variable: &str,
    from: &Tree,
    span: Span,
    pod: &Pod,
    objects: &[&Tree],
) -> Result<Option<String>, Box<Finding>> {
    let not_here = || format!("the value of `{variable}` is not in the manifest");
    if let Some(reference) = from.field("configMapKeyRef") {
        let name = text(Some(reference), "name").unwrap_or_default();
        let key = text(Some(reference), "key").unwrap_or_default();
        let map = find(objects, "ConfigMap", &pod.namespace, &name);
        let value = map.and_then(|map| text(map.field("data"), &key));
        return match (value, map) {
            (Some(value), _) => Ok(Some(value)),
            (None, _) if is_optional(reference) => Ok(None),
            (None, Some(_)) => Err(elsewhere(not_here(), span)),
            (None, None) => Err(no_map(&name, pod, span)),
        };
    }
    match text(from.field("fieldRef"), "fieldPath").as_deref() {
        Some("metadata.name") => Ok(Some(pod.name.clone())),
        Some("metadata.namespace") => Ok(Some(pod.namespace.clone())),
        Some("spec.serviceAccountName") => Ok(Some(pod.service_account.clone())),
        _ => Err(elsewhere(not_here(), span)),
    }
}

fn is_optional(reference: &Tree) -> bool {
    text(Some(reference), "optional").as_deref() == Some("true")
}

fn no_map(name: &str, pod: &Pod, span: Span) -> Box<Finding> {
    let message = format!("the ConfigMap `{name}` of namespace `{}` is not in the manifest", pod.namespace);
    elsewhere(message, span)
}

fn elsewhere(message: String, span: Span) -> Box<Finding> {
    Box::new(Finding::error("kubernetes-pod", message).at(span, "this").help(ELSEWHERE))
}

/// Keys of a ConfigMap that can't be a variable's name are left out, as by the kubelet.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| !c.is_ascii_control() && c != '=' && c.is_ascii();
    !name.is_empty() && name.chars().all(is_part)
}

/// `$(NAME)` is the variable's value, or stays where there is no such variable; `$$` is a dollar sign.
/// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>
pub(super) fn expand(value: &str, env: &[(String, String)]) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let Some((name, after_it)) = reference else {
            expanded.push('$');
            rest = after;
            continue;
        };
        match env.iter().find(|(known, _)| known == name) {
            Some((_, value)) => expanded.push_str(value),
            None => expanded.push_str(&format!("$({name})")),
        }
        rest = after_it;
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn references_are_expanded_as_by_the_kubelet() {
        let env = [("A".to_owned(), "x".to_owned()), ("B".to_owned(), "$(A)".to_owned())];
        for (value, wanted) in [
            ("$(A)", "x"),
            ("-$(A)-$(A)-", "-x-x-"),
            ("$(B)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$x"),
            ("$(NONE)", "$(NONE)"),
            ("$A ${A} $", "$A ${A} $"),
            ("echo $$", "echo $"),
            ("$(A", "$(A"),
            ("$()", "$()"),
        ] {
            assert_eq!(expand(value, &env), wanted, "{value}");
        }
    }
}
