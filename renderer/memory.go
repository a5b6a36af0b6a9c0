package main

import (
	"runtime"
	"runtime/debug"
)

// smallHeap is the size up to which garbage is not worth collecting: most
// renders end before.
const smallHeap = 256 << 20

// collectLate puts off the first garbage collection until the heap has some
// size, and then collects as Go does by default, within what the parent allows
// (GOMEMLIMIT).
func collectLate() {
	debug.SetGCPercent(-1)
	allowed := debug.SetMemoryLimit(smallHeap)
	// What nobody refers to is finalized after the first collection.
	runtime.SetFinalizer(&[64]byte{}, func(*[64]byte) {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(allowed)
	})
}
