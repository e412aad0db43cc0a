# shellcheck shell=bash
# Bash completion for check_postfix_queue and postfix_queue_emit. Install it into
# /usr/share/bash-completion/completions under the name of each program, or source it.

_postfix_queue_metrics="emails size age recipients forced_expire corrupt
	arrived_5m arrived_1h future expiring spool_free spool_free_inodes top_login top_client top_sender top_domain up
	active active_size active_age deferred deferred_size deferred_age hold hold_size hold_age
	incoming incoming_size incoming_age maildrop maildrop_size maildrop_age
	deferred_authentication deferred_blocked deferred_connection_refused deferred_connection_timed_out
	deferred_greylisted deferred_host_not_found deferred_local deferred_loop deferred_lost_connection
	deferred_mailbox_full deferred_no_route deferred_other deferred_rate_limited deferred_remote_error
	deferred_tls deferred_transport deferred_unknown_user"

_postfix_queue_common="-d --config-dir -a --all-instances --source --queue-directory -i --input --max-age
	--allow-empty -q --queue --sender --login --client --recipient --reason --older-than --by-reason --stuck -t --timeout -v --verbose -h --help -V --version"

_check_postfix_queue() {
	local _postfix_queue_metrics=${_postfix_queue_metrics/ up/ up growth}
	local options="-w --warning -c --critical --perfdata --state --no-findings --max-output -M --mailserver $_postfix_queue_common"
	_postfix_queue_complete "$options"
}

_postfix_queue_emit() {
	local options="-f --format --to -m --metrics -n --name -p --prefix --tags --tag --part --usec --update-every --priority
		--check --dry-run --breakdown --all-messages $_postfix_queue_common"
	_postfix_queue_complete "$options"
}

_postfix_queue_complete() {
	local options=$1 word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	case $before in
	-d | --config-dir | --queue-directory) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
	-i | --input | --state | --to) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	-q | --queue) mapfile -t COMPREPLY < <(compgen -W "active deferred hold incoming maildrop" -- "$word") ;;
	-f | --format) mapfile -t COMPREPLY < <(compgen -W "graphite ids influx json netdata prometheus statsd value" -- "$word") ;;
	-m | --metrics | --perfdata) mapfile -t COMPREPLY < <(compgen -W "$_postfix_queue_metrics" -- "$word") ;;
	-w | --warning | -c | --critical) mapfile -t COMPREPLY < <(compgen -S = -W "$_postfix_queue_metrics" -- "$word") ;;
	--source) mapfile -t COMPREPLY < <(compgen -W "auto postqueue showq spool" -- "$word") ;;
	--tags) mapfile -t COMPREPLY < <(compgen -W "none datadog influx graphite" -- "$word") ;;
	--part) mapfile -t COMPREPLY < <(compgen -W "charts values charts,values" -- "$word") ;;
	-M | --mailserver) mapfile -t COMPREPLY < <(compgen -W postfix -- "$word") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word") ;;
	esac
}

complete -o nospace -F _check_postfix_queue check_postfix_queue
complete -F _postfix_queue_emit postfix_queue_emit
