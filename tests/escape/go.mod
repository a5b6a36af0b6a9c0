module driftless.dev/escape

go 1.26
