package docker

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	const secret = "hunter2"
	hidden := []string{
		"DB_PASSWORD=hunter2", "PGPASS=hunter2", "JWT_SECRET=hunter2", "API_KEY=hunter2", "apiKey=hunter2", "MASTERKEY=hunter2", "AUTH=hunter2",
		"SENTRY_DSN=https://hunter2@sentry/1", "DATABASE_URL=postgres://app:hunter2@db:5432/x?sslmode=off", "REDIS=redis://:hunter2@cache",
		"AMQP=amqp://u:p@hunter2@mq/", "DATABASE=postgres://u:a/hunter2@db/x", "TLS_CERT=hunter2", "PRIVATE=hunter2", "GH_TOKEN=a=b=hunter2",
		"--password=hunter2", "exec run --db-password hunter2 --port 80", "export API_TOKEN='x hunter2'; run", "-H 'Authorization: Bearer hunter2xyz'",
		`{"user":"a","password":"hunter2"}`, `X-Api-Key: hunter2`, "curl -u https://a:hunter2@x/", "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
		"https://x/?token=hunter2&a=b", "AWS_SECRET_ACCESS_KEY=hunter2", "STRIPE_WEBHOOK=hunter2", "Bearer hunter2hunter2",
	}
	for _, s := range hidden {
		if got := redactText(s); strings.Contains(got, secret) {
			t.Errorf("%q became %q", s, got)
		}
	}
	shown := []string{
		"PATH=/usr/bin:/bin", "PORT=8080", "PWD=/app", "SPRING_PROFILES_ACTIVE=prod", "KEYBOARD=us", "AUTHOR=ana", "ghcr.io/x/ai:0.4.2@sha256:abc",
		"URL=http://127.0.0.1:9090/path@v1", "sh -c 'run --port 80 --verbose'", "KEYCLOAK_URL=http://sso:8080", "2026-03-01T12:00:00Z", "--listen=0.0.0.0:80",
	}
	for _, s := range shown {
		if got := redactText(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestRedactJSON(t *testing.T) {
	raw := `{"Id":"abc","Args":["--token","hunter2","--name","web","-p","80"],"SizeRw":12345678901234567890,
		"Config":{"Env":["A=b","X_PASSWORD=hunter2"],"Labels":{"traefik.auth":"hunter2","a.url":"https://u:hunter2@h/x","ok":"<yes>"},
		"Cmd":["sh","-c","login --password hunter2"]},"NetworkSettings":{"SandboxKey":"/var/run/docker/netns/1"},"HostConfig":{"Binds":null},
		"State":{"Health":{"Log":[{"Output":"password: hunter2"}]}}}`
	b, err := redactJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	s := string(b)
	if strings.Contains(s, "hunter2") || !json.Valid(b) {
		t.Errorf("%s", s)
	}
	for _, want := range []string{`"A=b"`, "12345678901234567890", `"ok": "<yes>"`, "/var/run/docker/netns/1", `"web"`, "\n  \"Args\": ["} {
		if !strings.Contains(s, want) {
			t.Errorf("no %s in %s", want, s)
		}
	}
	if _, err := redactJSON([]byte("<html>")); err == nil {
		t.Error("no JSON is no error")
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("postgres://a:", "b@host")
	f.Add("PASSWORD=", "x y")
	f.Add("--token ", "'a")
	f.Fuzz(func(t *testing.T, before, after string) {
		got := redactText(before + " PASSWORD=hunter2 " + after)
		if strings.Contains(got, "PASSWORD=hunter2") && !strings.ContainsAny(before, `"'`) {
			t.Errorf("%q", got)
		}
		_ = redactText(before)
	})
}
