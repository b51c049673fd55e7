# Mistakes in Terraform's JSON syntax are told where they stand.
#! file main.tf.json
{
  "resorce": {},
  "resource": {
    "aws_iam_role": {
      "one": "text",
      "two": { "name": "two", "name": "again", "assume_role_policy": "${jsonencode({)}" }
    }
  }
}
#! file torn.tf.json
{ "locals": { "a": 1, "b": [ }
#! file list.tf.json
["not an object"]
