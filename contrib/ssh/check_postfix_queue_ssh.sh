#!/bin/sh
# check_postfix_queue_ssh.sh HOST [OPTION OF check_postfix_queue]...
# Judges the queue of another host, for Icinga and Nagios: docs/remote.md.
host=${1:?name of a host}
shift
# Whatever becomes of ssh, the state is that of the check, which takes nothing at all, and half a snapshot, for what they
# are: UNKNOWN. The time limit is below that of the check (8 s), so that no ssh is left waiting.
timeout 7 ssh -o BatchMode=yes -o ConnectTimeout=5 "$host" postfix_queue_emit -f json |
	/usr/lib/nagios/plugins/check_postfix_queue --input - "$@"
