package main

import "bufio"

// earlySender sends documents before the render has ended, so that the parent reads
// them meanwhile. What it has sent counts only by the response, which may still be
// one of an error.
type earlySender struct {
	out  *bufio.Writer
	size int
	err  error
}

// sendEarly sends documents, which are the next ones that the response has or will
// have. It does nothing where the parent has not asked for it, and where post may
// still change them. Documents that are too large in all are kept for the end, where
// that is reported.
func (r *Response) sendEarly(documents []Document) {
	sender := r.sender
	if sender == nil || sender.err != nil || len(documents) == 0 {
		return
	}
	for i := range documents {
		sender.size += len(documents[i].YAML)
	}
	if sender.size > maxOutputBytes {
		return
	}
	r.Sent += len(documents)
	sender.err = writeDocuments(sender.out, "early", documents)
	if sender.err == nil {
		sender.out.WriteString("}\n") //nolint:errcheck // Flush returns the error
		sender.err = sender.out.Flush()
	}
}

// failed returns why documents could not be sent.
func (s *earlySender) failed() error {
	if s == nil {
		return nil
	}
	return s.err
}
