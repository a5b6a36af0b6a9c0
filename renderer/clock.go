package main

import (
	"text/template"
	"time"
)

// clockShift is how far the clock of a second render goes ahead: every part of a
// date differs, from the year to the second. In each further one it goes ahead by
// furtherShift, which is the other half of a day.
const (
	clockShift   = 400*24*time.Hour + 5*time.Hour + 17*time.Minute + 29*time.Second
	furtherShift = 12*time.Hour + time.Minute + time.Second
)

// addClock replaces the template functions that read the clock by such that read
// the shifted one in a later render. Sprig takes what is no date for now.
func (r *random) addClock(functions, original template.FuncMap) {
	date, _ := original["dateInZone"].(func(string, any, string) string)
	ago, _ := original["ago"].(func(any) string)
	round, _ := original["durationRound"].(func(any) string)

	dateInZone := func(format string, at any, zone string) string { return date(format, r.orNow(at), zone) }
	functions["now"] = r.now
	functions["date"] = func(format string, at any) string { return dateInZone(format, at, "Local") }
	functions["dateInZone"] = dateInZone
	functions["date_in_zone"] = dateInZone
	functions["htmlDate"] = func(at any) string { return dateInZone(time.DateOnly, at, "Local") }
	functions["htmlDateInZone"] = func(at any, zone string) string { return dateInZone(time.DateOnly, at, zone) }
	functions["ago"] = func(at any) string { return ago(r.longerAgo(at)) }
	functions["durationRound"] = func(at any) string {
		if date, isDate := at.(time.Time); isDate {
			return round(r.longerAgo(date))
		}
		return round(at)
	}
}

// shift is how far the clock goes ahead.
func (r *random) shift() time.Duration {
	r.isUsed = true
	if r.turn == 0 {
		return 0
	}
	return clockShift + time.Duration(r.turn-secondTurn)*furtherShift
}

func (r *random) now() time.Time { return time.Now().Add(r.shift()) }

func (r *random) orNow(at any) any {
	switch at.(type) {
	case time.Time, *time.Time, int64, int, int32:
		return at
	}
	return r.now()
}

// longerAgo moves a date back, so that it is as long ago as the clock says.
func (r *random) longerAgo(at any) any {
	switch at := at.(type) {
	case time.Time:
		return at.Add(-r.shift())
	case int64:
		return at - int64(r.shift()/time.Second)
	case int:
		return at - int(r.shift()/time.Second)
	}
	return at
}
