package main

import (
	"context"
	"errors"
	"io"
)

func demo(context.Context, io.Writer) error { return errors.New("not yet") }
