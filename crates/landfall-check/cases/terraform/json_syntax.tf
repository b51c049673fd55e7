# Terraform's JSON syntax: texts are templates, blocks are objects or lists of them, `//` is a comment; what is written
# with escapes is placed as a whole.
#! var-file env/prod.tfvars.json
#! file main.tf.json
{
  "//": "made by a program",
  "terraform": { "required_version": ">= 1.5" },
  "variable": {
    "repo": { "type": "string", "default": "acme/${not a template}" },
    "branches": { "type": "list(string)", "default": ["main"] },
    "tags": { "type": "map(string)", "default": {} }
  },
  "locals": [
    { "host": "token.actions.githubusercontent.com" },
    { "subjects": "${[for b in var.branches : \"repo:${var.repo}:ref:refs/heads/${b}\"]}" }
  ],
  "provider": {
    "aws": [
      { "region": "eu-central-1", "default_tags": { "tags": { "by": "terraform" } } },
      { "alias": "us", "region": "us-east-1" }
    ]
  },
  "data": {
    "aws_iam_policy_document": {
      "trust": {
        "statement": [
          {
            "actions": ["sts:AssumeRoleWithWebIdentity"],
            "principals": { "type": "Federated", "identifiers": ["${aws_iam_openid_connect_provider.github.arn}"] },
            "condition": [
              { "test": "StringEquals", "variable": "${local.host}:sub", "values": "${local.subjects}" },
              { "test": "StringEquals", "variable": "${local.host}:aud", "values": ["sts.amazonaws.com"] }
            ]
          }
        ]
      },
      "push": {
        "dynamic": {
          "statement": {
            "for_each": ["ecr:PutImage", "ecr:BatchGetImage"],
            "iterator": "one",
            "content": { "actions": ["${one.value}"], "resources": ["*"] }
          }
        }
      }
    }
  },
  "resource": {
    "aws_iam_openid_connect_provider": {
      "github": { "url": "https://${local.host}", "client_id_list": ["sts.amazonaws.com"] }
    },
    "aws_iam_role": [
      {
        "deploy": {
          "name": "deploy",
          "tags": "${var.tags}",
          "assume_role_policy": "${data.aws_iam_policy_document.trust.json}",
          "inline_policy": { "name": "push", "policy": "${data.aws_iam_policy_document.push.json}" },
          "lifecycle": { "ignore_changes": ["description"] }
        }
      },
      {
        "plain": {
          "name": "plain",
          "assume_role_policy": "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"sts:AssumeRole\",\"Condition\":{\"StringEquals\":{\"a:b\":\"${var.repo}\"}}}]}"
        }
      }
    ],
    "aws_ecr_repository": {
      "app": {
        "provider": "aws.us",
        "for_each": "${toset([\"web\", \"api\"])}",
        "name": "${each.key}",
        "image_scanning_configuration": { "scan_on_push": true },
        "tags": { "for": "${each.key}" }
      }
    }
  },
  "module": { "more": { "source": "./more", "providers": { "aws": "aws.us" }, "names": ["a", "b"] } },
  "output": { "more": { "value": "${module.more.joined}" } }
}
#! file more/main.tf.json
{ "variable": { "names": { "type": "list(string)" } }, "output": { "joined": { "value": "${join(\"-\", var.names)}" } } }
#! file terraform.tfvars.json
{ "repo": "acme/web", "tags": { "stage": "${literal}" } }
#! file z.auto.tfvars.json
{ "branches": ["auto"] }
#! file env/prod.tfvars.json
{ "branches": ["main", "prod"] }
