//! A decision clause by clause: every statement of every layer that was consulted, with what each of
//! its clauses wanted, what the request had, and whether it holds.

use crate::ast::Effect;
use crate::decide::{Layers, consulted};
use crate::decision::{Clause, StatementRef};
use crate::matching::{clauses, statement_ref};
use crate::request::Request;

/// One statement and its clauses.
#[derive(Clone, PartialEq, Debug)]
pub struct StatementTrace {
    /// The statement.
    pub statement: StatementRef,
    /// What it does when it applies.
    pub effect: Effect,
    /// Principal, action, resource, then conditions, each with whether it holds. Elements that the
    /// kind of policy doesn't have are left out.
    pub clauses: Vec<(Clause, bool)>,
}

impl StatementTrace {
    /// Whether the statement applies to the request.
    pub fn applies(&self) -> bool {
        self.clauses.iter().all(|(_, holds)| *holds)
    }
}

/// Every statement that was consulted, in the order of layers and of writing.
pub fn trace(layers: &Layers<'_>, request: &Request) -> Vec<StatementTrace> {
    let mut traces = Vec::new();
    for (layer, policies) in consulted(layers, request) {
        for named in policies {
            for (index, statement) in named.policy.statements.iter().enumerate() {
                let is_written = |clause: &Clause, holds: bool| match clause {
                    Clause::Principal { .. } => statement.principal.is_some() || !holds,
                    Clause::Resource { .. } => statement.resource.is_some() || !holds,
                    Clause::Action { .. } | Clause::Condition { .. } => true,
                };
                let all = clauses(layer, named, statement, request).map(|(clause, holds)| (clause(), holds));
                traces.push(StatementTrace {
                    statement: statement_ref(layer, named, index, statement),
                    effect: statement.effect,
                    clauses: all.filter(|(clause, holds)| is_written(clause, *holds)).collect(),
                });
            }
        }
    }
    traces
}
