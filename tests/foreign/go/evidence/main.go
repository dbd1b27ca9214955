// Command evidence checks a log of the gateway with Go's own implementation of tree, proofs and signed notes,
// the one behind the Go checksum database. It shares no code with the gateway.
//
// It reads one JSON object from standard input and exits with 0 if all of it holds, with 1 and the first fault otherwise.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type input struct {
	Key         string        `json:"key"`     // verifier key of the log
	Notes       []string      `json:"notes"`   // every checkpoint, the newest last
	Entries     [][]byte      `json:"entries"` // every entry of the newest
	Inclusion   []inclusion   `json:"inclusion"`
	Consistency []consistency `json:"consistency"`
}

type inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Path  [][]byte `json:"path"`
}

type consistency struct {
	First  int64    `json:"first"`
	Second int64    `json:"second"`
	Path   [][]byte `json:"path"`
}

// reader gives the stored hashes of a tree that Go has built itself.
type reader []tlog.Hash

func (r reader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = r[index]
	}
	return found, nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("input: %w", err)
	}
	heads, err := open(in.Key, in.Notes)
	if err != nil {
		return err
	}
	if err := build(in.Entries, heads); err != nil {
		return err
	}
	for _, p := range in.Inclusion {
		if p.Index < 0 || p.Index >= int64(len(in.Entries)) {
			return fmt.Errorf("inclusion of %d: no such entry", p.Index)
		}
		path, err := hashes(p.Path)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(path, p.Size, heads[p.Size], p.Index, tlog.RecordHash(in.Entries[p.Index])); err != nil {
			return fmt.Errorf("inclusion of %d in %d: %w", p.Index, p.Size, err)
		}
	}
	for _, p := range in.Consistency {
		path, err := hashes(p.Path)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(path, p.Second, heads[p.Second], p.First, heads[p.First]); err != nil {
			return fmt.Errorf("consistency of %d with %d: %w", p.First, p.Second, err)
		}
	}
	fmt.Printf("%d notes, %d entries, %d inclusion proofs, %d consistency proofs\n", len(in.Notes), len(in.Entries), len(in.Inclusion), len(in.Consistency))
	return nil
}

// open checks the signature of every note and returns the roots by size.
func open(key string, notes []string) (map[int64]tlog.Hash, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	heads := make(map[int64]tlog.Hash)
	for i, text := range notes {
		opened, err := note.Open([]byte(text), note.VerifierList(verifier))
		if err != nil {
			return nil, fmt.Errorf("note %d: %w", i, err)
		}
		lines := strings.Split(opened.Text, "\n")
		if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
			return nil, fmt.Errorf("note %d: not a checkpoint of %s", i, verifier.Name())
		}
		size, err := strconv.ParseInt(lines[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("note %d: %w", i, err)
		}
		root, err := base64.StdEncoding.DecodeString(lines[2])
		if err != nil || len(root) != tlog.HashSize {
			return nil, fmt.Errorf("note %d: not a root", i)
		}
		heads[size] = tlog.Hash(root)
	}
	return heads, nil
}

// build makes the tree anew from the entries and compares every root that was signed.
func build(entries [][]byte, heads map[int64]tlog.Hash) error {
	var stored reader
	for i, entry := range entries {
		fresh, err := tlog.StoredHashes(int64(i), entry, stored)
		if err != nil {
			return err
		}
		stored = append(stored, fresh...)
	}
	for size, head := range heads {
		if size > int64(len(entries)) {
			return fmt.Errorf("root of %d: only %d entries", size, len(entries))
		}
		root, err := tlog.TreeHash(size, stored)
		if err != nil {
			return err
		}
		if root != head {
			return fmt.Errorf("root of %d: differs", size)
		}
	}
	return nil
}

func hashes(path [][]byte) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(path))
	for i, step := range path {
		if len(step) != tlog.HashSize {
			return nil, fmt.Errorf("a proof: not a hash")
		}
		found[i] = tlog.Hash(step)
	}
	return found, nil
}
