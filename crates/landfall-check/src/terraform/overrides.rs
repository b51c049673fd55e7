//! Override files: `override.tf`, `*_override.tf`, and the same in JSON, merged into what the other files declare.
//! <https://developer.hashicorp.com/terraform/language/files/override>
//!
//! An argument takes the place of the one of its name, a nested block that of all blocks of its kind, `dynamic` ones
//! included; what `lifecycle` says is merged argument by argument. Files are merged in the order of their names.

use std::collections::BTreeSet;

use landfall_types::Finding;

use super::syntax::{Attribute, Block, Body, ExprKind};

/// Whether a file's name, without what it ends with, is that of an override file.
pub(super) fn is_override(stem: &str) -> bool {
    stem == "override" || stem.ends_with("_override")
}

/// Merges the blocks of an override file into those of the module. What is neither there nor may be new is reported.
pub(super) fn merge(module: &mut [&mut Body], over: Body) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut new = Vec::new();
    for block in over.blocks {
        match block.kind.as_str() {
            "locals" => new.extend(merge_locals(module, block)),
            // What they say is for Terraform itself.
            "terraform" | "check" => {}
            "moved" | "import" | "removed" => {
                let message = format!(
                    "Cannot override \"{0}\" blocks: {0} blocks can appear only in normal files, not in override files.",
                    block.kind
                );
                findings.push(
                    Finding::error("terraform-override", message).at(block.header, "this block is left out"),
                );
            }
            _ => match base(module, &block) {
                Some(base) => merge_block(base, block),
                None if block.kind == "provider" && alias(&block).is_none() => new.push(block),
                None => findings.push(nothing_to_override(&block)),
            },
        }
    }
    if let Some(first) = module.first_mut() {
        first.blocks.extend(new);
    }
    findings
}

/// The block that an overriding one is about.
fn base<'m>(module: &'m mut [&mut Body], over: &Block) -> Option<&'m mut Block> {
    let is_it = |block: &&mut Block| {
        block.kind == over.kind
            && block.labels == over.labels
            && (over.kind != "provider" || alias(block) == alias(over))
    };
    module.iter_mut().flat_map(|body| &mut body.blocks).find(is_it)
}

fn alias(block: &Block) -> Option<&str> {
    match &block.body.attribute("alias")?.value.kind {
        ExprKind::Text(text) => Some(text),
        _ => None,
    }
}

fn merge_block(base: &mut Block, over: Block) {
    let Body { attributes, blocks } = over.body;
    // The two exclude each other: one that is set takes the place of the other.
    for (set, other) in [("count", "for_each"), ("for_each", "count")] {
        let says = |name: &str| attributes.iter().any(|attribute| attribute.name == name);
        if says(set) && !says(other) {
            base.body.attributes.retain(|attribute| attribute.name != other);
        }
    }
    merge_attributes(&mut base.body, attributes);
    let (lifecycles, blocks): (Vec<Block>, Vec<Block>) =
        blocks.into_iter().partition(|block| block.kind == "lifecycle");
    let replaced: BTreeSet<String> = blocks.iter().map(|block| made_kind(block).to_owned()).collect();
    base.body.blocks.retain(|block| !replaced.contains(made_kind(block)));
    base.body.blocks.extend(blocks);
    for lifecycle in lifecycles {
        match base.body.blocks.iter_mut().find(|block| block.kind == "lifecycle") {
            Some(own) => merge_attributes(&mut own.body, lifecycle.body.attributes),
            None => base.body.blocks.push(lifecycle),
        }
    }
}

fn merge_attributes(base: &mut Body, over: Vec<Attribute>) {
    for attribute in over {
        match base.attributes.iter_mut().find(|own| own.name == attribute.name) {
            Some(own) => *own = attribute,
            None => base.attributes.push(attribute),
        }
    }
}

/// The kind of block that a block is, or makes.
fn made_kind(block: &Block) -> &str {
    match block.labels.first() {
        Some(label) if block.kind == "dynamic" => label,
        _ => &block.kind,
    }
}

/// Each value takes the place of the one of its name; those that are new stay a block of their own.
fn merge_locals(module: &mut [&mut Body], mut over: Block) -> Option<Block> {
    let mut new = Vec::new();
    for attribute in over.body.attributes {
        let locals =
            module.iter_mut().flat_map(|body| &mut body.blocks).filter(|block| block.kind == "locals");
        let own = locals.flat_map(|block| &mut block.body.attributes).find(|own| own.name == attribute.name);
        match own {
            Some(own) => *own = attribute,
            None => new.push(attribute),
        }
    }
    over.body.attributes = new;
    (!over.body.attributes.is_empty()).then_some(over)
}

/// Terraform's own sentences.
fn nothing_to_override(block: &Block) -> Finding {
    let label = |index: usize| block.labels.get(index).map_or("", String::as_str);
    let (missing, what, thing) = match block.kind.as_str() {
        "resource" => ("resource", format!("{} resource named \"{}\"", label(0), label(1)), "resource block"),
        "data" => {
            ("data resource", format!("{} data resource named \"{}\"", label(0), label(1)), "data block")
        }
        "module" => ("module call", format!("module call named \"{}\"", label(0)), "module call"),
        "variable" => ("base variable declaration", format!("variable named \"{}\"", label(0)), "variable"),
        "output" => ("base output definition", format!("output named \"{}\"", label(0)), "output"),
        "provider" => {
            let alias = alias(block).unwrap_or_default();
            (
                "base provider configuration",
                format!("{} provider configuration with the alias \"{alias}\"", label(0)),
                "provider configuration",
            )
        }
        kind => ("block", format!("{kind} block of this name"), "block"),
    };
    let message = format!(
        "Missing {missing} to override: There is no {what}. An override file can only override a {thing} that was \
         already declared in a primary configuration file."
    );
    Finding::error("terraform-override", message).at(block.header, "this block is left out")
}
