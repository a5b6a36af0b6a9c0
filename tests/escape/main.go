// escape is a hostile helper: it tries to get out of the sandbox, and says what
// succeeded. Tests run it with and without the sandbox, so that each attempt is
// known to be one that can succeed.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Targets are what the test has put up.
type Targets struct {
	Token      string  // a file with a secret
	Directory  string  // a directory that anybody may write to
	Tcp, Udp   string  // addresses that somebody listens on
	Unix       string  // a socket
	Abstract   string  // the name of an abstract socket
	Victim     int     // a process of the same user
	Address    uintptr // memory of the parent that can be read
	Descriptor int     // an open file that the parent did not mark to be closed
	Copy       string  // this program in another file
}

func main() {
	if len(os.Args) < 2 {
		fail("escape MODE [TARGETS]")
	}
	var targets Targets
	if len(os.Args) > 2 && os.Args[1] != "without" {
		if err := json.Unmarshal([]byte(os.Args[2]), &targets); err != nil {
			fail(err)
		}
	}
	switch mode := os.Args[1]; mode {
	case "attempts":
		for _, attempt := range attempts(targets) {
			if err := attempt.try(); err != nil {
				fmt.Printf("%s\tfailed\t%v\n", attempt.name, err)
			} else {
				fmt.Printf("%s\tsucceeded\n", attempt.name)
			}
		}
	case "escaped":
		fmt.Println("escaped")
	case "exec-shell":
		fail(syscall.Exec("/bin/sh", []string{"sh", "-c", "echo escaped"}, nil))
	case "exec-copy":
		fail(syscall.Exec(targets.Copy, []string{"escape", "escaped"}, nil))
	case "exec-memory":
		fail(execMemory(targets.Copy))
	case "other-architecture":
		fmt.Println(otherArchitecture())
	case "allocate":
		allocate()
	case "loop":
		for {
		}
	case "output":
		flood(os.Stdout)
	case "stderr":
		flood(os.Stderr)
	case "report":
		fmt.Fprintf(os.Stderr, "one\x1b[2J\ntwo %s", strings.Repeat("x", 1<<20))
		os.Exit(7)
	case "wait":
		fmt.Fprintln(os.Stderr, "waiting")
		time.Sleep(time.Hour)
	case "count":
		count, err := io.Copy(io.Discard, os.Stdin)
		if err != nil {
			fail(err)
		}
		fmt.Println(count)
	case "answer":
		fmt.Println("answered")
	case "work":
		fmt.Println(work())
	case "variables":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "without":
		// without CALLS PROGRAM ARGUMENTS: on a kernel that lacks something
		fail(without(os.Args[2], os.Args[3:]))
	default:
		fail("no mode " + mode)
	}
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "escape:", why)
	os.Exit(3)
}

// allocate writes to 1 GiB of memory.
func allocate() {
	var kept [][]byte
	for range 16 {
		kept = append(kept, bytes.Repeat([]byte{1}, 64<<20))
	}
	fmt.Println("allocated", len(kept))
}

// flood writes 10 GB.
func flood(to io.Writer) {
	block := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16)
	for range 10_000 {
		if _, err := to.Write(block); err != nil {
			fail(err)
		}
	}
}

// work is what an honest program does: goroutines, threads, timers, garbage.
func work() int {
	var group sync.WaitGroup
	results := make(chan int, 400)
	for number := range 200 {
		group.Go(func() {
			if number%4 == 0 {
				runtime.LockOSThread()
			}
			var kept []byte
			for round := range 50 {
				kept = append(kept[:0], bytes.Repeat([]byte{byte(round)}, 32<<10)...)
			}
			time.Sleep(time.Millisecond)
			results <- len(kept)
		})
	}
	group.Wait()
	runtime.GC()
	close(results)
	sum := 0
	for result := range results {
		sum += result
	}
	return sum
}

// execMemory executes a program that is in no file system.
func execMemory(program string) error {
	name := []byte("escape\x00")
	descriptor, _, errno := syscall.Syscall(memfdCreate, uintptr(unsafe.Pointer(&name[0])), 0, 0)
	if errno != 0 {
		return errno
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	file := os.NewFile(descriptor, "escape")
	if _, err := file.Write(content); err != nil {
		return err
	}
	return syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", descriptor), []string{"escape", "escaped"}, nil)
}
