#!/bin/sh
# What the pod runs: it logs in to ECR as whoever it is, and pushes an image. There is no key in it, and
# nothing that knows whether it is a pod by Pod Identity or by IRSA.
set -eu
cd "$(dirname "$0")"
registry=123456789012.dkr.ecr.${AWS_REGION:?EKS has given this pod nothing}.amazonaws.com

config=$(mktemp -d)
trap 'rm -rf "$config"' EXIT
landfall ecr login --docker-config "$config"
landfall push --docker-config "$config" --dir site --entrypoint /index.html "$registry/web:v1"
