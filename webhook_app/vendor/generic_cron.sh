#!/bin/sh
# Run a command from cron and tell Watchkeeper when it fails, and when it works again:
#
#   WATCHKEEPER_URL=https://watchkeeper.example.net/alerts/webhook/generic/
#   WATCHKEEPER_TOKEN=…    (not needed on Watchkeeper's own machine while it has no secret)
#   35 1 * * *  root  /usr/local/bin/generic_cron.sh nightly-backup rsync -a /srv bak-01:/srv
#
# The first word names the alert; together with the host it is its identity. The command's output and exit code
# stay what they are. Needs curl.
set -u

if [ $# -lt 2 ]; then
    echo "usage: $0 NAME COMMAND [ARGUMENT...]" >&2
    exit 64
fi
name=$1
shift

output=$("$@" 2>&1)
code=$?
[ -z "$output" ] || printf '%s\n' "$output"

# Text within JSON quotes. What is not plain ASCII is left out, as a body that is not UTF-8 would be refused.
quoted() {
    printf '%s' "$1" | tail -n 5 | LC_ALL=C tr '\n\t' '  ' | LC_ALL=C tr -cd '\40-\176' | sed 's/[\\"]/\\&/g'
}

status=firing
[ "$code" -ne 0 ] || status=ok
body=$(printf '{"name": "%s", "status": "%s", "severity": "critical", "description": "exit code %s: %s", "host": "%s"}' \
    "$(quoted "$name")" "$status" "$code" "$(quoted "$output")" "$(quoted "$(uname -n)")")

# The token comes by standard input, so that no other user sees it in the list of processes.
{ [ -z "${WATCHKEEPER_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$WATCHKEEPER_TOKEN"; } |
    curl --config - --silent --show-error --fail --output /dev/null --max-time 10 --retry 5 \
        --header "Content-Type: application/json" --data-binary "$body" "$WATCHKEEPER_URL" ||
    echo "$0: Watchkeeper was not told about $name" >&2
exit "$code"
