//! A new task definition onto ECS services, watched until it really is stable or the true reason why not.
//!
//! [`plan`] says what would change and touches nothing; [`roll::out`] registers and updates; [`watch`] looks
//! at the services until each has an end. What an end is, [`verdict`] decides from one look at a service.

pub mod cause;
pub mod codedeploy;
pub mod definition;
pub mod denied;
pub mod diff;
pub mod ecs;
pub mod edit;
pub mod interrupt;
pub mod logs;
pub mod members;
pub mod names;
pub mod plan;
pub mod roll;
pub mod rollback;
pub mod run_task;
pub mod story;
#[cfg(test)]
mod tests;
pub mod verdict;
pub mod view;
pub mod watch;
pub mod words;
