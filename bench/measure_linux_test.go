package main

import (
	"os"
	"os/exec"
	"testing"
)

func TestCPUOfAFamilyCountsTheChildrenThatEnded(t *testing.T) {
	before, _, _, err := ancestry(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Some tenths of a second, of which the clock counts hundredths.
	if err := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done").Run(); err != nil {
		t.Fatal(err)
	}
	own, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after, err := familyCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	ended, _, _, err := ancestry(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if ended <= before || after < own+ended {
		t.Errorf("%s of children that had ended before another, %s after; %s in all, %s of it own", before, ended, after, own)
	}
}

func TestParentIsOfTheSameProgram(t *testing.T) {
	_, parent, name, err := ancestry(os.Getpid())
	if err != nil || parent != os.Getppid() {
		t.Fatalf("parent %d and %v, want %d", parent, err, os.Getppid())
	}
	if got := parentOf(os.Getpid(), name+"-other"); got != 0 {
		t.Errorf("the parent %d of a process that runs another program", got)
	}
}
