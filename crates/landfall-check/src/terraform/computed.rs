//! What the AWS provider computes: ARNs, ids, defaults, and data sources that need no AWS.
//! <https://registry.terraform.io/providers/hashicorp/aws/latest/docs>

use std::rc::Rc;

use landfall_policy::service_linked;
use landfall_types::arn::partition_of;
use landfall_types::{Arn, Issuer};

use super::eval::Evaluator;
use super::policy_document;
use super::resources::missing_argument;
use super::states;
use super::syntax::Block;
use super::value::{Kind, Object, Unknown, Value, key};

/// Computed attributes of an instance.
pub(super) type Computed = Vec<(&'static str, Value)>;

/// Resources whose ARN follows from one argument:
/// type, that argument, service, what comes before the name, whether the id is the ARN.
const NAMED: &[(&str, &str, &str, &str, bool)] = &[
    ("aws_ecs_capacity_provider", "name", "ecs", "capacity-provider/", true),
    ("aws_ecs_cluster", "name", "ecs", "cluster/", true),
    ("aws_cloudwatch_log_group", "name", "logs", "log-group:", false),
    ("aws_cloudwatch_metric_alarm", "alarm_name", "cloudwatch", "alarm:", false),
    ("aws_lambda_function", "function_name", "lambda", "function:", false),
    ("aws_dynamodb_table", "name", "dynamodb", "table/", false),
    ("aws_sns_topic", "name", "sns", "", true),
];

/// Name that Terraform would make up for a resource that has none.
const MADE_UP_NAME: &str = "landfall";

/// Computed attributes of a managed resource.
pub(super) fn managed(evaluator: &Evaluator, kind: &str, object: &Object, block: &Block) -> Computed {
    let at = Account::of(evaluator, object, block);
    match kind {
        "aws_iam_openid_connect_provider" => provider(&at, object.written("url"), object),
        "aws_iam_role" => with_path(&at, "role", object),
        "aws_iam_policy" => with_path(&at, "policy", object),
        "aws_iam_user" => with_path(&at, "user", object),
        "aws_iam_group" => with_path(&at, "group", object),
        "aws_iam_instance_profile" => with_path(&at, "instance-profile", object),
        "aws_iam_service_linked_role" => service_linked_role(&at, object),
        "aws_ecr_repository" => repository(&at, object),
        "aws_ecs_task_definition" => task_definition(&at, object),
        "aws_ecs_service" => service(&at, object),
        "aws_codedeploy_app" => named_attributes(object, "name", false, |name| {
            at.arn("codedeploy", &at.region, &at.account, &format!("application:{name}"))
        }),
        "aws_codedeploy_deployment_config" => {
            named_attributes(object, "deployment_config_name", false, |name| {
                at.arn("codedeploy", &at.region, &at.account, &format!("deploymentconfig:{name}"))
            })
        }
        "aws_codedeploy_deployment_group" => deployment_group(&at, object),
        "aws_eks_cluster" => eks_cluster(&at, evaluator, object),
        "aws_eks_pod_identity_association" => association(&at, object),
        "aws_s3_bucket" => named_attributes(object, "bucket", false, |name| at.arn("s3", "", "", name)),
        kind => match NAMED.iter().find(|(other, ..)| *other == kind) {
            Some((_, argument, service, prefix, id_is_arn)) => {
                let region = if *service == "iam" { "" } else { &*at.region };
                named_attributes(object, argument, *id_is_arn, |name| {
                    at.arn(service, region, &at.account, &format!("{prefix}{name}"))
                })
            }
            None => Vec::new(),
        },
    }
}

/// Attributes of a data source.
pub(super) fn data(evaluator: &Evaluator, kind: &str, object: &Object, block: &Block) -> Computed {
    let at = Account::of(evaluator, object, block);
    let text = |text: &str| Value::text(text, object.span);
    match kind {
        states::KIND => vec![("outputs", states::outputs(evaluator, object))],
        "aws_caller_identity" => {
            let who = || Value::unknown("who runs Terraform is not said in these files", object.span);
            vec![
                ("account_id", text(&at.account)),
                ("id", text(&at.account)),
                ("arn", who()),
                ("user_id", who()),
            ]
        }
        "aws_region" => vec![
            ("name", text(&at.region)),
            ("region", text(&at.region)),
            ("id", text(&at.region)),
            ("endpoint", text(&format!("ec2.{}.{}", at.region, at.dns_suffix()))),
        ],
        "aws_partition" => {
            let suffix = at.dns_suffix();
            let reverse: Vec<&str> = suffix.rsplit('.').collect();
            vec![
                ("partition", text(at.partition())),
                ("id", text(at.partition())),
                ("dns_suffix", text(suffix)),
                ("reverse_dns_prefix", text(&reverse.join("."))),
            ]
        }
        "aws_iam_policy_document" => {
            let json = policy_document::evaluate(evaluator, object);
            vec![("json", json.clone()), ("minified_json", json)]
        }
        "aws_iam_openid_connect_provider" => match object.written("arn") {
            Some(arn) => provider_by_arn(arn, object),
            None => provider(&at, object.written("url"), object),
        },
        "aws_iam_role" => with_path(&at, "role", object),
        "aws_iam_policy" => policy_by_name_or_arn(evaluator, &at, object),
        "aws_ecr_repository" => repository(&at, object),
        "aws_ecs_cluster" => named_attributes(object, "cluster_name", true, |name| {
            at.arn("ecs", &at.region, &at.account, &format!("cluster/{name}"))
        }),
        "aws_eks_cluster" => eks_cluster(&at, evaluator, object),
        "aws_cloudwatch_log_group" => named_attributes(object, "name", false, |name| {
            at.arn("logs", &at.region, &at.account, &format!("log-group:{name}"))
        }),
        _ => Vec::new(),
    }
}

/// Where an instance lives.
struct Account {
    account: Rc<str>,
    region: Rc<str>,
}

impl Account {
    fn of(evaluator: &Evaluator, object: &Object, block: &Block) -> Self {
        Self { account: evaluator.account(block).as_str().into(), region: evaluator.region(object, block) }
    }

    fn partition(&self) -> &'static str {
        partition_of(&self.region)
    }

    fn dns_suffix(&self) -> &'static str {
        if self.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    fn arn(&self, service: &str, region: &str, account: &str, resource: &str) -> String {
        Arn {
            partition: self.partition().to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            resource: resource.to_owned(),
        }
        .to_string()
    }
}

