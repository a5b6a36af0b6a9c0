package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type attempt struct {
	name string
	try  func() error
}

// attempts are all that are made in one process, in this order. Those that end
// with "call" succeed when the kernel takes the call, whatever it says of the
// arguments.
func attempts(targets Targets) []attempt {
	all := []attempt{
		{"read /etc/passwd", func() error { return read("/etc/passwd") }},
		{"read the token", func() error { return read(targets.Token) }},
		{"read the environment of the process", func() error { return read("/proc/self/environ") }},
		{"read the environment of process 1", func() error { return read("/proc/1/environ") }},
		{"read the environment of the parent", func() error { return read(fmt.Sprintf("/proc/%d/environ", os.Getppid())) }},
		{"open the memory of another process", func() error {
			return closed(os.Open(fmt.Sprintf("/proc/%d/mem", targets.Victim)))
		}},
		{"list /", func() error { _, err := os.ReadDir("/"); return err }},
		{"see whether a file is there", func() error { _, err := os.Stat("/etc/passwd"); return err }},
		{"change the directory", func() error { return os.Chdir("/etc") }},
		{"create a file in /tmp", func() error {
			name := fmt.Sprintf("/tmp/driftless-escaped-%d", os.Getpid())
			defer os.Remove(name)
			return os.WriteFile(name, nil, 0o600)
		}},
		{"create a directory", func() error { return os.Mkdir(filepath.Join(targets.Directory, "escaped"), 0o700) }},
		{"create a link", func() error { return os.Symlink("/", filepath.Join(targets.Directory, "link")) }},
		{"change the mode of a file", func() error { return os.Chmod(targets.Token, 0o600) }},
		{"cut a file", func() error { return os.Truncate(filepath.Join(targets.Directory, "cut"), 0) }},
		{"connect by TCP", func() error { return connect("tcp", targets.Tcp) }},
		{"send by UDP", func() error { return connect("udp", targets.Udp) }},
		{"connect to a socket", func() error { return connect("unix", targets.Unix) }},
		{"connect to an abstract socket", func() error { return connect("unix", "@"+targets.Abstract) }},
		{"listen", func() error {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err == nil {
				listener.Close()
			}
			return err
		}},
		{"have a pair of sockets", func() error {
			_, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			return err
		}},
		{"open a netlink socket", func() error {
			_, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
			return err
		}},
		{"start a program", func() error {
			process, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
			if err == nil {
				_, err = process.Wait()
			}
			return err
		}},
		{"fork", fork},
		{"trace another process", func() error {
			// The tracer's end lets it go.
			return inThread(func() error { return call(syscall.SYS_PTRACE, ptraceSeize, uintptr(targets.Victim), 0, 0) })
		}},
		{"read memory of the parent", func() error {
			var value [1]byte
			local := syscall.Iovec{Base: &value[0], Len: 1}
			remote := struct{ base, length uintptr }{targets.Address, 1}
			return call(processVmReadv, uintptr(os.Getppid()), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
		}},
		{"see whether the parent is there", func() error { return syscall.Kill(os.Getppid(), 0) }},
		{"see whether a process is there", func() error { return syscall.Kill(targets.Victim, 0) }},
		{"have the kernel signal another process", func() error {
			return call(syscall.SYS_FCNTL, 0, syscall.F_SETOWN, uintptr(targets.Victim))
		}},
		{"see the limits of another process", func() error {
			var limit syscall.Rlimit
			return call(syscall.SYS_PRLIMIT64, uintptr(targets.Victim), syscall.RLIMIT_NOFILE, 0, uintptr(unsafe.Pointer(&limit)))
		}},
		{"change a limit of its own", func() error {
			limit := syscall.Rlimit{Cur: 50, Max: 50}
			return call(syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&limit)), 0)
		}},
		{"survive the parent", func() error { return call(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, 0) }},
		{"share nothing with other threads", func() error {
			return inThread(func() error { return call(syscall.SYS_UNSHARE, syscall.CLONE_FS) })
		}},
		{"have a namespace of its own", func() error {
			return inThread(func() error { return call(syscall.SYS_UNSHARE, syscall.CLONE_NEWUTS) })
		}},
		{"mount", func() error {
			return inThread(func() error {
				// Elsewhere than in the namespace of the tests, where it would succeed.
				if err := syscall.Unshare(syscall.CLONE_NEWNS | syscall.CLONE_FS); err == nil {
					if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
						return err
					}
				}
				return syscall.Mount("none", targets.Directory, "tmpfs", 0, "")
			})
		}},
		{"have a file in memory", func() error {
			name := []byte("x\x00")
			return call(memfdCreate, uintptr(unsafe.Pointer(&name[0])), 0)
		}},
		{"have memory that no limit counts", func() error {
			_, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_ANON)
			return err
		}},
		{"have another stack that no limit counts", func() error {
			_, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_GROWSDOWN)
			return err
		}},
		{"read a file of the parent", func() error {
			var content [16]byte
			_, err := syscall.Pread(targets.Descriptor, content[:], 0)
			return err
		}},
		{"read an environment variable", func() error {
			for _, variable := range os.Environ() {
				if !strings.HasPrefix(variable, "GOMAXPROCS=") && !strings.HasPrefix(variable, "GOMEMLIMIT=") {
					return nil
				}
			}
			return errors.New("there is none")
		}},
	}
	for _, one := range calls {
		number := one.number
		all = append(all, attempt{one.name + " call", func() error { return reached(number) }})
	}
	// The last one, since there is no victim afterwards.
	return append(all, attempt{"kill another process", func() error { return syscall.Kill(targets.Victim, syscall.SIGTERM) }})
}

const ptraceSeize = 0x4206

func read(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func closed(file *os.File, err error) error {
	if err == nil {
		file.Close()
	}
	return err
}

func connect(network, address string) error {
	connection, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte("escaped"))
	return err
}

// fork makes a process that ends at once.
func fork() error {
	child, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if child == 0 {
		for {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.Wait4(int(child), nil, 0, nil) // it is there, whether it can be waited for or not
	return nil
}

// inThread runs in a thread that ends afterwards, with whatever it has changed.
func inThread(try func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- try()
	}()
	return <-done
}

func call(number uintptr, arguments ...uintptr) error {
	var all [6]uintptr
	copy(all[:], arguments)
	if _, _, errno := syscall.Syscall6(number, all[0], all[1], all[2], all[3], all[4], all[5]); errno != 0 {
		return errno
	}
	return nil
}

// reached makes a call with arguments that are no use, in a thread of its own.
func reached(number uintptr) error {
	return inThread(func() error {
		const none = ^uintptr(0)
		err := call(number, none, none, none, none, none, none)
		if errors.Is(err, syscall.ENOSYS) {
			return err
		}
		return nil
	})
}
