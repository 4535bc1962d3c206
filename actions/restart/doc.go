// Package restart is the action that restarts a service's containers, one host after the other.
package restart
