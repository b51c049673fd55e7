//! What CloudWatch keeps: alarms.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Record;
use super::ecs::{Body, Place, Tags};

/// A metric alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alarm {
    /// Where it is.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// What was written of it.
    pub body: Body,
    /// `ActionsEnabled`.
    pub is_active: bool,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Why, in words.
    pub reason: String,
    /// Why, as JSON.
    pub reason_data: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// When it was last written, milliseconds since 1970.
    pub configured_ms: i64,
    /// When its state was last set, milliseconds since 1970.
    pub updated_ms: i64,
    /// Since when it has its state, milliseconds since 1970.
    pub transitioned_ms: i64,
}

impl Alarm {
    /// Its ARN.
    pub fn arn(&self) -> String {
        arn(&self.place, &self.name)
    }

    /// Whether one of its actions begins so.
    pub fn has_action(&self, prefix: &str) -> bool {
        let lists = ["AlarmActions", "InsufficientDataActions", "OKActions"].into_iter();
        let actions = lists.filter_map(|list| self.body.get(list)?.as_array()).flatten();
        actions.filter_map(Value::as_str).any(|action| action.starts_with(prefix))
    }
}

/// The ARN of an alarm, which need not be there.
pub fn arn(place: &Place, name: &str) -> String {
    place.arn(&format!("alarm:{name}")).replacen(":ecs:", ":cloudwatch:", 1)
}

impl Record for Alarm {
    const KIND: &'static str = "cloudwatch-alarm";
    fn key(&self) -> String {
        self.place.key(&[&self.name])
    }
}
