package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages returns README and the other documents, by their paths from the root of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		paths, err := filepath.Glob("../../" + pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal(paths, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			pages[strings.TrimPrefix(path, "../../")] = string(content)
		}
	}
	return pages
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```.*?\n```$")
)

// TestLinks fails if a document links to a file or a heading that does not exist.
func TestLinks(t *testing.T) {
	pages := pages(t)
	for path, content := range pages {
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(content, ""), -1) {
			target, anchor, _ := strings.Cut(found[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			target = filepath.Join(filepath.Dir(path), target)
			if strings.HasPrefix(found[1], "#") {
				target = path
			}
			if _, err := os.Stat("../../" + target); err != nil {
				t.Errorf("%s: %s: %v", path, found[1], err)
			} else if anchor != "" && !hasAnchor(pages[target], anchor) {
				t.Errorf("%s: %s: no such heading", path, found[1])
			}
		}
	}
}

// hasAnchor reports whether a page has a heading that is linked to in this way: in lower case, blanks as dashes,
// without punctuation.
func hasAnchor(page, anchor string) bool {
	for _, found := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		words := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(found[1]), "")
		if strings.ReplaceAll(words, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// TestEveryDocumentIsLinked fails if README does not lead to a document.
func TestEveryDocumentIsLinked(t *testing.T) {
	pages := pages(t)
	for path := range pages {
		if strings.HasPrefix(path, "docs/") && !strings.Contains(pages["README.md"], "]("+path+")") {
			t.Errorf("README.md does not link to %s", path)
		}
	}
}

// TestReadmeIsShort keeps README a page for somebody who has never heard of the programs. Reference belongs into docs.
func TestReadmeIsShort(t *testing.T) {
	const limit = 150
	if lines := strings.Count(pages(t)["README.md"], "\n"); lines > limit {
		t.Errorf("README.md has %d lines, more than %d", lines, limit)
	}
}
