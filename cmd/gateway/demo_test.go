package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aigateway"
	"aigateway/config"
)

// lockedBuffer is a process's output that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// demoAnswers are what the demo's commands answer, in their order; kept is how
// many interactions the sample's conversations keep.
func demoAnswers(kept int) []string {
	return []string{
		`(?is)^HTTP/1.1 200 .*\nx-cache: miss\r\n.*\nx-thread-id: [-0-9a-f]{36}\r\n.*What is a gateway\?`,
		`(?is)^HTTP/1.1 200 .*\nx-cache: hit\r\n(?:x-cache-entry: \d+\r\n)?x-cache-layer: exact\r\nx-cache-score: 1.0000\r\n.*What is a gateway\?`,
		`(?is)^HTTP/1.1 200 .*\nx-cache: hit\r\n(?:x-cache-entry: \d+\r\n)?x-cache-layer: semantic\r\n.*“What is a gateway\?”`,
		`(?s)^data: \{.*"delta":.*"finish_reason":"stop".*data: \[DONE\]\n\n$`,
		`(?is)^HTTP/1.1 200 .*\nx-cache: bypass; reason=use_cache=false\r\n.*What is a gateway\?`,
		`^$`, // it sets $thread
		`“What can you do\?”\. It has read 3 messages`,
		fmt.Sprintf(`“And who am I\?”\. It has read %d messages`, 2*min(kept, 2)+1),
		`^\{"threadId":"[-0-9a-f]{36}",.*I am Ada\. Who are you\?`,
		`"requestId":"third-turn".*And who am I\?`,
		`"prompt":"What is a gateway\?"`,
		`(?s)200 endpoint: first.*200 endpoint: second.*429 endpoint:.*retry-after: \d+`,
		`(?m)^aichatbotapp,gpt-4o,\d+,`,
		`"limit":"per-app","amount":"[a-zA-Z]+","per":"app=aichatbotapp"`,
		`(?s)Capacity of aichatbotapp.* 100\.00%`,
		`"applicationId":"aichatbotapp","cacheMetrics":\{"hitCount":3,`,
		`(?m)^gateway_cache_hits_total\{app="aichatbotapp"\} 3$`,
		`"serverName":"demo"`,
		`Reloaded router config`,
	}
}

// TestDemoDoesWhatItPrints pastes all that the demo prints into one shell.
func TestDemoDoesWhatItPrints(t *testing.T) {
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{"bash", "curl", "awk"} {
		if _, err := exec.LookPath(needed); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no %s: the demo's commands cannot be run", needed)
			}
			t.Skipf("no %s", needed)
		}
	}
	// Both of its ports are in use.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if models, err := net.Listen("tcp", simulatorAddress); err == nil {
		defer models.Close()
	}
	var out lockedBuffer
	demo := exec.Command(program, "demo", fmt.Sprintf("--port=%d", taken.Addr().(*net.TCPAddr).Port))
	demo.Dir = t.TempDir()
	demo.Env = environment()
	demo.Stdout, demo.Stderr = &out, &out
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- demo.Wait() }()
	t.Cleanup(func() { demo.Process.Kill() })
	if err := eventually(startsWithin, func() (bool, error) { return strings.Contains(out.String(), "/reconfig -H"), nil }); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	printed := out.String()
	if strings.Count(printed, " is in use: ") != 2 {
		t.Errorf("the demo does not say which ports it left: %s", printed)
	}

	sample, err := config.Parse(aigateway.Sample())
	if err != nil {
		t.Fatal(err)
	}
	bot := slices.IndexFunc(sample.Applications, func(a config.Application) bool { return a.AppID == "aichatbotapp" })
	kept := sample.Applications[bot].MemorySettings.MsgCount
	commands, answers := pasteCommands(t, printed)
	wants := demoAnswers(kept)
	if len(commands) != len(wants) {
		t.Fatalf("%d commands, want %d: %s", len(commands), len(wants), printed)
	}
	for i, command := range commands {
		if !regexp.MustCompile(wants[i]).MatchString(answers[i]) {
			t.Errorf("%s\nwant %s in\n%s", command, wants[i], answers[i])
		}
	}
	if n := strings.Count(answers[8], `"number":`); n != min(kept, 3) {
		t.Errorf("the page of the conversation shows %d interactions, want %d: %s", n, min(kept, 3), answers[8])
	}

	if err := demo.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil || !strings.HasSuffix(out.String(), "stopped\n") {
			t.Errorf("the demo ended with %v: %s", err, out.String())
		}
	case <-time.After(stopsWithin):
		t.Error("the demo does not stop")
	}
}

// pasteCommands runs the indented lines of the demo's output in one shell, as
// they stand, comments too, and returns the commands with what each answered.
func pasteCommands(t *testing.T, printed string) (commands, answers []string) {
	t.Helper()
	const mark = "\n==== next ====\n"
	var script strings.Builder
	for line := range strings.Lines(printed) {
		if !strings.HasPrefix(line, "  ") {
			continue
		}
		script.WriteString(line)
		if command := strings.TrimSpace(line); !strings.HasPrefix(command, "#") {
			commands = append(commands, command)
			// What is kept is kept after the answer; who reads it is slower than a shell.
			fmt.Fprintf(&script, "[ $? = 0 ] || echo failed\nprintf %q; sleep 0.1\n", mark)
		}
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	shell.Dir = t.TempDir()
	said, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the pasted commands: %v: %s", err, said)
	}
	answers = strings.Split(string(said), mark)
	return commands, answers[:len(answers)-1]
}
