package script

import (
	"os"
	"path/filepath"
	"testing"
)

const samples = "../../../configs/scxml"

// The applications that come with the program have no problems, and do what their tests say.
func TestSamples(t *testing.T) {
	files, err := filepath.Glob(samples + "/*.scxml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no samples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range Check(file, src, nil).Problems {
				t.Error(p)
			}
			tests, err := os.ReadFile(TestsOf(file))
			if err != nil {
				t.Fatal(err)
			}
			outcomes, problems := RunTests(file, src, TestsOf(file), tests, nil)
			for _, p := range problems {
				t.Error(p)
			}
			for _, o := range outcomes {
				for _, p := range o.Problems {
					t.Error(p)
				}
			}
		})
	}
}
