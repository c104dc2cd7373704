//go:build !linux

package main

import (
	"errors"
	"time"
)

var errLinux = errors.New("CPU time and memory of other processes are measured on Linux only")

func cpuTime(int) (time.Duration, error)   { return 0, errLinux }
func residentBytes(int) (int, error)       { return 0, errLinux }
func processor() string                    { return "" }
func parentOf(int, string) int             { return 0 }
func familyCPU(int) (time.Duration, error) { return 0, errLinux }
