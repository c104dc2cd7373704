package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time, in user mode and in the kernel, that all threads of
// a process have used, those that ended too. It reads the process's CPU-time
// clock, which counts nanoseconds; /proc/PID/stat counts hundredths of a
// second. The clock's number is made as clock_getcpuclockid(3) makes it.
func cpuTime(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &t); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// residentBytes is VmRSS of proc_pid_status(5), as it is: nothing is collected
// before.
func residentBytes(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmRSS:"))
	size, _, _ := bytes.Cut(rest, []byte("kB"))
	kB, err := strconv.Atoi(string(bytes.TrimSpace(size)))
	if err != nil {
		return 0, fmt.Errorf("reading VmRSS of process %d: %w", pid, err)
	}
	return kB << 10, nil
}

// processor is the CPU's name; empty when the kernel has none.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	_, rest, _ := bytes.Cut(info, []byte("\nmodel name\t: "))
	name, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(name)
}
