package main

import (
	"errors"
	"fmt"
	"strings"
)

// mailServer is an option of check_mailq. Here it has one right value.
type mailServer struct{}

func (*mailServer) UnmarshalText(text []byte) error {
	if !strings.EqualFold(string(text), "postfix") {
		return fmt.Errorf(`invalid mail server "%s": want postfix, the only one that this check knows`, text)
	}
	return nil
}

// checkMailqOptions are options of check_mailq that mean something else, or nothing, for Postfix. They are known
// only to be refused with the reason.
type checkMailqOptions struct {
	DomainWarning  perDomain `arg:"-W,--Warning,hidden"`
	DomainCritical perDomain `arg:"-C,--Critical,hidden"`
	Sudo           sudo      `arg:"-s,--sudo,hidden"`
}

type perDomain struct{}

func (*perDomain) UnmarshalText([]byte) error {
	return errors.New("check_mailq counts by domain for sendmail and qmail only; for Postfix use -w and -c")
}

type sudo bool

func (*sudo) UnmarshalText([]byte) error {
	return errors.New("sudo is not needed: postqueue has the rights it needs; authorized_mailq_users in main.cf says who may use it")
}
