package sources

// Capability gives those of the sources that also have an ability: LogTailer, Inspector, Linker...
func Capability[T any](list []Source) []T {
	var out []T
	for _, s := range list {
		if c, ok := s.(T); ok {
			out = append(out, c)
		}
	}
	return out
}
