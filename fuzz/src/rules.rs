//! What GitLab's rules are made of: the first line is an expression, the second a pattern, the third a path, and
//! further lines are variables (`NAME=VALUE`), which refer to each other.

use landfall_check::gitlab::expression::Expression;
use landfall_check::gitlab::{Variable, Variables, facts, glob, variables};

/// Does it with one input.
pub fn run(bytes: &[u8]) {
    let mut lines = super::text(bytes).split('\n');
    let mut next = || lines.next().unwrap_or("");
    let (expression, pattern, path) = (next(), next(), next());
    let mut known = Variables::default();
    known.set(Variable::predefined("CI_COMMIT_BRANCH", "main"));
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        known.set(Variable { expand: true, ..Variable::predefined(name, value) });
    }
    if let Ok(expression) = Expression::parse(expression) {
        let _ = expression.holds(&known);
    }
    if glob::is_plain(pattern) {
        // What has nothing of a pattern in it stands for itself alone.
        assert!(!glob::fits(pattern, path) || pattern == path, "{pattern:?} {path:?}");
    } else {
        let _ = glob::fits(pattern, path);
    }
    let _ = known.values();
    let _ = known.replace(path);
    let _ = variables::replace(pattern, &mut |name| known.value(name));
    let slug = facts::slug(path);
    assert!(
        slug.len() <= 63 && slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
        "{slug}"
    );
}
