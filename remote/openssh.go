package remote

import "strings"

// proxyCommand is what the ssh program runs to reach another host through this one.
func (h *sshHost) proxyCommand() string {
	argv := append([]string{"ssh"}, h.OpenSSHArgs()...)
	line := strings.ReplaceAll(Quote(argv), "%", "%%")
	return line + " -W '[%h]:%p' " + Quote([]string{h.host})
}
