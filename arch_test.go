package aigateway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which of our packages a package may import: imports point
// down only. A package that is missing here is a decision that nobody took.
var mayImport = map[string][]string{
	".":           {},
	"cmd/gateway": {"*"},
	"bench":       {"*"},
	"gateway":     {"auth", "backend", "cache", "capacity", "config", "job", "limit", "memory", "metrics", "openai", "persist", "router", "telemetry", "tokens"},
	"db":          {"db/postgres", "db/sqlite", "db/spec", "persist"},
	"db/postgres": {"cache", "memory", "persist", "openai", "db/spec"},
	"db/sqlite":   {"cache", "memory", "persist", "openai", "db/spec"},
	"db/spec":     {"cache", "memory", "persist"},
	"db/dbtest":   {"cache", "memory", "persist", "openai", "db/spec"},
	"cache":       {"openai", "cache/guard"},
	"cache/guard": {},
	"memory":      {"openai", "tokens"},
	"metrics":     {"persist", "openai"},
	"persist":     {"openai"},
	"backend":     {"config", "openai"},
	"router":      {"config"},
	"limit":       {"config"},
	"limit/redis": {"limit", "router"},
	"tokens":      {},
	"capacity":    {"persist"},

	"telemetry":       {"persist"},
	"telemetry/otlp":  {"telemetry", "persist", "openai"},
	"telemetry/azure": {"telemetry", "persist", "openai"},

	"auth":      {"config"},
	"config":    {},
	"job":       {},
	"openai":    {},
	"simulator": {},
}

// onlyIn says where a library may be imported; tests are free.
var onlyIn = map[string][]string{
	"github.com/gin-gonic/gin":   {"gateway", "console"},
	"github.com/alecthomas/kong": {"cmd/gateway"},
	"github.com/jackc/pgx":       {"db/postgres", "db/dbtest", "bench"},
	"modernc.org/sqlite":         {"db/sqlite"},
	"github.com/pgvector":        {"db/postgres", "bench"},
	"github.com/pressly/goose":   {"db/postgres", "db/sqlite"},
	"github.com/robfig/cron":     {"job"},
	"go.opentelemetry.io/otel":   {"telemetry/otlp"},
	"github.com/redis/go-redis":  {"limit/redis"},
	"github.com/golang-jwt/jwt":  {"auth"},
	"github.com/pkoukk":          {"tokens"},
	"github.com/prometheus":      {"metrics"},
}

// mayStartGoroutines are the packages whose goroutines have an owner that
// waits for them.
var mayStartGoroutines = []string{"job", "cmd/gateway", "simulator", "bench"}

func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	eachFile(t, func(pkg, file string, f *ast.File, _ *token.FileSet) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the import table", file, pkg)
			return
		}
		for _, spec := range f.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if path == "aigateway" {
				path = "aigateway/."
			}
			if ours, ok := strings.CutPrefix(path, "aigateway/"); ok {
				if !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
					t.Errorf("%s: %s may not import %s", file, pkg, ours)
				}
				continue
			}
			for library, packages := range onlyIn {
				if (path == library || strings.HasPrefix(path, library+"/")) && !slices.Contains(packages, pkg) {
					t.Errorf("%s: %s may not import %s", file, pkg, path)
				}
			}
		}
	})
}

func TestGoroutinesStartOnlyWhereTheyHaveAnOwner(t *testing.T) {
	eachFile(t, func(pkg, file string, f *ast.File, set *token.FileSet) {
		if strings.HasSuffix(file, "_test.go") || slices.Contains(mayStartGoroutines, pkg) {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if start, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: package %s may not start goroutines", set.Position(start.Pos()), pkg)
			}
			return true
		})
	})
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	said := map[string]bool{}
	eachFile(t, func(pkg, file string, f *ast.File, _ *token.FileSet) {
		if !strings.HasSuffix(file, "_test.go") {
			said[pkg] = said[pkg] || f.Doc != nil
		}
	})
	if len(said) < 10 {
		t.Fatalf("found only %d packages", len(said))
	}
	for pkg, ok := range said {
		if !ok {
			t.Errorf("package %s has no doc comment", pkg)
		}
	}
}

// eachFile parses every Go file of the tree.
func eachFile(t *testing.T, visit func(pkg, file string, f *ast.File, set *token.FileSet)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "tools") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(filepath.Dir(path)), path, f, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
