// Package ui is the console's screen: it shows snapshots, offers, plans and
// events to a person, and knows no vendor.
package ui
