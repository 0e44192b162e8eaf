#!/bin/sh
# Runs a command with NAME=<what the file holds> for each NAME_FROM_FILE=<path> in the environment.
set -eu

for setting in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*_FROM_FILE\)=.*/\1/p'); do
    name=${setting%_FROM_FILE}
    eval "path=\$$setting"
    value=$(cat "$path")
    export "$name=$value"
    unset "$setting" value
done
exec "$@"
