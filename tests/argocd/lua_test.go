// The health checks and actions of gitops/argocd, run as Argo CD runs them: by gopher-lua, with the libraries that Argo CD opens,
// and by the tests that its own repository keeps beside such files.
package argocd

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

const folder = "../../gitops/argocd/meshagent.com"

type healthTests struct {
	Tests []struct {
		InputPath    string `json:"inputPath"`
		HealthStatus struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"healthStatus"`
	} `json:"tests"`
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string `json:"inputPath"`
		Result    []struct {
			Name     string `json:"name"`
			Disabled bool   `json:"disabled"`
		} `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// run executes a script on an object. Argo CD opens the base, package and table libraries, and of os only date and time.
func run(t *testing.T, script string, object map[string]any) any {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.OsLibName: lua.OpenOs} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	all := state.GetGlobal("os").(*lua.LTable)
	safe := state.NewTable()
	for _, name := range []string{"date", "time"} {
		safe.RawSetString(name, all.RawGetString(name))
	}
	state.SetGlobal("os", safe)
	state.SetGlobal("obj", toLua(state, object))
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	if err := state.DoString(string(text)); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return fromLua(state.Get(-1))
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, inner := range value {
			table.RawSetString(key, toLua(state, inner))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, inner := range value {
			table.Append(toLua(state, inner))
		}
		return table
	case string:
		return lua.LString(value)
	case float64:
		return lua.LNumber(value)
	case bool:
		return lua.LBool(value)
	}
	return lua.LNil
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case *lua.LTable:
		if length := value.Len(); length > 0 {
			list := []any{}
			for index := 1; index <= length; index++ {
				list = append(list, fromLua(value.RawGetInt(index)))
			}
			return list
		}
		fields := map[string]any{}
		value.ForEach(func(key, inner lua.LValue) { fields[key.String()] = fromLua(inner) })
		return fields
	case lua.LString:
		return string(value)
	case lua.LNumber:
		return float64(value)
	case lua.LBool:
		return bool(value)
	}
	return nil
}

func TestHealthIsAsTheTestsBesideItSay(t *testing.T) {
	for _, kind := range []string{"OAuthClient", "MeshAgentProject", "ClusterMeshAgentProject"} {
		var tests healthTests
		read(t, filepath.Join(folder, kind, "health_test.yaml"), &tests)
		if len(tests.Tests) < 5 {
			t.Errorf("%s: only %d tests", kind, len(tests.Tests))
		}
		for _, test := range tests.Tests {
			var object map[string]any
			read(t, filepath.Join(folder, kind, test.InputPath), &object)
			got := run(t, filepath.Join(folder, kind, "health.lua"), object).(map[string]any)
			want := map[string]any{"status": test.HealthStatus.Status, "message": test.HealthStatus.Message}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: got %v, want %v", kind, test.InputPath, got, want)
			}
		}
	}
}

func TestActionsAreAsTheTestsBesideThemSay(t *testing.T) {
	actions := filepath.Join(folder, "OAuthClient", "actions")
	var tests actionTests
	read(t, filepath.Join(actions, "action_test.yaml"), &tests)
	for _, test := range tests.DiscoveryTests {
		var object map[string]any
		read(t, filepath.Join(actions, test.InputPath), &object)
		got := run(t, filepath.Join(actions, "discovery.lua"), object)
		want := map[string]any{}
		for _, action := range test.Result {
			want[action.Name] = map[string]any{"disabled": action.Disabled}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("discovery %s: got %v, want %v", test.InputPath, got, want)
		}
	}
	moment := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
	for _, test := range tests.ActionTests {
		var object, want map[string]any
		read(t, filepath.Join(actions, test.InputPath), &object)
		read(t, filepath.Join(actions, test.ExpectedOutputPath), &want)
		got := run(t, filepath.Join(actions, test.Action, "action.lua"), object).(map[string]any)
		// The moment of asking is another in every run.
		if annotations, ok := got["metadata"].(map[string]any)["annotations"].(map[string]any); ok {
			name := fmt.Sprintf("meshagent.com/%s-requested-at", test.Action)
			if at, asked := annotations[name].(string); asked && moment.MatchString(at) {
				annotations[name] = "now"
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("action %s: got %v, want %v", test.Action, got, want)
		}
	}
}
