package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/postrider/postrider/cmd/postrider/users"
	"github.com/postrider/postrider/internal/disk"
)

// passwd: a line of the users file. What it reads is gone when it ends; what it writes cannot be turned back. What a line
// holds is package users' business; here is where a password comes from and where the line goes.
//
// A password never stands on the command line, where everybody on the machine can read it (ps) and a shell's history
// keeps it. The file is replaced as a whole: a server may read it at any moment.

type passwdOptions struct {
	users        string
	passwordFile string
}

// newPasswd builds the command that writes a line of the users file.
func newPasswd(s streams) *cobra.Command {
	var o passwdOptions
	cmd := &cobra.Command{
		Use:   "passwd USER",
		Short: "Make a user for serve",
		Long: `Makes a line of the users file of postrider serve: an argon2id hash of the password,
and the keys of SCRAM, so that the user can be verified by each mechanism that is
announced. It is printed, or with --users put into the file, in the place of the
user's line if there is one. SIGHUP has a server that runs read the file again.

The password is asked for twice on a terminal; else it is the first line of the
standard input, of --password-file, or POSTRIDER_PASSWORD.`,
		Example: `  postrider passwd --users users ann
  postrider passwd ann@example.com <password >>users`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one user, but got %d; see %s --help", cmd.CommandPath(), len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return passwd(o, args[0], s)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&o.users, "users", "", "`FILE` of users to put the line into; made if it is not there")
	cmd.Flags().StringVar(&o.passwordFile, "password-file", "", "`FILE` with the password on its first line")
	return cmd
}

func passwd(o passwdOptions, user string, s streams) error {
	password, err := o.password(s)
	if err != nil {
		return err
	}
	// A name with a colon, or an empty password, is the input's fault: nothing has been written yet.
	line, err := users.Line(user, password)
	if err != nil {
		return exitf(exitData, "%w", err)
	}
	// Printed it can be appended by >>, on this machine or on another one.
	if o.users == "" {
		_, err = fmt.Fprintln(s.out, line)
		return err
	}
	return putLine(o.users, line)
}

// password asks for the password, or reads it.
func (o *passwdOptions) password(s streams) (string, error) {
	// What was named comes first: a file that cannot be read is an error, and not a reason to ask.
	if o.passwordFile != "" {
		f, err := os.Open(o.passwordFile)
		if err != nil {
			return "", flagf(exitNoInput, "password-file", ": %w", pathError(o.passwordFile, err))
		}
		defer f.Close()
		return firstLine(f)
	}
	// Set, though empty, is an answer too: a script that has lost its secret must not sit at a prompt.
	if password, ok := os.LookupEnv("POSTRIDER_PASSWORD"); ok {
		return password, nil
	}
	// A pipe gives the password once; nobody is there who could have mistyped it.
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return firstLine(s.in)
	}
	// The prompts go to the standard error: the standard output may be a users file. What is typed is not echoed, so that
	// a slip would be found only when nobody can log in.
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(s.err, prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(s.err)
		if err != nil {
			return "", exitf(exitNoInput, "the password: %w", err)
		}
		typed[i] = string(b)
	}
	// Nothing is said of either: somebody may look over the shoulder.
	if typed[0] != typed[1] {
		return "", exitf(exitData, "the passwords differ")
	}
	return typed[0], nil
}

// firstLine reads a line without its end: editors add one that is not meant.
func firstLine(r io.Reader) (string, error) {
	// Bounded: what is given may be a device, or a file that was not meant.
	const longest = 4 << 10
	line, err := bufio.NewReader(io.LimitReader(r, longest)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", exitf(exitNoInput, "the password: %w", err)
	}
	if len(line) == longest {
		return "", exitf(exitData, "the password is longer than %d octets", longest)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// putLine replaces a user's line in a file, or adds it. All else stays as it is. A file takes the old one's place as a
// whole, so that a server never reads half of one.
func putLine(name, line string) error {
	// What a link leads to is the file, and it stays a link.
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	// A file that is not there yet is an empty one. All of it is read, however many users there are: what is not would
	// be lost.
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		return exitf(exitNoInput, "%s is a directory or a device, and no file", name)
	}
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pathError(name, err)
	}
	// Comments and order are an operator's: only the user's own lines are touched. Of two for one user the second
	// goes: an old password must not stay good.
	user, _, _ := strings.Cut(line, ":")
	var b bytes.Buffer
	put := false
	for l := range strings.Lines(string(old)) {
		l = strings.TrimRight(l, "\r\n")
		// The name is compared as the file has it and as Line has prepared it, which is one form (RFC 4013).
		if is, _, _ := strings.Cut(strings.TrimSpace(l), ":"); is == user {
			if put {
				continue
			}
			l, put = line, true
		}
		b.WriteString(l + "\n")
	}
	if !put {
		b.WriteString(line + "\n")
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".users-*") // 0600: the lines are for the server alone
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the name is one that nobody has given
		}
		return exitf(exitCannotWrite, "%s: no file can be made there: %w", filepath.Dir(name), err)
	}
	defer os.Remove(f.Name()) // it is gone if all went well
	// Synced before it has the name: after a loss of power there is the old file or the new one, and no empty one that
	// keeps everybody out.
	_, err = f.Write(b.Bytes())
	err = errors.Join(err, keepRights(f, name), f.Sync(), f.Close())
	// QUIRK: a file that is bind-mounted into a container cannot be replaced (EBUSY); its directory can be mounted.
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err == nil {
		err = disk.SyncDir(filepath.Dir(name))
	}
	if err != nil {
		return exitf(exitCannotWrite, "%s: %w", name, err)
	}
	return nil
}

// keepRights gives the new file the owner, the group and the mode that the old one had: a server reads by them, which is
// not who makes users.
func keepRights(f *os.File, name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return cmp.Or(keepOwner(f, info), f.Chmod(info.Mode().Perm()))
}
