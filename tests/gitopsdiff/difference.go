package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// difference is an object that the tool calls changed, and where.
type difference struct {
	object string
	// Neither is there if the cluster lacks the object, or if the tool would make it anew.
	changes []change
	missing bool
	// A Secret's values are never printed.
	secret bool
}

// change is a value at a path; a side that lacks the path has nil.
type change struct {
	path       string
	live, made any
}

// differ compares the live object with what the tool would make of it.
func differ(object *unstructured.Unstructured, live, made any) (difference, error) {
	d := difference{object: name(object), secret: object.GetKind() == "Secret" && object.GroupVersionKind().Group == ""}
	var err error
	if live, err = plain(live); err == nil {
		made, err = plain(made)
	}
	if err != nil {
		return d, fmt.Errorf("%s: %w", d.object, err)
	}
	d.missing = live == nil
	if !d.missing {
		d.changes = changes(live, made, "")
	}
	return d, nil
}

// plain gives JSON one form: numbers are all float64.
func plain(value any) (any, error) {
	text, isText := value.([]byte)
	if !isText {
		var err error
		if text, err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	var result any
	err := json.Unmarshal(text, &result)
	return result, err
}

func changes(live, made any, path string) []change {
	if reflect.DeepEqual(live, made) {
		return nil
	}
	liveFields, liveIsMap := fields(live)
	madeFields, madeIsMap := fields(made)
	if !liveIsMap || !madeIsMap {
		return []change{{path: path, live: live, made: made}}
	}
	var found []change
	both := maps.Clone(liveFields)
	maps.Copy(both, madeFields)
	for _, key := range slices.Sorted(maps.Keys(both)) {
		found = append(found, changes(liveFields[key], madeFields[key], path+key)...)
	}
	return found
}

var simple = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// fields gives the members of an object, or of a list, by the piece of path that leads to each. Members of a list that all have
// names go by these, as containers and variables do, so that an added one does not change those behind it.
func fields(value any) (map[string]any, bool) {
	members := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			if simple.MatchString(key) {
				members["."+key] = member
			} else {
				members[fmt.Sprintf("[%q]", key)] = member
			}
		}
	case []any:
		for _, member := range value {
			object, _ := member.(map[string]any)
			if called, isText := object["name"].(string); isText {
				members[fmt.Sprintf("[name=%s]", called)] = member
			}
		}
		if len(members) == len(value) {
			break
		}
		members = map[string]any{}
		for index, member := range value {
			members[fmt.Sprintf("[%d]", index)] = member
		}
	default:
		return nil, false
	}
	return members, true
}

func (d difference) String() string {
	var text strings.Builder
	text.WriteString(d.object)
	if d.missing {
		text.WriteString(": not in the cluster")
	}
	text.WriteString("\n")
	for _, change := range d.changes {
		fmt.Fprintf(&text, "  %s", strings.TrimPrefix(change.path, "."))
		if !d.secret {
			fmt.Fprintf(&text, ": %s -> %s", printed(change.live), printed(change.made))
		}
		text.WriteString("\n")
	}
	return text.String()
}

// printed cuts what is too long for a line: the last-applied annotation holds the whole object.
func printed(value any) string {
	if value == nil {
		return "none"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	const most = 200
	if runes := []rune(string(text)); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(text)
}