/// `arn` and `id` of a resource that is found by its name.
fn named_attributes(
    object: &Object,
    argument: &'static str,
    id_is_arn: bool,
    arn: impl Fn(&str) -> String,
) -> Computed {
    let name = match object.written(argument) {
        Some(name) => name.clone(),
        None => Value::text(made_up_name(object), object.span),
    };
    let arn = from_text(object, &name, arn);
    let id = if id_is_arn { arn.clone() } else { from_text(object, &name, str::to_owned) };
    vec![("arn", arn), ("id", id), (argument, name)]
}

/// The name that the provider makes from `name_prefix` ends in a random number; ours is fixed.
fn made_up_name(object: &Object) -> String {
    let prefix = object.written("name_prefix").and_then(Value::as_text);
    format!("{}{MADE_UP_NAME}", prefix.as_deref().unwrap_or("terraform-"))
}

/// A text made from another; unknown with the same cause when that is unknown, and then it says
/// whose name it comes from, so that what refers to the resource still finds it.
fn from_text(object: &Object, name: &Value, make: impl Fn(&str) -> String) -> Value {
    match (name.as_text(), name.cause()) {
        (Some(text), _) => Value::text(make(&text), object.span),
        (None, cause) => {
            let cause =
                cause.unwrap_or_else(|| format!("the name of `{}` is not a string", object.address).into());
            let of = Some(object.address.clone());
            Value::new(Kind::Unknown(Unknown { cause, of, holes: None, failed: false }), object.span)
        }
    }
}

/// Roles and policies: `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
fn with_path(at: &Account, kind: &str, object: &Object) -> Computed {
    // An empty path is none at all.
    let written = object.written("path").filter(|path| path.as_text().is_none_or(|text| !text.is_empty()));
    let path = written.map_or_else(|| Value::text("/", object.span), Value::clone);
    let prefix = object.written("name_prefix").filter(|_| object.written("name").is_none());
    let unknown_name = prefix.filter(|prefix| prefix.cause().is_some());
    let name = match (object.written("name"), unknown_name) {
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => Value::text(made_up_name(object), object.span),
    };
    let arn = if path.cause().is_some() {
        from_text(object, &path, str::to_owned)
    } else {
        let path = path.as_text().unwrap_or_else(|| "/".into());
        from_text(object, &name, |name| at.arn("iam", "", &at.account, &format!("{kind}{path}{name}")))
    };
    let id = if kind == "policy" { arn.clone() } else { from_text(object, &name, str::to_owned) };
    let name = from_text(object, &name, str::to_owned);
    vec![("arn", arn), ("id", id), ("name", name), ("path", path)]
}

