package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestMessagesAreDocumented fails if docs/troubleshooting.md lacks a message of the packages that read and write. What
// is wrong in a snapshot or a record is documented together.
func TestMessagesAreDocumented(t *testing.T) {
	page := strings.Join(strings.Fields(pages(t)["docs/troubleshooting.md"]), " ")
	count := 0
	for _, dir := range []string{"source", "deliver", "disk", "trend"} {
		for place, parts := range messagesOf(t, "../../internal/"+dir) {
			count++
			if !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(page, part) }) {
				t.Errorf("docs/troubleshooting.md lacks %q of %s", parts, place)
			}
		}
	}
	if count < 50 {
		t.Errorf("%d messages were found: the test looks in the wrong place", count)
	}
}

// neverShown are errors that only the package itself sees.
var neverShown = []string{"the setting refers to others"}

// messagesOf returns the fixed parts of each error of a package, up to the remedy, by the places of the errors. An
// error without a long part is only wrapped around others.
func messagesOf(t *testing.T, dir string) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	messages := map[string][]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || function.Sel.Name != "Errorf" && function.Sel.Name != "New" {
				return true
			}
			if text, ok := firstText(call.Args[0]); ok && !slices.Contains(neverShown, text) {
				if parts := fixedParts(text); parts != nil {
					messages[files.Position(n.Pos()).String()] = parts
				}
			}
			return true
		})
	}
	return messages
}

// firstText returns the text that an expression begins with.
func firstText(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		return firstText(e.X)
	}
	return "", false
}

// fixedParts returns the parts of a text, up to the remedy, that are long enough to tell it from others.
func fixedParts(text string) (parts []string) {
	text, _, _ = strings.Cut(text, ";")
	for _, part := range regexp.MustCompile(`"?%[+#]?[a-z]"?|[:(,]`).Split(text, -1) {
		if part = strings.TrimSpace(part); len(part) > 14 {
			parts = append(parts, part)
		}
	}
	return parts
}
