#!/bin/sh
set -e
landfall ecr login
landfall push --dir image --entrypoint /srv/start.sh "$IMAGE:latest"
