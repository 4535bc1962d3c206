package config

import (
	"encoding"
	"fmt"
	"reflect"
)

// refused is one value that its own type does not accept.
type refused struct {
	path string
	err  error
}

// recheck hands every string-kinded value to its own UnmarshalText. The decoder
// does not: it sets anything of kind string directly, which would let a secret
// written in clear through.
func recheck(v reflect.Value, path string) []refused {
	switch v.Kind() {
	case reflect.String:
		if u, ok := textUnmarshaler(v); ok && v.String() != "" {
			if err := u.UnmarshalText([]byte(v.String())); err != nil {
				return []refused{{path, err}}
			}
		}
		return nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return recheck(v.Elem(), path)
	case reflect.Struct:
		var out []refused
		for i := range v.NumField() {
			if name := tomlName(v.Type().Field(i)); name != "" {
				out = append(out, recheck(v.Field(i), join(path, name))...)
			}
		}
		return out
	case reflect.Map:
		var out []refused
		for it := v.MapRange(); it.Next(); {
			entry := reflect.New(it.Value().Type()).Elem()
			entry.Set(it.Value())
			out = append(out, recheck(entry, join(path, it.Key().String()))...)
		}
		return out
	case reflect.Slice:
		var out []refused
		for i := range v.Len() {
			out = append(out, recheck(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
		return out
	default:
		return nil
	}
}

func textUnmarshaler(v reflect.Value) (encoding.TextUnmarshaler, bool) {
	if !v.CanAddr() || !v.Addr().CanInterface() {
		return nil, false
	}
	u, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return u, ok
}