/// The role's name is the service's to choose; its id is its ARN.
fn service_linked_role(at: &Account, object: &Object) -> Computed {
    let text = |name: &str| object.written(name).and_then(Value::as_text);
    let Some(service) = text("aws_service_name") else { return Vec::new() };
    let Some(linked) = service_linked::by_service(&service) else { return Vec::new() };
    let name = linked.role_name(text("custom_suffix").as_deref());
    let path = service_linked::path(&service);
    let arn = at.arn("iam", "", &at.account, &format!("role{path}{name}"));
    let value = |text: String| Value::text(text, object.span);
    vec![("arn", value(arn.clone())), ("id", value(arn)), ("name", value(name)), ("path", value(path))]
}

fn repository(at: &Account, object: &Object) -> Computed {
    // A missing name has been reported in these words.
    let missing = || Value::failed(missing_argument("name", object.span).message, object.span);
    let name = object.written("name").map_or_else(missing, Value::clone);
    let arn = from_text(object, &name, |name| {
        at.arn("ecr", &at.region, &at.account, &format!("repository/{name}"))
    });
    let url = from_text(object, &name, |name| {
        format!("{}.dkr.ecr.{}.{}/{name}", at.account, at.region, at.dns_suffix())
    });
    let name = from_text(object, &name, str::to_owned);
    let registry = Value::text(&*at.account, object.span);
    vec![
        ("arn", arn),
        ("repository_url", url),
        ("id", name.clone()),
        ("name", name),
        ("registry_id", registry),
        ("region", Value::text(&*at.region, object.span)),
    ]
}

/// The first revision is the one that Terraform makes.
fn task_definition(at: &Account, object: &Object) -> Computed {
    let family = object.written("family").cloned().unwrap_or_else(|| Value::null(object.span));
    let arn = |suffix: &str| {
        from_text(object, &family, |family| {
            at.arn("ecs", &at.region, &at.account, &format!("task-definition/{family}{suffix}"))
        })
    };
    vec![
        ("arn", arn(":1")),
        ("arn_without_revision", arn("")),
        ("revision", Value::count(1, object.span)),
        ("id", from_text(object, &family, str::to_owned)),
        ("family", from_text(object, &family, str::to_owned)),
    ]
}

/// A service's id is its ARN, which has the cluster's name in it.
fn service(at: &Account, object: &Object) -> Computed {
    let name = object.written("name").cloned().unwrap_or_else(|| Value::null(object.span));
    let cluster = object.written("cluster").and_then(Value::as_text).unwrap_or_else(|| "default".into());
    let cluster = cluster.rsplit('/').next().unwrap_or_default().to_owned();
    let arn = from_text(object, &name, |name| {
        at.arn("ecs", &at.region, &at.account, &format!("service/{cluster}/{name}"))
    });
    vec![("id", arn.clone()), ("arn", arn), ("name", from_text(object, &name, str::to_owned))]
}

/// A deployment group's ARN has the name of its application in it.
fn deployment_group(at: &Account, object: &Object) -> Computed {
    let argument = |name: &str| object.written(name).cloned().unwrap_or_else(|| Value::null(object.span));
    let application = argument("app_name");
    let application = application.as_text().unwrap_or_default().to_string();
    let arn = from_text(object, &argument("deployment_group_name"), |name| {
        at.arn("codedeploy", &at.region, &at.account, &format!("deploymentgroup:{application}/{name}"))
    });
    vec![("arn", arn)]
}

