package real

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Database is a real PostgreSQL in a container of a host. It is not there until a test puts it up.
type Database struct {
	Host      string
	Container string
	Name      string // of the database
	User      string
	Password  string // asked for on its socket as well
	OldBin    string // in the container: the folder of a client that says it is of an older version than it is
}

const (
	databaseContainer = "ai-postgres"
	databaseImage     = "nexgate/postgres"
	databaseVersion   = "15"
	databaseBin       = "/usr/lib/postgresql/" + databaseVersion + "/bin"
	databaseUID       = "999"
	oldBin            = "/opt/old/bin"
)

// databaseStart makes the cluster at first and then is the server. The password comes in a file that is removed.
const databaseStart = `set -e
umask 077
printf '%s' "$LAB_PASSWORD" >/tmp/password
initdb --pgdata="$PGDATA" --auth=scram-sha-256 --pwfile=/tmp/password --username=postgres --locale=C --encoding=UTF8 >/dev/null
rm /tmp/password
exec postgres -D "$PGDATA" -c listen_addresses= -c fsync=off -c jit=off`

// PutDatabase makes the image of the machine's own PostgreSQL, starts it, and fills it with tables of so many rows.
func (l *Lab) PutDatabase(ctx context.Context, host string, rows int) (*Database, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	d := &Database{Host: host, Container: databaseContainer, Name: "ai", User: "postgres", Password: rand.Text(), OldBin: oldBin}
	if err := l.RemoveDatabase(ctx, host); err != nil {
		return nil, err
	}
	if err := importDatabase(ctx, h.DockerSocket); err != nil {
		return nil, fmt.Errorf("database on %s: %w", host, err)
	}
	_, err = l.SSH(ctx, host, "docker", "run", "--detach", "--name", d.Container, "--network", "none", "--user", databaseUID,
		"--env", "LAB_PASSWORD="+d.Password, "--label", "com.docker.compose.project=databases", "--label", "com.docker.compose.service=ai-postgres",
		"--tmpfs", "/var/lib/postgresql:size=1g,uid="+databaseUID+",mode=0700", "--tmpfs", "/var/run/postgresql:uid="+databaseUID, "--tmpfs", "/tmp:mode=1777",
		databaseImage+":"+databaseVersion, "sh", "-c", databaseStart)
	if err != nil {
		return nil, fmt.Errorf("database on %s: %w", host, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = until(ctx, "the database on "+host, 200*time.Millisecond, func(ctx context.Context) error {
		_, err := l.SQL(ctx, d, "postgres", "SELECT 1")
		return err
	})
	if err == nil {
		_, err = l.SQL(ctx, d, "postgres", "CREATE DATABASE ai")
	}
	if err == nil {
		_, err = l.SQL(ctx, d, d.Name, fmt.Sprintf(`CREATE TABLE answers (id bigint PRIMARY KEY, question text NOT NULL, at timestamptz DEFAULT now());
CREATE TABLE models (name text PRIMARY KEY, size bigint);
CREATE TABLE "Odd ""Name" (x xml);
CREATE INDEX answers_at ON answers (at);
INSERT INTO answers SELECT i, md5(i::text) || md5((i * 7)::text) FROM generate_series(1, %d) i;
INSERT INTO models VALUES ('small', 7), ('large', 70);`, rows))
	}
	return d, err
}

// SQL runs statements in a database as its owner and gives what they print.
func (l *Lab) SQL(ctx context.Context, d *Database, database, statements string) (string, error) {
	return l.SSH(ctx, d.Host, "docker", "exec", "--env", "PGPASSWORD="+d.Password, d.Container,
		"psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", d.User, "-d", database, "-c", statements)
}

// RemoveDatabase takes it away again, also what a killed test left.
func (l *Lab) RemoveDatabase(ctx context.Context, host string) error {
	if _, err := l.SSH(ctx, host, "sh", "-c", "docker ps -aq --filter name=^"+databaseContainer+"$ | xargs -r docker rm -fv"); err != nil {
		return fmt.Errorf("remove the database on %s: %w", host, err)
	}
	return nil
}

// importDatabase makes an image of the machine's PostgreSQL: its programs, what they are linked with, and a shell.
func importDatabase(ctx context.Context, socket string) error {
	client := unixClient(socket)
	defer client.CloseIdleConnections()
	if httpOK(ctx, client, "http://engine/images/"+databaseImage+":"+databaseVersion+"/json") == nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "nxl-database-")
	if err != nil {
		return fmt.Errorf("make the image of postgres: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // it becomes the root of the image
		return fmt.Errorf("make the image of postgres: %w", err)
	}
	files, err := databaseFiles(ctx, dir)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	pack := exec.CommandContext(ctx, "tar", append([]string{"--create", "--dereference", "--file", "-", "--directory", dir, ".", "--directory", "/"}, files...)...)
	pack.Stderr = &said
	image, err := pack.StdoutPipe()
	if err != nil {
		return fmt.Errorf("make the image of postgres: %w", err)
	}
	if err := pack.Start(); err != nil {
		return fmt.Errorf("make the image of postgres: %w", err)
	}
	err = importImage(ctx, client, image, url.Values{
		"fromSrc": {"-"}, "repo": {databaseImage}, "tag": {databaseVersion},
		"changes": {"ENV PATH=" + databaseBin + ":/usr/bin:/bin", "ENV PGDATA=/var/lib/postgresql/data"},
	})
	werr := pack.Wait()
	if err == nil && werr != nil {
		err = fmt.Errorf("make the image of postgres: %w: %s", werr, strings.TrimSpace(said.String()))
	}
	return err
}

func importImage(ctx context.Context, client *http.Client, image io.Reader, q url.Values) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	patient := &http.Client{Transport: client.Transport}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/images/create?"+q.Encode(), image)
	if err != nil {
		return fmt.Errorf("import the image: %w", err)
	}
	resp, err := patient.Do(req)
	if err != nil {
		return fmt.Errorf("import the image: %w", err)
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || bytes.Contains(said, []byte(`"errorDetail"`)) {
		return fmt.Errorf("import the image: %s: %s", resp.Status, said)
	}
	return nil
}

// databaseFiles gives what of the machine is in the image, and writes into dir what is only there.
func databaseFiles(ctx context.Context, dir string) ([]string, error) {
	if _, err := os.Stat(databaseBin + "/postgres"); err != nil {
		return nil, errors.New("postgres is not installed: run `apt-get install -y --no-install-recommends postgresql-" + databaseVersion + "`")
	}
	programs := []string{"sh", "cat", "df", "rm", "sleep", "env"}
	files := []string{"bin/sh", "usr/lib/postgresql/" + databaseVersion, "usr/share/postgresql/" + databaseVersion, "usr/share/zoneinfo"}
	seen := map[string]bool{}
	var linked []string
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			return nil, fmt.Errorf("make the image of postgres: %w", err)
		}
		linked = append(linked, path)
		files = append(files, strings.TrimPrefix(path, "/"))
	}
	for _, pattern := range []string{databaseBin + "/*", filepath.Dir(databaseBin) + "/lib/plpgsql.so"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("make the image of postgres: %w", err)
		}
		linked = append(linked, found...)
	}
	out, err := exec.CommandContext(ctx, "ldd", linked...).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it ends with 1 for scripts, and says the rest
		return nil, fmt.Errorf("ask which libraries postgres is linked with: %w", err)
	}
	for _, word := range strings.Fields(string(out)) {
		word = strings.TrimSuffix(word, ":")
		if strings.HasPrefix(word, "/") && strings.Contains(word, ".so") && !seen[word] && !strings.HasPrefix(word, filepath.Dir(databaseBin)) {
			seen[word] = true
			files = append(files, strings.TrimPrefix(word, "/"))
		}
	}
	return files, writeDatabaseFiles(dir)
}

func writeDatabaseFiles(dir string) error {
	var errs []error
	for name, text := range map[string]string{
		"etc/passwd":        "root:x:0:0:root:/:/bin/sh\npostgres:x:" + databaseUID + ":0:postgres:/:/bin/sh\n",
		"etc/group":         "root:x:0:\n",
		oldBin + "/pg_dump": "#!/bin/sh\n[ \"$1\" = --version ] && echo 'pg_dump (PostgreSQL) 13.16' && exit 0\nexec " + databaseBin + "/pg_dump \"$@\"\n",
		oldBin + "/psql":    "#!/bin/sh\nexec " + databaseBin + "/psql \"$@\"\n",
		"var/lib/.keep":     "",
		"run/.keep":         "",
		"proc/.keep":        "",
		"sys/.keep":         "",
		"dev/.keep":         "",
	} {
		errs = append(errs, writeFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	return errors.Join(errs...)
}
