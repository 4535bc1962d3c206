package real

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Front is a second Compose project on a host: a real nginx, in front of a service that publishes no port itself. It is
// not there until a test puts it up.
type Front struct {
	Host    string
	Dir     string // on the host, a git checkout of its own
	Project string
	URL     string // of nginx, from the machine
	Image   string // of the service behind it
}

const (
	frontName  = "front"
	frontDir   = "/opt/" + frontName
	frontPort  = 8090
	nginxImage = "nexgate/nginx"
	nginxTag   = "1.22"
)

// frontFiles are the project: FirstTag runs at first.
func frontFiles() map[string]string {
	image := registryName + "/nexgate/nexgate-backend"
	return map[string]string{
		"services/web/tag.env": "WEB_TAG=" + FirstTag + "\n",
		"compose.yml": fmt.Sprintf(`services:
  web:
    image: %s:${WEB_TAG:?}
    restart: unless-stopped
    stop_grace_period: 5s
    logging: {driver: none}
    healthcheck:
      test: ["CMD", "/app", "-healthcheck"]
      interval: 1s
      timeout: 2s
      retries: 2
      start_period: 2s
  nginx:
    image: %s:%s
    restart: unless-stopped
    depends_on: [web]
    stop_signal: SIGQUIT
    ports: ["%d:80"]
    volumes: ["./nginx:/etc/nginx:ro"]
`, image, nginxImage, nginxTag, frontPort),
		"nginx/nginx.conf": `# the estate's own: nothing in it is made for a redeploy
user root;
worker_processes 2;
daemon off;
pid /run/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  include release.conf;
  upstream web { server web:8080; }
  server {
    listen 80;
    location / {
      proxy_pass http://web;
      add_header X-Front $front_release always;
    }
  }
}
`,
		"nginx/release.conf": frontRelease("one"),
	}
}

// frontRelease is the part of nginx's configuration that tells its releases apart.
func frontRelease(name string) string {
	return "map $host $front_release { default " + name + "; }\n"
}

// PutFront makes the image of nginx of the machine's own files, and brings the project up.
func (l *Lab) PutFront(ctx context.Context, host string) (*Front, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	f := &Front{Host: host, Dir: frontDir, Project: frontName, URL: fmt.Sprintf("http://%s:%d/", h.IP, frontPort), Image: registryName + "/nexgate/nexgate-backend"}
	if err := l.RemoveFront(ctx, f); err != nil {
		return nil, err
	}
	if err := importNginx(ctx, h.DockerSocket); err != nil {
		return nil, fmt.Errorf("front on %s: %w", host, err)
	}
	for path, text := range frontFiles() {
		if err := writeFile(filepath.Join(h.Dir, frontDir, path), []byte(text), 0o644); err != nil {
			return nil, fmt.Errorf("front on %s: %w", host, err)
		}
	}
	if err := l.CommitFront(ctx, f, "the front: nginx and web", nil); err != nil {
		return nil, err
	}
	if err := l.frontCompose(ctx, f, "up", "-d", "--quiet-pull", "--wait"); err != nil {
		return nil, err
	}
	// Each is well by itself; that nginx reaches what is behind it is only then known when it has.
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	wctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = until(wctx, "the front to answer", 200*time.Millisecond, func(ctx context.Context) error {
		_, err := httpGet(ctx, client, f.URL)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("front on %s: %w", host, err)
	}
	return f, nil
}

// CommitFront commits files in the project's checkout on its host, as a person there does. nginx is not told of it.
func (l *Lab) CommitFront(ctx context.Context, f *Front, subject string, files map[string]string) error {
	h, err := l.host(f.Host)
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := writeFile(filepath.Join(h.Dir, f.Dir, path), []byte(text), 0o644); err != nil {
			return fmt.Errorf("commit in %s: %w", f.Dir, err)
		}
	}
	for _, argv := range [][]string{
		{"git", "-C", f.Dir, "init", "--quiet", "--initial-branch=master"},
		{"git", "-C", f.Dir, "add", "--all"},
		{"git", "-C", f.Dir, "-c", "user.name=Jonas Weber", "-c", "user.email=jonas@nexgate.lab", "commit", "--quiet", "-m", subject},
	} {
		if _, err := l.SSH(ctx, f.Host, argv...); err != nil {
			return fmt.Errorf("commit in %s: %w", f.Dir, err)
		}
	}
	return nil
}

