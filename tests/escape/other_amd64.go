package main

// otherArchitecture makes a system call as 32-bit programs make it.
func otherArchitecture() int32
