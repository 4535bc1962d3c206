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

// Tailers are the sources that can read logs.
func Tailers(list []Source) []LogTailer { return Capability[LogTailer](list) }

// Inspectors are the sources that can show the raw record of an instance.
func Inspectors(list []Source) []Inspector { return Capability[Inspector](list) }

// Linkers are the sources that know web pages about services.
func Linkers(list []Source) []Linker { return Capability[Linker](list) }
