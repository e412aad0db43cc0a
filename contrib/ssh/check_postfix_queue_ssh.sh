#!/bin/sh
# check_postfix_queue_ssh.sh HOST [OPTION OF check_postfix_queue]...
# Checks the queue of another host, for Icinga and Nagios: docs/remote.md.
host=${1:?name of a host}
shift
# The state is always that of the check: if ssh fails, the check gets no input or half a snapshot, and is UNKNOWN. The
# time limit is less than that of the check (8 s), so that no ssh is left behind.
timeout 7 ssh -o BatchMode=yes -o ConnectTimeout=5 "$host" postfix_queue_emit -f json |
	/usr/lib/nagios/plugins/check_postfix_queue --input - "$@"
