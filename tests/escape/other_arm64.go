package main

// otherArchitecture is not possible for a 64-bit program.
func otherArchitecture() int32 { return -1 }
