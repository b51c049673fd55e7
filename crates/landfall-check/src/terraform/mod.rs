//! Terraform: the files of one root module in, a typed model with places out.
//!
//! The way through: [`syntax`] parses HCL, [`module`] collects what is declared, [`eval`] and its
//! neighbours evaluate what the model needs, [`infra`] builds the model. Every value keeps the place
//! where it is written, through locals, variables, `jsonencode`, heredocs and
//! `aws_iam_policy_document`; what can't be known carries its cause; what is wrong is reported in
//! Terraform's own words and stops nothing else.

mod computed;
mod document;
mod ecr;
mod ecs;
mod eks;
mod eval;
mod functions;
mod infra;
pub mod json_text;
mod looked_up;
mod loose;
mod model;
mod module;
mod policy_document;
mod references;
mod resources;
mod scope;
mod syntax;
mod template;
mod types;
mod unclosed;
mod users;
mod value;

#[cfg(test)]
mod tests;

pub use json_text::to_json;
pub use loose::{Loose, Part};
pub use model::{
    Attachment, CustomerPolicy, EcrCall, EcsCluster, EcsService, EcsSetting, EcsTaskDefinition, EksCluster,
    Infra, InlinePolicy, OidcProvider, Output, PodIdentityAssociation, Repository, Role, Settings, User,
};

use landfall_types::{Finding, SourceId, SourceMap};

/// Reads the root modules of one account. The files of each are those of its folder: `*.tf`, `terraform.tfvars`,
/// `*.auto.tfvars`, and any other text that `file()` or `templatefile()` may name. Sources are named by their paths.
///
/// What could be understood is in the model, everything else in the findings; there is no input for
/// which there is neither.
pub fn read(sources: &SourceMap, modules: &[Vec<SourceId>], settings: &Settings) -> (Infra, Vec<Finding>) {
    let (mut all, mut findings) = (Infra::default(), Vec::new());
    for files in modules {
        let (infra, of_module) = read_module(sources, files, settings);
        all.join(infra);
        findings.extend(of_module);
    }
    findings.extend(all.settle_looked_up());
    findings.extend(all.settle());
    (all, findings)
}

fn read_module(sources: &SourceMap, files: &[SourceId], settings: &Settings) -> (Infra, Vec<Finding>) {
    let (parsed, mut findings, incomplete) = module::parse(sources, files);
    let module = module::Module::collect(&parsed, incomplete, &mut findings);
    let evaluator = eval::Evaluator::new(&module, settings, sources, files);
    let infra = infra::build(&evaluator);
    findings.extend(evaluator.into_findings());
    (infra, findings)
}
