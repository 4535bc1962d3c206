#!/usr/bin/env bash
# Makes the pictures in docs/ from the running program: each is `nexops demo` in tmux,
# drawn by xterm on an X server of its own, so that what is shown is what a terminal shows.
#
#   lab/pictures/pictures.sh [NAME...]     all of them, or those named: first, confirm, small
#
# It needs Go and, on Debian: apt-get install tmux xvfb xterm x11-utils imagemagick fonts-jetbrains-mono
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in go tmux Xvfb xterm xwininfo import convert; do
	command -v "$tool" >/dev/null || { echo "pictures: $tool is missing, see the top of this script" >&2; exit 1; }
done

docs=$PWD/docs
work=$(mktemp -d /tmp/nexops-pictures.XXXXXX)
xvfb= xterm=
mux() { tmux -S "$work/tmux" -f "$work/tmux.conf" "$@"; }
clean() {
	[ -z "$xterm" ] || kill "$xterm" 2>/dev/null || true
	[ ! -S "$work/tmux" ] || mux kill-server 2>/dev/null || true
	[ -z "$xvfb" ] || kill "$xvfb" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap clean EXIT

cat >"$work/tmux.conf" <<'CONF'
set -g default-terminal tmux-256color
set -ga terminal-overrides ",*:Tc"
set -g status off
set -g escape-time 0
CONF

go build -trimpath -o "$work/nexops" ./cmd/nexops

Xvfb -displayfd 5 -screen 0 2400x1600x24 -nolisten tcp 5>"$work/display" 2>"$work/xvfb.log" &
xvfb=$!
for _ in $(seq 100); do
	[ ! -s "$work/display" ] || break
	sleep 0.1
done
[ -s "$work/display" ] || { echo "pictures: Xvfb does not start:" >&2; cat "$work/xvfb.log" >&2; exit 1; }
DISPLAY=:$(cat "$work/display")
export DISPLAY

# until_shown TEXT waits until the program shows it.
until_shown() {
	for _ in $(seq 300); do
		! mux capture-pane -p -t pane 2>/dev/null | grep -qF -- "$1" || return 0
		sleep 0.2
	done
	echo "pictures: a minute went by without \"$1\" on the screen:" >&2
	mux capture-pane -p -t pane >&2
	return 1
}

# open COLUMNS ROWS starts the demo, as somebody whose home is new, and waits until the culprit is on top.
open() {
	cols=$1 rows=$2
	rm -rf "$work/home"
	mkdir "$work/home"
	mux new-session -d -s pane -x "$cols" -y "$rows" \
		"exec env -u NO_COLOR -u XDG_CONFIG_HOME -u XDG_STATE_HOME -u XDG_CACHE_HOME -u NEXOPS_CONFIG HOME=$work/home COLORTERM=truecolor $work/nexops demo"
	until_shown "errors 0.1 % → 7.1 %"
}

# take NAME draws the screen into docs/NAME.png and ends the program.
take() {
	xterm -class XTerm -title nexops-picture -b 6 -bw 0 +sb -fa 'JetBrains Mono' -fs 11 -geometry "${cols}x$rows+0+0" \
		-bg '#11111b' -fg '#cdd6f4' -xrm 'XTerm*directColor: true' -xrm 'XTerm*allowTitleOps: false' \
		-xrm 'XTerm*faceNameDoublesize: DejaVu Sans Mono' -e tmux -S "$work/tmux" attach -t pane 2>"$work/xterm.log" &
	xterm=$!
	for _ in $(seq 100); do
		[ -z "$(mux list-clients -t pane)" ] || break
		sleep 0.1
	done
	sleep 2 # until xterm has drawn what tmux sent it; there is nothing to ask
	import -window nexops-picture "$work/raw.png"
	mux kill-server
	wait "$xterm" 2>/dev/null || true
	xterm=
	convert "$work/raw.png" -strip +dither -colors 128 -define png:compression-level=9 "PNG8:$docs/$1.png"
	echo "docs/$1.png $(stat -c %s "$docs/$1.png") bytes"
}

picture() {
	case $1 in
	first)
		open 160 48
		until_shown "log errors 0.4"
		take first
		;;
	confirm)
		open 120 40
		mux send-keys -t pane R
		until_shown "type ai@prod to run"
		take confirm
		;;
	small)
		open 80 24
		until_shown "+1 "
		take small
		;;
	*)
		echo "pictures: there is no picture $1" >&2
		exit 64
		;;
	esac
}

[ $# -gt 0 ] || set -- first confirm small
for name; do picture "$name"; done
