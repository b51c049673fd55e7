//! Terraform: the files of one root module in, a typed model with places out.
//!
//! The way through: [`syntax`] parses HCL, [`module`] collects what is declared, [`eval`] and its
//! neighbours evaluate what the model needs, [`infra`] builds the model. Every value keeps the place
//! where it is written, through locals, variables, `jsonencode`, heredocs and
//! `aws_iam_policy_document`; what can't be known carries its cause; what is wrong is reported in
//! Terraform's own words and stops nothing else.

mod account;
mod calls;
mod cloudwatch;
mod codedeploy;
mod computed;
mod document;
mod doubts;
mod ecr;
mod ecs;
mod eks;
mod eval;
mod exclusive;
mod functions;
mod holders;
mod infra;
mod json_syntax;
pub mod json_text;
mod library;
mod looked_up;
mod loose;
mod model;
mod module;
mod overrides;
mod policy_document;
mod references;
mod resources;
mod scope;
mod states;
mod syntax;
mod template;
mod types;
mod unclosed;
mod unsure;
mod users;
mod value;

#[cfg(test)]
mod tests;

pub use doubts::{About, Doubt};
pub use holders::HolderKind;
pub use json_text::to_json;
pub use library::{Disk, NoDisk};
pub use loose::{Loose, Part};
pub use model::{
    AccountAlias, Attachment, CustomerPolicy, EcrCall, EcsCall, EcsCluster, EcsService, EcsSetting,
    EcsTaskDefinition, EksCluster, Group, Infra, InlinePolicy, InstanceProfile, LogGroup, Membership,
    OidcProvider, Output, PodIdentityAssociation, Repository, Role, ServiceLinkedRole, Settings, User,
};

use landfall_types::{Finding, SourceId, SourceMap};

/// A root module of Terraform.
pub struct Root<'a> {
    /// The files of its folder: `*.tf`, `terraform.tfvars`, `*.auto.tfvars`, and these with `.json` behind it. Sources
    /// are named by their paths.
    pub files: Vec<SourceId>,
    /// Further files of variables; a later one wins, and all win over those of the folder.
    pub values: Vec<SourceId>,
    /// What lies around it: the modules that it calls, and what `file()` and `templatefile()` name.
    pub disk: &'a dyn Disk,
}

/// Reads the root modules of one account, with all the modules that they call.
///
/// What could be understood is in the model, everything else in the findings; there is no input for
/// which there is neither.
pub fn read(sources: &SourceMap, roots: &[Root<'_>], settings: &Settings) -> (Infra, Vec<Finding>) {
    let (mut all, mut findings) = (Infra::default(), Vec::new());
    let states = states::of(sources, roots, settings);
    for (own, root) in roots.iter().enumerate() {
        let (infra, of_module) = read_root(sources, root, settings, (&states, own));
        all.join(infra);
        findings.extend(of_module);
    }
    all.doubt_twins();
    findings.extend(all.settle_looked_up());
    findings.extend(all.settle());
    findings.extend(all.take_unlisted());
    (all, findings)
}

fn read_root(
    sources: &SourceMap,
    root: &Root<'_>,
    settings: &Settings,
    (states, own): (&[states::State], usize),
) -> (Infra, Vec<Finding>) {
    let (library, mut findings) = library::Library::read(sources, root);
    let modules = library.modules(&mut findings);
    let reading = eval::Reading { settings, sources, files: &root.files, disk: root.disk, states, own };
    let Some(evaluator) = eval::Evaluator::root(&modules, reading) else {
        return (Infra::default(), findings);
    };
    let mut infra = infra::build(&evaluator);
    if let Some(module) = modules.first() {
        infra.variables.extend(module.variables.keys().map(ToString::to_string));
        infra.variables.extend(settings.variables.keys().filter(|name| module.looks_up(name)).cloned());
        if module.incomplete {
            infra.variables.extend(settings.variables.keys().cloned());
        }
    }
    findings.extend(evaluator.take_findings());
    (infra, findings)
}
