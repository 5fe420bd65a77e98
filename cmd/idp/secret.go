package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxSecretLine bounds what is read of a secret: a password has 256 characters
// at most.
const maxSecretLine = 4096

var errDiffer = errors.New("the two were not the same; nothing was changed")

// readSecret reads a secret called what: from a terminal twice and without
// showing it, otherwise the first line of standard input. It is never an
// argument, which everyone on the machine could read and the shell would keep.
func (c *cli) readSecret(what string) (string, error) {
	if f, ok := c.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return c.askSecret(f, what)
	}
	line, err := bufio.NewReader(io.LimitReader(c.in, maxSecretLine+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", fmt.Errorf("there is no %s on standard input; write it there as one line, or call the command in a terminal to be asked", what)
	case len(line) > maxSecretLine:
		return "", fmt.Errorf("the %s on standard input is too long", what)
	}
	return line, nil
}

func (c *cli) askSecret(f *os.File, what string) (string, error) {
	first, err := c.ask(f, "New "+what+": ")
	if err != nil {
		return "", err
	}
	second, err := c.ask(f, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errDiffer
	}
	return first, nil
}

func (c *cli) ask(f *os.File, prompt string) (string, error) {
	fmt.Fprint(c.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(c.err)
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return string(b), nil
}
