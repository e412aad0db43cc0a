#!/bin/sh
# check_postfix_queue_ssh.sh HOST [OPTION OF check_postfix_queue]...
# Checks the queue of another host, for Icinga and Nagios: docs/remote.md.
case ${1-} in
'' | -*)
	# ssh would take it for an option of its own, and an option can be a command.
	echo 'POSTFIX_QUEUE UNKNOWN - invalid host: want its name first, as in: check_postfix_queue_ssh.sh mx1.example.org -w 100'
	exit 3
	;;
esac
host=$1
shift
# The state is always that of the check: if ssh fails, the check gets no input or half a snapshot, and is UNKNOWN. The
# time limit is less than that of the check (8 s), so that no ssh is left behind.
timeout 7 ssh -o BatchMode=yes -o ConnectTimeout=5 -- "$host" postfix_queue_emit -f json |
	/usr/lib/nagios/plugins/check_postfix_queue --input - "$@"
