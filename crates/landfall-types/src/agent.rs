//! How Landfall's own calls name themselves: `User-Agent`.

/// How the name begins; the version follows.
pub const NAME: &str = "landfall/";
/// Stands in the name of a call that only tells more, and without whose answer all goes on. It has the form of the
/// metadata in the user agents of AWS's SDKs; CloudTrail shows it as well.
pub const OPTIONAL: &str = "md/optional";

/// Whether whoever called does without the answer.
pub fn is_optional(user_agent: &str) -> bool {
    let mut words = user_agent.split(' ');
    words.next().is_some_and(|name| name.starts_with(NAME)) && words.any(|word| word == OPTIONAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_word_counts() {
        for (agent, wanted) in [
            ("landfall/0.1.0 md/optional", true),
            ("landfall/0.1.0 md/another md/optional", true),
            ("landfall/0.1.0", false),
            ("landfall/0.1.0 md/optional-not", false),
            ("aws-cli/2.31 md/optional", false),
            ("", false),
        ] {
            assert_eq!(is_optional(agent), wanted, "{agent}");
        }
    }
}
