package git

import "testing"

func TestImageOf(t *testing.T) {
	tests := []struct{ name, service, key, compose, want string }{
		{"the estate's own line", "ai", "AI_TAG", "services:\n  ai:\n    image: ghcr.io/nexgate-hq/ai-service:${AI_TAG:-latest}\n", "ghcr.io/nexgate-hq/ai-service"},
		{"without default", "ai", "AI_TAG", "services: {ai: {image: 'ai:$AI_TAG'}}", "ai"},
		{"must be set", "ai", "AI_TAG", "services: {ai: {image: 'ai:${AI_TAG:?no tag}'}}", "ai"},
		{"registry with port", "ai", "AI_TAG", "services: {ai: {image: '127.0.0.1:5000/ai:${AI_TAG}'}}", "127.0.0.1:5000/ai"},
		{"another variable with a default", "ai", "AI_TAG", "services: {ai: {image: '${REGISTRY:-ghcr.io}/x/ai:${AI_TAG}'}}", "ghcr.io/x/ai"},
		{"another variable without", "ai", "AI_TAG", "services: {ai: {image: '${REGISTRY}/ai:${AI_TAG}'}}", ""},
		{"a service of another name", "ai", "AI_TAG", "services: {nexgate-ai: {image: 'x/ai:${AI_TAG}'}, db: {image: 'postgres:16'}}", "x/ai"},
		{"its own name first", "ai", "AI_TAG", "services: {a: {image: 'x/a:${AI_TAG}'}, ai: {image: 'x/ai:${AI_TAG}'}}", "x/ai"},
		{"a longer key", "ai", "AI_TAG", "services: {ai: {image: 'x/ai:${AI_TAG_2}'}}", ""},
		{"fixed tag", "ai", "AI_TAG", "services: {ai: {image: 'x/ai:1'}}", ""},
		{"suffix", "ai", "AI_TAG", "services: {ai: {image: 'x/ai:${AI_TAG}-slim'}}", ""},
		{"not yaml", "ai", "AI_TAG", "services: [", ""},
		{"empty", "ai", "AI_TAG", "", ""},
		{"escapes", "ai", "AI_TAG", "services: {ai: {image: \"x\\e[2J:${AI_TAG}\"}}", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := imageOf([]byte(tt.compose), tt.service, tt.key); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzImageOf(f *testing.F) {
	f.Add([]byte("services: {ai: {image: 'x/ai:${AI_TAG}'}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, compose []byte) {
		if got := imageOf(compose, "ai", "AI_TAG"); got != "" && !imageGrammar.MatchString(got) {
			t.Errorf("accepted %q", got)
		}
	})
}
