package main

import (
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// clockShift is how far the clock of a second render goes ahead: every part of a
// date differs, from the year to the second.
const clockShift = 400*24*time.Hour + 5*time.Hour + 17*time.Minute + 29*time.Second

// addClock replaces the template functions that read the clock by such that read
// the shifted one. Sprig takes what is no date for now.
func addClock(functions template.FuncMap) {
	original := sprig.TxtFuncMap()
	date, _ := original["dateInZone"].(func(string, any, string) string)
	ago, _ := original["ago"].(func(any) string)
	round, _ := original["durationRound"].(func(any) string)

	dateInZone := func(format string, at any, zone string) string { return date(format, orShiftedNow(at), zone) }
	functions["now"] = shiftedNow
	functions["date"] = func(format string, at any) string { return dateInZone(format, at, "Local") }
	functions["dateInZone"] = dateInZone
	functions["date_in_zone"] = dateInZone
	functions["htmlDate"] = func(at any) string { return dateInZone(time.DateOnly, at, "Local") }
	functions["htmlDateInZone"] = func(at any, zone string) string { return dateInZone(time.DateOnly, at, zone) }
	functions["ago"] = func(at any) string { return ago(longerAgo(at)) }
	functions["durationRound"] = func(at any) string {
		if date, isDate := at.(time.Time); isDate {
			return round(longerAgo(date))
		}
		return round(at)
	}
}

func shiftedNow() time.Time { return time.Now().Add(clockShift) }

func orShiftedNow(at any) any {
	switch at.(type) {
	case time.Time, *time.Time, int64, int, int32:
		return at
	}
	return shiftedNow()
}

// longerAgo moves a date back, so that it is as long ago as the shifted clock says.
func longerAgo(at any) any {
	switch at := at.(type) {
	case time.Time:
		return at.Add(-clockShift)
	case int64:
		return at - int64(clockShift/time.Second)
	case int:
		return at - int(clockShift/time.Second)
	}
	return at
}