// FrontRelease is the file, and its content, that makes another release of nginx's configuration.
func (f *Front) FrontRelease(name string) map[string]string {
	return map[string]string{"nginx/release.conf": frontRelease(name)}
}

// RemoveFront takes all of it away again, also what a killed test left.
func (l *Lab) RemoveFront(ctx context.Context, f *Front) error {
	return l.removeFront(ctx, f.Host)
}

func (l *Lab) removeFront(ctx context.Context, host string) error {
	const label = "--filter label=com.docker.compose.project=" + frontName
	const script = "docker ps -aq " + label + " | xargs -r docker rm -f && docker network ls -q " + label + " | xargs -r docker network rm && rm -rf " + frontDir
	if _, err := l.SSH(ctx, host, "sh", "-c", script); err != nil {
		return fmt.Errorf("remove the front on %s: %w", host, err)
	}
	return nil
}

func (l *Lab) frontCompose(ctx context.Context, f *Front, args ...string) error {
	argv := []string{
		"docker", "compose", "--progress", "quiet", "--project-directory", f.Dir, "-p", f.Project,
		"-f", f.Dir + "/compose.yml", "--env-file", f.Dir + "/services/web/tag.env",
	}
	_, err := l.SSH(ctx, f.Host, append(argv, args...)...)
	return err
}

// importNginx makes an image of the machine's nginx: the program, the libraries it is linked with, and nothing else.
func importNginx(ctx context.Context, socket string) error {
	image, err := nginxFiles(ctx)
	if err != nil {
		return err
	}
	client := unixClient(socket)
	defer client.CloseIdleConnections()
	q := url.Values{"fromSrc": {"-"}, "repo": {nginxImage}, "tag": {nginxTag}, "changes": {
		"ENV PATH=/usr/sbin:/usr/bin", `ENTRYPOINT ["/usr/sbin/nginx"]`, "EXPOSE 80",
	}}
	return importImage(ctx, client, bytes.NewReader(image), q)
}

// nginxFiles is the file system of the image as a tar.
func nginxFiles(ctx context.Context) ([]byte, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, fmt.Errorf("nginx is not installed: run `apt-get install -y --no-install-recommends nginx-light`: %w", err)
	}
	linked, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ask which libraries nginx is linked with: %w", err)
	}
	files := []string{program}
	for _, word := range strings.Fields(string(linked)) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, dir := range []string{"run/", "tmp/", "etc/nginx/", "var/log/nginx/", "var/lib/nginx/"} {
		if err := tw.WriteHeader(&tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
			return nil, fmt.Errorf("make the image of nginx: %w", err)
		}
	}
	text := map[string][]byte{"etc/passwd": []byte("root:x:0:0:root:/:/\n"), "etc/group": []byte("root:x:0:\n")}
	for _, f := range files {
		if text[f[1:]], err = os.ReadFile(f); err != nil {
			return nil, fmt.Errorf("make the image of nginx: %w", err)
		}
	}
	for name, b := range text {
		err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(b)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = tw.Write(b)
		}
		if err != nil {
			return nil, fmt.Errorf("make the image of nginx: %w", err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("make the image of nginx: %w", err)
	}
	return out.Bytes(), nil
}

// ReloadFront has nginx load the configuration that lies in the checkout.
func (l *Lab) ReloadFront(ctx context.Context, f *Front) error {
	return l.frontCompose(ctx, f, "exec", "-T", "nginx", "nginx", "-s", "reload")
}
