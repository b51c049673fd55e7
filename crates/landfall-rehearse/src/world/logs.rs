//! Log groups, as the provider makes them; one that is there from an earlier start is brought up to date.

use landfall_check::terraform;
use landfall_serve::logs;
use landfall_serve::store::ecs::Place;
use landfall_serve::store::logs::group_arn;
use landfall_types::tree::Key;
use landfall_types::{Finding, Node, Tree};

use super::Seeder;

impl Seeder<'_> {
    pub(super) fn log_group_arn(&self, group: &terraform::LogGroup) -> String {
        group_arn(&Place { account: self.account, region: group.region.clone() }, &group.name.value)
    }

    /// A log group, its retention and its tags. The class and the key can't be changed: they stay as they are.
    pub(super) fn log_group(&self, group: &terraform::LogGroup) -> Result<(), Finding> {
        let arn = self.log_group_arn(group);
        let call = |operation: &str, members: &[(&str, Node)], more: Option<(&str, &Tree)>| {
            let span = group.span;
            let key = |name: &str| Key { text: name.to_owned(), span };
            let own = members.iter().map(|(name, node)| (key(name), Tree::new(node.clone(), span)));
            let more = more.into_iter().map(|(name, tree)| (key(name), tree.clone()));
            let input = Tree::new(Node::Map(own.chain(more).collect()), span);
            self.handle(logs::handle, operation, &group.region, (&input, span)).map(|_| ())
        };
        let name = ("logGroupName", Node::Text(group.name.value.clone()));
        if self.is_there(&arn) {
            if let Some(tags) = group.input.entries().iter().find(|(key, _)| key.text == "tags") {
                call("TagResource", &[("resourceArn", Node::Text(arn))], Some(("tags", &tags.1)))?;
            }
        } else {
            self.handle(logs::handle, "CreateLogGroup", &group.region, (&group.input, group.span))?;
        }
        match &group.retention_days {
            Some(days) => {
                let days = ("retentionInDays", Node::Number(days.value.to_string()));
                call("PutRetentionPolicy", &[name, days], None)
            }
            None => call("DeleteRetentionPolicy", &[name], None),
        }
    }
}