/// A cluster's issuer is the one that the local side would give it: the real one is not known before the
/// cluster is there, and nothing else in the files says it.
fn eks_cluster(at: &Account, evaluator: &Evaluator, object: &Object) -> Computed {
    let name = object.written("name").cloned().unwrap_or_else(|| Value::null(object.span));
    let account = evaluator.settings.account;
    let issuer = |name: &str| Issuer::of_eks_cluster(account, &at.region, name).to_string();
    let told = from_text(object, &name, issuer);
    let endpoint = from_text(object, &name, |name| {
        let id = issuer(name).rsplit('/').next().unwrap_or_default().to_owned();
        format!("https://{id}.gr7.{}.eks.{}", at.region, at.dns_suffix())
    });
    let span = object.span;
    let one = |member: &str, value: Value| {
        Value::list(vec![Value::map(vec![(key(member, span), value)], span)], span)
    };
    let authority = Value::unknown("a cluster's certificate is made with it", span);
    vec![
        (
            "arn",
            from_text(object, &name, |name| {
                at.arn("eks", &at.region, &at.account, &format!("cluster/{name}"))
            }),
        ),
        ("id", from_text(object, &name, str::to_owned)),
        ("name", from_text(object, &name, str::to_owned)),
        ("endpoint", endpoint),
        ("status", Value::text("ACTIVE", span)),
        ("identity", one("oidc", one("issuer", told))),
        ("certificate_authority", one("data", authority)),
    ]
}

/// The external id is known before the association is: `REGION/ACCOUNT/CLUSTER/NAMESPACE/SERVICEACCOUNT`.
fn association(at: &Account, object: &Object) -> Computed {
    let text = |name: &str| object.written(name).and_then(Value::as_text);
    let parts = [text("cluster_name"), text("namespace"), text("service_account")];
    let [Some(cluster), Some(namespace), Some(service_account)] = parts else { return Vec::new() };
    let id = format!("{}/{}/{cluster}/{namespace}/{service_account}", at.region, at.account);
    vec![("external_id", Value::text(id, object.span))]
}

/// The provider's ARN keeps host and path of the URL; IAM drops the default port.
pub(super) fn host_and_path(url: &str) -> String {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(url);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{}{path}", host.strip_suffix(":443").unwrap_or(host))
}

fn provider(at: &Account, url: Option<&Value>, object: &Object) -> Computed {
    let Some(url) = url else { return Vec::new() };
    let arn = from_text(object, url, |url| {
        at.arn("iam", "", &at.account, &format!("oidc-provider/{}", host_and_path(url)))
    });
    // IAM gives the URL back without its scheme, and that is what the provider keeps.
    // <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetOpenIDConnectProvider.html>
    vec![("arn", arn.clone()), ("id", arn), ("url", from_text(object, url, host_and_path))]
}

fn provider_by_arn(arn: &Value, object: &Object) -> Computed {
    let url =
        from_text(object, arn, |arn| arn.split_once("oidc-provider/").map_or("", |(_, url)| url).to_owned());
    vec![("id", arn.clone()), ("url", url)]
}

/// A policy that is looked up is one of AWS's when AWS has one of that name.
fn policy_by_name_or_arn(evaluator: &Evaluator, at: &Account, object: &Object) -> Computed {
    if let Some(arn) = object.written("arn") {
        let name = from_text(object, arn, |arn| arn.rsplit('/').next().unwrap_or("").to_owned());
        return vec![("id", arn.clone()), ("name", name)];
    }
    let Some(name) = object.written("name") else { return Vec::new() };
    let arn = from_text(object, name, |name| {
        let own = |path: &str| at.arn("iam", "", &at.account, &format!("policy{path}{name}"));
        match evaluator.declared_policy_path(name) {
            Some(path) => own(&path),
            None => aws_managed(at, name).unwrap_or_else(|| own("/")),
        }
    });
    vec![("arn", arn.clone()), ("id", arn)]
}

fn aws_managed(at: &Account, name: &str) -> Option<String> {
    let paths = ["/", "/service-role/", "/aws-service-role/", "/job-function/"];
    let arns = paths.iter().map(|path| at.arn("iam", "", "aws", &format!("policy{path}{name}")));
    arns.into_iter().find(|arn| landfall_policy::managed::by_arn(arn).is_some())
}

impl Evaluator<'_> {
    /// The path of an `aws_iam_policy` of this module that is plainly named so.
    fn declared_policy_path(&self, name: &str) -> Option<String> {
        use super::syntax::ExprKind;
        let plain =
            |block: &Block, argument: &str| match block.body.attribute(argument).map(|it| &it.value.kind) {
                Some(ExprKind::Text(text)) => Some(text.clone()),
                _ => None,
            };
        let mut policies = self.module.resources.iter().filter(|((kind, _), _)| *kind == "aws_iam_policy");
        let (_, block) = policies.find(|(_, block)| plain(block, "name").as_deref() == Some(name))?;
        Some(plain(block, "path").unwrap_or_else(|| "/".to_owned()))
    }
}
