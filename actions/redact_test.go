package actions

import (
	"fmt"
	"strings"
	"testing"
)

func TestRedactor(t *testing.T) {
	r := NewRedactor("canary-4711", "abc", "line-one-long\nline-two-long")
	tests := []struct{ in, want string }{
		{"nothing to hide", "nothing to hide"},
		{"AI_TAG=0.4.1", "AI_TAG=0.4.1"},
		{"the canary-4711 sings", "the [redacted] sings"},
		{"abcdef is too short a value to hide", "abcdef is too short a value to hide"},
		{"first line-one-long then line-two-long", "first [redacted] then [redacted]"},
		{"DB_PASSWORD=s3cr3t next", "DB_PASSWORD=[redacted] next"},
		{`password: "two words" next`, `password: [redacted] next`},
		{`{"api_key": "a\"b", "tag": "0.4.1"}`, `{"api_key": "[redacted]", "tag": "0.4.1"}`},
		{"pull https://ana:hunter2@git.example/x", "pull https://ana:[redacted]@git.example/x"},
		{"pull https://ghp_123456@github.com/x", "pull https://[redacted]@github.com/x"},
		{"pull ssh://git@git.example/x", "pull ssh://git@git.example/x"},
		{"Authorization: Bearer abcdefgh.ijkl", "Authorization: [redacted] [redacted]"},
		{"curl --token s3cr3t host", "curl --token [redacted] host"},
		{`exec ["psql","--password","s3\"cr3t","-c","select 1"]`, `exec ["psql","--password","[redacted]","-c","select 1"]`},
		{`["tool", "--tokens", "all", "--user", "ana"]`, `["tool", "--tokens", "all", "--user", "ana"]`},
		{"the tokenizer is faster", "the tokenizer is faster"},
		{"SECRET_KEY_BASE=s3cr3t next", "SECRET_KEY_BASE=[redacted] next"},
		{"vault secret_id: 1234-5678", "vault secret_id: [redacted]"},
		{"{\"aws_secret_access_key\": \"a/b+c\"}", "{\"aws_secret_access_key\": \"[redacted]\"}"},
		{"posted to https://hooks.slack.com/services/T0/B0/x1y2z3: 404", "posted to https://hooks.slack.com/services/[redacted] 404"},
		{"login with hvs.CAESIJlWh3xGtdjvPNNy4zYz failed", "login with [redacted] failed"},
		{"bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw is gone", "[redacted] is gone"},
		{"token file is /etc/x", "token file is /etc/x"},
		{"0.4.1 → 0.4.2: ai: faster tokenizer", "0.4.1 → 0.4.2: ai: faster tokenizer"},
	}
	for _, tt := range tests {
		if got := r.Text(tt.in); got != tt.want {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	argv := r.Argv([]string{"tool", "--password", "s3cr3t", "--user", "ana", "canary-4711"})
	if got := strings.Join(argv, " "); got != "tool --password [redacted] --user ana [redacted]" {
		t.Errorf("argv: %s", got)
	}
	var none *Redactor
	if none.Text("x") != "x" {
		t.Error("no redactor changed a text")
	}
}

func FuzzRedactorHidesKnownValues(f *testing.F) {
	f.Add("before ", " after")
	f.Add("password=", "@host")
	f.Add("https://", "@host/x")
	const secret = "canary-4711-bird"
	r := NewRedactor(secret)
	f.Fuzz(func(t *testing.T, before, after string) {
		if strings.Contains(r.Text(before+secret+after), secret) {
			t.Errorf("the secret is in the text of %q, %q", before, after)
		}
	})
}

func FuzzRedactorHidesNamedValues(f *testing.F) {
	f.Add(uint8(0), uint8(0), "hunter2!", "before ")
	f.Add(uint8(3), uint8(4), "a/b+c==", "x")
	f.Add(uint8(9), uint8(6), "--dash", "")
	names := []string{"password", "DB_PASSWORD", "api_key", "apikey", "X-Api-Key", "secret", "client_secret", "SECRET_KEY", "secret_id", "token", "GITHUB_TOKEN", "private_key", "credentials", "passwd", "PGPASSWORD", "access-key"}
	forms := []string{"%s=%s", "%s: %s", "%s = %s", "\"%s\": \"%s\"", "{\"x_%s\":\"%s\"}", "--%s=%s", "%s='%s'", "%s=\"%s\"", "export %s=%s", "{\"%s\" : \"%s\", \"tag\": 1}"}
	r := NewRedactor()
	f.Fuzz(func(t *testing.T, name, form uint8, value, before string) {
		for _, c := range value {
			if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=_.~-!#$%", c) {
				return
			}
		}
		if len(value) < 6 {
			return
		}
		n, form2 := names[int(name)%len(names)], forms[int(form)%len(forms)]
		bare := fmt.Sprintf(form2, n, "")
		if strings.Contains(bare+Redacted, value) || strings.ContainsAny(before, "\"'\\[") || strings.Contains(r.Text(before+" "+bare), value) {
			return
		}
		if got := r.Text(before + " " + fmt.Sprintf(form2, n, value)); strings.Contains(got, value) {
			t.Errorf("the value is in %q", got)
		}
		if got := r.named(n, value); got != Redacted {
			t.Errorf("the argument %s is %q", n, got)
		}
	})
}

func TestPlain(t *testing.T) {
	tests := []struct{ in, want string }{
		{"a\x1b[31mred\x1b[0m", "a[31mred[0m"},
		{"bell\a\u202eright to left", "bellright to left"},
		{"tab\there", "tab here"},
		{"bad\xff utf8", "bad utf8"},
	}
	for _, tt := range tests {
		if got := plain(tt.in); got != tt.want {
			t.Errorf("plain(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := plain(strings.Repeat("é", maxLine)); len(got) > maxLine+len("…") {
		t.Errorf("plain leaves %d bytes", len(got))
	}
}

func TestRedactorLearns(t *testing.T) {
	r := NewRedactor()
	const secret = `p"ä/ss&w rd`
	texts := []string{
		"said " + secret + " aloud", `{"x":"p\"ä/ss\u0026w rd"}`, `{"x":"p\"ä/ss&w rd"}`,
		"https://h/?q=p%22%C3%A4%2Fss%26w+rd", "cCLDpC9zcyZ3IHJk",
	}
	for _, s := range texts {
		if r.Known(s) != s {
			t.Errorf("%q is hidden before it is known", s)
		}
	}
	r.Learn(secret)
	for _, s := range texts {
		if got := r.Known(s); !strings.Contains(got, Redacted) {
			t.Errorf("Known(%q) = %q", s, got)
		}
	}
	if got := r.Known("PASSWORD=other"); got != "PASSWORD=other" {
		t.Errorf("what is not known was changed: %q", got)
	}
	p := &Plan{
		Title: "go " + secret, Risks: []string{secret}, Checks: []Check{{Name: secret, Detail: secret}},
		Steps: []Step{{Argv: []string{"git", "push", "https://x" + secret + "@h/y", "https://ghp_1234@h/y"}}},
	}
	r.Plan(p)
	if got := strings.Join(append(p.Steps[0].Argv, p.Title, p.Risks[0], p.Checks[0].Name, p.Checks[0].Detail), " "); strings.Contains(got, secret) || strings.Contains(got, "ghp_1234") {
		t.Errorf("the plan shows %s", got)
	}
}
