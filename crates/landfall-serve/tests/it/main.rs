//! The AWS side from outside: a server on a free port, called over TCP with signatures, tokens and logins
//! made as any client makes them. What is expected stands in the tables of `cases/`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod bench;
mod client;
mod cloudwatch_doors;
mod codedeploy_doors;
mod decisions;
mod discovery;
mod door_table;
mod doors;
mod ecr_doors;
mod ecs_calls;
mod ecs_doors;
mod ecs_traffic;
mod edge;
mod eks_doors;
mod elsewhere;
mod exchange;
mod iam;
mod iam_doors;
mod logs_doors;
mod pods;
mod principals;
mod sessions;
mod slow;
mod sts;
mod task_definitions;
