//! EKS in Terraform: clusters and Pod Identity associations, as the input of the API calls that the provider
//! would make.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/eks_pod_identity_association>

use super::ecs::Input;
use super::infra::Reader;
use super::model::{EksCluster, Infra, PodIdentityAssociation};
use super::syntax::Block;
use super::value::Object;

/// Reads what there is of EKS into the model. A resource without a name, or a role, that can be worked out is
/// left out, and that is said.
pub(super) fn read(reader: &Reader<'_, '_>, infra: &mut Infra) {
    for (block, object) in reader.instances("aws_eks_cluster") {
        infra.eks_clusters.extend(cluster(reader, &object, block));
    }
    for (block, object) in reader.instances("aws_eks_pod_identity_association") {
        infra.pod_identity_associations.extend(association(reader, &object, block));
    }
}

fn cluster(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<EksCluster> {
    let (name, role) = (reader.text(object, "name")?, reader.text(object, "role_arn")?);
    let mut input = Input::new(reader, object);
    input.text("name", &name);
    input.text("roleArn", &role);
    input.same("version");
    input.same("deletion_protection");
    input.block("vpc_config", "resourcesVpcConfig");
    input.block("access_config", "accessConfig");
    input.block("upgrade_policy", "upgradePolicy");
    input.block("kubernetes_network_config", "kubernetesNetworkConfig");
    input.tag_map(block);
    let region = reader.region(object, block);
    Some(EksCluster { name, region, input: input.done(), span: object.span })
}

fn association(reader: &Reader<'_, '_>, object: &Object, block: &Block) -> Option<PodIdentityAssociation> {
    let mut input = Input::new(reader, object);
    for (written, api) in [
        ("cluster_name", "clusterName"),
        ("namespace", "namespace"),
        ("service_account", "serviceAccount"),
        ("role_arn", "roleArn"),
    ] {
        input.text(api, &reader.text(object, written)?);
    }
    ["target_role_arn", "disable_session_tags", "policy"].iter().for_each(|name| input.same(name));
    input.tag_map(block);
    let region = reader.region(object, block);
    Some(PodIdentityAssociation { region, input: input.done(), span: object.span })
}
