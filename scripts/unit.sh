#!/usr/bin/env bash
# Checks the unit that ships: that systemd reads every line of it, and that what it leaves the service to do is little:
# an exposure below 2.0 of 10. Needs `systemd-analyze` 250 or newer (Debian 12, Ubuntu 24.04), and no running systemd.
set -euo pipefail
cd "$(dirname "$0")/.."

unit=systemd/automagik-spark.service
# Tenths.
limit=20

# The program need not be installed here.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed "s|^ExecStart=/usr/local/bin/automagik-spark |ExecStart=/bin/true |" "$unit" >"$work/automagik-spark.service"
# Complaints about the machine's other units are not ours; a line that systemd does not know is only a warning to it.
complaints=$(systemd-analyze verify --recursive-errors=no --man=no "$work/automagik-spark.service" 2>&1) || {
    printf '%s\n' "$complaints"
    exit 1
}
if grep 'automagik-spark.service' <<<"$complaints"; then
    exit 1
fi
systemd-analyze security --offline=true --no-pager --threshold="$limit" "$unit" | tail -n 1
