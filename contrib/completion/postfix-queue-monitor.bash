# shellcheck shell=bash
# Completion for check_postfix_queue and postfix_queue_emit in bash. Packages and make install put it into
# share/bash-completion/completions, under the name of each program. To try it, source it.

_postfix_queue_queues="active deferred hold incoming maildrop"

_postfix_queue_metrics="emails size age recipients forced_expire corrupt
	arrived_5m arrived_1h future expiring spool_free spool_free_inodes top_login top_client top_sender top_domain up
	active active_size active_age deferred deferred_size deferred_age hold hold_size hold_age
	incoming incoming_size incoming_age maildrop maildrop_size maildrop_age
	deferred_authentication deferred_blocked deferred_connection_refused deferred_connection_timed_out
	deferred_greylisted deferred_host_not_found deferred_local deferred_loop deferred_lost_connection
	deferred_mailbox_full deferred_no_route deferred_other deferred_rate_limited deferred_remote_error
	deferred_tls deferred_transport deferred_unknown_user"

_postfix_queue_common="-d --config-dir -a --all-instances --source --queue-directory -i --input --max-age
	--allow-empty -q --queue --sender --login --client --recipient --reason --older-than --by-reason --stuck
	-t --timeout -v --verbose -h --help -V --version"

_check_postfix_queue() {
	local _postfix_queue_metrics=${_postfix_queue_metrics/ up/ up growth}
	_postfix_queue_complete "-w --warning -c --critical --perfdata --state --no-findings --max-output
		-M --mailserver $_postfix_queue_common"
}

_postfix_queue_emit() {
	_postfix_queue_complete "-f --format --to -m --metrics -n --name -p --prefix --tags --tag --part --usec
		--update-every --priority --check --dry-run --breakdown --all-messages $_postfix_queue_common"
}

_postfix_queue_complete() {
	local options=$1 word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} attached=
	# bash cuts a line at = as well: --format=json is three words.
	if [ "$word" = = ]; then
		word="" attached=yes
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD - 2]} attached=yes
	fi
	COMPREPLY=()
	case $option in
	-d | --config-dir | --queue-directory) _postfix_queue_files -d ;;
	-i | --input | --state) _postfix_queue_files -f ;;
	--to)
		# Not together: the shell would quote a URL as it does the name of a file.
		_postfix_queue_words "udp:// tcp:// unix:/// unixgram:/// /"
		case ${#COMPREPLY[@]}:$word in
		0:* | *:/) _postfix_queue_files -f ;;
		esac
		compopt -o nospace 2>/dev/null
		;;
	-q | --queue) _postfix_queue_list "$_postfix_queue_queues" ;;
	-f | --format) _postfix_queue_words "graphite ids influx json netdata prometheus statsd value" ;;
	-m | --metrics) _postfix_queue_list "$_postfix_queue_metrics ages sizes" ;;
	--perfdata) _postfix_queue_list "$_postfix_queue_metrics" ;;
	-w | --warning | -c | --critical)
		mapfile -t COMPREPLY < <(compgen -S = -W "$_postfix_queue_metrics" -- "$word")
		compopt -o nospace 2>/dev/null
		;;
	--source) _postfix_queue_words "auto postqueue showq spool" ;;
	--tags) _postfix_queue_words "none datadog influx graphite" ;;
	--part) _postfix_queue_words "charts values charts,values" ;;
	-M | --mailserver) _postfix_queue_words postfix ;;
	# Values that nobody else can know.
	--max-age | --older-than | --stuck | -t | --timeout | --max-output | --usec | --update-every | --priority) ;;
	--sender | --login | --client | --recipient | --reason | -n | --name | -p | --prefix | --tag) ;;
	*) [ -n "$attached" ] || _postfix_queue_words "$options" ;;
	esac
}

# The words that the current one begins.
_postfix_queue_words() {
	local found
	mapfile -t found < <(compgen -W "$1" -- "$word")
	COMPREPLY+=("${found[@]}")
}

# Files (-f) or directories (-d), which the shell then quotes and ends with a slash.
_postfix_queue_files() {
	mapfile -t COMPREPLY < <(compgen "$1" -- "$word")
	compopt -o filenames 2>/dev/null
}

# The last word of a list with commas, which a ! may begin: all but these.
_postfix_queue_list() {
	local before=${word%"${word##*[,!]}"}
	mapfile -t COMPREPLY < <(compgen -P "$before" -W "$1" -- "${word#"$before"}")
}

complete -F _check_postfix_queue check_postfix_queue
complete -F _postfix_queue_emit postfix_queue_emit
