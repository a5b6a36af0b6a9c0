package main

// promise is a result that comes later.
type promise[T any] struct {
	done   chan struct{}
	result T
	cause  any
}

func newPromise[T any]() *promise[T] { return &promise[T]{done: make(chan struct{})} }

// settle gives the result, or the cause of a panic. Only the first call counts,
// and all calls come from one goroutine.
func (p *promise[T]) settle(result T, cause any) {
	select {
	case <-p.done:
	default:
		p.result, p.cause = result, cause
		close(p.done)
	}
}

// wait returns the result, or panics as the goroutine did that was to make it.
func (p *promise[T]) wait() T {
	<-p.done
	if p.cause != nil {
		panic(p.cause)
	}
	return p.result
}

// background runs a function in a goroutine.
func background[T any](work func() T) *promise[T] {
	p := newPromise[T]()
	go func() {
		var result T
		defer func() { p.settle(result, recover()) }()
		result = work()
	}()
	return p
}
