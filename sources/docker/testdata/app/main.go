// Command app is the one program in the images of the contract test. It does what
// the files in /ctl tell it: it has no network.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func has(name string) bool {
	_, err := os.Stat("/ctl/" + name)
	return err == nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		if has("break") {
			fmt.Println("broken\x1b[31m by file")
			os.Exit(1)
		}
		fmt.Println("fine")
		return
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("begin", os.Getenv("VERSION"))
	if n, err := strconv.Atoi(os.Getenv("LONG")); err == nil {
		fmt.Println(strings.Repeat("x", n) + "END")
	}
	fmt.Fprintln(os.Stderr, "to stderr")
	n := 0
	var hoard [][]byte
	for {
		select {
		case <-stop:
			fmt.Println("stopping")
			return
		case <-time.After(20 * time.Millisecond):
		}
		n++
		if os.Getenv("TICK") != "" {
			fmt.Println("tick", n)
		}
		if has("crash") {
			_ = os.Remove("/ctl/crash")
			fmt.Println("last words")
			os.Exit(3)
		}
		if has("eat") {
			b := make([]byte, 4<<20)
			for i := range b {
				b[i] = byte(i)
			}
			hoard = append(hoard, b)
		}
	}
}
