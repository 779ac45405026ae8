// SPDX-License-Identifier: BSD-3-Clause

// What derper has, as its source says, must be in docs/compatibility.md: a flag, a path or a frame
// that a later version adds is not overlooked.

package interop

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// parseFolder parses the Go files of a folder of the module tailscale.com but its tests.
func parseFolder(t *testing.T, folder string) []*ast.File {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "tailscale.com").Output()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(strings.TrimSpace(string(root)), folder)
	entries, err := fs.Glob(os.DirFS(name), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, entry := range entries {
		if strings.HasSuffix(entry, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(name, entry), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		t.Fatalf("%s: no Go files", name)
	}
	return files
}

// literals returns the first string literal among the arguments of each call of one of these
// methods of a variable or package.
func literals(files []*ast.File, receiver string, methods ...string) []string {
	var found []string
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if name, ok := method.X.(*ast.Ident); !ok || name.Name != receiver {
				return true
			}
			for _, wanted := range methods {
				if method.Sel.Name != wanted {
					continue
				}
				for _, argument := range call.Args {
					if text, ok := argument.(*ast.BasicLit); ok && text.Kind == token.STRING {
						value, _ := strconv.Unquote(text.Value)
						found = append(found, value)
						break
					}
				}
			}
			return true
		})
	}
	return found
}

// frameNames returns the names of the constants of the type FrameType.
func frameNames(files []*ast.File) []string {
	var found []string
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			value, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range value.Names {
				if !strings.HasPrefix(name.Name, "Frame") || i >= len(value.Values) {
					continue
				}
				if call, ok := value.Values[i].(*ast.CallExpr); ok {
					if kind, ok := call.Fun.(*ast.Ident); ok && kind.Name == "FrameType" {
						found = append(found, name.Name)
					}
				}
			}
			return true
		})
	}
	return found
}

func TestCompatibilityPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, prefix string, names []string, least int) {
		if len(names) < least {
			t.Errorf("only %d %s were found in derper's source: %q", len(names), what, names)
		}
		for _, name := range names {
			if !strings.Contains(string(text), "`"+prefix+name+"`") {
				t.Errorf("docs/compatibility.md says nothing of derper's %s%s", prefix, name)
			}
		}
	}
	derper := parseFolder(t, "cmd/derper")
	check("flags", "-", literals(derper, "flag", "Bool", "String", "Int", "Float64", "Duration"), 20)
	check("paths", "", literals(derper, "mux", "Handle", "HandleFunc"), 5)
	check("frames", "", frameNames(parseFolder(t, "derp")), 14)
}
