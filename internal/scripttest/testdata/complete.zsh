# Prints what zsh offers for each line, and an empty line: zsh -f complete.zsh FILE LINE..., with the completion
# function in FILE.
# Completion runs in the line editor only, so an interactive zsh gets a terminal, the line and a tab.
zmodload zsh/zpty
scratch=$(mktemp -d)
trap 'zpty -d shell 2>/dev/null; rm -rf $scratch' EXIT
cp $1 $scratch/_postfix_queue_monitor
cat >$scratch/rc <<'END'
PS1= ZDOTDIR=$scratch HISTFILE=
fpath=($scratch $fpath)
autoload -Uz compinit && compinit -D -u
zstyle ':completion:*' completer _complete
# Notes every match that is added.
compadd() {
	local -a found
	# These ask what would match.
	if (( ${@[(I)-[AOD]]} )); then
		builtin compadd "$@"
		return
	fi
	builtin compadd -A found "$@"
	(( $#found )) && print -rl -- $IPREFIX${^found} >>$scratch/found
	builtin compadd "$@"
}
finish() { : >$scratch/finished }
zle -N finish
bindkey '^T' finish
bindkey '^I' complete-word
unsetopt beep
: >$scratch/started
END
zpty shell "scratch=$scratch zsh -f -i"
zpty -w shell ". $scratch/rc"
wait_for() {
	for (( i = 0; i < 3000; i++ )); do
		[[ -e $1 ]] && return
		zpty -r -t shell >/dev/null # it must not wait for a reader
		sleep 0.01
	done
	print -u2 "complete.zsh: no answer"
	exit 1
}
wait_for $scratch/started
for line in $@[2,-1]; do
	rm -f $scratch/found $scratch/finished
	zpty -w -n shell $'\x15'$line$'\t\x14' # forget the last line, then type
	wait_for $scratch/finished
	[[ ! -e $scratch/found ]] || cat $scratch/found
	print
done
