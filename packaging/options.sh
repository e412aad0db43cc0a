#!/bin/sh
# Prints docs/options.md: the man pages as text, for those who read the documents in a browser. Needs mandoc.
set -eu
cd "$(dirname "$0")/.."

cat <<-END
	# Options

	These are the man pages, as \`man check_postfix_queue\` and \`man postfix_queue_emit\` show them. \`--help\` is shorter.
END
for page in check_postfix_queue.8 postfix_queue_emit.1; do
	printf '\n## %s\n\n```text\n' "${page%.*}"
	# Without the head, the foot, and the blank lines next to them; col takes out the overstriking.
	mandoc -T ascii -O width=100 man/$page | col -bx | sed '1,2d; $d' | sed '$d'
	printf '```\n'
done
