package main

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// without runs a program as on a kernel without "landlock" or "seccomp".
func without(what string, program []string) error {
	var missing []uint32
	failure := uint32(syscall.ENOSYS)
	switch what {
	case "landlock":
		missing = []uint32{444, 445, 446}
	case "seccomp":
		missing, failure = []uint32{uint32(seccompCall)}, uint32(syscall.EINVAL)
	}
	const (
		loadWord, jumpIfEqual, end = 0x20, 0x15, 0x06
		allow, errno               = 0x7fff0000, 0x00050000
	)
	filter := []syscall.SockFilter{{Code: loadWord}}
	for index, number := range missing {
		filter = append(filter, syscall.SockFilter{Code: jumpIfEqual, K: number, Jt: uint8(len(missing) - index)})
	}
	filter = append(filter, syscall.SockFilter{Code: end, K: allow}, syscall.SockFilter{Code: end, K: errno | failure})
	code := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}

	runtime.LockOSThread()
	const setNoNewPrivs, setModeFilter = 38, 1
	if err := call(syscall.SYS_PRCTL, setNoNewPrivs, 1); err != nil {
		return err
	}
	if err := call(seccompCall, setModeFilter, 0, uintptr(unsafe.Pointer(&code))); err != nil {
		return err
	}
	return syscall.Exec(program[0], program, os.Environ())
}
