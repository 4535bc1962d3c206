package compose

import "testing"

// Words from labels and tag files stand in argv: none of them may be taken for an option or a path.
func TestWordsFromOutside(t *testing.T) {
	for word, want := range map[string]struct{ name, tag bool }{
		"ai": {true, true}, "ai-2.x": {true, true}, "0.4.2": {true, true}, "_x": {true, true},
		"": {}, "-V": {}, "--force-recreate": {}, ".hidden": {}, "a b": {}, "a/b": {}, "../x": {}, "a\n": {}, "a:b": {},
	} {
		if IsName(word) != want.name || IsTag(word) != want.tag {
			t.Errorf("%q: a name %v, a tag %v", word, IsName(word), IsTag(word))
		}
	}
}
