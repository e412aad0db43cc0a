package main

import (
	"errors"
	"fmt"
)

// mailServer is an option of check_mailq: it has one right value here.
type mailServer struct{}

func (*mailServer) UnmarshalText(text []byte) error {
	if string(text) != "postfix" {
		return fmt.Errorf("%s is another mail server; this check knows postfix alone", text)
	}
	return nil
}

// refused are options of check_mailq that mean something else, or nothing, for
// Postfix. They are known only to say so.
type refused struct {
	DomainWarning  perDomain `arg:"-W,--Warning,hidden"`
	DomainCritical perDomain `arg:"-C,--Critical,hidden"`
	Sudo           sudo      `arg:"-s,--sudo,hidden"`
}

type perDomain struct{}

func (*perDomain) UnmarshalText([]byte) error {
	return errors.New("check_mailq counts by domain for sendmail and qmail only; for Postfix there is -w and -c")
}

type sudo bool

func (*sudo) UnmarshalText([]byte) error {
	return errors.New("sudo is not needed: postqueue has the rights it needs; who may use it says authorized_mailq_users in main.cf")
}
