package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxTypeErrors bounds how many wrong values are looked for in one part of the file.
const maxTypeErrors = 100

// decode fills target from text and gives every unknown key and every wrong value.
// base is the path under which the mistakes are known: "" or "sources[1]" for "sources".
// Wrong values are found one after the other: each is blanked and the rest decoded again,
// which is done into fresh copies so that target's defaults survive.
func (d *document) decode(text []byte, target any, base, root string) Mistakes {
	var out Mistakes
	value := reflect.ValueOf(target).Elem()
	pristine := reflect.New(value.Type()).Elem()
	for range maxTypeErrors {
		pristine.Set(deepCopy(value))
		dec := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
		err := dec.Decode(pristine.Addr().Interface())
		var missing *toml.StrictMissingError
		var wrong *toml.DecodeError
		switch {
		case err == nil:
			value.Set(pristine)
			return append(out, d.refusals(value, base, root)...)
		case errors.As(err, &missing):
			value.Set(pristine)
			out = append(out, unknownKeys(missing, value.Type(), base, root)...)
			return append(out, d.refusals(value, base, root)...)
		case errors.As(err, &wrong):
			row, col := wrong.Position()
			key := strings.Join(wrong.Key(), ".")
			out = append(out, Mistake{Line: row, Column: col, Key: rebase(key, base, root), Text: wrongValue(wrong)})
			blanked, ok := d.blank(text, row)
			if !ok {
				return out
			}
			text = blanked
		default:
			return append(out, Mistake{Line: 1, Column: 1, Key: base, Text: err.Error()})
		}
	}
	return out
}

// refusals are the values that their own types do not accept.
func (d *document) refusals(v reflect.Value, base, root string) Mistakes {
	var out Mistakes
	for _, r := range recheck(v, "") {
		key := rebase(r.path, base, root)
		at := d.find(key)
		out = append(out, Mistake{Line: at.line, Column: at.column, Key: key, Text: r.err.Error()})
	}
	return out
}

// wrongValue words a type error without the decoder's prefix.
func wrongValue(err *toml.DecodeError) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "toml: "), "cannot decode: ")
}

func unknownKeys(missing *toml.StrictMissingError, t reflect.Type, base, root string) Mistakes {
	var out Mistakes
	for i := range missing.Errors {
		e := &missing.Errors[i]
		key := e.Key()
		row, col := e.Position()
		last := key[len(key)-1]
		allowed := keysOf(t, key[:len(key)-1])
		out = append(out, Mistake{
			Line: row, Column: col, Key: rebase(strings.Join(key, "."), base, root),
			Text: "unknown key" + choose(last, allowed),
		})
	}
	return out
}

// rebase turns "sources.url" into "sources[1].url".
func rebase(key, base, root string) string {
	if base == "" {
		return key
	}
	return base + strings.TrimPrefix(key, root)
}

// blank removes the key that stands in or around a line, whole.
func (d *document) blank(text []byte, row int) ([]byte, bool) {
	lines := bytes.Split(text, []byte("\n"))
	if row < 1 || row > len(lines) {
		return nil, false
	}
	first := row
	starts := map[int]bool{}
	for _, at := range d.keys {
		starts[at.line] = true
	}
	for first > 1 && !starts[first] {
		first--
	}
	changed := false
	for i := first; i <= len(lines); i++ {
		if i > row && (starts[i] || len(bytes.TrimSpace(lines[i-1])) == 0) {
			break
		}
		changed = changed || len(bytes.TrimSpace(lines[i-1])) > 0
		lines[i-1] = nil
	}
	return bytes.Join(lines, []byte("\n")), changed
}

// deepCopy copies the pointers, maps and slices of a config struct, so that a failed
// attempt to decode into the copy leaves the defaults as they were.
func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			p := reflect.New(v.Type().Elem())
			p.Elem().Set(deepCopy(v.Elem()))
			out.Set(p)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(deepCopy(v.Field(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			m := reflect.MakeMapWithSize(v.Type(), v.Len())
			for it := v.MapRange(); it.Next(); {
				m.SetMapIndex(it.Key(), deepCopy(it.Value()))
			}
			out.Set(m)
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 0, v.Len()), v))
		}
	default:
	}
	return out
}

// wrap makes the struct through which one table is decoded: struct{ X T `toml:"name"` }.
func wrap(name string, target any) (holder any) {
	t := reflect.StructOf([]reflect.StructField{{
		Name: "X", Type: reflect.TypeOf(target), Tag: reflect.StructTag(fmt.Sprintf("toml:%q", name)),
	}})
	v := reflect.New(t)
	v.Elem().Field(0).Set(reflect.ValueOf(target))
	return v.Interface()
}

// unwrap gives what wrap's holder holds now.
func unwrap(holder any) any { return reflect.ValueOf(holder).Elem().Field(0).Interface() }
