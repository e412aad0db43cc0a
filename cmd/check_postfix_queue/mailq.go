package main

import (
	"errors"
	"fmt"
	"strings"

	"example.org/postfix-queue-monitor/internal/thresholds"
)

// mailServer is an option of check_mailq. Here it has one right value.
type mailServer struct{}

func (*mailServer) UnmarshalText(text []byte) error {
	if !strings.EqualFold(string(text), "postfix") {
		return fmt.Errorf(`invalid mail server "%s": want postfix, the only one that this check knows`, text)
	}
	return nil
}

// checkMailqOptions are options of check_mailq that have another name here, or no meaning. The latter is known only to
// be refused with the reason.
type checkMailqOptions struct {
	DomainWarning  string `arg:"-W,--Warning,hidden"`
	DomainCritical string `arg:"-C,--Critical,hidden"`
	Sudo           sudo   `arg:"-s,--sudo,hidden"`
}

// addDomainRules makes the ranges for the messages of one domain those of top_domain.
func (o *options) addDomainRules() error {
	for _, level := range []struct {
		option, limit string
		rules         *thresholds.Rules
	}{{"-W", o.DomainWarning, &o.Warning}, {"-C", o.DomainCritical, &o.Critical}} {
		if level.limit == "" {
			continue
		}
		if err := level.rules.UnmarshalText([]byte("top_domain=" + level.limit)); err != nil {
			return fmt.Errorf("%s: %w", level.option, err)
		}
	}
	return nil
}

type sudo bool

func (*sudo) UnmarshalText([]byte) error {
	return errors.New("sudo is not needed: postqueue has the rights it needs; authorized_mailq_users in main.cf says who may use it")
}
