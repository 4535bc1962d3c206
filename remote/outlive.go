package remote

// outliving runs "$@" so that it goes on to its end when the connection is lost in it: a program that writes to a connection that is gone is killed
// by that (SIGPIPE; one written in Go cannot even ignore it), in the middle of whatever it was doing.
//
//   - What it says goes through two pipes whose readers (drain) pass it on for as long as somebody listens, and then throw it away.
//   - It has a session of its own, and a hangup is ignored.
//   - Its exit code comes over a pipe of its own (7), and is that of the whole. 143 (128 + SIGTERM) may be what "wait" says of its own interruption:
//     then it is asked again. That the process is gone says nothing: dash collects the ended after every command.
//   - The standard input of the whole (3) is not its own: the word "stop" there, or SIGTERM, ends it with all it started. That nothing comes any more,
//     because the connection is lost, does not. Who reads it is ended by SIGKILL: one that has just been started loses SIGTERM, and would stay, with
//     the streams, for ever.
//
// It is for any POSIX shell, and costs some ten small processes.
const outliving = `trap "" HUP TERM; p=; exec 3<&0 4>&1 5>&2 </dev/null; ` +
	`command -v setsid >/dev/null 2>&1 || setsid() { "$@"; } ; ` +
	`end() { kill -TERM "-$p" 2>/dev/null || kill -TERM "$p" 2>/dev/null; } ; ` +
	`drain() { cat; cat >/dev/null; } ; ` +
	`code=$( { ` +
	`{ ` +
	`{ ` +
	`trap end TERM; ` +
	`setsid "$@" 3<&- 4>&- 5>&- 6>&- 7>&- & p=$!; ` +
	`while read -r word; do case "$word" in stop) end;; esac; done <&3 >/dev/null 2>&1 6>&- 7>&- & r=$!; ` +
	`wait "$p"; c=$?; ` +
	`while [ "$c" = 143 ]; do wait "$p" 2>/dev/null; d=$?; [ "$d" = 127 ] && break; c=$d; kill -0 "$p" 2>/dev/null || break; done; ` +
	`kill -KILL "$r" 2>/dev/null; ` +
	`echo "$c" >&7; ` +
	`} 2>&6 | drain >&4 2>/dev/null; ` +
	`} 6>&1 | drain >&5 2>/dev/null; ` +
	`} 7>&1 ); ` +
	`exit "${code:-1}"`

// stopWord on the standard input ends a command that outlives its connection.
const stopWord = "stop\n"

// outlive is the argv that runs another one so.
func outlive(argv []string) []string {
	return append([]string{"sh", "-c", outliving, "nexops"}, argv...)
}

// Outlived is the command that is run by an argv whose command outlives its connection; any other argv as it is.
func Outlived(argv []string) []string {
	const before = 4
	if len(argv) > before && argv[0] == "sh" && argv[2] == outliving {
		return argv[before:]
	}
	return argv
}
