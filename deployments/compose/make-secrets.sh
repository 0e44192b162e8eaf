#!/bin/sh
# Makes what compose.yaml calls secrets, each once: what is there stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# The containers' users are not yours: the files are readable to all, in a folder that is closed to all but you.
keep() { [ -e "secrets/$1" ] || { printf '%s' "$2" > "secrets/$1" && chmod 0444 "secrets/$1"; }; }

keep postgres_password "$(random)"
password=$(cat secrets/postgres_password)
keep database_url "postgresql://watchkeeper:$password@postgres/watchkeeper"
keep prefect_database_url "postgresql+asyncpg://watchkeeper:$password@postgres/prefect"
keep prefect_auth "watchkeeper:$(random)"
keep webhook_token "$(random)"
keep api_token "$(random)"
echo "secrets/ is complete; senders use: Authorization: Bearer $(cat secrets/webhook_token)"
