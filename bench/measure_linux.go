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

// parentOf is the process that started another, when both run a program of
// that name; else 0.
func parentOf(pid int, program string) int {
	_, parent, name, err := ancestry(pid)
	if err != nil || name != program {
		return 0
	}
	if _, _, name, err = ancestry(parent); err != nil || name != program {
		return 0
	}
	return parent
}

// familyCPU is the CPU time of a process and its children, of those that it
// has seen end too.
func familyCPU(parent int) (time.Duration, error) {
	ended, _, _, err := ancestry(parent)
	if err != nil {
		return 0, err
	}
	own, err := cpuTime(parent)
	if err != nil {
		return 0, err
	}
	sum := ended + own
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if _, of, _, err := ancestry(pid); err != nil || of != parent {
			continue // it ended meanwhile, or is another's
		}
		if used, err := cpuTime(pid); err == nil {
			sum += used
		}
	}
	return sum, nil
}

// ancestry reads proc_pid_stat(5): the CPU time of the children that have
// ended, in hundredths of a second, the parent and the program's name.
func ancestry(pid int) (ended time.Duration, parent int, name string, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, "", err
	}
	from, to := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if from < 0 || to < from {
		return 0, 0, "", fmt.Errorf("reading the ancestry of process %d: %q", pid, stat)
	}
	fields := bytes.Fields(stat[to+1:]) // from the third of the manual's on
	if len(fields) < 15 {
		return 0, 0, "", fmt.Errorf("reading the ancestry of process %d: %q", pid, stat)
	}
	const tick = time.Second / 100 // USER_HZ, the same on all platforms
	parent, _ = strconv.Atoi(string(fields[1]))
	user, _ := strconv.Atoi(string(fields[13]))
	system, _ := strconv.Atoi(string(fields[14]))
	return time.Duration(user+system) * tick, parent, string(stat[from+1 : to]), nil
}
